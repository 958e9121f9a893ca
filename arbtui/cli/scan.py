from __future__ import annotations

import asyncio
import time
from typing import Any

import click

from arbtui.bootstrap import open_desk
from arbtui.cli.common import config_option, emit, json_option, table
from arbtui.cli.scan_snapshot import named_token, scan_json, snapshot_scan
from arbtui.config import load_config
from arbtui.search import MAX_HOPS, find_opportunities
from arbtui.units import format_amount


@click.command()
@click.option(
    "--snapshot", type=click.Path(), help="A market snapshot (.jsonl, .jsonl.gz); no node is needed."
)
@click.option("--base", "bases", multiple=True, metavar="TOKEN", help="Start and end token; may be repeated.")
@click.option(
    "--max-hops",
    type=click.IntRange(2, MAX_HOPS),
    default=2,
    show_default=True,
    help="4 hops: over the most liquid pools.",
)
@click.option("--top", type=click.IntRange(1), help="The best so many of each base token.")
@click.option("--strict", is_flag=True, help="Refuse a snapshot with a line that cannot be used.")
@config_option
@json_option
def scan(
    snapshot: str | None,
    bases: tuple[str, ...],
    max_hops: int,
    top: int | None,
    strict: bool,
    config_file: str | None,
    as_json: bool,
) -> int:
    """Find the cycles that pay, before loan fee and gas, with exact amounts."""
    if snapshot is not None:
        answer = snapshot_scan(snapshot, bases, max_hops, top, strict)
    else:
        answer = asyncio.run(_node_scan(config_file, bases, max_hops, top))
    if as_json:
        emit(answer)
        return 0
    _show(answer)
    return 0


async def _node_scan(
    config_file: str | None, bases: tuple[str, ...], max_hops: int, top: int | None
) -> dict[str, Any]:
    config = load_config(config_file)
    began = time.perf_counter()
    async with open_desk(config) as desk:
        state = await desk.market()
    loaded = time.perf_counter()
    named = [named_token(state, text, config.chain.chain_id) for text in bases]
    chosen = [token.address for token in named] or list(config.bases())
    result = find_opportunities(state, chosen, max_hops, top)
    elapsed = {"load": loaded - began, **result.elapsed, "total": time.perf_counter() - began}
    return scan_json(state, result, elapsed)


def _show(answer: dict[str, Any]) -> None:
    rows: list[list[object]] = []
    for found in answer["opportunities"]:
        token = found["token"]

        def whole(amount: str, token: dict[str, Any] = token) -> str:
            return format_amount(int(amount), token["decimals"], 6)

        way = " > ".join(f"{hop['dex']} {hop['kind'].removeprefix('uniswap_')}" for hop in found["path"])
        label = token["symbol"] or token["address"]
        rows.append([label, whole(found["amount_in"]), whole(found["gross_profit"]), way])
    table(["base", "amount in", "gross profit", "path"], rows, right=(1, 2))
    skipped = answer.get("skipped", {"count": 0})["count"]
    click.echo(
        f"block {answer['block']}: {len(answer['opportunities'])} shown of {answer['paying']} paying, "
        f"{answer['cycles']} cycles over {answer['pools']} pools in {answer['elapsed_ms']['total']:.0f} ms"
        + (f"; {skipped} lines of the snapshot could not be used" if skipped else "")
    )
