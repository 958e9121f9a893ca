"""`arbtui swap`: one exact swap, or a stream of them, on a market snapshot."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from arbtui.errors import ArbtuiError, UsageError
from arbtui.market import MarketState, Pool, Swap, SwapReverts, load_snapshot, state_fields
from arbtui.text import safe_text
from arbtui.units import Address, format_amount, parse_address

_MAX_DIGITS = 78


@click.command("swap")
@click.option(
    "--snapshot", "snapshot_file", required=True, metavar="FILE", help="Market snapshot, .jsonl or .jsonl.gz."
)
@click.option("--exact-out", is_flag=True, help="AMOUNT is what is wanted out.")
@click.option("--strict", is_flag=True, help="Refuse a snapshot with a line that cannot be used.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.argument("trade", nargs=-1, required=True, metavar="POOL TOKEN_IN AMOUNT | -")
@click.pass_context
def swap(
    context: click.Context,
    snapshot_file: str,
    exact_out: bool,
    strict: bool,
    as_json: bool,
    trade: tuple[str, ...],
) -> None:
    """Swap AMOUNT base units of TOKEN_IN in POOL, to the unit what the contract would do.

    With - in place of the three, reads "POOL TOKEN_IN AMOUNT [exact-out]" line by line from standard input, applies
    each to the state the one before left, and answers every line with one JSON object, {"error": ...} where it cannot
    be done; that run exits 0. A single swap that would revert exits 1.
    """
    streaming = len(trade) == 1 and trade[0] == "-"
    if not streaming and len(trade) != 3:
        raise UsageError("swap: give POOL TOKEN_IN AMOUNT, or - to read such lines from standard input")
    snapshot = load_snapshot(snapshot_file, strict)
    if snapshot.problems:
        first = snapshot.problems[0]
        click.echo(
            f"{snapshot.counts.skipped} lines of the snapshot skipped; line {first.line}: {first.reason}",
            err=True,
        )
    if streaming:
        lines = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="replace")
        for answer in swap_lines(snapshot.state, lines, exact_out):
            click.echo(json.dumps(answer))
        return
    try:
        pool_text, token_text, amount_text = trade
        pool, done, token_in = swap_once(
            snapshot.state, snapshot.state.pools, pool_text, token_text, amount_text, exact_out
        )
    except SwapReverts as revert:
        click.echo(json.dumps(_error(revert)) if as_json else str(revert))
        context.exit(1)
    if as_json:
        click.echo(json.dumps(swap_json(done)))
    else:
        _show(snapshot.state, pool, token_in, done)


def swap_once(
    state: MarketState,
    pools: Mapping[Address, Pool],
    pool_text: str,
    token_text: str,
    amount_text: str,
    exact_out: bool,
) -> tuple[Pool, Swap, Address]:
    """One swap by the texts a person gives. Raises UsageError for what is not a swap, SwapReverts for what fails."""
    address = parse_address(pool_text, "pool")
    pool = pools.get(address)
    if pool is None:
        raise UsageError(f"pool {address} is not in the snapshot")
    token_in = _token_of(state, pool, token_text)
    if not (amount_text.isascii() and amount_text.isdigit() and len(amount_text) <= _MAX_DIGITS):
        raise UsageError(f"amount: {safe_text(amount_text, 40)!r} is not a whole number of base units")
    amount = int(amount_text)
    done = pool.swap_exact_out(token_in, amount) if exact_out else pool.swap_exact_in(token_in, amount)
    return pool, done, token_in


def _token_of(state: MarketState, pool: Pool, text: str) -> Address:
    """The pool's token that `text` names: among two, a symbol is seldom ambiguous."""
    held = (pool.token0, pool.token1)
    named = [address for address in held if state.token(address).symbol == text]
    if len(named) == 1:
        return named[0]
    token = state.find_token(text).address
    if token not in held:
        raise UsageError(
            f"pool {pool.address} holds {state.label(held[0])} and {state.label(held[1])}, not {text}"
        )
    return token


def swap_lines(state: MarketState, lines: Iterable[str], exact_out: bool = False) -> Iterator[dict[str, Any]]:
    """An answer for each line that is not empty; a swap's state carries on to the lines after it."""
    pools = dict(state.pools)
    for line in lines:
        words = line.split()
        if not words:
            continue
        try:
            if len(words) not in (3, 4) or words[3:] not in ([], ["exact-out"]):
                raise UsageError("give POOL TOKEN_IN AMOUNT [exact-out]")
            wants_out = exact_out or len(words) == 4
            pool, done, _ = swap_once(state, pools, words[0], words[1], words[2], wants_out)
        except ArbtuiError as error:
            yield _error(error)
            continue
        pools[pool.address] = done.after
        yield swap_json(done)


def _error(error: ArbtuiError) -> dict[str, Any]:
    if isinstance(error, SwapReverts):
        return {"error": error.reason, "pool": error.pool}
    return {"error": str(error)}


def swap_json(done: Swap) -> dict[str, Any]:
    """A swap as the command answers it: amounts are decimal strings in base units."""
    return {
        "amount_in": str(done.amount_in),
        "amount_out": str(done.amount_out),
        "fee": str(done.fee),
        "price_impact_bps": done.price_impact_bps,
        "after": state_fields(done.after),
    }


def _show(state: MarketState, pool: Pool, token_in: Address, done: Swap) -> None:
    token_out = pool.token1 if token_in == pool.token0 else pool.token0

    def amount(units: int, address: Address) -> str:
        token = state.token(address)
        return f"{format_amount(units, token.decimals)} {state.label(address)}"

    after = ", ".join(f"{name} {value}" for name, value in state_fields(done.after).items())
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(f"in      {amount(done.amount_in, token_in)}  (fee {amount(done.fee, token_in)})"))
    console.print(Text(f"out     {amount(done.amount_out, token_out)}"))
    console.print(Text(f"impact  {done.price_impact_bps:.2f} bps"))
    console.print(Text(f"after   {after}"))
