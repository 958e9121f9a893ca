"""What every pool family offers: exact swaps, a fast quote, and its price curve for sizing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from arbtui.domain import Call, PoolKind
from arbtui.errors import ArbtuiError, UsageError
from arbtui.units import Address, Ppm


class SwapReverts(ArbtuiError):
    """The pool's contract would revert; `reason` is its own word for it ("INSUFFICIENT_LIQUIDITY", "SPL", …)."""

    def __init__(self, reason: str, pool: Address) -> None:
        super().__init__(f"pool {pool} would revert: {reason}")
        self.reason = reason
        self.pool = pool


class Stretch(NamedTuple):
    """A part of a pool's curve on which `out = p * in / (q + r * in)`, fee included, all exact integers.

    `capacity` is the input (base units, fee included, rounded up) that reaches the end of the stretch. `exact`: the
    pool's own output is this quotient rounded down, and the stretch is the whole curve.
    """

    p: int
    q: int
    r: int
    capacity: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Swap:
    """What one swap does. `amount_in` is what the pool takes (less than offered where a V3 pool runs dry).

    Amounts in base units; `fee` in base units of the input token. `price_impact_bps`: how far the average price
    stands off the pool's price before, fee left out.
    """

    amount_in: int
    amount_out: int
    fee: int
    price_impact_bps: float
    after: Pool


class Pool(Protocol):
    """A pool's state at one block; frozen. Amounts are base units, prices exact integer ratios."""

    @property
    def address(self) -> Address: ...
    @property
    def dex(self) -> str: ...
    @property
    def kind(self) -> PoolKind: ...
    @property
    def token0(self) -> Address: ...
    @property
    def token1(self) -> Address: ...
    @property
    def fee_ppm(self) -> Ppm: ...

    def swap_exact_in(self, token_in: Address, amount_in: int) -> Swap:
        """Give `amount_in`. Raises SwapReverts as the contract would, UsageError for a token it does not hold."""

    def swap_exact_out(self, token_in: Address, amount_out: int) -> Swap:
        """Take `amount_out` for the input the contract asks. Raises as `swap_exact_in`."""

    def quote_out(self, token_in: Address, amount_in: int) -> int:
        """Output of `swap_exact_in`, or 0 where it would revert, give nothing, or not take the whole input."""

    def least_in(self, token_in: Address, amount_out: int) -> int:
        """The least input whose `quote_out` is at least `amount_out`; 0 where no input is enough."""

    def spot_ratio(self, token_in: Address) -> tuple[int, int]:
        """(numerator, denominator) of output per input at the current price, before the fee."""

    def stretches(self, token_in: Address) -> Iterator[Stretch]:
        """The curve from the current price on, best price first; empty where nothing can be traded."""

    def virtual_reserves(self, token_in: Address) -> tuple[int, int]:
        """(input side, output side) of the constant product that holds at the current price, rounded down."""

    def capacity_in(self, token_in: Address) -> int | None:
        """Input that reaches the end of the current range; None where there is none."""

    def depth(self, token: Address) -> int:
        """Base units of `token` behind the current price (a reserve, or a virtual one)."""


@dataclass(frozen=True, slots=True)
class NeedsMore:
    """A pool half read: `calls` must be made at the same block, and their results given to `with_answers`.

    `pool` and `known` are the family's own; a caller hands the whole value back.
    """

    calls: tuple[Call, ...]
    pool: Pool
    known: object


def wrong_token(pool: Pool, token: Address) -> UsageError:
    """The error for a token that `pool` does not hold."""
    return UsageError(f"pool {pool.address} holds {pool.token0} and {pool.token1}, not {token}")


def impact_bps(net_in: int, amount_out: int, spot: tuple[int, int]) -> float:
    """How far `amount_out / net_in` falls short of the `spot` price, in bps; never negative."""
    ideal = net_in * spot[0]
    if ideal <= 0:
        return 0.0
    return max(0.0, (ideal - amount_out * spot[1]) * 10_000 / ideal)
