"""The market at the newest head, kept by the logs of each block, compared with the node now and then, and healed."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from arbtui.chain import BlockLogs, HeadFeed, Node, Reset, Step, read_pools
from arbtui.chain.reader import Progress
from arbtui.domain import BlockRef, Token
from arbtui.errors import MalformedAnswer, NodeError, NodeUnreachable
from arbtui.market import FAMILIES, MarketState
from arbtui.market.pool import Pool
from arbtui.market.tracker import NotConnected, Tracker
from arbtui.units import Address

#: Of many pools that drifted at once so many are named.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of the head: `removed` newest first, `added` oldest first; `reset` says why all was read anew.

    `at` is when the look at the node began that found it, by the monotonic clock. `faults` are for people: pools that
    drifted and what did not fit.
    """

    head: BlockRef
    at: float
    removed: tuple[BlockRef, ...] = ()
    added: tuple[BlockLogs, ...] = ()
    reset: str = ""
    faults: tuple[str, ...] = ()


class Watching:
    """One market, followed from head to head. `begin` first, then `step`.

    A pool that does not answer when all is read stays unread, is told once, and is tried again with the next check.
    Every `check_blocks` blocks `check_pools` of the pools, in turn, are compared with what the node says of them.
    """

    def __init__(
        self,
        *,
        node: Node,
        feed: HeadFeed,
        pools: Mapping[Address, Pool],
        tokens: Mapping[Address, Token],
        multicall: Address,
        check_blocks: int,
        check_pools: int,
        progress: Progress | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._feed = feed
        self._pools = dict(pools)
        self._tokens = tokens
        self._multicall = multicall
        self._check_blocks = check_blocks
        self._check_pools = check_pools
        self._progress = progress
        self._monotonic = monotonic
        self._tracker: Tracker | None = None
        #: Pools that changed since `take_changed`; None where any may have.
        self._changed: set[Address] | None = None
        self._reread: set[Address] = set()
        #: Pools whose contract did not answer as it must: asked again when a check is due.
        self._silent: set[Address] = set()
        self._unread = ""
        self._since_check = 0
        self._turn = 0

    @property
    def state(self) -> MarketState:
        return self._kept.state

    @property
    def head(self) -> BlockRef:
        return self._kept.head

    @property
    def drifted(self) -> Mapping[Address, str]:
        """Pools that are not to be traded on now, and why."""
        return self._kept.drifted

    @property
    def backwards(self) -> int:
        """How many looks brought a head that the market was beyond already."""
        return self._feed.counters.backwards

    @property
    def _kept(self) -> Tracker:
        if self._tracker is None:
            raise RuntimeError("the market was not read yet: begin first")
        return self._tracker

    def take_changed(self) -> frozenset[Address] | None:
        """The pools that changed since this was asked last; None where any may have."""
        changed, self._changed = self._changed, set()
        return None if changed is None else frozenset(changed)

    async def begin(self) -> Moved:
        """Read every pool at the newest head, and follow from there. Raises as the node does: call it again."""
        at = self._monotonic()
        block = await self._node.block()
        faults = await self._read_all(block)
        self._feed.start(block)
        return Moved(block, at, faults=faults)

    async def _read_all(self, block: BlockRef) -> tuple[str, ...]:
        found = await read_pools(self._node, self._pools, block, self._multicall, progress=self._progress)
        unread = {address: self._pools[address] for address in found.failed}
        pools = {address: found.pools.get(address) or unread[address] for address in self._pools}
        self._tracker = Tracker(MarketState(block, self._tokens, pools))
        self._pools = pools
        self._changed = None
        self._reread = set()
        self._silent = set(unread)
        self._since_check = 0
        self._unread = ""
        return tuple(_named("cannot be read", found.failed))

    async def step(self, timeout_s: float) -> Moved | None:
        """To the newest head, as soon as there is one; None where there is none within `timeout_s`.

        Raises as the node does. What was taken stands then; call it again.
        """
        return await self._follow(lambda: self._feed.next(timeout_s))

    async def newest(self) -> Moved | None:
        """As `step`, to the head the node has at this moment: it is asked, due or not. None where that is ours."""
        return await self._follow(self._feed.look)

    async def _follow(self, look: Callable[[], Awaitable[Step | Reset | None]]) -> Moved | None:
        if self._unread:
            reason, moved = self._unread, await self.begin()
            return Moved(moved.head, moved.at, reset=reason, faults=moved.faults)
        found = await look()
        if found is None:
            return None
        at = self._feed.looked_at
        if isinstance(found, Reset):
            return await self._reset(found.block, at, found.reason)
        kept = self._kept
        try:
            if found.removed:
                back = kept.rollback(found.ancestor.hash)
                self._note(back)
                # One that was read anew in a block that is gone stands at the edge of its window once more.
                pools = kept.state.pools
                self._reread |= {
                    address
                    for address in back - kept.drifted.keys()
                    if address in pools and FAMILIES[pools[address].kind].wants_reading(pools[address])
                }
            faults: list[str] = []
            for item in found.added:
                applied = kept.apply(item.block, item.logs)
                self._note(applied.changed)
                self._reread |= applied.reread
                faults += _named("drifted", applied.drifted)
        except NotConnected as error:
            return await self._reset(found.head, at, str(error))
        self._since_check += len(found.added)
        try:
            faults += await self._put_right()
        except (NodeUnreachable, MalformedAnswer, NodeError) as error:
            # What drifted stands unread until a later block; the others are right.
            faults.append(f"pools could not be read anew: {error}")
        return Moved(kept.head, at, found.removed, found.added, faults=tuple(faults))

    async def _reset(self, block: BlockRef, at: float, reason: str) -> Moved:
        # The feed is at `block` already: until all was read there, what is kept is of another chain.
        self._unread = reason
        faults = await self._read_all(block)
        return Moved(block, at, reset=reason, faults=faults)

    def _note(self, changed: AbstractSet[Address]) -> None:
        if self._changed is not None:
            self._changed |= changed

    async def _put_right(self) -> list[str]:
        """Read anew what drifted or left its window, and, when it is due, what is next in turn."""
        kept = self._kept
        wanted = (self._reread | kept.drifted.keys()) - self._silent
        checked: frozenset[Address] = frozenset()
        if self._since_check >= self._check_blocks:
            checked = self._in_turn()
            wanted |= self._silent
        if not wanted and not checked:
            return []
        pools = kept.state.pools
        asked = {address: pools[address] for address in wanted | checked if address in pools}
        read = await read_pools(self._node, asked, kept.head, self._multicall)
        if checked:
            self._since_check = 0
        fresh = {address: read.pools[address] for address in checked - wanted if address in read.pools}
        wrong = kept.compare(fresh)
        healed = {address: read.pools[address] for address in wanted if address in read.pools}
        self._note(kept.heal(healed | {address: fresh[address] for address in wrong}))
        self._reread -= healed.keys()
        self._silent = (self._silent | read.failed.keys()) - healed.keys()
        return _named("was not what the node says", wrong)

    def _in_turn(self) -> frozenset[Address]:
        addresses = tuple(self._kept.state.pools)
        if not addresses:
            return frozenset()
        count = min(self._check_pools, len(addresses))
        chosen = [addresses[(self._turn + n) % len(addresses)] for n in range(count)]
        self._turn = (self._turn + count) % len(addresses)
        return frozenset(chosen)


def _named(what: str, why: Mapping[Address, str]) -> list[str]:
    """One line a pool, of many the first few and how many more."""
    lines = [f"pool {address} {what}: {reason}" for address, reason in list(why.items())[:_NAMED]]
    if len(why) > _NAMED:
        lines.append(f"{len(why) - _NAMED} further pools {what}")
    return lines
