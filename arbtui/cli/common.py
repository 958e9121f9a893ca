"""Options and output that several commands share."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from arbtui.domain import Token

config_option = click.option("--config", "config_file", metavar="F", help="Configuration file (TOML).")
json_option = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")


def emit(value: Any) -> None:
    """One JSON value as one line."""
    click.echo(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def token_json(token: Token) -> dict[str, Any]:
    return {"address": token.address, "symbol": token.symbol, "decimals": token.decimals}


def text(value: object) -> str | None:
    """An amount as interfaces want it: a decimal string, or null."""
    return None if value is None else str(value)


def table(columns: list[str], rows: list[list[object]], right: tuple[int, ...] = ()) -> None:
    """A plain table; cells are drawn as they are, never as markup. Without rows it says so."""
    if not rows:
        click.echo("none yet")
        return
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        shown.add_column(column, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(str(cell)) for cell in row))
    Console(highlight=False).print(shown)
