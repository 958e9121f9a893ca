"""`arbtui drill`: rehearse a fault on a local chain of its own."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from arbtui.cli.common import emit, json_option, table
from arbtui.devnet.plan import DEFAULT_SEED
from arbtui.drills import DRILLS, Drill, DrillResult, Moment, find_drill, run_drill

ALL = "all"
LIST = "list"
_STYLES = {
    "injected": "bold red",
    "healed": "bold green",
    "incident": "yellow",
    "recovery": "yellow",
    "decision": "cyan",
    "attempt": "cyan",
    "execution": "cyan",
    "settled": "green",
    "verified": "bold green",
    "lost": "bold red",
    "wrong": "bold red",
}
_TIME, _WHAT = 6, 9
#: On a screen its ends are enough; --json has it whole.
_HASH = re.compile(r"\b(0x[0-9a-f]{8})[0-9a-f]{52}([0-9a-f]{4})\b")


@click.command()
@click.argument("name", metavar="NAME|list|all")
@click.option("--seed", type=int, default=DEFAULT_SEED, show_default=True, help="The chain's liquidity.")
@json_option
def drill(name: str, seed: int, as_json: bool) -> int:
    """Break something on a local chain of its own, and watch a real engine see it, act, and lose nothing.

    `list` names the drills; `all` runs one after the other. Exit 1 where one did not recover or something was lost;
    its store is then kept. Nothing of yours is touched: no configuration, no store, no node.
    """
    if name == LIST:
        _list(as_json)
        return 0
    chosen = DRILLS if name == ALL else (find_drill(name),)
    results = [asyncio.run(_run(one, seed, quiet=as_json)) for one in chosen]
    if as_json:
        answers = [result.to_json() for result in results]
        emit(answers if name == ALL else answers[0])
    elif name == ALL:
        _summary(results)
    return 0 if all(result.passed for result in results) else 1


def _list(as_json: bool) -> None:
    if as_json:
        emit([{"drill": d.name, "rehearses": d.rehearses, "page": _page(d)} for d in DRILLS])
    else:
        table(["drill", "rehearses"], [[d.name, d.rehearses] for d in DRILLS])


async def _run(chosen: Drill, seed: int, *, quiet: bool) -> DrillResult:
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    if me is not None:
        # However it is stopped, chain and engines end by the same way out.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, me.cancel)
    if quiet:
        return await run_drill(chosen, seed)
    console = Console(highlight=False)
    console.print(Text.assemble((chosen.name, "bold"), f": {chosen.rehearses}"))
    result = await run_drill(
        chosen,
        seed,
        lambda moment: _show(console, moment),
        lambda line: click.echo(f"devnet: {line}", err=True),
    )
    _verdict(console, chosen, result)
    return result


def _row(console: Console, first: Text, second: Text, third: Text) -> None:
    """Three columns, of which the last is wrapped under itself."""
    row = Table.grid(padding=(0, 1))
    row.add_column(width=_TIME, justify="right")
    row.add_column(width=_WHAT)
    row.add_column(width=max(20, console.width - _TIME - _WHAT - 2), overflow="fold")
    row.add_row(first, second, third)
    console.print(row)


def _show(console: Console, moment: Moment) -> None:
    style = _STYLES.get(moment.what, "")
    strong = style if "bold" in style else ""
    _row(
        console,
        Text(f"{moment.at_s:.2f}", style="dim"),
        Text(moment.what, style=style),
        Text(_HASH.sub(r"\1…\2", moment.detail), style=strong),
    )


def _verdict(console: Console, chosen: Drill, result: DrillResult) -> None:
    def yes(good: bool) -> tuple[str, str]:
        return ("yes", "bold green") if good else ("NO", "bold red")

    lost = str(result.lost_transactions), "bold red" if result.lost_transactions else "bold green"
    line = Text.assemble(
        *("detected ", yes(result.detected), " · recovered ", yes(result.recovered)),
        *(" · lost ", lost, f" · {result.seconds:.1f} s"),
    )
    console.print()
    console.print(line)
    console.print(Text(result.why))
    console.print(Text(f"for real: {_page(chosen)}", style="dim"))
    if result.store is not None:
        console.print(Text(f"its store is kept: {result.store}", style="dim"), soft_wrap=True)


def _summary(results: Sequence[DrillResult]) -> None:
    click.echo()
    rows: list[list[object]] = [
        [
            result.drill,
            "yes" if result.detected else "NO",
            "yes" if result.recovered else "NO",
            result.lost_transactions,
            f"{result.seconds:.1f}",
        ]
        for result in results
    ]
    table(["drill", "detected", "recovered", "lost", "seconds"], rows, right=(3, 4))


def _page(chosen: Drill) -> str:
    return f"docs/drills.md#{chosen.name}"
