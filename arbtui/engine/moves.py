"""Who moved a pool, from the swaps in the logs of the newest blocks; and who ended an opportunity by it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from arbtui.domain import BlockRef, ClosedBy, Closing, ForeignTrade, Log, Path
from arbtui.market import SWAP_TOPICS
from arbtui.units import Address
from arbtui.validation import Ranked

#: Swaps kept of each pool; an opportunity is ended by one of the newest.
_KEPT = 64
#: Older ones by so many blocks are left out, but for the newest foreign one of a pool. No less than a market goes back.
_BLOCKS = 64


class _Swap(NamedTuple):
    block_number: int
    log_index: int
    trade: ForeignTrade
    ours: bool


class Moves:
    """The newest swaps on each pool; ours are told apart by their hashes."""

    def __init__(self) -> None:
        self._swaps: dict[Address, list[_Swap]] = {}
        #: Which pools have swaps in which of the newest blocks.
        self._in_block: defaultdict[int, set[Address]] = defaultdict(set)

    def take(self, block: BlockRef, logs: Iterable[Log], ours: Collection[str]) -> None:
        """The swaps in a block's logs, in order; a block taken before is taken anew."""
        fresh = [log for log in logs if log.topics and log.topics[0] in SWAP_TOPICS]
        for pool in {log.address for log in fresh}:
            self._forget(pool, block.number)
        for log in fresh:
            trade = ForeignTrade(block.number, block.hash, log.address, log.tx_hash, log.log_index)
            swaps = self._swaps.setdefault(log.address, [])
            swaps.append(_Swap(block.number, log.log_index, trade, log.tx_hash in ours))
            self._in_block[block.number].add(log.address)
            del swaps[:-_KEPT]
        oldest = block.number - _BLOCKS
        for number in [number for number in self._in_block if number <= oldest]:
            for pool in self._in_block.pop(number):
                self._age(pool, oldest)

    def undo(self, number: int) -> None:
        """Forget block `number` and all after it: they are no longer part of the chain."""
        for pool in tuple(self._swaps):
            self._forget(pool, number)
        for gone in [block for block in self._in_block if block >= number]:
            del self._in_block[gone]

    def _forget(self, pool: Address, number: int) -> None:
        swaps = self._swaps.get(pool, [])
        while swaps and swaps[-1].block_number >= number:
            swaps.pop()
        if not swaps:
            self._swaps.pop(pool, None)

    def _age(self, pool: Address, oldest: int) -> None:
        """Leave out what is of block `oldest` or before, but for the newest foreign swap of it."""
        swaps = self._swaps.get(pool, [])
        old = [swap for swap in swaps if swap.block_number <= oldest]
        kept = [swap for swap in old if not swap.ours][-1:] + swaps[len(old) :]
        if kept:
            self._swaps[pool] = kept
        else:
            self._swaps.pop(pool, None)

    def last(self, pools: Collection[Address], after_block: int = -1) -> ForeignTrade | None:
        """The newest foreign swap on any of `pools` in a block past `after_block`."""
        found = [
            swap
            for pool in pools
            for swap in self._swaps.get(pool, ())
            if not swap.ours and swap.block_number > after_block
        ]
        return max(found, key=lambda swap: swap[:2]).trade if found else None

    def first(self, pools: Collection[Address], after_block: int) -> tuple[ForeignTrade, bool] | None:
        """The first swap on any of `pools` past `after_block`, and whether it was ours."""
        found = [
            swap for pool in pools for swap in self._swaps.get(pool, ()) if swap.block_number > after_block
        ]
        if not found:
            return None
        swap = min(found, key=lambda swap: swap[:2])
        return swap.trade, swap.ours


@dataclass(slots=True)
class _Open:
    opportunity_id: str
    path: Path
    first_block: int
    last_block: int
    net_wei: int


class OpenPaths:
    """The paths that would have left something on the newest block, and how they end."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._open: dict[str, _Open] = {}

    @property
    def paths(self) -> tuple[Path, ...]:
        """What is watched: what `look` was shown last."""
        return tuple(entry.path for entry in self._open.values())

    def look(self, block: BlockRef, worth: Iterable[Ranked], ticketed: Collection[str] = ()) -> list[Closing]:
        """What of the earlier blocks' is not among `worth` any more; `worth` is what to watch from here on.

        Only opportunities with a positive `net_wei` count: others were no loss to anybody. The paths `ticketed` have
        a ticket that waits: their closing names its opportunity, since they get no row of their own on this block.
        """
        now = {
            ranked.opportunity.path.id: ranked
            for ranked in worth
            if ranked.net_wei is not None and ranked.net_wei > 0
        }
        closed = [
            self._closing(path_id, was, block)
            for path_id, was in self._open.items()
            if path_id not in now and was.last_block < block.number
        ]
        kept = {}
        for path_id, ranked in now.items():
            was = self._open.get(path_id)
            first = was.first_block if was is not None and was.first_block <= block.number else block.number
            opportunity = ranked.opportunity
            name = was.opportunity_id if was is not None and path_id in ticketed else opportunity.id
            kept[path_id] = _Open(name, opportunity.path, first, block.number, ranked.net_wei or 0)
        self._open = kept
        return closed

    def _closing(self, path_id: str, was: _Open, block: BlockRef) -> Closing:
        swap = self._moves.first(was.path.pools, was.last_block)
        trade, ours = swap if swap is not None else (None, False)
        by = ClosedBy.NOBODY if trade is None else ClosedBy.OURS if ours else ClosedBy.FOREIGN
        return Closing(
            was.opportunity_id,
            path_id,
            was.first_block,
            was.last_block,
            block.number,
            was.net_wei,
            by,
            trade,
        )
