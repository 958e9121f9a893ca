"""Heads as steps from what the caller has to what the chain has: contiguous, with their logs, reorganisations undone.

What a node pushes is a doorbell and nothing more: it says "look now". What is believed is read, by hash, from the
node that is asked; so a notification that is doubled, late, out of order or lost changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from types import TracebackType
from typing import Self, TypeVar

from arbtui.abi import keccak
from arbtui.chain.codec import LogFilter, quantity
from arbtui.chain.node import Header, Node
from arbtui.chain.stream import StreamRpc
from arbtui.domain import BlockRef, Log
from arbtui.errors import ArbtuiError, MalformedAnswer, NodeError, UnknownBlock
from arbtui.text import safe_text

_log = logging.getLogger(__name__)
T = TypeVar("T")

DEPTH = 64
#: A longer way than this is not walked: state is read anew at the head.
MOST_BLOCKS = 2_000
#: A longer gap than this has its logs read by ranges of RANGE blocks, a shorter one block by block.
GAP_BY_HASH = 64
RANGE = 256
#: Requests at once.
AT_ONCE = 8
#: Parents that a reorganisation has read one after another before they are read by the dozen.
_ONE_BY_ONE = 2
_WINDOW = 16
#: A head that goes back is believed after so many slots; until then it is another node behind a balancer.
BACK_SLOTS = 2
#: A node that has a block, but not yet its logs, is asked for them once more after so long.
LOGS_AGAIN_S = 0.2
_FIRST_WAIT_S = 0.25
_LONGEST_WAIT_S = 15.0
#: A subscription that says nothing for so many slots (and so many seconds) is made anew.
_SILENT_SLOTS = 10
_SILENT_S = 30.0


@dataclass(frozen=True, slots=True)
class BlockLogs:
    block: BlockRef
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """From the last head to the newest: `removed` newest first, down to `ancestor`; `added` oldest first, up from it.

    `added` is empty where the chain has become shorter.
    """

    ancestor: BlockRef
    removed: tuple[BlockRef, ...]
    added: tuple[BlockLogs, ...]

    @property
    def head(self) -> BlockRef:
        return self.added[-1].block if self.added else self.ancestor


@dataclass(frozen=True, slots=True)
class Reset:
    """There is no step: read the state anew at `block`. The feed goes on from there."""

    block: BlockRef
    reason: str


@dataclass(slots=True)
class FeedCounters:
    """What the feed has seen since it was made."""

    looks: int = 0
    rings: int = 0
    #: Rings that came while one was waiting to be answered: newest head wins.
    coalesced: int = 0
    steps: int = 0
    blocks: int = 0
    logs: int = 0
    reorgs: int = 0
    deepest: int = 0
    resets: int = 0
    #: Looks that brought an older head of the same chain.
    backwards: int = 0
    #: Times the pushing connection was lost, or could not be made.
    push_failures: int = 0


class HeadFeed:
    """Use as an async context manager; then `start` at the block whose state the caller has, and `next`.

    `push` rings for new heads; while it does, the node is asked for its head once a slot besides; while it is quiet
    or down, each `poll_s`. `wanted` may be replaced between two steps. Errors of the node come out of `next`
    (NodeError, UnavailableError) and change nothing: call it again.
    """

    def __init__(
        self,
        node: Node,
        wanted: LogFilter,
        *,
        poll_s: float,
        block_time_s: float,
        push: StreamRpc | None = None,
        chain_id: int | None = None,
        depth: int = DEPTH,
        monotonic: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.wanted = wanted
        self.counters = FeedCounters()
        #: How the pushing connection is, for people.
        self.push_state = "none" if push is None else "not connected yet"
        self._node = node
        self._push = push
        self._chain_id = chain_id
        self._poll = poll_s
        self._slot = block_time_s
        self._depth = depth
        self._monotonic = monotonic
        self._draw = draw
        self._chain: list[BlockRef] = []
        self._ring = asyncio.Event()
        self._rang_at = float("-inf")
        #: A ring whose block the node that is read may not have yet.
        self._owed_until = float("-inf")
        self._looked_at = float("-inf")
        self._back_since: float | None = None
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._push is not None:
            self._listening = asyncio.create_task(self._listen(self._push))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening

    @property
    def head(self) -> BlockRef | None:
        """The block the last step led to."""
        return self._chain[-1] if self._chain else None

    @property
    def looked_at(self) -> float:
        """When the newest look at the node began, by the feed's clock."""
        return self._looked_at

    def start(self, block: BlockRef) -> None:
        """Go on from `block`: nothing older is ever taken back, a reorganisation below it is a Reset."""
        self._chain = [block]
        self._back_since = None

    # ---- waiting

    async def next(self, timeout_s: float | None = None) -> Step | Reset | None:
        """The step to the newest head, as soon as there is one; None after `timeout_s` without."""
        end = None if timeout_s is None else self._monotonic() + timeout_s
        while True:
            now = self._monotonic()
            if self._ring.is_set() or now >= self._due():
                found = await self.look()
                if found is not None:
                    return found
                now = self._monotonic()
            if end is not None and now >= end:
                return None
            wait = self._due() - now if end is None else min(self._due(), end) - now
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ring.wait(), max(wait, 0.0))

    async def __aiter__(self) -> AsyncIterator[Step | Reset]:
        while True:
            found = await self.next()
            if found is not None:
                yield found

    def _due(self) -> float:
        """When to look without having been rung."""
        now = self._monotonic()
        calm = now - self._rang_at < 1.5 * self._slot and now > self._owed_until
        return self._looked_at + (max(self._poll, self._slot) if calm else self._poll)

    async def _listen(self, push: StreamRpc) -> None:
        wait = _FIRST_WAIT_S
        while True:
            try:
                seen = quantity(await push.call("eth_chainId"), f"{push.where}: eth_chainId")
                if self._chain_id not in (None, seen):
                    self.push_state = f"{push.where} is of another chain; correct chain.push_url"
                    _log.error(self.push_state)
                    return
                heads = await push.subscribe("newHeads")
                self.push_state = f"{push.where} rings"
                self._rung()
                while True:
                    async with asyncio.timeout(max(_SILENT_SLOTS * self._slot, _SILENT_S)):
                        await heads.next()
                    self._rang_at = self._monotonic()
                    self._rung()
                    wait = _FIRST_WAIT_S
            except TimeoutError:
                why = "said nothing for long"
            except ArbtuiError as error:
                why = safe_text(error, 160)
            self.counters.push_failures += 1
            self.push_state = f"{push.where} is down: {why}"
            _log.warning("%s; polling goes on", self.push_state)
            await push.close()
            await asyncio.sleep(wait * (0.5 + self._draw() / 2))
            wait = min(2 * wait, _LONGEST_WAIT_S)

    def _rung(self) -> None:
        self.counters.rings += 1
        if self._ring.is_set():
            self.counters.coalesced += 1
        self._owed_until = self._monotonic() + self._slot
        self._ring.set()

    # ---- looking

    async def look(self) -> Step | Reset | None:
        """Ask for the head now, whether or not it is time; None where it is what the caller has."""
        self._ring.clear()
        self._looked_at = self._monotonic()
        self.counters.looks += 1
        head = await self._node.header()
        if not self._chain:
            return self._reset(head.block, "the feed begins")
        kept = {block.hash for block in self._chain}
        if head.block.hash == self._chain[-1].hash:
            self._back_since = None
            return None
        if head.block.hash in kept or head.block.number < self._chain[0].number:
            return await self._older(head.block)
        self._back_since = None
        if head.block.number - self._chain[-1].number > MOST_BLOCKS:
            return self._reset(head.block, f"{head.block.number - self._chain[-1].number} blocks were missed")
        step = await self._node.one(lambda node: self._way(node, head), None)
        if step is None:
            return self._reset(
                head.block,
                f"no common ancestor among the last {len(self._chain)} blocks: a deep reorganisation",
            )
        self._commit(step)
        return step

    async def _older(self, head: BlockRef) -> Step | Reset | None:
        """A head that the chain already went beyond: believed once it stays and the newest one is really gone."""
        self.counters.backwards += 1
        now = self._monotonic()
        if self._back_since is None:
            self._back_since = now
        if now - self._back_since < BACK_SLOTS * self._slot:
            return None
        self._back_since = None
        with suppress(UnknownBlock):
            if (await self._node.block(self._chain[-1].number)).hash == self._chain[-1].hash:
                return None
        place = next((i for i, block in enumerate(self._chain) if block.hash == head.hash), None)
        if place is None:
            return self._reset(head, "the chain is shorter than what is kept of it")
        step = Step(head, tuple(reversed(self._chain[place + 1 :])), ())
        self._commit(step)
        return step

    def _reset(self, block: BlockRef, reason: str) -> Reset:
        self.start(block)
        self.counters.resets += 1
        self._owed_until = float("-inf")
        return Reset(block, reason)

    def _commit(self, step: Step) -> None:
        kept = self._chain[: len(self._chain) - len(step.removed)]
        self._chain = [*kept, *(item.block for item in step.added)][-(self._depth + 1) :]
        self._owed_until = float("-inf")
        self.counters.steps += 1
        self.counters.blocks += len(step.added)
        self.counters.logs += sum(len(item.logs) for item in step.added)
        if step.removed:
            self.counters.reorgs += 1
            self.counters.deepest = max(self.counters.deepest, len(step.removed))

    # ---- the way from what is kept to the head; all of it with one node

    async def _way(self, node: Node, head: Header) -> Step | None:
        """None where the common ancestor is older than what is kept."""
        places = {block.hash: place for place, block in enumerate(self._chain)}
        oldest, newest = self._chain[0].number, self._chain[-1].number
        path = [head]
        seen: dict[int, Header] = {}
        singles = 0
        while path[-1].block.parent_hash not in places:
            child = path[-1].block
            number = child.number - 1
            if number <= oldest:
                return None
            if number not in seen and (number > newest or singles >= _ONE_BY_ONE):
                first = newest + 1 if number > newest else max(oldest + 1, number - _WINDOW + 1)
                seen |= await _headers(node, range(max(first, number - RANGE), number + 1))
            parent = seen.get(number)
            if parent is None or parent.block.hash != child.parent_hash:
                singles += 1
                parent = await node.header(child.parent_hash)
            _check_link(parent.block, child)
            path.append(parent)
        ancestor = self._chain[places[path[-1].block.parent_hash]]
        _check_link(ancestor, path[-1].block)
        removed = tuple(reversed(self._chain[places[ancestor.hash] + 1 :]))
        path.reverse()
        return Step(ancestor, removed, tuple(await self._logs_of(node, path)))

    async def _logs_of(self, node: Node, path: Sequence[Header]) -> list[BlockLogs]:
        if len(path) <= GAP_BY_HASH:
            return await self._by_hash(node, path)
        parts = [path[start : start + RANGE] for start in range(0, len(path), RANGE)]
        return [item for part in parts for item in await self._range(node, part)]

    async def _by_hash(self, node: Node, path: Sequence[Header], told: bool = False) -> list[BlockLogs]:
        """Each block's logs, by its hash. `told`: the node said once already that it has none.

        None, of a block whose bloom may hold some, is what a node says whose log index lags behind its head: it is
        asked once more, and then another one. A bloom may be wrong about it, so what they say then is believed.
        """
        wanted = self.wanted

        async def logs(header: Header) -> BlockLogs:
            block = header.block
            found, any_told = await node.logs_told(block, wanted)
            doubted = not any_told and _may_hold(header.bloom, wanted.topics)
            if doubted and not told:
                await asyncio.sleep(min(LOGS_AGAIN_S, self._slot / 8))
                found, any_told = await node.logs_told(block, wanted)
            if doubted and not any_told:
                found = await self._node.elsewhere(node, lambda other: other.logs_at(block, wanted)) or found
            return BlockLogs(block, found)

        return await _at_once([partial(logs, header) for header in path])

    async def _range(self, node: Node, path: Sequence[Header]) -> list[BlockLogs]:
        """Logs of a run of blocks by their numbers, held against their hashes.

        A log names its block, so a wrong one is noticed; a block without one is believed where both ends are still
        what they were, and its bloom holds none of the topics; else it is asked for by its hash.
        """
        wanted = self.wanted
        if len(path) <= _WINDOW:
            return await self._by_hash(node, path)
        try:
            found = await node.logs_between({h.block.number: h.block.hash for h in path}, wanted)
        except (NodeError, MalformedAnswer) as error:
            # Too many logs for one answer, as a rule; smaller questions tell.
            _log.info("logs of %d blocks in two parts: %s", len(path), error)
            half = len(path) // 2
            return [*await self._range(node, path[:half]), *await self._range(node, path[half:])]
        for end in (path[0], path[-1]):
            if (await node.block(end.block.number)).hash != end.block.hash:
                raise UnknownBlock(f"{node.where}: the chain moved while the logs of a gap were read")
        by_block: dict[str, list[Log]] = {h.block.hash: [] for h in path}
        for log in found:
            by_block[log.block_hash].append(log)
        doubted = [h for h in path if not by_block[h.block.hash] and _may_hold(h.bloom, wanted.topics)]
        for item in await self._by_hash(node, doubted, told=True):
            by_block[item.block.hash] = list(item.logs)
        return [BlockLogs(h.block, tuple(by_block[h.block.hash])) for h in path]


