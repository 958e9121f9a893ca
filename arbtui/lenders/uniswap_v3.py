"""Uniswap V3 pools (v3-core, UniswapV3Pool.sol): flash, for the pool's own fee, rounded up.

Lends what the pool holds of the token; it needs liquidity in range (`L`). The pool is locked during its callback, so
one that the path trades on cannot lend for it. Forks whose callback has another name are not served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arbtui.abi import encode_call
from arbtui.domain import Call, CallResult, LenderId, PoolKind
from arbtui.lenders.base import Discovery, Reason, Terms, lend, refuse, word, words_of
from arbtui.lenders.uniswap import PoolsOf, cheapest_pool, deepest_of_each_fee
from arbtui.units import PPM, Address, mul_div_up


@dataclass(frozen=True, slots=True)
class FeePool:
    address: Address
    fee_ppm: int


@dataclass(frozen=True, slots=True)
class UniswapV3:
    """`pools` are the known ones that hold a token; only those of `dexes` can lend."""

    pools: PoolsOf
    dexes: frozenset[str]
    id: LenderId = LenderId.UNISWAP_V3
    protocol: str = "uniswap"
    version: str = "v3"
    #: Balancer v2's, and what a plain loan costs above one from Balancer (docs/lenders.md, "Gas").
    gas_prior: int = 45_000

    def discover(self, token: Address) -> Discovery[tuple[FeePool, ...] | Terms]:
        known = [
            pool.address
            for pool in self.pools(token)
            if pool.kind is PoolKind.UNISWAP_V3 and pool.dex in self.dexes
        ]
        answers = yield tuple(
            call
            for pool in known
            for call in (Call(pool, encode_call("fee()"), "pool.fee"), _balance(token, pool))
        )
        rows = []
        for number, pool in enumerate(known):
            fee, held = (word(answer) for answer in answers[2 * number : 2 * number + 2])
            if fee is not None and held is not None:
                rows.append((fee, held, pool, FeePool(pool, fee)))
        kept = deepest_of_each_fee(rows)
        none = (
            f"none of the known pools of {', '.join(sorted(self.dexes))} is a Uniswap V3 pool of this token"
        )
        return kept or refuse(Reason.TOKEN_NOT_ACCEPTED, none)

    def reads(self, token: Address, amount: int, facts: tuple[FeePool, ...]) -> tuple[Call, ...]:  # noqa: ARG002
        return tuple(
            call
            for pool in facts
            for call in (
                Call(pool.address, encode_call("liquidity()"), "pool.liquidity"),
                _balance(token, pool.address),
            )
        )

    def terms(
        self, token: Address, amount: int, facts: tuple[FeePool, ...], answers: Sequence[CallResult]
    ) -> Terms:
        calls = self.reads(token, amount, facts)
        return cheapest_pool(
            [
                _offer(
                    pool, amount, words_of(calls[2 * i : 2 * i + 2], answers[2 * i : 2 * i + 2], pool.address)
                )
                for i, pool in enumerate(facts)
            ]
        )


def _balance(token: Address, pool: Address) -> Call:
    return Call(token, encode_call("balanceOf(address)", pool), "token.balanceOf(pool)")


def _offer(pool: FeePool, amount: int, words: tuple[int, ...] | Terms) -> Terms:
    if isinstance(words, Terms):
        return words
    liquidity, available = words
    fee = mul_div_up(amount, pool.fee_ppm, PPM)
    if liquidity == 0:
        no_range = f"pool {pool.address}: pool.liquidity is 0, and flash needs some"
        return refuse(Reason.INSUFFICIENT_LIQUIDITY, no_range, 0, fee, pool.address)
    detail = f"pool {pool.address}: pool.fee {pool.fee_ppm} ppm; available is token.balanceOf(pool)"
    return lend(amount, available, fee, detail, pool.address)
