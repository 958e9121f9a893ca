"""The engine: one block's work after another, beginning with what the last run left open."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_delay,
    wait_exponential_jitter,
)

from arbtui.approval import ApproveMode, new_ticket_id
from arbtui.chain import ChainPolicy, Node, NodeHealth, NodeState
from arbtui.domain import (
    Attempt,
    BlockRef,
    CheckResult,
    Closing,
    ConversionRate,
    Decision,
    DecisionKind,
    ExecutionStatus,
    LenderId,
    LoanQuote,
    Stage,
    Ticket,
    Token,
)
from arbtui.domain import Path as Cycle
from arbtui.engine.clock import SystemClock
from arbtui.engine.deciding import AGREEMENT, Decider, Dropped, Fees, read_fees
from arbtui.engine.direct import Submitted, priced
from arbtui.engine.moves import Moves, OpenPaths
from arbtui.engine.policy import SearchPolicy, TicketPolicy
from arbtui.engine.reconciling import Reconciler
from arbtui.engine.sending import Sending
from arbtui.engine.settling import SettlementTerms, Write
from arbtui.engine.watching import Moved, Watching
from arbtui.errors import MalformedAnswer, NodeError, NodeUnreachable, RefusedError, SnapshotError, StoreError
from arbtui.execution import Journal, OpenExecution
from arbtui.gas import DYNAMIC, GasPolicy
from arbtui.lenders import FlashLoanManager, why_lost
from arbtui.market import write_snapshot_file
from arbtui.market.state import MarketState
from arbtui.monitor import LenderRecord, StrategyRecord
from arbtui.search import Finder, SearchResult, size
from arbtui.store import Store
from arbtui.store.upkeep import Retention
from arbtui.text import safe_text
from arbtui.units import Address, Wei, format_amount
from arbtui.validation import Ranked, costs_of, rank

_log = logging.getLogger(__name__)
T = TypeVar("T")

#: How long a dead node is waited for before the run ends with its error, and what a stop waits for a flight.
NODE_PATIENCE_S = 30.0
DRAIN_S = 10.0
#: The longest a person's command waits for a chain on which nothing happens, seconds.
COMMANDS_S = 0.1
_MANY_POOLS = 2_000
_TOLD_AGAIN_S = 60.0
#: Endings a block whose transaction is looked up; of the others pool and hash are told.
_ATTRIBUTED = 16
#: Hashes of our newest transactions; a block that is looked at is one of the newest, too.
_OURS_KEPT = 4_096


@dataclass(slots=True)
class Tally:
    """What this run has seen so far; the store has it in full."""

    blocks: int = 0
    opportunities: int = 0
    tickets: int = 0
    dropped: int = 0
    confirmed: int = 0
    reverted: int = 0
    paper: int = 0
    stale: int = 0
    expired: int = 0
    rejected: int = 0
    unreconciled: int = 0
    by_lender: dict[LenderId, int] = field(default_factory=lambda: defaultdict(int))


class Engine:
    """Built by `bootstrap`; the only writer of the store while it runs."""

    def __init__(
        self,
        *,
        node: Node,
        chain: ChainPolicy,
        stage: Stage,
        approve: ApproveMode,
        search: SearchPolicy,
        tickets: TicketPolicy,
        gas: GasPolicy,
        tokens: Mapping[Address, Token],
        bases: tuple[Address, ...],
        wrapped_native: Token,
        wallet: Address,
        watching: Watching,
        finder: Finder,
        decider: Decider,
        sending: Sending,
        journal: Journal,
        store: Store,
        reconciler: Reconciler,
        clock: SystemClock,
        terms_of: Callable[[str], SettlementTerms | None],
        say: Callable[[str], None],
        health: Callable[[], Sequence[NodeHealth]] = tuple,
        lenders: LenderRecord | None = None,
        strategies: StrategyRecord | None = None,
        retention: Retention | None = None,
    ) -> None:
        self._node = node
        self._chain = chain
        self._stage = stage
        self._approve = approve
        self._search = search
        self._tickets = tickets
        self._gas = gas
        self._tokens = tokens
        self._silent: frozenset[Address] = frozenset()
        self._bases = bases
        self._wrapped_native = wrapped_native
        self._wallet = wallet
        self._watching = watching
        self._finder = finder
        self._decider = decider
        self._sending = sending
        self._journal = journal
        self._store = store
        self._reconciler = reconciler
        self._retention = retention
        self._clock = clock
        self._terms_of = terms_of
        self._say = say
        self._health = health
        self._node_states: dict[str, str] = {}
        self._moves = Moves()
        self._open_paths = OpenPaths(self._moves)
        self._waiting: list[Ticket] = []
        #: Waiting tickets that were approved, and by whom.
        self._approved: dict[str, tuple[DecisionKind, str]] = {}
        self._seen: set[str] = set()
        #: Blocks undone since the transactions were looked at last; None where that is not known.
        self._removed: set[str] | None = None
        #: Oldest first.
        self._our_hashes: dict[str, None] = {}
        #: Paths traded on paper that are still open: such a trade would have moved their pools.
        self._paper_open: dict[str, Cycle] = {}
        #: Rows of what is decided already, on their way to the store: a node that fails meanwhile loses none of them.
        self._rows: list[Write] = []
        self._sent: dict[str, Ticket] = {}
        #: Whether enough nodes agreed when they were last asked.
        self._agreeing = True
        #: Receipts of earlier runs, and of this one as they come.
        self._lenders = lenders or LenderRecord()
        self._strategies = strategies or StrategyRecord()
        self._tell_decider()
        self._recovered = False
        #: One block's work, a command, or a submission: never two at a time.
        self._turn = asyncio.Lock()
        self._sequence = 0
        #: The block worked on last; the market may be ahead of it by what an approval had to know.
        self._head: BlockRef | None = None
        self._arrived = 0.0
        self._backwards, self._told_backwards = 0, float("-inf")
        #: Of the newest blocks, milliseconds from the look that found it to the commit of what was decided.
        self.latencies_ms: deque[float] = deque(maxlen=10_000)
        self.tally = Tally()

    # ---- the loop

    async def run(
        self,
        seconds: float | None,
        stop: asyncio.Event,
        enough: Callable[[Tally], bool] = lambda _: False,
    ) -> None:
        """Work block after block until `stop`, `enough` or the time is over; then let what is in flight end.

        Raises UnavailableError where the node stays away for longer than NODE_PATIENCE_S.
        """
        try:
            async with self._turn:
                await self._begin()
            end = None if seconds is None else self._clock.monotonic() + seconds
            while not stop.is_set() and not enough(self.tally):
                block = await self._next_head(stop, end)
                if block is None:
                    break
                await self._on_block(block, deciding=True)
        finally:
            # However it ends, also where the node went first: no ticket stays without a word.
            ended = "the run ended before it was sent"
            expired = [write for ticket in self._waiting for write in self._expire(ticket, ended)]
            await self._flush([*self._take_rows(), *expired])
            self._waiting.clear()
        await self._drain()

    async def recover(self, seconds: float) -> bool:
        """The recovery part alone: settle, send again, cancel; no ticket is made. Whether nothing is open any more."""
        async with self._turn:
            await self._begin()
        end = self._clock.monotonic() + seconds
        while (block := await self._next_head(asyncio.Event(), end)) is not None:
            await self._on_block(block, deciding=False)
            if self._sending.flight is None:
                return True
        self._say("something is still open; the journal has it")
        return False

    async def _begin(self) -> None:
        if not self._recovered:
            await self._recover()
            self._recovered = True
            await self._flush(self._took(await self._patiently(self._watching.begin)))
            if len(self._watching.state.pools) >= _MANY_POOLS:
                # They stay for the whole run: Python's collector need not walk them again and again.
                gc.collect()
                gc.freeze()

    async def _recover(self) -> None:
        """Bring the store up to what the journal knows, settle what landed unseen, queue what is still open.

        Only a live run does: the others have a metrics file of their own, and must not send even old bytes.
        """
        if self._stage is not Stage.LIVE:
            await self._end_left_behind()
            if left := len(self._journal.open_executions()):
                self._say(f"{left} executions are open in the journal; a run with --stage live takes them up")
            return
        latest = self._journal.latest_executions()
        await self._flush([_adopt(known) for known in latest])
        for execution_id in self._store.unsettled():
            known = self._journal.execution(execution_id)
            if known is not None:
                self._say(f"settling execution {execution_id}, which landed unseen")
                await self._flush(await self._patiently(partial(self._settled_again, known)))
        self._know_ours(attempt for known in latest for attempt in known.attempts)
        for known in (*self._journal.unfinished(), *self._journal.open_executions()):
            if known.intent.execution_id in {
                item.intent.execution_id for item in self._journal.open_executions()
            }:
                self._say(f"taking up execution {known.intent.execution_id} from the journal")
            self._know_ours(known.attempts)
            await self._flush(self._sending.take_up(known, self._terms_of(known.intent.ticket_id)))
        if self._sending.stopped is not None:
            self._say(f"nothing is sent until somebody acknowledges: {self._sending.stopped}")
        await self._end_left_behind()

    async def _settled_again(self, known: OpenExecution) -> list[Write]:
        return await self._sending.settle_again(known, self._terms_of(known.intent.ticket_id))

    async def _end_left_behind(self) -> None:
        """Tickets that an earlier engine had open when it went away: none of them is ever sent."""
        left = self._store.left_behind()
        if not left:
            return
        block = await self._patiently_latest()
        writes: list[Write] = [lambda b: b.block(block, 0, 0, 0.0)]
        for ticket_id, seen, approved in left:
            kind = DecisionKind.EXPIRED_SEEN if seen or approved else DecisionKind.EXPIRED_UNSEEN
            reason = "the engine stopped before it was signed" if approved else "the engine stopped"
            self.tally.expired += 1
            writes.append(_decision(Decision(ticket_id, kind, reason, block)))
        await self._flush(writes)
        self._say(f"{len(left)} tickets of an earlier run have expired")

    async def _drain(self) -> None:
        """No new tickets; a transaction in flight is watched to its end, for DRAIN_S at most."""
        end = self._clock.monotonic() + DRAIN_S
        while self._sending.flight is not None:
            block = await self._next_head(asyncio.Event(), end)
            if block is None:
                self._say("a transaction is still in flight; the journal has it, the next start takes it up")
                return
            await self._on_block(block, deciding=False)

    async def _next_head(self, stop: asyncio.Event, end: float | None) -> BlockRef | None:
        """The market's head once it is not the one worked on last; None when stopped or out of time."""
        while not stop.is_set() and (end is None or self._clock.monotonic() < end):
            head = self._watching.head
            if self._head is None or head.hash != self._head.hash:
                return head
            if self._sending.restless:
                async with self._turn:
                    await self._flush(await self._watch(head))
            async with self._turn:
                await self._take_commands()
            self._prune()
            async with self._turn:
                moved = await self._patiently(lambda: self._watching.step(COMMANDS_S), stop)
                if moved is not None:
                    await self._flush(self._took(moved))
                elif self._watching.backwards > self._backwards:
                    await self._flush(self._head_went_back())
        return None

    def _prune(self) -> None:
        """A bit of the store, once a UTC day, where the next block is not near and nothing is on its way.

        The day is the chain's, where that is behind the wall clock's: one that was set ahead takes nothing.
        """
        if self._retention is None or self._head is None or self._sending.flight is not None:
            return
        wall = datetime.fromisoformat(self._clock.utc()).timestamp()
        today = datetime.fromtimestamp(min(wall, self._head.timestamp), UTC).date()
        waited = self._clock.monotonic() - self._arrived
        if waited > self._chain.block_time_s / 2 or not self._retention.due(today):
            return
        try:
            told = self._retention.step(today)
        except StoreError as error:
            told = f"nothing more is pruned today: {error}"
        if told is not None:
            self._say(told)

    def _head_went_back(self) -> list[Write]:
        """A word on a node whose head is older than what it told before; once a minute at most."""
        self._backwards, now = self._watching.backwards, self._clock.monotonic()
        if now - self._told_backwards < _TOLD_AGAIN_S:
            return []
        self._told_backwards = now
        head = self._watching.head.number
        detail = f"a node's head went back behind {head}; nothing is decided on it unless it stays"
        self._say(detail)
        return [_incident("node", detail)]

    def _took(self, moved: Moved) -> list[Write]:
        """What a step of the market means beside the market; the rows that tell of it."""
        self._arrived = moved.at
        writes: list[Write] = []
        if moved.reset:
            self._removed = None
        elif self._removed is not None:
            self._removed.update(block.hash for block in moved.removed)
        if moved.removed:
            self._moves.undo(moved.removed[-1].number)
            detail = (
                f"{len(moved.removed)} blocks from {moved.removed[-1].number} on were undone; "
                f"the head is {moved.head.number}"
            )
            writes.append(_incident("reorg", detail))
        if moved.reset:
            self._moves.undo(0)
            writes.append(
                _incident("market", f"all pools were read anew at {moved.head.number}: {moved.reset}")
            )
        for item in moved.added:
            self._moves.take(item.block, item.logs, self._our_hashes)
        for fault in moved.faults:
            self._say(fault)
            writes.append(_incident("market", fault))
        return writes

    async def _newest(self) -> MarketState:
        """The market at the newest head, also where the loop has not come to it yet: it follows with all its work."""
        await self._begin()
        moved = await self._watching.newest()
        if moved is not None:
            await self._flush(self._took(moved))
        return self._watching.state

    async def _patiently_latest(self) -> BlockRef:
        return await self._patiently(self._node.block)

    async def _patiently(self, ask: Callable[[], Awaitable[T]], stop: asyncio.Event | None = None) -> T:
        """`ask` until it answers, for NODE_PATIENCE_S; no longer than one try once `stop` is set."""
        patience = stop_after_delay(NODE_PATIENCE_S)

        def given_up(state: RetryCallState) -> bool:
            return bool((stop is not None and stop.is_set()) or patience(state))

        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((NodeUnreachable, MalformedAnswer, NodeError)),
            stop=given_up,
            wait=wait_exponential_jitter(multiplier=0.1, max=3, jitter=0.1),
            before_sleep=lambda state: self._say_once(state.attempt_number),
            reraise=True,
        ):
            with attempt:
                return await ask()
        raise AssertionError("unreachable: the retry either returns or raises")

    def _say_once(self, attempt: int) -> None:
        if attempt == 1:
            detail = f"{self._node.where} does not answer; trying again for {NODE_PATIENCE_S:g} s"
            self._say(detail)
            self._commit([_incident("node", detail)])

    async def _on_block(self, block: BlockRef, *, deciding: bool) -> None:
        try:
            async with self._turn:
                # What had the turn before may have taken the market further.
                block = self._watching.head
                await self._work(block, deciding=deciding)
        except (NodeUnreachable, MalformedAnswer, NodeError) as error:
            # The rest of the block's work is lost, nothing else: state is read anew at the next head.
            _log.warning("block %d: %s", block.number, error)
            await self._flush([*self._take_rows(), _incident("node", str(error))])
        self._head = block

    async def _work(self, block: BlockRef, *, deciding: bool) -> None:
        began = time.perf_counter()
        # Told before anything else is read: the journal has moved on already, and a failing read must not part them.
        await self._flush(await self._watch(block))
        if not deciding:
            return
        state = self._watching.state
        fees, balance = await self._look(block)
        self._rows += self._expire_old(block)
        await self._refresh(state, fees)
        to_send = await self._best_approved(state, fees) if self._may_send() else None
        found, unrecorded = await self._decide(state, fees)
        elapsed = (time.perf_counter() - began) * 1000
        await self._flush(
            [
                lambda b: b.block(
                    block,
                    len(state.pools),
                    found.cycles,
                    elapsed,
                    balance,
                    paying=found.paying,
                    unrecorded=unrecorded,
                ),
                *self._nodes(),
                *self._take_rows(),
            ]
        )
        self.tally.blocks += 1
        self.latencies_ms.append((self._clock.monotonic() - self._arrived) * 1000)
        if to_send is None and self._may_send():
            # The tickets just made were simulated on this very block: if it is still the head, nothing moved.
            best = max(self._ready(), key=lambda ticket: ticket.expected_net_wei, default=None)
            if best is not None and best.simulated_block == block:
                fresh, checks = await self._decider.confirmed(best, state, fees)
                if fresh is None:
                    await self._flush(self._stale(best, checks, block))
                else:
                    self._disagreed(checks)
                    if (await self._node.block()).hash == block.hash:
                        to_send = fresh
        if to_send is not None:
            await self._execute(to_send, block)
        if self._stage is Stage.LIVE and self._sending.sure:
            await self._flush(await self._reconciler.follow(block))

    def _nodes(self) -> list[Write]:
        """Every node as it is now, and a word where one is no longer what it was."""
        writes: list[Write] = []
        for health in self._health():
            writes.append(_node(health))
            state, before = str(health.state), self._node_states.get(health.name, str(NodeState.OK))
            self._node_states[health.name] = state
            if state != before and NodeState.NEW not in (state, before):
                why = f": {health.detail}" if health.detail else ""
                self._say(f"{health.name} is {state}{why}")
                writes.append(_incident("node", f"{health.name} is {state}{why}"))
        return writes

    async def _look(self, block: BlockRef) -> tuple[Fees, Wei]:
        """The fees of the next block, and the wallet's wei: they have to do where something may be sent."""
        fees, balance = await asyncio.gather(
            read_fees(self._node, self._gas), self._node.balance(self._wallet, block.number)
        )
        return (replace(fees, funds=balance) if self._stage is Stage.LIVE else fees), balance

    async def _watch(self, block: BlockRef) -> list[Write]:
        writes = await self._sending.watch(block, self._removed)
        self._removed = set()
        for flight in self._sending.followed:
            self._know_ours(flight.attempts)
        self._take_settlements()
        return writes

    def _know_ours(self, attempts: Iterable[Attempt]) -> None:
        """So that a swap of ours is told from a stranger's."""
        self._our_hashes.update(dict.fromkeys(attempt.tx_hash for attempt in attempts))
        for _ in range(len(self._our_hashes) - _OURS_KEPT):
            del self._our_hashes[next(iter(self._our_hashes))]

    def _take_settlements(self) -> None:
        for ticket_id, settlement, said in self._sending.settled:
            ticket = self._sent.pop(ticket_id, None)
            if settlement.reconciled is False:
                self.tally.unreconciled += 1
            if ticket is None:
                continue
            net = f"{format_amount(settlement.net_wei, 18, 6)} {self._chain.native_symbol}"
            traded = settlement.success and settlement.loan_fee is not None
            included = traded or not settlement.success
            self._strategies.ended(ticket.ladder.chosen, included=included)
            if included:
                kinds = [hop.kind for hop in ticket.opportunity.path.hops]
                self._lenders.mined(ticket.lender, settlement.gas_used, kinds, success=traded)
            self._tell_decider()
            if traded:
                self.tally.confirmed += 1
                self.tally.by_lender[ticket.lender] += 1
                self._say(f"block {settlement.block_number}: mined through {ticket.lender}, net {net}")
            else:
                self.tally.reverted += 1
                self._say(
                    f"block {settlement.block_number}: not executed ({ticket.lender}), net {net}: {said}"
                )
        self._sending.settled.clear()
        # What was refused or given up has no settlement to come.
        followed = {flight.intent.ticket_id for flight in self._sending.followed}
        self._sent = {name: ticket for name, ticket in self._sent.items() if name in followed}

    def _tell_decider(self) -> None:
        self._decider.measured_overheads = self._lenders.overheads()
        self._decider.tracks = self._lenders.tracks()
        self._decider.inclusion = self._strategies.records()

    # ---- deciding

    async def _decide(self, state: MarketState, fees: Fees) -> tuple[SearchResult, int]:
        """What was found, and how many of it get no row."""
        rates = self._rates(state)
        costs = costs_of(rates, fees.price, self._decider.loan_cost)
        found = self._finder.find(state, self._watching.take_changed(), costs)
        self.tally.opportunities += len(found.opportunities)
        self._paper_open = {key: path for key, path in self._paper_open.items() if size(path, state)}
        offered = [
            self._decider.offered(one, state, fees, rates.get(one.token.address))
            for one in found.opportunities
        ]
        ranked = rank(offered, rates, fees.price, self._decider.loan_cost)
        mine = {ticket.opportunity.path.id for ticket in self._waiting} | self._paper_open.keys()
        shown = ranked[: self._search.record]
        # What only fell behind is no longer among the best, but it is still open.
        seen = {one.opportunity.path.id for one in shown}
        behind = [self._decider.sized(path, state) for path in self._open_paths.paths if path.id not in seen]
        open_still = rank(filter(None, behind), rates, fees.price, self._decider.loan_cost)
        told = mine | {one.opportunity.path.id for one in open_still}
        taken = {pool for ticket in self._waiting for pool in ticket.opportunity.path.pools}
        if self._sending.flight is not None:
            taken |= self._sending.flight.pools
        taken = taken.union(*(path.pools for path in self._paper_open.values()))
        drops: list[tuple[int, Dropped]] = []
        worth: list[tuple[int, Ranked]] = []
        for place, one in enumerate(ranked, 1):
            if one.opportunity.path.id in mine:
                continue
            dropped = self._decider.pays_at_all(one, state, fees)
            if dropped is None:
                worth.append((place, one))
            else:
                drops.append((place, dropped))
        closed = self._open_paths.look(state.block, (*shown, *open_still), told)
        _, more = await asyncio.gather(self._close(closed), self._tickets_of(worth, taken, state, fees))
        if found.mismatch is not None:
            self._rows.append(_incident("search", str(found.mismatch)))
        drops += more
        drops.sort(key=lambda item: item[0])
        self.tally.dropped += len(drops)
        recorded = drops[: self._search.record]
        self._rows += [self._drop(dropped, place) for place, dropped in recorded]
        return found, max(0, found.paying - len(worth) - len(recorded))

    async def _tickets_of(
        self, worth: list[tuple[int, Ranked]], taken: set[Address], state: MarketState, fees: Fees
    ) -> list[tuple[int, Dropped]]:
        """Tickets of the best on each pool; returns the others with what held them back.

        In rounds: what shares a pool with a better one is only quoted and simulated if that one comes to nothing.
        What failed when it was simulated comes after the others for a while, so that it does not hold their places.
        """
        setbacks = self._finder.setbacks
        worth = sorted(worth, key=lambda item: setbacks.behind(item[1].opportunity.path, state))
        drops: list[tuple[int, Dropped]] = []
        last_block = state.block.number + self._lifetime()
        decided = 0
        while worth:
            now: list[tuple[int, Ranked]] = []
            later: list[tuple[int, Ranked]] = []
            busy: set[Address] = set()
            for place, one in worth:
                pools = one.opportunity.path.pools
                if shared := sorted(pools & taken):
                    why = f"pool {shared[0]} is in a better ticket or in flight"
                    drops.append((place, _refused("shared_pool", one, 1, 0, "tickets", why)))
                elif pools & busy:
                    later.append((place, one))
                elif decided + len(now) >= self._search.top:
                    why = "best net first"
                    drops.append((place, _refused("place", one, place, self._search.top, "places", why)))
                else:
                    now.append((place, one))
                    busy |= pools
            decided += len(now)
            outcomes = await asyncio.gather(
                *(
                    self._decider.decide(one.opportunity, state, fees, self._new_id(), last_block)
                    for _, one in now
                )
            )
            made: list[tuple[Ticket, Ranked, int]] = []
            for (place, one), outcome in zip(now, outcomes, strict=True):
                if isinstance(outcome, Ticket):
                    setbacks.held(one.opportunity.path)
                    made.append((outcome, one, place))
                else:
                    if outcome.check == "simulation":
                        setbacks.failed(one.opportunity.path, state)
                    drops.append((place, replace(outcome, ranked=one)))
            made.sort(key=lambda item: (-item[0].expected_net_wei, item[0].id))
            for ticket, one, place in made:
                if len(self._waiting) < self._tickets.per_block:
                    self._take_ticket(ticket, one, place, taken)
                else:
                    drops.append((place, _too_many(ticket, one)))
            worth = later
        return drops

    def _rates(self, state: MarketState) -> dict[Address, ConversionRate | None]:
        return {base: state.conversion(state.token(base), self._wrapped_native) for base in self._bases}

    async def _close(self, closed: Sequence[Closing]) -> None:
        """How opportunities of earlier blocks ended, and by whose transaction, as far as the node tells."""
        told = await asyncio.gather(*(self._attributed(closing) for closing in closed[:_ATTRIBUTED]))
        self._rows += [_closing(closing) for closing in (*told, *closed[_ATTRIBUTED:])]

    async def _attributed(self, closing: Closing) -> Closing:
        """With position, sender and tip of the transaction, as far as the node tells."""
        if closing.trade is None:
            return closing
        try:
            receipt = await self._node.receipt(closing.trade.tx_hash)
            if receipt is None or receipt.block_hash != closing.trade.block_hash:
                return closing
            block = await self._node.block(receipt.block_hash)
        except (NodeUnreachable, MalformedAnswer, NodeError) as error:
            _log.info("who closed %s: %s", closing.opportunity_id, error)
            return closing
        tip = max(0, receipt.effective_gas_price - block.base_fee_per_gas)
        return replace(closing, tx_index=receipt.tx_index, sender=receipt.sender, tip_per_gas=Wei(tip))

    def _take_ticket(self, ticket: Ticket, one: Ranked, place: int, taken: set[Address]) -> None:
        """Offer a ticket; its pools are taken."""
        taken |= ticket.opportunity.path.pools
        self._waiting.append(ticket)
        if self._approve is ApproveMode.ALL:
            self._approved[ticket.id] = (DecisionKind.APPROVED_BY_ALL, "--approve all")
        self.tally.tickets += 1
        lost = _why_lost(ticket)
        self._rows += [lambda b: b.ticket(ticket, lost, ranked=one, place=place), _ticket_now(ticket)]

    def _drop(self, dropped: Dropped, place: int | None = None) -> Write:
        moved_by = self._moves.last(dropped.opportunity.path.pools)
        return lambda b: b.dropped(
            dropped.opportunity,
            dropped.quotes,
            dropped.checks,
            dropped.check,
            net_wei=dropped.net_wei,
            moved_by=moved_by,
            ranked=dropped.ranked,
            place=place,
        )

    def _expire_old(self, block: BlockRef) -> list[Write]:
        """Tickets that no coming block can take any more."""
        old = [ticket for ticket in self._waiting if ticket.last_block <= block.number]
        return [write for ticket in old for write in self._expire(ticket, "its last block has passed", block)]

    def _expire(self, ticket: Ticket, reason: str, block: BlockRef | None = None) -> list[Write]:
        if ticket.id in self._approved:
            reason += "; it was approved, but the wallet was not free before"
        seen = DecisionKind.EXPIRED_SEEN if ticket.id in self._seen else DecisionKind.EXPIRED_UNSEEN
        self.tally.expired += 1
        return self._end(ticket, seen, reason, block or self._head or ticket.block)

    def _end(
        self,
        ticket: Ticket,
        kind: DecisionKind,
        reason: str,
        at: BlockRef,
        checks: tuple[CheckResult, ...] = (),
    ) -> list[Write]:
        """The end state of a ticket that is not executed, with the foreign trade that moved its pools since."""
        self._forget(ticket)
        moved_by = self._moves.last(ticket.opportunity.path.pools, ticket.block.number)
        decision = Decision(ticket.id, kind, reason, at)
        return [lambda b: b.decision(decision, checks, moved_by)]

    def _forget(self, ticket: Ticket) -> None:
        self._waiting = [waiting for waiting in self._waiting if waiting.id != ticket.id]
        self._approved.pop(ticket.id, None)

    def _stale(self, ticket: Ticket, checks: tuple[CheckResult, ...], block: BlockRef) -> list[Write]:
        failed = next((check for check in checks if not check.passed), None)
        reason = failed.sentence() if failed else "it no longer holds"
        self.tally.stale += 1
        self._say(f"block {block.number}: ticket {ticket.digest[2:10]} is stale: {reason}")
        return [*self._end(ticket, DecisionKind.STALE, reason, block, checks), *self._disagreed(checks)]

    def _disagreed(self, checks: tuple[CheckResult, ...]) -> list[Write]:
        """An incident where nodes do not agree and did before: told once, not with every block while it lasts."""
        check = next((check for check in checks if check.check == AGREEMENT), None)
        if check is None:
            return []
        before = self._agreeing
        if not check.passed or check.observed > 1:
            # Of one alone nobody knows whether the others agree again.
            self._agreeing = check.passed
        return [_incident("disagree", check.detail)] if before and not check.passed else []

    def _ready(self) -> list[Ticket]:
        return [ticket for ticket in self._waiting if ticket.id in self._approved]

    async def _refresh(self, state: MarketState, fees: Fees) -> None:
        """Re-simulate, each block, the tickets that a person has before them; one that no longer holds is stale."""
        for ticket in [waiting for waiting in self._waiting if waiting.id not in self._approved]:
            # Nothing is sent here: a node that is late with a block takes no ticket from under somebody's eyes.
            fresh, checks = await self._decider.still_good(ticket, state, fees, least=1)
            if fresh is None:
                self._rows += self._stale(ticket, checks, state.block)
                continue
            self._disagreed(checks)
            # What was frozen stays: only the expectation of the very same bytes is brought up to date.
            now = replace(
                ticket,
                expected_profit=fresh.expected_profit,
                expected_gas=fresh.expected_gas,
                expected_net_wei=fresh.expected_net_wei,
                simulated_block=fresh.simulated_block,
            )
            self._waiting = [now if waiting.id == now.id else waiting for waiting in self._waiting]
            self._rows.append(_ticket_now(now))

    async def _best_approved(self, state: MarketState, fees: Fees) -> Ticket | None:
        """Re-quote and re-simulate the approved tickets, best first, until one still holds."""
        for ticket in sorted(self._ready(), key=lambda t: -t.expected_net_wei):
            fresh, checks = await self._decider.still_good(ticket, state, fees)
            if fresh is not None:
                self._disagreed(checks)
                return fresh
            self._rows += self._stale(ticket, checks, state.block)
        return None

    def _may_send(self) -> bool:
        return self._held_back() is None

    def _held_back(self) -> str | None:
        """Why nothing may be sent now; None where something may."""
        if self._stage not in (Stage.LIVE, Stage.PAPER):
            return f"stage {self._stage} executes nothing"
        if self._sending.flight is not None:
            return "another transaction is in flight"
        if self._sending.stopped is not None:
            return f"the account is stopped until somebody acknowledges: {self._sending.stopped}"
        if not self._reconciler.may_send:
            return "balances differ from settlements; see `arbtui acknowledge`"
        return None

    def _lifetime(self) -> int:
        """Blocks a new ticket lives: two where it approves by itself, else what a person needs."""
        if self._approve is ApproveMode.ALL:
            return self._tickets.auto_ttl_blocks
        return max(1, round(self._tickets.manual_ttl_s / self._chain.block_time_s))

    def _new_id(self) -> str:
        self._sequence += 1
        return new_ticket_id(self._store.run_id, self._sequence)

    # ---- executing

    async def _execute(self, ticket: Ticket, block: BlockRef) -> str:
        """Send an approved ticket, or write it down on paper. The decision is committed before anything is signed."""
        execution_id = "x" + ticket.digest[2:18]
        kind, reason = self._approved[ticket.id]
        self._forget(ticket)
        lost = _why_lost(ticket)
        decision = Decision(ticket.id, kind, reason, block)
        await self._flush([lambda b: b.requoted(ticket, lost), _decision(decision)])
        if self._stage is Stage.PAPER:
            self._paper_open[ticket.opportunity.path.id] = ticket.opportunity.path
            self.tally.paper += 1
            self._say(
                f"block {block.number}: paper through {ticket.lender}, expected {ticket.expected_net_wei} wei"
            )
            await self._flush([lambda b: b.execution(execution_id, ticket, ExecutionStatus.PAPER)])
            return execution_id
        self._sent[ticket.id] = ticket
        writes = await self._sending.send(ticket, execution_id)
        if self._sending.flight is not None:
            self._know_ours(self._sending.flight.attempts)
        await self._flush(writes)
        return execution_id

    @property
    def flash_loans(self) -> FlashLoanManager:
        """What quotes the lenders; in stage live on a local chain it also executes through one that is named."""
        return self._decider.flash_loans

    async def submit(self, quote: LoanQuote, params: dict[str, Any]) -> Submitted | Dropped:
        """One path through exactly the quoted lender: a ticket like any other, with every check, and sent at once.

        A Dropped says which check failed. Raises RefusedError outside stage live and while another transaction is
        in flight, UsageError and SwapReverts as `priced`.
        """
        async with self._turn:
            await self._begin()
            why = self._held_back() if self._stage is Stage.LIVE else f"the stage is {self._stage}, not live"
            if why is not None:
                raise RefusedError(f"nothing is sent now: {why}")
            state = await self._newest()
            block = state.block
            fees, _ = await self._look(block)
            opportunity = priced(quote.token, quote.amount, params["pools"], state)
            last_block = block.number + self._tickets.auto_ttl_blocks
            outcome = await self._decider.decide(
                opportunity, state, fees, self._new_id(), last_block, quote.lender
            )
            if isinstance(outcome, Ticket):
                fresh, checks = await self._decider.confirmed(outcome, state, fees)
                await self._flush(self._disagreed(checks))
                outcome = fresh or _not_sent(outcome, checks)
            if isinstance(outcome, Dropped):
                await self._flush([self._drop(outcome)])
                return outcome
            ticket, lost = outcome, _why_lost(outcome)
            self.tally.tickets += 1
            self._approved[ticket.id] = (DecisionKind.APPROVED_BY_HAND, "by execute_flash_loan")
            await self._flush([lambda b: b.ticket(ticket, lost), _ticket_now(ticket)])
            execution_id = await self._execute(ticket, block)
            flight = self._sending.flight
            return Submitted(execution_id, ticket.id, flight.attempts[-1].tx_hash if flight else None)

    # ---- what people ask for

    async def _take_commands(self) -> None:
        """Take up what desk and command line have written since; each is answered in its row."""
        for number, kind, argument in self._store.commands():
            try:
                result = await self._command(kind, argument)
            except (NodeUnreachable, MalformedAnswer, NodeError) as error:
                result = f"failed: {error}"
            await self._flush([_taken(number, result)])

    async def _command(self, kind: str, argument: dict[str, Any]) -> str:
        if kind == "snapshot":
            return await self._snapshot(argument)
        if kind == "acknowledge":
            # With a number: a difference between balances and settlements; without: why the account was stopped.
            if argument.get("id") is None:
                return self._sending.acknowledge(safe_text(argument.get("by", "command line"), 32))
            result, writes = self._reconciler.acknowledge(argument)
            await self._flush(writes)
            return result
        if kind not in ("approve", "reject", "seen", "strategy"):
            return f"refused: there is no command {safe_text(kind)}"
        ticket = next((waiting for waiting in self._waiting if waiting.id == argument.get("ticket")), None)
        if ticket is None:
            return "gone: no such ticket is waiting"
        if kind == "seen":
            self._seen.add(ticket.id)
            await self._flush([lambda b: b.ticket_seen(ticket.id)])
            return "seen"
        by = safe_text(argument.get("by", "command line"), 32)
        if kind == "strategy":
            return await self._switched(ticket, str(argument.get("strategy", "")), by)
        if kind == "reject":
            reason = f"{safe_text(argument.get('reason', ''), 200)} (by {by})"
            self.tally.rejected += 1
            await self._flush(self._end(ticket, DecisionKind.REJECTED, reason, self._head or ticket.block))
            return "rejected"
        return await self._approved_by_hand(ticket, str(argument.get("digest", "")), by)

    async def _snapshot(self, argument: dict[str, Any]) -> str:
        """The market as it is kept, into a file; written aside, for it takes a while and the state stays as it is."""
        path, state = Path(str(argument.get("file", ""))), self._watching.state
        if not path.is_absolute():
            return "refused: the file's whole path is needed"
        try:
            left_out = await asyncio.to_thread(write_snapshot_file, path, state, self._chain.chain_id)
        except SnapshotError as error:
            return f"failed: {error}"
        kept = len(state.pools) - left_out
        return f"written: {kept} pools at block {state.block.number}, {left_out} without a state left out"

    async def _switched(self, ticket: Ticket, wanted: str, by: str) -> str:
        """The same path with another gas strategy ("next": the one after the ticket's own): a ticket with a digest of
        its own, made on the newest head, takes the old one's place. If it would not hold, the old one stays."""
        known = [*self._gas.strategies, DYNAMIC]
        if wanted == "next":
            current = ticket.ladder.strategy
            at = known.index(current) if current in known else -1
            wanted = known[(at + 1) % len(known)]
        if wanted not in known:
            return f"refused: no gas strategy is called {safe_text(wanted, 32)}; there are {', '.join(known)}"
        if ticket.id in self._approved:
            return "refused: the ticket is approved already"
        state = await self._newest()
        fees, _ = await self._look(state.block)
        found = self._decider.sized(ticket.opportunity.path, state)
        if found is None:
            return "refused: the path does not pay any more"
        last_block = state.block.number + self._lifetime()
        outcome = await self._decider.decide(
            found, state, replace(fees, strategy=wanted), self._new_id(), last_block
        )
        if isinstance(outcome, Dropped):
            failed = next((check for check in outcome.checks if not check.passed), None)
            return f"refused: with {wanted} {failed.sentence() if failed else outcome.check}"
        lost = _why_lost(outcome)
        reason = f"replaced by ticket {outcome.digest[2:10]}: gas strategy {wanted} (by {by})"
        writes = self._end(ticket, DecisionKind.STALE, reason, state.block)
        self._waiting.append(outcome)
        self.tally.tickets += 1
        await self._flush([*writes, lambda b: b.ticket(outcome, lost), _ticket_now(outcome)])
        return f"switched: ticket {outcome.digest[2:10]} with {wanted}"

    async def _approved_by_hand(self, ticket: Ticket, digest: str, by: str) -> str:
        """Re-quote and re-simulate on the newest head; send within the floor, else the ticket is stale."""
        if self._stage not in (Stage.LIVE, Stage.PAPER):
            return f"refused: stage {self._stage} executes nothing"
        if digest != ticket.digest:
            return "refused: the digest is not this ticket's"
        if not self._reconciler.may_send:
            return "refused: balances differ from settlements; see `arbtui acknowledge`"
        self._seen.add(ticket.id)
        approved = (DecisionKind.APPROVED_BY_HAND, f"by {by}")
        if not self._may_send():
            self._approved[ticket.id] = approved
            if self._sending.stopped is not None:
                return f"approved: waits until somebody acknowledges: {self._sending.stopped}"
            return "approved: waits for the transaction in flight"
        state = await self._newest()
        block = state.block
        if block.number >= ticket.last_block:
            await self._flush(self._expire(ticket, "its last block has passed", block))
            return "expired: its last block has passed"
        fees, _ = await self._look(block)
        fresh, checks = await self._decider.still_good(ticket, state, fees)
        if fresh is None:
            writes = self._stale(ticket, checks, block)
            await self._flush(writes)
            failed = next((check for check in checks if not check.passed), None)
            return f"stale: {failed.sentence() if failed else 'it no longer holds'}"
        self._disagreed(checks)
        # Not before: where a node fails above, the answer is "failed", and nothing may be sent after it.
        self._approved[ticket.id] = approved
        execution_id = await self._execute(fresh, block)
        if self._stage is Stage.PAPER:
            return f"on paper as {execution_id}"
        if self._sending.flight is None:
            return f"refused by the node: see execution {execution_id}"
        return f"sent as {execution_id}, {self._sending.flight.attempts[-1].tx_hash}"

    def _take_rows(self) -> list[Write]:
        rows, self._rows = self._rows, []
        return rows

    async def _flush(self, writes: list[Write]) -> None:
        self._commit(writes)

    def _commit(self, writes: list[Write]) -> None:
        """All of a block's rows in one commit."""
        if not writes:
            return
        with self._store.batch() as batch:
            for write in writes:
                write(batch)


