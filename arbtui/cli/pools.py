"""`arbtui pools`: what the factories list, what is kept of it, and a market file of it all."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from arbtui.bootstrap import open_desk
from arbtui.cli.common import config_option, emit, json_option, table, token_json
from arbtui.cli.decide import ask_engine
from arbtui.cli.records import family_option
from arbtui.config import Config, load_config
from arbtui.discovering import Known, Outcome, Pace, Step, Tell, discover, known, progress_lines
from arbtui.domain import Token
from arbtui.errors import ConfigError
from arbtui.market import MarketState, UniswapV3Pool, write_snapshot_file
from arbtui.market.filters import label
from arbtui.market.pool import Pool
from arbtui.units import Address, format_amount


@click.group()
def pools() -> None:
    """Discover pools, list what is kept and what is not, write the market to a file."""


@pools.command(name="discover")
@config_option
@json_option
def discover_command(config_file: str | None, as_json: bool) -> int:
    """Ask every factory of [discovery] for what is new. Stopped at any time, the next one goes on where it was."""
    config = load_config(config_file)
    if not config.discovery.factories:
        raise ConfigError("discovery.factories: there is none to ask; add [[discovery.factories]]")
    outcome = asyncio.run(_discover(config))
    if as_json:
        emit(outcome_json(outcome))
        return 0
    table(
        ["dex", "kind", "factory", "new", "listed"],
        [[a.factory.dex, a.factory.kind, a.factory.address, a.new, a.pools] for a in outcome.asked],
        right=(3, 4),
    )
    for asked in outcome.asked:
        for note in asked.notes:
            click.echo(f"{asked.factory.dex}: {note}")
    besides = f"{outcome.kept} pools kept besides the {len(config.pools)} configured"
    click.echo(f"block {outcome.block.number}: {besides}; {_left_out(outcome.dropped)}")
    return 0


async def _discover(config: Config) -> Outcome:
    async with open_desk(config) as desk:
        tell, done = _progress()
        try:
            return await discover(config, desk.node, tell)
        finally:
            done()


def _progress() -> tuple[Tell, Any]:
    """On a terminal one line that is written over; else lines now and then. The second value ends it."""
    if not sys.stderr.isatty():
        return progress_lines(lambda line: click.echo(line, err=True)), lambda: None
    pace = Pace()

    def tell(step: Step) -> None:
        click.echo(f"\r\x1b[K{pace.line(step)[:118]}", err=True, nl=False)

    return tell, lambda: click.echo("\r\x1b[K", err=True, nl=False)


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "block": outcome.block.number,
        "factories": [
            {
                "dex": asked.factory.dex,
                "kind": asked.factory.kind.value,
                "address": asked.factory.address,
                "new": asked.new,
                "listed": asked.pools,
                "notes": list(asked.notes),
            }
            for asked in outcome.asked
        ],
        "tokens": outcome.tokens,
        "read": outcome.read,
        "kept": outcome.kept,
        "filtered": outcome.dropped,
    }


def _left_out(counts: dict[str, int]) -> str:
    return "left out: " + (", ".join(f"{count} {reason}" for reason, count in counts.items()) or "none")


@pools.command(name="list")
@click.option("--filtered", is_flag=True, help="Those left out, each with the reason.")
@config_option
@json_option
def list_command(filtered: bool, config_file: str | None, as_json: bool) -> int:
    """The configured pools and the discovered ones that are kept, most valuable first. No node is asked."""
    config = load_config(config_file)
    seen = known(config)
    rows = _filtered_rows(config, seen) if filtered else _kept_rows(config, seen)
    if as_json:
        emit({"block": seen.block, "pools": rows, "filtered": seen.counts()})
        return 0
    if filtered:
        table(
            ["pool", "dex", "tokens", "reason", "detail"],
            [[r["address"], r["dex"], _pair(r), r["reason"], r["detail"]] for r in rows],
        )
    else:
        table(
            ["pool", "dex", "kind", "tokens", "fee ppm", "value"],
            [
                [
                    r["address"],
                    r["dex"],
                    r["kind"],
                    _pair(r),
                    r["fee_ppm"],
                    r["source"]
                    if r["value_wei"] is None
                    else f"{format_amount(int(r['value_wei']), 18, 3)} {config.chain.native_symbol}",
                ]
                for r in rows
            ],
            right=(4, 5),
        )
    upto = "nothing discovered yet" if seen.block is None else f"discovered up to block {seen.block}"
    click.echo(f"{len(rows)} pools, {upto}; {_left_out(seen.counts())}")
    return 0


def _pair(row: dict[str, Any]) -> str:
    return "/".join(row[side]["symbol"] or row[side]["address"] for side in ("token0", "token1"))


def _kept_rows(config: Config, seen: Known) -> list[dict[str, Any]]:
    named = {**seen.tokens, **config.token_map()}
    rows: list[dict[str, Any]] = [
        _row(entry, named, "configured", None) | {"tick_spacing": entry.tick_spacing}
        for entry in config.pools
    ]
    rows += [
        _row(pool, named, "discovered", seen.value[address])
        | {"tick_spacing": pool.tick_spacing if isinstance(pool, UniswapV3Pool) else None}
        for address, pool in seen.pools.items()
    ]
    return rows


def _row(pool: Any, named: dict[Address, Token], source: str, value: int | None) -> dict[str, Any]:
    return {
        "address": pool.address,
        "dex": pool.dex,
        "kind": pool.kind.value,
        "token0": token_json(named.get(pool.token0) or Token(pool.token0, "", 0)),
        "token1": token_json(named.get(pool.token1) or Token(pool.token1, "", 0)),
        "fee_ppm": pool.fee_ppm,
        "source": source,
        "value_wei": None if value is None else str(value),
    }


def _filtered_rows(config: Config, seen: Known) -> list[dict[str, Any]]:
    dexes = {factory.address: factory for factory in config.discovery.factories}
    named = config.token_map()
    shown = {address: label(found, named) for address, found in seen.found.items()} | named
    rows = []
    for pool, reason in seen.dropped:
        factory = dexes[pool.factory]
        fee = pool.fee_ppm if pool.fee_ppm is not None else factory.fee_ppm
        faults = [seen.found[token].fault for token in (pool.token0, pool.token1) if token in seen.found]
        rows.append(
            {
                "address": pool.address,
                "dex": factory.dex,
                "kind": pool.kind.value,
                "token0": token_json(shown.get(pool.token0) or Token(pool.token0, "", 0)),
                "token1": token_json(shown.get(pool.token1) or Token(pool.token1, "", 0)),
                "fee_ppm": fee,
                "reason": reason.value,
                "detail": pool.fault or "; ".join(fault for fault in faults if fault),
            }
        )
    return rows


@pools.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--whole-ticks", is_flag=True, help="Every tick of a Uniswap V3 pool, not only those around its price."
)
@click.option("--engine", is_flag=True, help="As the running engine keeps it; no node is asked.")
@family_option
@config_option
@json_option
def snapshot(
    file: Path, whole_ticks: bool, engine: bool, family: str, config_file: str | None, as_json: bool
) -> int:
    """Write the market at the newest block to FILE (.jsonl, or .jsonl.gz packed), for `scan --snapshot` and `swap`."""
    config = load_config(config_file)
    if engine:
        _, told = ask_engine(config, family, "snapshot", {"file": str(file.absolute())})
        if as_json:
            emit({"file": str(file), "result": told})
        else:
            click.echo(told)
        return 0 if told.startswith("written") else 1
    state, left = asyncio.run(_read_market(config, whole_ticks))
    write_snapshot_file(file, state, config.chain.chain_id)
    answer = {
        "file": str(file),
        "block": state.block.number,
        "pools": len(state.pools),
        "tokens": len(state.tokens),
        "left_out": [{"address": address, "reason": reason} for address, reason in left.items()],
    }
    if as_json:
        emit(answer)
        return 0
    click.echo(
        f"{file}: {len(state.pools)} pools and {len(state.tokens)} tokens at block {state.block.number}"
    )
    for address, reason in left.items():
        click.echo(f"left out: {address}: {reason}")
    return 0


async def _read_market(config: Config, whole_ticks: bool) -> tuple[MarketState, dict[Address, str]]:
    async with open_desk(config) as desk:
        if whole_ticks:
            desk.pools = {
                address: replace(pool, reach=None) if isinstance(pool, UniswapV3Pool) else pool
                for address, pool in desk.pools.items()
            }
        tell, done = _progress()
        try:
            state = await desk.market(
                progress=lambda a, b: tell(Step("market", a, b, "calls", len(desk.pools)))
            )
        finally:
            done()
    left = dict(desk.failed)
    kept: dict[Address, Pool] = {}
    for address, pool in state.pools.items():
        if all(pool.spot_ratio(pool.token0)):
            kept[address] = pool
        else:
            left[address] = "it holds nothing, or was never given a price"
    return MarketState(state.block, state.tokens, kept), left
