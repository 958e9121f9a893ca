from __future__ import annotations

import asyncio
from typing import Any

import click

from arbtui.bootstrap import open_desk
from arbtui.cli.common import config_option, emit, json_option, table, text, token_json
from arbtui.config import load_config
from arbtui.discovering import known
from arbtui.domain import LoanQuote, Token
from arbtui.errors import UsageError
from arbtui.units import UINT256_MAX, format_amount, parse_amount


@click.command()
@click.argument("token")
@click.argument("amount")
@config_option
@json_option
def quote(token: str, amount: str, config_file: str | None, as_json: bool) -> int:
    """Quote every flash lender for AMOUNT (whole tokens, e.g. 12.5) of TOKEN (symbol or address)."""
    answer, wanted, quotes = asyncio.run(_quote(token, amount, config_file))
    if as_json:
        emit(answer)
    else:
        _show(answer, wanted, quotes)
    return 0 if answer["best"] else 1


async def _quote(
    token: str, amount: str, config_file: str | None
) -> tuple[dict[str, Any], Token, tuple[LoanQuote, ...]]:
    config = load_config(config_file)
    # Before a node is asked. A discovered token that borrows a configured one's symbol is called otherwise.
    wanted = config.token(token, known(config).tokens)
    units = parse_amount(amount, wanted.decimals)
    if not 0 < units <= UINT256_MAX:
        raise UsageError(f"amount: {amount[:40]} {wanted.symbol} is not an amount that can be lent")
    async with open_desk(config) as desk:
        block, quotes, best = await desk.quotes(units, wanted)
    answer = {
        "token": token_json(wanted),
        "amount": str(units),
        "block": block.number,
        "quotes": [quote_json(quote) for quote in quotes],
        "best": str(best.lender) if best else None,
    }
    return answer, wanted, quotes


def quote_json(quote: LoanQuote) -> dict[str, Any]:
    return {
        "lender": str(quote.lender),
        "protocol": quote.protocol,
        "version": quote.version,
        "usable": quote.usable,
        "reason": quote.reason,
        "detail": quote.detail,
        "source": quote.source,
        "available": text(quote.available),
        "fee": text(quote.fee),
        "gas_overhead": quote.gas_overhead,
        "gas_overhead_source": quote.gas_overhead_source,
        "gas_cost": text(quote.gas_cost),
        "total_cost": text(quote.total_cost),
        "settled": quote.settled,
        "executed": quote.executed,
    }


def _show(answer: dict[str, Any], token: Token, quotes: tuple[LoanQuote, ...]) -> None:
    def whole(amount: int | None) -> str:
        return "-" if amount is None else format_amount(amount, token.decimals, min(6, token.decimals))

    click.echo(f"{whole(int(answer['amount']))} {token.symbol} at block {answer['block']}")
    rows: list[list[object]] = [
        [
            ("* " if str(q.lender) == answer["best"] else "  ") + q.lender,
            whole(q.fee) if q.usable else "-",
            whole(q.gas_cost) if q.usable else "-",
            whole(q.total_cost) if q.usable else "-",
            whole(q.available),
        ]
        for q in quotes
    ]
    table(["  lender", "fee", "gas", "total", "available"], rows, right=(1, 2, 3, 4))
    for q in quotes:
        if not q.usable:
            click.echo(f"{q.lender} cannot lend: {q.reason} ({q.detail})")
    if not answer["best"]:
        click.echo("no lender can lend this", err=True)
