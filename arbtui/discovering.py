"""Pools nobody configured: factories asked, findings kept and judged; and what is known of them without a node."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from arbtui.chain import Node
from arbtui.chain.discovery import Tip, list_pools, read_holdings, read_tip, read_tokens
from arbtui.config import Config
from arbtui.domain import BlockRef, Token
from arbtui.market.discovered import FoundPool, FoundToken
from arbtui.market.filters import Choice, Dropped, FactoryPolicy, Surroundings, choose, label
from arbtui.market.pool import Pool
from arbtui.store import MarketLock, MarketReader, MarketStore, open_market
from arbtui.units import Address

#: Seconds a look stays with one block; a node that prunes keeps the state of 128 blocks.
TIP_LIFE_S = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """How far one part of the work is: `done` of `total` `unit`s, with `found` pools or tokens so far."""

    what: str
    done: int
    total: int
    unit: str
    found: int


Tell = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What one factory brought: pools new since the last look, and all that are listed now."""

    factory: FactoryPolicy
    new: int
    pools: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A whole look. `read` counts pools whose holdings were read anew."""

    block: BlockRef
    asked: tuple[Asked, ...]
    tokens: int
    read: int
    kept: int
    dropped: dict[str, int]


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of the discovered market: kept pools by value, all left out, and how tokens are shown.

    `pools` have not been read. `block` is the lowest any factory was asked up to; None where nothing was discovered.
    """

    pools: dict[Address, Pool]
    value: dict[Address, int]
    tokens: dict[Address, Token]
    dropped: tuple[tuple[FoundPool, Dropped], ...]
    found: dict[Address, FoundToken]
    block: int | None

    def counts(self) -> dict[str, int]:
        return Choice((), {}, self.dropped, ()).counts()


NOTHING_KNOWN = Known({}, {}, {}, (), {}, None)


def _nobody(_: Step) -> None:
    pass


async def discover(
    config: Config, node: Node, tell: Tell = _nobody, *, tip_life_s: float = TIP_LIFE_S
) -> Outcome:
    """Ask every configured factory for what is new, keep it, and judge which pools are worth reading every block.

    Killed at any time it goes on where it was. A look that lasts moves on to a newer block every `tip_life_s`: nodes
    keep the state of old ones for some minutes only. Raises LockHeld where another process does the same,
    StoreError, and what the node raises.
    """
    directory, multicall = config.store.directory, config.chain.multicall
    genesis = (await node.block(0)).hash
    with MarketLock(directory), MarketStore.open(directory, config.chain.chain_id, genesis) as store:
        reader = store.read()
        asked = []
        tip = await read_tip(node)
        for factory in config.discovery.factories:
            new, notes, tip = await _ask(config, node, store, factory, tip, tell, tip_life_s)
            asked.append((factory, new, notes))
        unread = reader.unread_tokens()
        async for tokens in read_tokens(
            node, multicall, unread, tip.head, lambda a, b: tell(Step("tokens", a, b, "tokens", a))
        ):
            store.save_tokens(tokens, tip.head.number)
        read = await _judge(config, node, store, tip.head, tell)
        listed = {item.address: item.pools for item in reader.factories()}
        verdicts = reader.verdicts(_addresses(config))
        return Outcome(
            tip.head,
            tuple(Asked(f, new, listed.get(f.address, 0), notes) for f, new, notes in asked),
            reader.token_count(),
            read,
            verdicts.pop("", 0),
            verdicts,
        )


def _addresses(config: Config) -> list[Address]:
    return [factory.address for factory in config.discovery.factories]


async def _ask(
    config: Config,
    node: Node,
    store: MarketStore,
    factory: FactoryPolicy,
    tip: Tip,
    tell: Tell,
    tip_life_s: float,
) -> tuple[int, tuple[str, ...], Tip]:
    """Pools found, remarks, and the tip that was reached."""
    listing = "index" if factory.by_index else "logs"
    cursor = store.cursor(factory.address, factory.kind, listing, factory.from_block)
    new, notes = 0, []
    while True:
        end = time.monotonic() + tip_life_s
        parts = list_pools(
            node,
            config.chain.multicall,
            factory,
            cursor,
            tip,
            lambda first, last: store.addresses(factory.address, first, last),
            config.discovery.log_blocks,
        )
        old = False
        async with aclosing(parts):
            async for part in parts:
                store.advance(factory.address, part.cursor, part.found, part.since_place)
                cursor = part.cursor
                new += len(part.found)
                if part.note and part.note not in notes:
                    notes.append(part.note)
                tell(Step(f"{factory.dex} {factory.kind.value}", part.done, part.total, part.unit, new))
                old = time.monotonic() >= end
                if old and part.done < part.total:
                    break
        if old:
            tip = await read_tip(node)
        if not old or part.done >= part.total:
            return new, tuple(notes), tip


