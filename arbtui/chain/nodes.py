"""Several nodes behind Node's reading interface: fail-over, rest, stale heads, wrong chains, agreement.

A read goes to the first node, in the order of the configuration, that is well; to the next one where that one does
not answer, refuses, or answers what is not believed. What a node is, is a value: `Nodes.health()`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from arbtui.chain.codec import LogFilter
from arbtui.chain.node import Agreed, Header, Node
from arbtui.chain.policy import ChainPolicy, is_socket_path
from arbtui.chain.rpc import JsonRpc
from arbtui.chain.stream import IpcRpc, StreamRpc, WsRpc
from arbtui.domain import BlockRef, Log, Receipt, Simulated
from arbtui.errors import (
    ArbtuiError,
    MalformedAnswer,
    NodeError,
    NodesDisagree,
    NodeUnreachable,
    RateLimited,
    TooFewAgree,
    UnknownBlock,
    WrongChain,
)
from arbtui.gas import FeeSample
from arbtui.text import safe_text
from arbtui.units import Address, Wei

_log = logging.getLogger(__name__)
T = TypeVar("T")

#: A node that has said nothing for so long gets company: the next one that is as good is asked too, and the first
#: answer counts.
HEDGE_S = 1.5
#: Behind the best by more blocks than this a node is stale; one block behind and unmoved for so many slots, too.
MOST_LAG = 2
#: Where slots are shorter than what a request takes, this much in seconds is no lag.
LEAST_LAG_S = 1.0
#: A head that has not moved for so many slots is stale, even where no other node is ahead.
STILL_SLOTS = 5
#: Rest after the first failure in seconds; doubled at each further one, drawn between half and all of it.
FIRST_REST_S = 0.25
LONGEST_REST_S = 30.0
#: Rest of a node that asks for one and does not say how long.
LIMITED_REST_S = 1.0
#: A node that did not take a transaction is the last of its equals for the next ones, for so many slots and no less
#: than so many seconds: longer than recovery waits before it sends again.
ASIDE_SLOTS = 5
LEAST_ASIDE_S = 60.0
#: So many have to say the same of what decides money, where nothing else is configured and there are so many: what
#: one node alone says may be a lie, what two say takes two that lie alike.
AGREE_LEAST = 2
#: How long a second node is given to learn of a block before its agreement is done without.
AGREE_WAIT_S = 0.6
_AGREE_POLL_S = 0.15
_RATE = re.compile(
    r"rate.?limit|too many requests|request limit|quota|compute units per second", re.IGNORECASE
)
_LACKS = re.compile(
    r"(header|block|resource) not found|unknown block|missing trie node|BlockOutOfRange|state .*not available",
    re.IGNORECASE,
)
#: "Method not found" and "internal error" may be this node's alone.
_MAYBE_OTHERS = frozenset({-32601, -32603})


class NodeState(StrEnum):
    #: Not asked yet.
    NEW = "new"
    OK = "ok"
    #: Its head is behind, stands still, or is one that nobody else has: used only where nothing better is there.
    STALE = "stale"
    #: Not reached, or not believed, and at rest for a while.
    DOWN = "down"
    #: At rest because it asked for it; never asked before its time.
    LIMITED = "limited"
    #: Of another chain: not used again in this run.
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """One node as it is now. `refusals` is kind -> answers that were not believed; `lag` in blocks."""

    name: str
    state: NodeState
    detail: str
    head: int | None
    lag: int | None
    latency_ms: float | None
    calls: int
    failures: int
    refusals: Mapping[str, int]
    disagreements: int
    #: Times it did not know a block that another node reads: behind, or on another fork.
    unknown_blocks: int

    def __str__(self) -> str:
        parts = [str(self.state) + (f" ({self.detail})" if self.detail else "")]
        if self.head is not None:
            parts.append(f"block {self.head}" + (f", {self.lag} behind" if self.lag else ""))
        if self.latency_ms is not None:
            parts.append(f"p50 {self.latency_ms:.1f} ms")
        refused = sum(self.refusals.values())
        parts.append(f"{self.calls} calls, {self.failures} failed, {refused} refused")
        if self.disagreements or self.unknown_blocks:
            parts.append(f"{self.disagreements} disagreements, {self.unknown_blocks} blocks unknown to it")
        return "; ".join(parts)


@dataclass(slots=True)
class _Member:
    node: Node
    key: str
    state: NodeState = NodeState.NEW
    detail: str = ""
    head: BlockRef | None = None
    moved_at: float = 0.0
    rest_until: float = 0.0
    #: Until then transactions go to its equals first.
    aside_until: float = 0.0
    in_a_row: int = 0
    disagreements: int = 0
    unknown_blocks: int = 0
    admitting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def resting(self) -> bool:
        return self.state in (NodeState.DOWN, NodeState.LIMITED)


@dataclass(frozen=True, slots=True)
class _No:
    """A revert, as an answer that two nodes may agree on."""

    data: str
    error: NodeError = field(compare=False)


class Nodes(Node):
    """Use as an async context manager; a task of its own looks at every node's head while it is open.

    `nodes` come connected (their transports entered by the caller or by `open_nodes`), in the order of preference;
    `push` is a connection that may ring for new heads (see HeadFeed), and is not read from. `agree_least` nodes have
    to say the same of what decides money; None: AGREE_LEAST, or the only one.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        chain_id: int,
        *,
        block_time_s: float,
        push: StreamRpc | None = None,
        agree_least: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        if not nodes:
            raise ValueError("no node")
        super().__init__(nodes[0].rpc, name=nodes[0].name)
        keys = ("chain.rpc_url", *("chain.fallback_urls" for _ in nodes[1:]))
        self._members = [_Member(node, key) for node, key in zip(nodes, keys, strict=True)]
        self._chain_id = chain_id
        self._slot = block_time_s
        self._agree_least = agree_least or min(AGREE_LEAST, len(nodes))
        self.push = push
        self._monotonic = monotonic
        self._draw = draw
        self._genesis = ""
        self._watching: asyncio.Task[None] | None = None
        #: Name of the node the last transaction was handed to.
        self.sent_to = ""

    def __len__(self) -> int:
        return len(self._members)

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching

    # ---- what is known

    def health(self) -> tuple[NodeHealth, ...]:
        """Every node, in the order of the configuration."""
        best = self._best()
        out = []
        for member in self._members:
            meter = member.node.rpc.meter
            head = None if member.head is None else member.head.number
            kinds: dict[str, int] = {}
            for (_, kind), count in meter.refusals.items():
                kinds[kind] = kinds.get(kind, 0) + count
            out.append(
                NodeHealth(
                    name=member.node.name,
                    state=member.state,
                    detail=member.detail,
                    head=head,
                    lag=None if head is None or best is None else max(0, best - head),
                    latency_ms=meter.latency_ms,
                    calls=meter.calls,
                    failures=meter.failures,
                    refusals=kinds,
                    disagreements=member.disagreements,
                    unknown_blocks=member.unknown_blocks,
                )
            )
        return tuple(out)

    def release(self, name: str) -> None:
        """Take a quarantined node back; its chain is asked again before it is used."""
        for member in self._members:
            if member.node.name == name and member.state is NodeState.QUARANTINED:
                member.state, member.detail, member.rest_until = NodeState.NEW, "", 0.0

    def _best(self) -> int | None:
        """The newest block there is, as far as nodes can be believed."""
        most, moved_since = self._most_lag, self._monotonic() - max(STILL_SLOTS * self._slot, LEAST_LAG_S)
        heads = sorted(
            (
                (member.head.number, member.moved_at >= moved_since)
                for member in self._members
                if member.head is not None and member.state in (NodeState.OK, NodeState.STALE)
            ),
            reverse=True,
        )
        if len(heads) > 2:
            (first, moves), (second, follows), (third, too) = heads[:3]
            if first - second > most and second - third <= most and (follows or too or not moves):
                # Two others stand together, and know nothing of what this one claims. Where there are but two nodes,
                # or the others stand still while it does not, those behind are the likelier trouble.
                return second
        return heads[0][0] if heads else None

    @property
    def _most_lag(self) -> int:
        return max(MOST_LAG, math.ceil(LEAST_LAG_S / self._slot))

    # ---- choosing and asking

    def _ranked(self) -> list[tuple[tuple[int, int], _Member]]:
        """Who may be asked, best first: well, stale, then those that are down. Of the same rank is who is as good."""
        now = self._monotonic()
        best = self._best() or 0
        tiers = {NodeState.OK: 0, NodeState.NEW: 0, NodeState.STALE: 1}
        found: list[tuple[tuple[int, int], float, int, _Member]] = []
        for place, member in enumerate(self._members):
            if member.state is NodeState.QUARANTINED:
                continue
            # One whose rest is over has to show itself before it goes ahead of one that is well; other rests would
            # be cut short, but never one that was asked for.
            rest = max(0.0, member.rest_until - now) if member.resting else 0.0
            if rest and member.state is NodeState.LIMITED:
                continue
            # Of stale ones, the least behind; what nobody else has is no merit.
            behind = -min(member.head.number, best) if member.state is NodeState.STALE and member.head else 0
            found.append(((tiers.get(member.state, 2), behind), rest, place, member))
        return [(rank, member) for rank, _, _, member in sorted(found, key=lambda item: item[:3])]

    def _candidates(self) -> list[_Member]:
        return [member for _, member in self._ranked()]

    def _stands_out(self, member: _Member) -> bool:
        """Whether all others are worse."""
        if member.resting:
            return False
        (best, first), *others = self._ranked()
        return first is member and all(rank != best for rank, _ in others)

    async def one(self, read: Callable[[Node], Awaitable[T]], patience_s: float | None = HEDGE_S) -> T:
        """`read` with one node for all of it; with the next one where that one fails. The first node's error counts.

        A node that takes longer than `patience_s` gets company by one of its rank; None for work of many requests.
        """
        waiting = self._ranked()
        if not waiting:
            raise self._nobody()
        if len(self._members) == 1:
            return await self._ask(waiting[0][1], read)
        running: dict[asyncio.Task[T], _Member] = {}
        rank = (0, 0)
        first: ArbtuiError | None = None
        try:
            while waiting or running:
                if waiting and (not running or waiting[0][0] == rank):
                    rank, member = waiting.pop(0)
                    running[asyncio.create_task(self._ask(member, read))] = member
                # What a worse node says is no company for a silent one: it may be of long ago.
                company = bool(waiting) and waiting[0][0] == rank
                done, _ = await asyncio.wait(
                    running, timeout=patience_s if company else None, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    for member in running.values():
                        self._failed(member, f"no answer within {patience_s:g} s")
                for task in done:
                    member = running.pop(task)
                    try:
                        return task.result()
                    except (NodeUnreachable, MalformedAnswer, WrongChain) as error:
                        first = _rather(first, error)
                    except NodeError as error:
                        if not _another_may_know(error):
                            raise
                        first = _rather(first, error)
        finally:
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)
            for task in running:
                if not task.cancelled():
                    task.exception()
        raise self._nobody(first)

    def _nobody(self, first: ArbtuiError | None = None) -> ArbtuiError:
        """Why nobody answered: `first`, but no wrong chain while a node is left that may come back."""
        lasting = all(member.state is NodeState.QUARANTINED for member in self._members)
        if first is not None and (lasting or not isinstance(first, WrongChain)):
            return first
        now = self._monotonic()
        limited = [member for member in self._members if member.state is NodeState.LIMITED]
        if limited:
            rest = max(0.0, min(member.rest_until for member in limited) - now)
            why = f"{self.where}: asked for rest; it is not asked for another {rest:.1f} s"
            return RateLimited(why, rest, sent=False)
        details = "; ".join(f"{member.node.name}: {member.detail}" for member in self._members)
        return WrongChain(f"no node is left: {details}") if lasting else NodeUnreachable(details)

    async def _ask(self, member: _Member, read: Callable[[Node], Awaitable[T]]) -> T:
        """`read` with this node, and what it tells of the node."""
        try:
            if member.state is NodeState.NEW or member.resting:
                await self._admit(member)
            answer = await read(member.node)
        except RateLimited as error:
            self._limited(member, error.retry_after)
            raise
        except NodeError as error:
            if _RATE.search(error.message):
                self._limited(member, None)
            if _LACKS.search(error.message):
                member.unknown_blocks += 1
            raise
        except UnknownBlock:
            member.unknown_blocks += 1
            raise
        except NodeUnreachable as error:
            self._failed(member, str(error), gone=True)
            raise
        except MalformedAnswer as error:
            self._failed(member, str(error))
            raise
        if member.in_a_row and member.state is NodeState.OK:
            member.detail = ""
        member.in_a_row = 0
        return answer

    async def _admit(self, member: _Member) -> None:
        """Chain and genesis, on each (re)connection, before anything else of the node is believed."""
        async with member.admitting:
            if member.state is not NodeState.NEW and not member.resting:
                return
            seen = await member.node.chain_id()
            if seen != self._chain_id:
                raise self._quarantine(
                    member,
                    f"{member.node.where} is chain {seen}, but chain.chain_id says {self._chain_id}; "
                    f"correct {member.key} or chain.chain_id",
                )
            if len(self._members) > 1:
                genesis = (await member.node.block(0)).hash
                self._genesis = self._genesis or genesis
                if genesis != self._genesis:
                    raise self._quarantine(
                        member,
                        f"{member.node.where} has genesis {genesis}, but another node has {self._genesis}; "
                        f"correct {member.key}",
                    )
            member.state, member.detail, member.rest_until = NodeState.OK, "", 0.0
            member.moved_at = self._monotonic()

    def _quarantine(self, member: _Member, why: str) -> WrongChain:
        member.state, member.detail = NodeState.QUARANTINED, why
        _log.error("%s is not used any more: %s", member.node.name, why)
        return WrongChain(why)

    def _failed(self, member: _Member, why: str, *, gone: bool = False, slow: bool = False) -> None:
        """Rest after a failure.

        A node that was merely wrong or slow keeps its place where it is the only one; if slow, also where all others
        are worse.
        """
        if member.state is NodeState.QUARANTINED:
            return
        member.in_a_row += 1
        if not gone and (len(self._members) == 1 or (slow and self._stands_out(member))):
            member.detail = safe_text(why, 200)
            return
        rest = min(FIRST_REST_S * 2 ** min(member.in_a_row - 1, 20), LONGEST_REST_S)
        self._rest(member, NodeState.DOWN, rest * (0.5 + self._draw() / 2), why)

    def _limited(self, member: _Member, retry_after: float | None) -> None:
        member.in_a_row += 1
        if retry_after is None:
            retry_after = min(LIMITED_REST_S * 2 ** min(member.in_a_row - 1, 20), LONGEST_REST_S)
        # A little longer than asked, each time another little: not all that were sent away come back at once.
        rest = retry_after * (1 + self._draw() / 4)
        self._rest(member, NodeState.LIMITED, rest, f"asked for rest, for {rest:.1f} s")

    def _rest(self, member: _Member, state: NodeState, seconds: float, why: str) -> None:
        if member.state is not state:
            _log.warning("%s is %s: %s", member.node.name, state, why)
        member.state, member.detail = state, safe_text(why, 200)
        member.rest_until = self._monotonic() + seconds

    # ---- looking after them

    async def _watch(self) -> None:
        pace = min(max(self._slot / 2, 0.25), 6.0)
        while True:
            # First the pause: a command that is over in a moment asks for nothing but what it needs.
            await asyncio.sleep(pace)
            await self.look()

    async def look(self) -> None:
        """Ask every node that is not at rest for its chain and its head, and judge."""
        now = self._monotonic()
        asked = [
            member
            for member in self._members
            if member.state is not NodeState.QUARANTINED and not (member.resting and member.rest_until > now)
        ]
        await asyncio.gather(*(self._look_at(member) for member in asked))
        self._judge()

    async def _look_at(self, member: _Member) -> None:
        async def read(node: Node) -> BlockRef:
            seen, head = await asyncio.gather(node.chain_id(), node.block(), return_exceptions=True)
            for part in (seen, head):
                if isinstance(part, BaseException):
                    raise part
            if seen != self._chain_id:
                raise self._quarantine(member, f"{node.where} became chain {seen}; correct {member.key}")
            assert isinstance(head, BlockRef)  # noqa: S101 - narrows for the type checker
            return head

        try:
            async with asyncio.timeout(HEDGE_S):
                self._saw(member, await self._ask(member, read))
        except TimeoutError:
            self._failed(member, f"no answer within {HEDGE_S:g} s", slow=True)
        except ArbtuiError as error:
            _log.debug("%s: %s", member.node.name, error)

    def _saw(self, member: _Member, head: BlockRef) -> None:
        if member.head is None or head.hash != member.head.hash:
            member.moved_at = self._monotonic()
        member.head = head

    def _judge(self) -> None:
        """Who is stale, and who no longer is."""
        best = self._best()
        now = self._monotonic()
        most = self._most_lag
        for member in self._members:
            if member.state not in (NodeState.OK, NodeState.STALE) or member.head is None or best is None:
                continue
            lag, still = best - member.head.number, now - member.moved_at
            why = ""
            if lag > most or (lag > 0 and still > most * self._slot):
                why = f"{lag} blocks behind"
            elif -lag > most:
                why = f"its head is {-lag} blocks ahead of all others"
            elif still > STILL_SLOTS * self._slot:
                why = f"its head has not moved for {still:.0f} s"
            if why and member.state is NodeState.OK:
                _log.warning("%s is stale: %s", member.node.name, why)
            member.state = NodeState.STALE if why else NodeState.OK
            member.detail = why

    async def elsewhere(self, node: Node, read: Callable[[Node], Awaitable[T]]) -> T | None:
        """`read` with the best other node; None where there is none that is up, or where it has no answer."""
        others = [m for m in self._candidates() if m.node is not node and not m.resting]
        if not others:
            return None
        try:
            async with asyncio.timeout(HEDGE_S):
                return await self._ask(others[0], read)
        except TimeoutError:
            self._failed(others[0], f"no answer within {HEDGE_S:g} s", slow=True)
        except ArbtuiError as error:
            _log.debug("%s: %s", others[0].node.name, error)
        return None

    # ---- agreement

    @property
    def opinions(self) -> int:
        return len(self._members)

    async def agreed(
        self, read: Callable[[Node], Awaitable[T]], what: str, least: int | None = None
    ) -> Agreed[T]:
        """`read`, of a second node too, which must say the same.

        `read` must be pinned to a block hash, or the answers are of two moments. A node that does not know that
        block, or does not answer, says nothing. Raises TooFewAgree where fewer than `least` (None: as configured) say
        anything; nodes beyond the second are asked only as far as that takes. Where two differ, further ones decide
        if there are any; the odd one is counted. Raises NodesDisagree where not enough come to say the same. Stale
        ones are asked last, but asked: of two, one that claims to be far ahead makes the other stale.
        """
        least = least or self._agree_least
        wanted = max(2, least)
        answers: list[tuple[_Member, T | _No]] = []
        silent: dict[str, str] = {}
        first: ArbtuiError | None = None
        everyone = self._candidates()
        waiting = [member for member in everyone if member.state in (NodeState.OK, NodeState.NEW)]
        # What a worse node says is no answer of its own, but it may agree, or not.
        behind = [member for member in everyone if member.state is NodeState.STALE] if waiting else []
        waiting = waiting or everyone
        if not waiting:
            raise self._nobody()
        while len(answers) < wanted:
            if not waiting and answers:
                waiting, behind = behind, []
            if not waiting:
                break
            more = wanted - len(answers)
            now, waiting = waiting[:more], waiting[more:]
            for member, said in zip(
                now, await asyncio.gather(*(self._say(m, read) for m in now)), strict=True
            ):
                if isinstance(said, ArbtuiError):
                    first = _rather(first, said)
                    silent[member.node.name] = str(said)
                else:
                    answers.append((member, said))
        if not answers:
            raise self._nobody(first)
        if any(said != answers[0][1] for _, said in answers):
            return await self._decide(answers, waiting + behind, read, what, least)
        if len(answers) < least:
            raise self._too_few([member for member, _ in answers], silent, what, least)
        return self._together(answers, least)

    def _too_few(
        self, answered: Sequence[_Member], silent: Mapping[str, str], what: str, least: int
    ) -> TooFewAgree:
        others = "; ".join(
            f"{member.node.name}: {safe_text(silent.get(member.node.name) or member.detail or member.state, 120)}"
            for member in self._members
            if member not in answered
        )
        return TooFewAgree(
            f"{what}: only {' and '.join(member.node.name for member in answered)} of {len(self._members)} nodes "
            f"answered, {least} have to agree; nothing of it is used. Silent: {others}. Mend them, or accept fewer "
            "with chain.agree_least",
            agreed=len(answered),
            least=least,
        )

    def _together(self, answers: Sequence[tuple[_Member, T | _No]], least: int) -> Agreed[T]:
        value = answers[0][1]
        if isinstance(value, _No):
            raise value.error
        return Agreed(value, tuple(member.node.name for member, _ in answers), len(self._members), least)

    async def _say(self, member: _Member, read: Callable[[Node], Awaitable[T]]) -> T | _No | ArbtuiError:
        """`read` with patience for a node that has not heard of the block yet; a revert is an answer too."""
        # One that is known to be behind is not waited for.
        until = self._monotonic() + (0.0 if member.state is NodeState.STALE else AGREE_WAIT_S)
        while True:
            try:
                async with asyncio.timeout(HEDGE_S):
                    return await self._ask(member, read)
            except TimeoutError:
                why = f"{member.node.where}: no answer within {HEDGE_S:g} s"
                self._failed(member, why, slow=True)
                return NodeUnreachable(why)
            except NodeError as error:
                if "revert" in error.message:
                    return _No(str(error.data), error)
                if len(self._members) == 1 or not _LACKS.search(error.message) or self._monotonic() >= until:
                    return error
            except UnknownBlock as error:
                if len(self._members) == 1 or self._monotonic() >= until:
                    return error
            except ArbtuiError as error:
                return error
            await asyncio.sleep(_AGREE_POLL_S)

    async def _decide(
        self,
        answers: list[tuple[_Member, T | _No]],
        waiting: list[_Member],
        read: Callable[[Node], Awaitable[T]],
        what: str,
        least: int,
    ) -> Agreed[T]:
        for member in waiting:
            said = await self._say(member, read)
            if isinstance(said, ArbtuiError):
                continue
            answers.append((member, said))
            same = [(m, other) for m, other in answers if other == said]
            odd = [m for m, other in answers if other != said]
            if len(same) < max(2, least):
                continue
            for lone in odd:
                lone.disagreements += 1
                _log.error("%s: %s stands alone against %d nodes", what, lone.node.name, len(same))
            return self._together(same, least)
        for member, _ in answers:
            member.disagreements += 1
        names = " and ".join(member.node.name for member, _ in answers)
        raise NodesDisagree(
            f"{what}: {names} say different things of one block; nothing of it is used", least=least
        )

    # ---- the one send

    async def send_raw(self, raw: bytes) -> str:
        """Handed to one node, once: the first that is well. `sent_to` names it.

        Where that node does not answer, nothing is known of the bytes, and no other node is given them. Whatever is
        sent after that, the same bytes or others, goes to its equals first, for a while.
        """
        now = self._monotonic()
        ranked = sorted(self._ranked(), key=lambda item: (item[0][0], max(0.0, item[1].aside_until - now)))
        candidates = [member for _, member in ranked]
        if not candidates:
            raise self._nobody()
        refused: ArbtuiError | None = None
        for member in candidates:
            if member.state is NodeState.NEW or member.resting:
                try:
                    await self._ask(member, lambda node: node.chain_id())
                except ArbtuiError as error:
                    refused = refused or error
                    continue
            self.sent_to = member.node.name
            try:
                return await self._ask(member, lambda node: node.send_raw(raw))
            except ArbtuiError:
                member.aside_until = self._monotonic() + max(ASIDE_SLOTS * self._slot, LEAST_ASIDE_S)
                raise
        # Whatever was asked of them, it was not yet the transaction.
        raise NodeUnreachable(str(refused), sent=False) from refused

    # ---- Node's reads

    async def chain_id(self) -> int:
        return await self.one(lambda node: node.chain_id())

    async def header(self, number: int | str = "latest") -> Header:
        async def read(node: Node) -> Header:
            found = await node.header(number)
            if number == "latest":
                for member in self._members:
                    if member.node is node:
                        self._saw(member, found.block)
            return found

        return await self.one(read)

    async def call_at(self, target: Address, payload: bytes, block: BlockRef) -> bytes:
        return await self.one(lambda node: node.call_at(target, payload, block))

    async def code(self, address: Address) -> bytes:
        return await self.one(lambda node: node.code(address))

    async def balance(self, address: Address, block: int | str = "latest") -> Wei:
        return await self.one(lambda node: node.balance(address, block))

    async def nonce(self, address: Address, tag: str = "latest") -> int:
        return await self.one(lambda node: node.nonce(address, tag))

    async def receipt(self, tx_hash: str) -> Receipt | None:
        return await self.one(lambda node: node.receipt(tx_hash))

    async def knows(self, tx_hash: str) -> bool:
        return await self.one(lambda node: node.knows(tx_hash))

    async def client_version(self) -> str:
        return await self.one(lambda node: node.client_version())

    async def fee_history(self, blocks: int = 10) -> tuple[Wei, list[int], list[FeeSample]]:
        return await self.one(lambda node: node.fee_history(blocks))

    async def is_development_node(self) -> bool:
        """Whether every node is one, and of the same chain; the one that rings too."""
        nodes = [member.node for member in self._members]
        if self.push is not None:
            nodes.append(Node(self.push))
        for node in nodes:
            if not await node.is_development_node() or await node.chain_id() != self._chain_id:
                return False
        return True

    async def logs(self, block: BlockRef, addresses: list[Address]) -> tuple[Log, ...]:
        return await self.one(lambda node: node.logs(block, addresses))

    async def logs_at(self, block: BlockRef, wanted: LogFilter) -> tuple[Log, ...]:
        return await self.one(lambda node: node.logs_at(block, wanted))

    async def logs_between(self, blocks: Mapping[int, str], wanted: LogFilter) -> tuple[Log, ...]:
        return await self.one(lambda node: node.logs_between(blocks, wanted))

    async def logs_of(self, address: Address, topic: str, first: int, last: int) -> tuple[Log, ...]:
        return await self.one(lambda node: node.logs_of(address, topic, first, last), None)

    async def simulate(self, transaction: dict[str, Any], block: BlockRef, seconds: int) -> Simulated:
        return await self.one(lambda node: node.simulate(transaction, block, seconds))

    async def traced(self, tx_hash: str) -> Simulated:
        """Of the first that traces. Many do not, or are slow: that says nothing of a node, so none is judged by it."""
        refused: ArbtuiError | None = None
        for member in self._candidates():
            if member.state is NodeState.OK:
                try:
                    return await member.node.traced(tx_hash)
                except (NodeError, NodeUnreachable, MalformedAnswer) as error:
                    refused = refused or error
        raise refused or NodeUnreachable(f"{self.where}: no node to trace {tx_hash}")


