"""A market kept by the logs of each block, with the way back: every block's changes can be undone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from arbtui.domain import BlockRef, Log, Token
from arbtui.errors import ArbtuiError, UsageError
from arbtui.market.families import FAMILIES, LOG_TOPICS
from arbtui.market.logs import LogRefused
from arbtui.market.pool import Pool
from arbtui.market.state import MarketState
from arbtui.units import Address

DEPTH = 64
_UNDONE = "read anew in a block that was undone"


class NotConnected(ArbtuiError):
    """A block that is neither the child of the head nor among the blocks that are kept."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What one block did: pools that changed, among them those that drifted, by address with the reason.

    `reread`: pools that logs keep exact, but that stand near the edge of the ticks that were read; `heal` them.
    """

    changed: frozenset[Address]
    drifted: Mapping[Address, str]
    reread: frozenset[Address]


@dataclass(slots=True)
class _Undo:
    """A block, its logs by pool, and each changed pool as it was before, with why it had drifted ("" if not).

    `twisted`: pools for which the logs contradict each other, with the reason.
    """

    block: BlockRef
    before: dict[Address, tuple[Pool, str]] = field(default_factory=dict)
    logs: dict[Address, list[Log]] = field(default_factory=dict)
    twisted: dict[Address, str] = field(default_factory=dict)

    def replay(self, pool: Pool) -> tuple[Pool, str]:
        """The pool after its logs of this block; or unread, and why one of them does not fit."""
        family, reason = FAMILIES[pool.kind], self.twisted.get(pool.address, "")
        after = pool
        try:
            for log in self.logs[pool.address]:
                after = family.apply_log(after, log)
        except LogRefused as refused:
            reason = refused.reason
        return (family.unread(pool), reason) if reason else (after, "")


class Tracker:
    """Keeps `state` equal to the chain by logs alone, from a state that was read at its block.

    A pool whose logs do not fit what is kept has *drifted*: from then on it stands unread in `state` (no swap on it
    is possible), takes no logs, and is named in `drifted` until `heal`. Nothing of one pool harms another.
    """

    def __init__(self, state: MarketState, depth: int = DEPTH) -> None:
        self._state = state
        self._depth = depth
        self._journal: deque[_Undo] = deque()
        self._drifted: dict[Address, str] = {}

    @property
    def state(self) -> MarketState:
        """The market at `head`; the one before stays as it was."""
        return self._state

    @property
    def head(self) -> BlockRef:
        return self._state.block

    @property
    def drifted(self) -> Mapping[Address, str]:
        """Why each drifted pool is not to be trusted."""
        return dict(self._drifted)

    @property
    def reread(self) -> frozenset[Address]:
        """Every pool that stands near the edge of what was read of it. Looks at all pools: not for every block."""
        return frozenset(
            address for address, pool in self._state.pools.items() if FAMILIES[pool.kind].wants_reading(pool)
        )

    def knows(self, block_hash: str) -> bool:
        """Whether `rollback` can go to that block."""
        return self._place(block_hash) is not None

    def apply(self, block: BlockRef, logs: Iterable[Log]) -> Applied:
        """Take the head's child with its logs. Order does not matter, a log that is there twice counts once, and
        logs of other addresses, of other events and of other blocks are passed over. The head itself once more
        changes nothing.

        Raises NotConnected for any other block: nothing has changed then.
        """
        head = self.head
        if block.hash == head.hash and block.number == head.number:
            return Applied(frozenset(), {}, frozenset())
        if block.parent_hash != head.hash or block.number != head.number + 1:
            raise NotConnected(
                f"block {block.number} ({block.hash}) does not follow block {head.number} ({head.hash})"
            )
        undo = _Undo(block)
        self._sort(undo, logs)
        now: dict[Address, Pool] = {}
        drifted: dict[Address, str] = {}
        for address in undo.logs:
            if address in self._drifted:
                continue
            pool = self._state.pools[address]
            after, reason = undo.replay(pool)
            if reason:
                drifted[address] = reason
            if after is not pool:
                undo.before[address] = (pool, "")
                now[address] = after
        self._state = self._state.advanced(block, now)
        self._drifted.update(drifted)
        self._push(undo, head)
        reread = frozenset(
            address
            for address, pool in now.items()
            if address not in drifted and FAMILIES[pool.kind].wants_reading(pool)
        )
        return Applied(frozenset(now), drifted, reread)

    def _sort(self, undo: _Undo, logs: Iterable[Log]) -> None:
        """The block's logs of our pools into `undo`, in their order, each once."""
        pools, number = self._state.pools, undo.block.number
        at: dict[int, Log] = {}
        for log in logs:
            # Most logs of a block are none of these events: that is seen first.
            topics = log.topics
            if not topics or topics[0] not in LOG_TOPICS or log.block_number != number:
                continue
            pool = pools.get(log.address)
            if pool is None or topics[0] not in FAMILIES[pool.kind].log_topics:
                continue
            other = at.setdefault(log.log_index, log)
            if other is not log and other != log:
                reason = f"two different logs at place {log.log_index} of block {number}"
                for address in (log.address, other.address):
                    undo.twisted[address] = reason
                    undo.logs.setdefault(address, [])
        for index in sorted(at):
            undo.logs.setdefault(at[index].address, []).append(at[index])

    def _push(self, undo: _Undo, parent: BlockRef) -> None:
        if not self._journal:
            self._journal.append(_Undo(parent))
        self._journal.append(undo)
        if len(self._journal) > self._depth + 1:
            self._journal.popleft()
            self._journal[0] = _Undo(self._journal[0].block)

    def _place(self, block_hash: str) -> int | None:
        """Where in the journal the block stands; entry 0 is the oldest that can be returned to."""
        if not self._journal:
            return 0 if block_hash == self.head.hash else None
        for place in range(len(self._journal) - 1, -1, -1):
            if self._journal[place].block.hash == block_hash:
                return place
        return None

    def _known_place(self, block_hash: str) -> int:
        place = self._place(block_hash)
        if place is None:
            raise NotConnected(
                f"block {block_hash} is not among the last {self._depth} before block {self.head.number}"
            )
        return place

    def rollback(self, to_hash: str) -> frozenset[Address]:
        """Return to a block of the last `depth`, and name the pools that changed with it.

        Raises NotConnected where that block is not kept: nothing has changed then, and the state must be read anew.
        """
        place = self._known_place(to_hash)
        back: dict[Address, tuple[Pool, str]] = {}
        target = self._state.block
        while len(self._journal) > place + 1:
            back |= self._journal.pop().before
            target = self._journal[-1].block
        self._set(target, back)
        return frozenset(back)

    def _set(self, block: BlockRef, changes: Mapping[Address, tuple[Pool, str]]) -> None:
        self._state = self._state.advanced(block, {address: pool for address, (pool, _) in changes.items()})
        for address, (_, reason) in changes.items():
            if reason:
                self._drifted[address] = reason
            else:
                self._drifted.pop(address, None)

    def pool_at(self, address: Address, block_hash: str) -> tuple[Pool, str]:
        """The pool as it was kept at a block of the last `depth`, and why it had drifted ("" if not).

        Raises NotConnected for a block not kept, UsageError for a pool that is not in the state.
        """
        if address not in self._state.pools:
            raise UsageError(f"pool {address} is not one of the {len(self._state.pools)} that are kept")
        for undo in islice(self._journal, self._known_place(block_hash) + 1, None):
            if address in undo.before:
                return undo.before[address]
        return self._state.pools[address], self._drifted.get(address, "")

    def compare(self, read: Mapping[Address, Pool], at: str | None = None) -> dict[Address, str]:
        """What of each pool is not as it was read at block hash `at` (the head by default); empty where all is.

        Changes nothing: `heal` with the same pools puts it right. Raises as `pool_at`.
        """
        found: dict[Address, str] = {}
        for address, fresh in read.items():
            kept, drifted = self.pool_at(address, at or self.head.hash)
            wrong = drifted or FAMILIES[fresh.kind].difference(kept, fresh)
            if wrong:
                found[address] = wrong
        return found

    def heal(self, read: Mapping[Address, Pool], at: str | None = None) -> frozenset[Address]:
        """Take pools as they were read at block hash `at` (the head by default) and carry them on by the logs since.

        Returns the pools whose state at the head changed. A log since that does not fit leaves its pool drifted. A
        rollback to before `at` leaves a pool that was wrong there drifted: what it was then is not known. Raises as
        `pool_at`, having changed nothing.
        """
        at = at or self.head.hash
        kept = {address: self.pool_at(address, at) for address in read}
        changes = {
            address: self._carried(self._known_place(at), *kept[address], fresh)
            for address, fresh in read.items()
        }
        before = self._state.pools
        changed = frozenset(address for address, (pool, _) in changes.items() if pool != before[address])
        self._set(self.head, changes)
        return changed

    def _carried(self, place: int, kept: Pool, reason: str, fresh: Pool) -> tuple[Pool, str]:
        """`fresh`, read at the journal's `place`, taken to the head; the journal is put right on the way."""
        if not self._journal:
            return fresh, ""
        address = fresh.address
        if not reason and FAMILIES[fresh.kind].difference(kept, fresh):
            # It was wrong for an unknown while, so nothing kept of it before is to be trusted.
            for undo in islice(self._journal, place + 1):
                undo.before.pop(address, None)
            kept, reason = FAMILIES[fresh.kind].unread(fresh), _UNDONE
        self._journal[place].before.setdefault(address, (kept, reason))
        why = ""
        for undo in islice(self._journal, place + 1, None):
            undo.before.pop(address, None)
            if address in undo.logs and not why:
                undo.before[address] = (fresh, "")
                fresh, why = undo.replay(fresh)
        return fresh, why

    def admit(
        self, pools: Mapping[Address, Pool], tokens: Mapping[Address, Token], at: str | None = None
    ) -> None:
        """Add pools that were read at block hash `at` (the head by default), with what is known of their tokens.

        Their logs since are not known, so `at` must be the head or a block after which none of them had any.
        """
        strangers = {
            address: FAMILIES[pool.kind].unread(pool)
            for address, pool in pools.items()
            if address not in self._state.pools
        }
        self._state = MarketState(
            self.head, {**tokens, **self._state.tokens}, {**self._state.pools, **strangers}
        )
        self._drifted |= dict.fromkeys(strangers, "not read yet")
        self.heal(pools, at)

    def dismiss(self, pools: Iterable[Address]) -> None:
        """Leave pools out from now on."""
        gone = frozenset(pools)
        kept = {address: pool for address, pool in self._state.pools.items() if address not in gone}
        self._state = MarketState(self.head, self._state.tokens, kept)
        for address in gone:
            self._drifted.pop(address, None)
            for undo in self._journal:
                undo.before.pop(address, None)
                undo.logs.pop(address, None)