def _check_link(parent: BlockRef, child: BlockRef) -> None:
    if parent.number + 1 != child.number or child.parent_hash != parent.hash:
        raise MalformedAnswer(f"block {child.number} ({child.hash}) is no child of block {parent.number}")
    if child.timestamp < parent.timestamp:
        raise MalformedAnswer(f"block {child.number} ({child.hash}) is older than its parent")


async def _at_once(jobs: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """The jobs' results in their order, AT_ONCE of them on their way; the first error ends all."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def run(job: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await job()

    running = [asyncio.ensure_future(run(job)) for job in jobs]
    try:
        return list(await asyncio.gather(*running))
    finally:
        for task in running:
            task.cancel()


async def _headers(node: Node, numbers: Sequence[int]) -> dict[int, Header]:
    """Headers by number, as far as the node has them."""

    async def read(number: int) -> Header | None:
        try:
            return await node.header(number)
        except UnknownBlock:
            return None

    found = await _at_once([partial(read, number) for number in numbers])
    return {header.block.number: header for header in found if header is not None}


@lru_cache(maxsize=64)
def bloom_mask(topic: str) -> int:
    """The three bits that a topic sets in a logs bloom (yellow paper, section 4.3.1)."""
    digest = keccak(bytes.fromhex(topic[2:]))
    mask = 0
    for at in (0, 2, 4):
        mask |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return mask


def _may_hold(bloom: bytes, topics: Collection[str] | None) -> bool:
    bits = int.from_bytes(bloom, "big")
    return bits != 0 if topics is None else any(bits & mask == mask for mask in map(bloom_mask, topics))