@asynccontextmanager
async def open_nodes(policy: ChainPolicy) -> AsyncIterator[Nodes]:
    """The configured nodes, connected at their first use. The clock is held against blocks of public chains alone."""
    clock = time.time if policy.public else None
    async with AsyncExitStack() as stack:
        nodes = []
        for number, url in enumerate(policy.node_urls(), start=1):
            rpc = await stack.enter_async_context(JsonRpc(url, policy.timeout_s))
            host = safe_text(urlsplit(url).hostname or "", 60)
            nodes.append(Node(rpc, name=f"node {number} ({host})", clock=clock))
        push = None
        if policy.push_url is not None:
            push = await stack.enter_async_context(
                open_push(policy.push_url.get_secret_value(), policy.timeout_s)
            )
        yield await stack.enter_async_context(
            Nodes(
                nodes,
                policy.chain_id,
                block_time_s=policy.block_time_s,
                push=push,
                agree_least=policy.agree_least,
            )
        )


def open_push(address: str, timeout_s: float) -> StreamRpc:
    """A websocket or a unix socket by its address; not connected yet."""
    return IpcRpc(address, timeout_s) if is_socket_path(address) else WsRpc(address, timeout_s)


def _rather(first: ArbtuiError | None, error: ArbtuiError) -> ArbtuiError:
    """The first error, but for a wrong chain: any other may pass."""
    return error if first is None or isinstance(first, WrongChain) else first


def _another_may_know(error: NodeError) -> bool:
    text = error.message
    return error.code in _MAYBE_OTHERS or bool(_LACKS.search(text) or _RATE.search(text))
