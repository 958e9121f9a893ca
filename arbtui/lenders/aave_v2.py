"""Aave v2 LendingPool (aave/protocol-v2, LendingPool.sol): flashLoan with mode 0.

Gate: whole-pool pause only; frozen reserves can still be flashed. Premium: FLASHLOAN_PREMIUM_TOTAL bps. Where the
configuration names the LendingPoolAddressesProvider, the pool is what it says now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arbtui.abi import encode_call
from arbtui.domain import Call, CallResult, LenderId
from arbtui.lenders.base import (
    Discovery,
    Reason,
    Terms,
    found_address,
    lend,
    looked_up,
    refuse,
    unreadable,
    words_of,
)
from arbtui.units import BPS, Address, mul_div_up

#: Position of aTokenAddress in v2's ReserveData (DataTypes.sol), in words.
_ATOKEN_WORD = 7


@dataclass(frozen=True, slots=True)
class Reserve:
    """Where an Aave market is, and the token that holds one reserve's liquidity."""

    pool: Address
    atoken: Address


@dataclass(frozen=True, slots=True)
class AaveV2:
    """`address` is the LendingPool, or `registry` its LendingPoolAddressesProvider."""

    address: Address | None
    registry: Address | None = None
    id: LenderId = LenderId.AAVE_V2
    protocol: str = "aave"
    version: str = "v2"
    gas_prior: int = 164_000

    def discover(self, token: Address) -> Discovery[Reserve | Terms]:
        what = "LendingPoolAddressesProvider.getLendingPool"
        registry = self.registry and Call(self.registry, encode_call("getLendingPool()"), what)
        pool = yield from looked_up(self.address, registry or None)
        if isinstance(pool, Terms):
            return pool
        return (yield from reserve_of(pool, token, "LendingPool.getReserveData", _ATOKEN_WORD))

    def reads(self, token: Address, amount: int, facts: Reserve) -> tuple[Call, ...]:  # noqa: ARG002
        premium = encode_call("FLASHLOAN_PREMIUM_TOTAL()")
        return (
            Call(facts.pool, premium, "LendingPool.FLASHLOAN_PREMIUM_TOTAL"),
            Call(facts.pool, encode_call("paused()"), "LendingPool.paused"),
            Call(token, encode_call("balanceOf(address)", facts.atoken), "token.balanceOf(aToken)"),
        )

    def terms(self, token: Address, amount: int, facts: Reserve, answers: Sequence[CallResult]) -> Terms:
        words = words_of(self.reads(token, amount, facts), answers, facts.pool)
        if isinstance(words, Terms):
            return words
        premium, paused, available = words
        fee = mul_div_up(amount, premium, BPS)
        detail = f"LendingPool.FLASHLOAN_PREMIUM_TOTAL {premium} bps; available is token.balanceOf(aToken)"
        if paused:
            why = f"LendingPool.paused is true; {detail}"
            return refuse(Reason.PAUSED, why, available, fee, facts.pool)
        return lend(amount, available, fee, detail, facts.pool)


def reserve_of(pool: Address, token: Address, what: str, atoken_word: int) -> Discovery[Reserve | Terms]:
    """The reserve in a getReserveData answer; both Aave versions answer zeros for what they do not list."""
    call = Call(pool, encode_call("getReserveData(address)", token), what)
    (answer,) = yield (call,)
    if not answer.success or len(answer.data) < 32 * (atoken_word + 1):
        return unreadable(call, answer, pool)
    atoken = found_address(answer, atoken_word)
    if atoken is None:
        return refuse(Reason.NOT_A_RESERVE, f"{what}: this pool does not list the token", source=pool)
    return Reserve(pool, atoken)
