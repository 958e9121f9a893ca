"""What the store has, row by row."""

from __future__ import annotations

from typing import Literal

import click

from arbtui.cli.common import config_option, emit, json_option, table
from arbtui.config import load_config
from arbtui.store import open_store
from arbtui.units import format_amount

family_option = click.option(
    "--family",
    type=click.Choice(["live", "paper"]),
    default="live",
    show_default=True,
    help="Which store file.",
)


def store_family(text: str) -> Literal["live", "paper"]:
    return "paper" if text == "paper" else "live"


@click.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@family_option
@config_option
@json_option
def executions(limit: int, family: str, config_file: str | None, as_json: bool) -> int:
    """Executions, newest first: status, lender, expected and realised profit, reconciled or not."""
    config = load_config(config_file)
    with open_store(config.store.directory, store_family(family)) as reader:
        rows = reader.executions(limit)
    if as_json:
        emit({"executions": rows})
        return 0
    shown: list[list[object]] = []
    for row in rows:
        token = row["token"]
        expected = format_amount(int(row["expected_profit"]), token["decimals"], 6)
        net = "-" if row["net_profit"] is None else format_amount(int(row["net_profit"]), 18, 6)
        shown.append(
            [
                row["id"][:9],
                row["status"],
                row["lender"],
                f"{expected} {token['symbol']}",
                net,
                row["gas_used"] if row["gas_used"] is not None else "-",
                "yes" if row["reconciled"] else "no",
            ]
        )
    table(
        ["id", "status", "lender", "expected", f"net {config.chain.native_symbol}", "gas", "reconciled"],
        shown,
        right=(3, 4, 5),
    )
    return 0


@click.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@family_option
@config_option
@json_option
def tickets(limit: int, family: str, config_file: str | None, as_json: bool) -> int:
    """Tickets, newest first, and what became of each."""
    config = load_config(config_file)
    with open_store(config.store.directory, store_family(family)) as reader:
        rows = reader.tickets(limit)
    if as_json:
        emit({"tickets": rows})
        return 0
    table(
        ["digest", "block", "lender", "expected net", "decision", "reason"],
        [
            [
                row["digest"][2:10],
                row["block"],
                row["lender"],
                format_amount(int(row["expected_net_wei"]), 18, 6),
                row["decision"] or "waiting",
                row["decision_reason"] or "",
            ]
            for row in rows
        ],
        right=(1, 3),
    )
    return 0
