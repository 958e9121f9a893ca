"""Uniswap V2 pairs (v2-core, UniswapV2Pair.sol): a flash swap, that is `swap` with data, repaid in the same token.

The pair keeps its product after the fee on what comes back: (R - a + r)·1000 - 3r >= 1000·R, so r is a·1000/997
rounded up, and the loan costs r - a. It lends less than its reserve, never the whole. The pair is locked during its
callback, so one that the path trades on cannot lend for it. Forks whose callback has another name are not served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arbtui.abi import encode_call
from arbtui.domain import Call, CallResult, LenderId, PoolKind
from arbtui.lenders.base import Discovery, Reason, Terms, lend, refuse, unreadable
from arbtui.lenders.uniswap import PoolsOf, cheapest_pool, deepest_of_each_fee
from arbtui.units import PPM, Address, mul_div_up


@dataclass(frozen=True, slots=True)
class Pair:
    """`side` is 0 where the token is token0, else 1. No pair tells its fee: it is the configured one."""

    address: Address
    side: int
    fee_ppm: int


@dataclass(frozen=True, slots=True)
class UniswapV2:
    """`pools` are the known ones that hold a token; only those of `dexes` can lend."""

    pools: PoolsOf
    dexes: frozenset[str]
    id: LenderId = LenderId.UNISWAP_V2
    protocol: str = "uniswap"
    version: str = "v2"
    #: Balancer v2's, and what a plain loan costs above one from Balancer (docs/lenders.md, "Gas").
    gas_prior: int = 51_000

    def discover(self, token: Address) -> Discovery[tuple[Pair, ...] | Terms]:
        known = [
            Pair(pool.address, int(pool.token0 != token), pool.fee_ppm)
            for pool in self.pools(token)
            if pool.kind is PoolKind.UNISWAP_V2 and pool.dex in self.dexes
        ]
        answers = yield tuple(_reserves(pair) for pair in known)
        rows = []
        for pair, answer in zip(known, answers, strict=True):
            reserve = _reserve(pair, answer)
            if reserve is not None:
                rows.append((pair.fee_ppm, reserve, pair.address, pair))
        kept = deepest_of_each_fee(rows)
        none = (
            f"none of the known pools of {', '.join(sorted(self.dexes))} is a Uniswap V2 pair of this token"
        )
        return kept or refuse(Reason.TOKEN_NOT_ACCEPTED, none)

    def reads(self, token: Address, amount: int, facts: tuple[Pair, ...]) -> tuple[Call, ...]:  # noqa: ARG002
        return tuple(_reserves(pair) for pair in facts)

    def terms(
        self,
        token: Address,  # noqa: ARG002
        amount: int,
        facts: tuple[Pair, ...],
        answers: Sequence[CallResult],
    ) -> Terms:
        return cheapest_pool(
            [_offer(pair, amount, answer) for pair, answer in zip(facts, answers, strict=True)]
        )


def _reserves(pair: Pair) -> Call:
    return Call(pair.address, encode_call("getReserves()"), "pair.getReserves")


def _reserve(pair: Pair, answer: CallResult) -> int | None:
    raw = answer.data[32 * pair.side : 32 * (pair.side + 1)]
    return int.from_bytes(raw, "big") if answer.success and len(raw) == 32 else None


def _offer(pair: Pair, amount: int, answer: CallResult) -> Terms:
    reserve = _reserve(pair, answer)
    if reserve is None:
        return unreadable(_reserves(pair), answer, pair.address)
    fee = mul_div_up(amount, PPM, PPM - pair.fee_ppm) - amount
    detail = (
        f"pair {pair.address}: {pair.fee_ppm} ppm of what is repaid; available is pair.getReserves less 1"
    )
    return lend(amount, max(0, reserve - 1), fee, detail, pair.address)
