"""Uniswap V2 pairs and their forks: constant product with an input fee.

Formulas: UniswapV2Library.getAmountOut / getAmountIn and UniswapV2Pair.swap / _update; whitepaper section 3.2.1.
The library's 997/1000 is here (1e6 - fee_ppm)/1e6: the same rational number, hence the same rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from arbtui.abi import encode_call, topic
from arbtui.domain import Call, CallResult, Log, PoolKind
from arbtui.errors import MalformedAnswer
from arbtui.market.family import Family
from arbtui.market.fields import Fields
from arbtui.market.logs import LogRefused, words_of
from arbtui.market.pool import NeedsMore, Pool, Stretch, Swap, SwapReverts, impact_bps, wrong_token
from arbtui.units import PPM, Address, Ppm, div_up

MAX_RESERVE = 2**112 - 1
_SYNC = topic("Sync(uint112,uint112)")
_SWAP = topic("Swap(address,uint256,uint256,uint256,uint256,address)")


@dataclass(frozen=True, slots=True)
class UniswapV2Pool:
    """A pair's state: reserves in base units, `fee_ppm` the input fee in millionths."""

    kind: ClassVar[PoolKind] = PoolKind.UNISWAP_V2

    address: Address
    dex: str
    token0: Address
    token1: Address
    fee_ppm: Ppm
    reserve0: int
    reserve1: int

    def _reserves(self, token_in: Address) -> tuple[int, int]:
        if token_in == self.token0:
            return self.reserve0, self.reserve1
        if token_in == self.token1:
            return self.reserve1, self.reserve0
        raise wrong_token(self, token_in)

    def swap_exact_in(self, token_in: Address, amount_in: int) -> Swap:
        """getAmountOut, then UniswapV2Pair.swap of its answer."""
        r_in, r_out = self._reserves(token_in)
        if amount_in <= 0:
            raise SwapReverts("INSUFFICIENT_INPUT_AMOUNT", self.address)
        if r_in <= 0 or r_out <= 0:
            raise SwapReverts("INSUFFICIENT_LIQUIDITY", self.address)
        net = amount_in * (PPM - self.fee_ppm)
        return self._swap(token_in, amount_in, net * r_out // (r_in * PPM + net))

    def swap_exact_out(self, token_in: Address, amount_out: int) -> Swap:
        """getAmountIn (which adds one unit even where the division is exact), then UniswapV2Pair.swap."""
        r_in, r_out = self._reserves(token_in)
        if amount_out <= 0:
            raise SwapReverts("INSUFFICIENT_OUTPUT_AMOUNT", self.address)
        if r_in <= 0 or r_out <= 0 or amount_out >= r_out:
            raise SwapReverts("INSUFFICIENT_LIQUIDITY", self.address)
        amount_in = r_in * amount_out * PPM // ((r_out - amount_out) * (PPM - self.fee_ppm)) + 1
        return self._swap(token_in, amount_in, amount_out)

    def _swap(self, token_in: Address, amount_in: int, amount_out: int) -> Swap:
        r_in, r_out = self._reserves(token_in)
        if amount_out <= 0:
            raise SwapReverts("INSUFFICIENT_OUTPUT_AMOUNT", self.address)
        left = r_out - amount_out
        if left <= 0:
            raise SwapReverts("INSUFFICIENT_LIQUIDITY", self.address)
        balance = r_in + amount_in
        if (balance * PPM - amount_in * self.fee_ppm) * left < r_in * r_out * PPM:
            raise SwapReverts("K", self.address)
        if balance > MAX_RESERVE:
            raise SwapReverts("OVERFLOW", self.address)
        r0, r1 = (balance, left) if token_in == self.token0 else (left, balance)
        # Numerator and denominator of the net input stay integers by carrying the 1e6 in the price.
        impact = impact_bps(amount_in * (PPM - self.fee_ppm), amount_out, (r_out, r_in * PPM))
        after = UniswapV2Pool(self.address, self.dex, self.token0, self.token1, self.fee_ppm, r0, r1)
        return Swap(amount_in, amount_out, div_up(amount_in * self.fee_ppm, PPM), impact, after)

    def quote_out(self, token_in: Address, amount_in: int) -> int:
        if token_in == self.token0:
            r_in, r_out = self.reserve0, self.reserve1
        else:
            r_in, r_out = self._reserves(token_in)
        if amount_in <= 0 or r_in <= 0 or r_in + amount_in > MAX_RESERVE:
            return 0
        net = amount_in * (PPM - self.fee_ppm)
        return net * r_out // (r_in * PPM + net)

    def least_in(self, token_in: Address, amount_out: int) -> int:
        r_in, r_out = self._reserves(token_in)
        if amount_out <= 0 or amount_out >= r_out or r_in <= 0:
            return 0
        amount = -(-r_in * amount_out * PPM // ((r_out - amount_out) * (PPM - self.fee_ppm)))
        return amount if r_in + amount <= MAX_RESERVE else 0

    def spot_ratio(self, token_in: Address) -> tuple[int, int]:
        r_in, r_out = self._reserves(token_in)
        return r_out, r_in

    def stretches(self, token_in: Address) -> Iterator[Stretch]:
        r_in, r_out = self._reserves(token_in)
        if r_in > 0 and r_out > 0:
            kept = PPM - self.fee_ppm
            yield Stretch(r_out * kept, r_in * PPM, kept, MAX_RESERVE - r_in, True)

    def virtual_reserves(self, token_in: Address) -> tuple[int, int]:
        return self._reserves(token_in)

    def capacity_in(self, token_in: Address) -> int | None:
        self._reserves(token_in)
        return None

    def depth(self, token: Address) -> int:
        return self._reserves(token)[0]


def read_calls(pool: Pool) -> tuple[Call, ...]:
    """UniswapV2Pair.getReserves()."""
    return (
        Call(pool.address, encode_call("getReserves()"), f"{pool.dex} pool {pool.address} getReserves()"),
    )


def with_answers(asked: Pool | NeedsMore, results: Sequence[CallResult]) -> Pool:
    """The pool with the reserves that were read. Raises MalformedAnswer for a failed, short or odd answer."""
    pool = asked.pool if isinstance(asked, NeedsMore) else asked
    assert isinstance(pool, UniswapV2Pool)  # noqa: S101 - the registry pairs kinds with modules
    what = f"{pool.dex} pool {pool.address} getReserves()"
    if len(results) != 1 or not results[0].success or len(results[0].data) < 96:
        raise MalformedAnswer(f"{what}: no answer of three words; is it a Uniswap V2 pair?")
    data = results[0].data
    reserve0, reserve1 = int.from_bytes(data[:32]), int.from_bytes(data[32:64])
    if reserve0 > MAX_RESERVE or reserve1 > MAX_RESERVE:
        raise MalformedAnswer(f"{what}: a reserve beyond uint112")
    return UniswapV2Pool(pool.address, pool.dex, pool.token0, pool.token1, pool.fee_ppm, reserve0, reserve1)


def from_fields(
    fields: Fields, address: Address, dex: str, token0: Address, token1: Address, fee_ppm: Ppm
) -> Pool:
    """A pool from the family's own fields of a snapshot line."""
    reserve0 = fields.integer("reserve0", 1, MAX_RESERVE)
    reserve1 = fields.integer("reserve1", 1, MAX_RESERVE)
    return UniswapV2Pool(address, dex, token0, token1, fee_ppm, reserve0, reserve1)


def state_fields(pool: Pool) -> dict[str, object]:
    """What a swap changes, as JSON: amounts are decimal strings."""
    assert isinstance(pool, UniswapV2Pool)  # noqa: S101
    return {"reserve0": str(pool.reserve0), "reserve1": str(pool.reserve1)}


def own_fields(pool: Pool) -> dict[str, object] | None:
    """The family's own fields of a snapshot line, None for a pair without reserves."""
    assert isinstance(pool, UniswapV2Pool)  # noqa: S101
    return state_fields(pool) if pool.reserve0 > 0 and pool.reserve1 > 0 else None


def apply_log(pool: Pool, log: Log) -> Pool:
    """UniswapV2Pair._update ends with Sync, which tells both reserves. Raises LogRefused for one that cannot be."""
    assert isinstance(pool, UniswapV2Pool)  # noqa: S101
    if log.topics[0] != _SYNC:
        raise LogRefused("an event that is not one of its family", pool.address)
    reserve0, reserve1 = words_of(log, "Sync", 1, 2)
    if reserve0 > MAX_RESERVE or reserve1 > MAX_RESERVE:
        raise LogRefused("a Sync with a reserve beyond uint112", pool.address)
    return UniswapV2Pool(pool.address, pool.dex, pool.token0, pool.token1, pool.fee_ppm, reserve0, reserve1)


def unread(pool: Pool) -> Pool:
    """The pair with nothing known of its state; every swap on it reverts."""
    return UniswapV2Pool(pool.address, pool.dex, pool.token0, pool.token1, pool.fee_ppm, 0, 0)


def difference(kept: Pool, read: Pool) -> str:
    """What of `kept` is not as it was read; "" where all is."""
    assert isinstance(kept, UniswapV2Pool)  # noqa: S101
    assert isinstance(read, UniswapV2Pool)  # noqa: S101
    return "; ".join(
        f"{name} {getattr(kept, name)}, on the chain {getattr(read, name)}"
        for name in ("reserve0", "reserve1")
        if getattr(kept, name) != getattr(read, name)
    )


FAMILY = Family(
    read_calls=read_calls,
    with_answers=with_answers,
    from_fields=from_fields,
    own_fields=own_fields,
    state_fields=state_fields,
    log_topics=frozenset({_SYNC}),
    swap_topics=frozenset({_SWAP}),
    apply_log=apply_log,
    unread=unread,
    # A Sync says all there is to know.
    wants_reading=lambda _: False,
    difference=difference,
)
