"""The cycle's own last Uniswap V2 pair pays first: no loan, no fee, and for cycles of V2 pairs alone.

`swap` with data sends what the last hop gives before it takes what that hop takes (v2-core, UniswapV2Pair.sol): of it
the amount in goes to the first pair, each pair pays the next, and the last one is paid by the hop before it. The swap
fee of each pair is in the cycle's price already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from arbtui.domain import CallResult, LenderId, PoolKind
from arbtui.lenders.base import Discovery, Reason, Terms, lend, nothing_to_discover, refuse
from arbtui.market.pool import Pool
from arbtui.units import Address


@dataclass(frozen=True, slots=True)
class FlashSwap:
    """`pool` gives a known pool; the last one must be of `dexes`, whose pairs call back by Uniswap's own name."""

    pool: Callable[[Address], Pool | None]
    dexes: frozenset[str]
    id: LenderId = LenderId.FLASH_SWAP
    protocol: str = "uniswap"
    version: str = "flash_swap"
    #: Against own capital over the same two pairs (contracts/README.md, "Gas per lender").
    gas_prior: int = 2_100

    def discover(self, token: Address) -> Discovery[None]:  # noqa: ARG002
        return nothing_to_discover(None)

    def reads(self, token: Address, amount: int, facts: None) -> tuple[()]:  # noqa: ARG002
        return ()

    def terms(self, token: Address, amount: int, facts: None, answers: Sequence[CallResult]) -> Terms:  # noqa: ARG002
        return refuse(
            Reason.NEEDS_PATH, "it is the last pair of a path that pays first: quoted with a path alone"
        )

    def on_path(self, token: Address, amount: int, path: Sequence[Address]) -> Terms:  # noqa: ARG002
        """`path` in the order in which it is traded from `token` back to it."""
        pools = [self.pool(address) for address in path]
        for address, pool in zip(path, pools, strict=True):
            if pool is None or pool.kind is not PoolKind.UNISWAP_V2:
                return refuse(Reason.PATH_NOT_V2, f"{address} is no Uniswap V2 pair; all hops have to be")
        last = pools[-1]
        assert last is not None  # noqa: S101 - refused above
        if last.dex not in self.dexes:
            dexes = ", ".join(sorted(self.dexes))
            return refuse(
                Reason.PATH_NOT_V2,
                f"the last pair is of {last.dex}; only those of {dexes} call back as we take it",
            )
        return lend(amount, amount, 0, f"no fee: the path's last pair {last.address} pays before it is paid")
