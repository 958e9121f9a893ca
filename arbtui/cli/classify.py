"""`arbtui classify`: what an error, or revert data, means and what is to be done."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

import click

from arbtui.cli.common import emit, json_option
from arbtui.errors import UsageError
from arbtui.execution.reverts import EXECUTOR_ERRORS
from arbtui.recovery import Classified
from arbtui.recovery import classify as classify_error
from arbtui.text import safe_text

_WIDTH = 78
_MAX_LINE = 256 * 1024


@click.command()
@click.argument("text", required=False)
@click.option("--file", "file", metavar="F", help="One input a line; - for standard input.")
@click.option(
    "--protocol", metavar="NAME", help="Whose revert it is, where protocols share words (aave_v3, …)."
)
@json_option
def classify(text: str | None, file: str | None, protocol: str | None, as_json: bool) -> None:
    """Say what TEXT means: a node's message, a JSON-RPC error object, or revert data (0x…).

    With --file, or - in TEXT's place, one input a line, answered in order.
    """
    if (text is None) == (file is None):
        raise click.UsageError("give a TEXT, or --file F, or - for standard input")
    if text is not None and text != "-":
        _show(classify_error(text, protocol=protocol, own=EXECUTOR_ERRORS), as_json)
        return
    first = True
    for line in _lines(file if file is not None else "-"):
        if not (first or as_json):
            click.echo()
        first = False
        if not as_json:
            click.secho(safe_text(line, _WIDTH), dim=True)
        _show(classify_error(line, protocol=protocol, own=EXECUTOR_ERRORS), as_json)


def _lines(name: str) -> Iterator[str]:
    if name == "-":
        yield from _read(sys.stdin)
        return
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"{name}: there is no such file; give one with an input a line, or -")
    with path.open(encoding="utf-8", errors="replace", newline="\n") as stream:
        yield from _read(stream)


def _read(stream: TextIO) -> Iterable[str]:
    for line in stream:
        yield line.rstrip("\r\n")[:_MAX_LINE]


def _show(found: Classified, as_json: bool) -> None:
    if as_json:
        emit(found.as_json())
        return
    click.echo(f"{click.style(str(found.error_class), bold=True)}  {found.title}")
    revert = found.revert
    if revert is not None:
        shown = ", ".join(revert.args)
        name = (
            f"{revert.name}({shown})" if revert.name and revert.name != "Error" else shown or str(revert.kind)
        )
        _pair("revert", name)
        _pair("of", revert.protocol or "no protocol in the table")
        _pair("means", revert.meaning)
        _pair("advice", revert.advice)
    else:
        _pair("means", found.explain)
    _pair("action", f"{found.action}, {'may be tried again' if found.retryable else 'not to be repeated'}")
    if revert is None:
        _pair("a send was", str(found.delivery).replace("_", " "))
    for name, value in found.figures.items():
        _pair(name, f"{value:,}")
    if found.retry_after_s is not None:
        _pair("wait", f"{found.retry_after_s:g} s, as the provider asks")
    _pair("rule", found.rule)


def _pair(name: str, value: str) -> None:
    lines = textwrap.wrap(safe_text(value, 600), _WIDTH - 14, break_long_words=True) or [""]
    for at, line in enumerate(lines):
        click.echo(f"  {name if not at else '':<11} {line}")
