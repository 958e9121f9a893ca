from __future__ import annotations

import csv
import io
from pathlib import Path

import click

from arbtui.cli.common import config_option, emit, json_option
from arbtui.cli.report_text import show_comparison, show_report
from arbtui.config import load_config
from arbtui.domain import NATIVE, Token
from arbtui.errors import UsageError
from arbtui.monitor.compare import compare, other_side
from arbtui.monitor.html import html_report
from arbtui.monitor.report import build_report, ledger_rows, parse_since
from arbtui.store import open_store, utc_now
from arbtui.store.database import Family
from arbtui.store.upkeep import inert

__all__ = ["report", "show_report"]


@click.command()
@click.option("--since", metavar="DURATION|ISO", help="90s, 15m, 2h, 7d, or a time.")
@click.option("--until", metavar="DURATION|ISO", help="End of the window; now without it.")
@click.option("--family", type=click.Choice(["live", "paper"]), default="live", show_default=True)
@click.option(
    "--csv", "csv_file", type=click.Path(dir_okay=False), help="Write a ledger, one line a settlement."
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(dir_okay=False),
    help="Write one page with pictures; opens offline.",
)
@click.option(
    "--compare",
    "other",
    metavar="previous|FROM..TO|DIR",
    help="Beside the window before, another window, or another store.",
)
@config_option
@json_option
def report(
    since: str | None,
    until: str | None,
    family: str,
    csv_file: str | None,
    html_file: str | None,
    other: str | None,
    config_file: str | None,
    as_json: bool,
) -> int:
    """What was earned, what was missed and why; exact, from receipts."""
    config = load_config(config_file)
    now = utc_now()
    start = None if since is None else parse_since(since, now)
    end = None if until is None else parse_since(until, now)
    numeraire = Token(NATIVE, config.chain.native_symbol, 18)
    which: Family = "live" if family == "live" else "paper"
    directory = config.store.directory
    elsewhere = None if other is None else other_side(other, start, end or now)
    with open_store(directory, which) as reader:
        answer = build_report(reader, start, numeraire, now=now, until=end)
        rows = ledger_rows(reader, start, numeraire, until=end) if csv_file else []
    if csv_file:
        file = io.StringIO(newline="")
        writer = csv.writer(file)
        writer.writerow([inert(name) for name in (rows[0] if rows else ["time"])])
        writer.writerows([inert(value) for value in row.values()] for row in rows)
        _write(csv_file, file.getvalue(), f"{len(rows)} settlements written to {csv_file}")
    if html_file:
        title = f"ARBTUI report: {config.chain.name}, {family}"
        _write(html_file, html_report(answer, title=title, made_at=now), f"report written to {html_file}")
    if elsewhere is not None:
        place, first, last = elsewhere
        with open_store(place or directory, which) as reader:
            second = build_report(
                reader,
                start if place else first,
                numeraire,
                now=now,
                until=end if place else last,
            )
        names = (str(place or other), "this store" if place else since or "all")
        both = compare(second, answer, *names)
        if as_json:
            emit(both)
        else:
            show_comparison(both)
    elif as_json:
        emit(answer)
    elif not csv_file and not html_file:
        show_report(answer)
    return 0


def _write(name: str, text: str, told: str) -> None:
    """Write a whole file, `-` for standard output; raises UsageError where it cannot be written."""
    if name == "-":
        click.echo(text, nl=False)
        return
    try:
        with Path(name).open("w", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{name}: cannot be written ({error.strerror})") from error
    click.echo(told, err=True)