async def _judge(config: Config, node: Node, store: MarketStore, head: BlockRef, tell: Tell) -> int:
    """Read what decides and is missing or old, choose, keep the verdicts; the number of pools that were read."""
    policy, reader = config.discovery, store.read()
    digest, since = filters_digest(config), head.number - policy.refresh_blocks
    oldest = reader.oldest_reading()
    if reader.judged() == digest and oldest is not None and oldest >= since:
        return 0
    pools, tokens, holdings = reader.pools(_addresses(config)), reader.tokens(), reader.holdings()
    around = _around(config)
    first = choose(pools, tokens, holdings, policy, around)
    old = [p for p in first.asked if p.address not in holdings or holdings[p.address].block < since]
    async for some in read_holdings(
        node, config.chain.multicall, old, head, lambda a, b: tell(Step("liquidity", a, b, "pools", a))
    ):
        store.save_holdings(some)
        holdings |= some
    store.save_choice(choose(pools, tokens, holdings, policy, around) if old else first, digest)
    return len(old)


def _around(config: Config) -> Surroundings:
    return Surroundings(
        config.bases(),
        config.chain.wrapped_native,
        config.token_map(),
        tuple((p.address, p.token0, p.token1) for p in config.pools),
    )


def filters_digest(config: Config) -> str:
    """Names the filters and what they depend on in the configuration; verdicts of another digest are not believed."""
    policy = config.discovery
    around = _around(config)
    parts = [
        policy.model_dump(mode="json", exclude={"log_blocks", "refresh_blocks"}),
        list(around.bases),
        around.numeraire,
        sorted((token.address, token.symbol) for token in around.known.values()),
        [list(pool) for pool in around.configured],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def known(config: Config, genesis: str = "") -> Known:
    """What the store has for this configuration; no node is asked. Raises StoreError for a file of another chain."""
    if not config.discovery.factories:
        return NOTHING_KNOWN
    opened = open_market(config.store.directory, config.chain.chain_id, genesis)
    if opened is None:
        return NOTHING_KNOWN
    with opened as reader:
        return _known(config, reader)


def _known(config: Config, reader: MarketReader) -> Known:
    factories = _addresses(config)
    tokens = reader.tokens()
    if reader.judged() == filters_digest(config):
        kept = reader.kept(factories)
        dropped = tuple(reader.dropped(factories))
    else:
        # The filters were changed since, or the last look did not get as far: judged here, and not kept.
        choice = choose(reader.pools(factories), tokens, reader.holdings(), config.discovery, _around(config))
        kept = [(pool, choice.value[pool.address]) for pool in choice.kept]
        dropped = choice.dropped
    by_address = {factory.address: factory for factory in config.discovery.factories}
    named = config.token_map()
    shown = {
        address: label(tokens[address], named)
        for pool, _ in kept
        for address in (pool.token0, pool.token1)
        if address not in named and address in tokens
    }
    asked = [item.cursor.block for item in reader.factories() if item.address in by_address]
    return Known(
        {
            pool.address: pool.unread(by_address[pool.factory].dex, by_address[pool.factory].fee_ppm)
            for pool, _ in kept
        },
        {pool.address: value for pool, value in kept},
        shown,
        dropped,
        tokens,
        min(asked, default=None),
    )


class Pace:
    """What a step says, with rate and time left since its part began; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._what = ""
        self._began, self._from = 0.0, 0

    def line(self, step: Step) -> str:
        now = self._clock()
        if step.what != self._what:
            # What was done before this part was first heard of was not done at this pace.
            self._what, self._began, self._from = step.what, now, step.done
        text = f"{step.what}: {step.done:,} of {step.total:,} {step.unit}, {step.found:,} found"
        elapsed, done = now - self._began, step.done - self._from
        if elapsed > 0 and done > 0 and step.done < step.total:
            rate = done / elapsed
            text += f", {rate:,.0f} {step.unit}/s, {(step.total - step.done) / rate:,.0f} s left"
        return text


def progress_lines(
    say: Callable[[str], None], every_s: float = 5.0, clock: Callable[[], float] = time.monotonic
) -> Tell:
    """A Tell that says a line at most every `every_s`, and none of what is done sooner."""
    pace = Pace(clock)
    last = clock()

    def tell(step: Step) -> None:
        nonlocal last
        line = pace.line(step)
        if clock() - last >= every_s:
            last = clock()
            say(f"discovery: {line}")

    return tell


def summary(config: Config) -> str:
    """One line for `doctor`; raises StoreError as `known` does."""
    seen = known(config)
    if seen.block is None or seen.block < 0:
        return "nothing yet: `arbtui pools discover`, or the next run, asks the factories"
    left = ", ".join(f"{count} {reason}" for reason, count in seen.counts().items())
    kept = (
        f"{len(seen.pools)} pools kept besides the {len(config.pools)} configured, up to block {seen.block}"
    )
    return kept + (f"; left out: {left}" if left else "")
