from __future__ import annotations

import csv
from typing import Any

import click

from arbtui.cli.common import config_option, emit, json_option, table
from arbtui.config import load_config
from arbtui.domain import NATIVE, Token
from arbtui.errors import UsageError
from arbtui.monitor.report import build_report, ledger_rows, parse_since
from arbtui.store import open_store
from arbtui.units import format_amount


@click.command()
@click.option("--since", metavar="DURATION|ISO", help="90s, 15m, 2h, 7d, or a time.")
@click.option("--family", type=click.Choice(["live", "paper"]), default="live", show_default=True)
@click.option(
    "--csv", "csv_file", type=click.Path(dir_okay=False), help="Write a ledger, one line a settlement."
)
@config_option
@json_option
def report(
    since: str | None, family: str, csv_file: str | None, config_file: str | None, as_json: bool
) -> int:
    """What was earned, what was missed and why; exact, from receipts."""
    config = load_config(config_file)
    start = None if since is None else parse_since(since)
    numeraire = Token(NATIVE, config.chain.native_symbol, 18)
    with open_store(config.store.directory, "live" if family == "live" else "paper") as reader:
        answer = build_report(reader, start, numeraire)
        rows = ledger_rows(reader, start, numeraire) if csv_file else []
    if csv_file:
        try:
            with click.open_file(csv_file, "w", encoding="utf-8") as file:
                writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["time"])
                writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            raise UsageError(f"{csv_file}: cannot be written ({error.strerror})") from error
        click.echo(f"{len(rows)} settlements written to {csv_file}", err=True)
    if as_json:
        emit(answer)
    elif not csv_file:
        show_report(answer)
    return 0


def show_report(answer: dict[str, Any]) -> None:
    """The report for a person; the JSON has all of it."""
    unit = answer["numeraire"]

    def coin(amount: str | None) -> str:
        return (
            "-" if amount is None else f"{format_amount(int(amount), unit['decimals'], 6)} {unit['symbol']}"
        )

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.1%}"

    def seconds(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f} s"

    table(
        ["", ""],
        [
            ["net profit", coin(answer["net_profit"])],
            ["executions", f"{answer['executions']}, succeeded {share(answer['success_rate'])}"],
            ["average profit", coin(answer["avg_profit"])],
            ["gas spent", f"{coin(answer['gas_spent_wei'])}, {share(answer['gas_share'])} of gross"],
            [
                "decision to receipt",
                f"p50 {seconds(answer['p50_execution_time_s'])}, p95 {seconds(answer['p95_execution_time_s'])}",
            ],
            ["unreconciled", answer["unreconciled"]],
        ],
    )
    if answer["by_lender"]:
        click.echo()
        table(
            ["lender", "executions", "succeeded", "net profit"],
            [
                [name, row["executions"], share(row["success_rate"]), coin(row["net_profit"])]
                for name, row in sorted(answer["by_lender"].items())
            ],
            right=(1, 2, 3),
        )
    if answer["by_token"]:
        click.echo()
        table(
            ["token", "change over executor, wallet and treasury"],
            [
                [symbol, format_amount(int(t["delta"]), t["decimals"])]
                for symbol, t in answer["by_token"].items()
            ],
            right=(1,),
        )
    for title, key in (("decisions", "decisions"), ("dropped by", "dropped"), ("errors", "error_counts")):
        if answer[key]:
            counts = ", ".join(f"{name} {count}" for name, count in sorted(answer[key].items()))
            click.echo(f"\n{title}: {counts}")
