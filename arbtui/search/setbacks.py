"""Paths that came to nothing when they were simulated: the search finds them again every block."""

from __future__ import annotations

from arbtui.domain import Path
from arbtui.market import MarketState, Pool

#: For so many blocks a path is behind the others after it failed.
BLOCKS = 64
#: A path that failed so often in a row is behind even where its pools change.
_OFTEN = 3
#: So many are remembered, those that failed last.
MOST = 4_096


class Setbacks:
    """Which paths to look at after the others. None is left out: a failure is no more looked at after `BLOCKS`."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        #: By path: the block of the last failure, how many in a row, and the pools as they were.
        self._failed: dict[str, tuple[int, int, tuple[Pool | None, ...]]] = {}

    def failed(self, path: Path, state: MarketState) -> None:
        """Its simulation on `state` failed."""
        _, often, _ = self._failed.pop(path.id, (0, 0, ()))
        self._failed[path.id] = (state.block.number, often + 1, _pools(path, state))
        if len(self._failed) > self._most:
            del self._failed[next(iter(self._failed))]

    def held(self, path: Path) -> None:
        """It did what was promised."""
        self._failed.pop(path.id, None)

    def behind(self, path: Path, state: MarketState) -> int:
        """How often in a row it failed; 0 where that is long ago, or a pool of it is another since.

        Looked at in this order they take turns. What failed again and again stays behind though its pools change.
        """
        if not self._failed or (known := self._failed.get(path.id)) is None:
            return 0
        block, often, pools = known
        if abs(state.block.number - block) >= BLOCKS:
            return 0
        return often if often >= _OFTEN or pools == _pools(path, state) else 0

    def __len__(self) -> int:
        return len(self._failed)


def _pools(path: Path, state: MarketState) -> tuple[Pool | None, ...]:
    return tuple(state.pools.get(hop.pool) for hop in path.hops)