def _decision(decision: Decision) -> Write:
    return lambda b: b.decision(decision)


def _incident(kind: str, detail: str) -> Write:
    return lambda b: b.incident(kind, detail)


def _node(health: NodeHealth) -> Write:
    return lambda b: b.node(
        health.name,
        str(health.state),
        health.detail,
        head=health.head,
        lag=health.lag,
        latency_ms=health.latency_ms,
        calls=health.calls,
        failures=health.failures,
        refusals=health.refusals,
        disagreements=health.disagreements,
        unknown_blocks=health.unknown_blocks,
    )


def _closing(closing: Closing) -> Write:
    return lambda b: b.closing(closing)


def _refused(name: str, one: Ranked, observed: int, limit: int, unit: str, detail: str) -> Dropped:
    """An opportunity that is left out before anything is asked of the node."""
    check = CheckResult.at_most(name, observed, limit, unit, detail)
    return Dropped(one.opportunity, (), (check,), name, one.net_wei, one)


def _too_many(ticket: Ticket, one: Ranked) -> Dropped:
    check = CheckResult.at_most("ticket_limit", 1, 0, "tickets", "enough tickets for one block")
    checks = (*ticket.checks, check)
    return Dropped(ticket.opportunity, ticket.quotes, checks, check.check, ticket.expected_net_wei, one)


def _not_sent(ticket: Ticket, checks: tuple[CheckResult, ...]) -> Dropped:
    failed = next((check.check for check in checks if not check.passed), "simulation")
    return Dropped(ticket.opportunity, ticket.quotes, checks, failed, ticket.expected_net_wei)


def _why_lost(ticket: Ticket) -> dict[LenderId, str]:
    return why_lost(ticket.quotes, next(q for q in ticket.quotes if q.lender == ticket.lender))


def _ticket_now(ticket: Ticket) -> Write:
    return lambda b: b.ticket_now(ticket)


def _taken(number: int, result: str) -> Write:
    return lambda b: b.command_taken(number, result)


def _adopt(known: OpenExecution) -> Write:
    return lambda b: b.adopt(known)
