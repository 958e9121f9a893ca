"""Aave v3 Pool (aave-dao/aave-v3-origin, Pool.sol, ValidationLogic.validateFlashloanSimple): flashLoanSimple.

Gates from one word, Pool.getConfiguration: bit 56 active, 60 paused, 63 flash loans enabled; a frozen reserve may be
flashed. The premium rounds up in current code and half-up before, so it is quoted rounded up. Spark and Aave's Prime
market speak the same interface and are further instances of this class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arbtui.abi import encode_call
from arbtui.domain import Call, CallResult, LenderId
from arbtui.lenders.aave_v2 import Reserve, reserve_of
from arbtui.lenders.base import Discovery, Reason, Terms, lend, looked_up, refuse, word, words_of
from arbtui.units import BPS, Address, mul_div_up

#: Position of aTokenAddress in v3's ReserveDataLegacy (DataTypes.sol), in words.
_ATOKEN_WORD = 8
_ACTIVE, _PAUSED, _FLASH_LOAN_ENABLED = 1 << 56, 1 << 60, 1 << 63


@dataclass(frozen=True, slots=True)
class AaveV3:
    """`address` is the Pool, or `registry` its PoolAddressesProvider."""

    address: Address | None
    registry: Address | None = None
    id: LenderId = LenderId.AAVE_V3
    protocol: str = "aave"
    version: str = "v3"
    gas_prior: int = 137_000

    def discover(self, token: Address) -> Discovery[Reserve | Terms]:
        what = "PoolAddressesProvider.getPool"
        registry = self.registry and Call(self.registry, encode_call("getPool()"), what)
        pool = yield from looked_up(self.address, registry or None)
        if isinstance(pool, Terms):
            return pool
        return (yield from reserve_of(pool, token, "Pool.getReserveData", _ATOKEN_WORD))

    def reads(self, token: Address, amount: int, facts: Reserve) -> tuple[Call, ...]:  # noqa: ARG002
        pool, virtual = facts.pool, encode_call("getVirtualUnderlyingBalance(address)", token)
        return (
            Call(pool, encode_call("FLASHLOAN_PREMIUM_TOTAL()"), "Pool.FLASHLOAN_PREMIUM_TOTAL"),
            Call(pool, encode_call("getConfiguration(address)", token), "Pool.getConfiguration"),
            Call(facts.atoken, encode_call("totalSupply()"), "aToken.totalSupply"),
            Call(token, encode_call("balanceOf(address)", facts.atoken), "token.balanceOf(aToken)"),
            Call(pool, virtual, "Pool.getVirtualUnderlyingBalance"),
        )

    def terms(self, token: Address, amount: int, facts: Reserve, answers: Sequence[CallResult]) -> Terms:
        words = words_of(self.reads(token, amount, facts)[:4], answers, facts.pool)
        if isinstance(words, Terms):
            return words
        premium, configuration, supply, balance = words
        virtual = word(answers[4])
        # Before v3.1 there is no virtual balance and the call reverts; donated tokens then count as liquidity.
        read = "token.balanceOf(aToken)" if virtual is None else "Pool.getVirtualUnderlyingBalance"
        available = min(balance if virtual is None else virtual, supply)
        fee = mul_div_up(amount, premium, BPS)
        gates = (
            (not configuration & _ACTIVE, Reason.INACTIVE, "the reserve is not active (bit 56)"),
            (configuration & _PAUSED, Reason.PAUSED, "the reserve is paused (bit 60)"),
            (
                not configuration & _FLASH_LOAN_ENABLED,
                Reason.FLASH_LOANS_DISABLED,
                "flash loans are disabled for the reserve (bit 63)",
            ),
        )
        detail = f"Pool.FLASHLOAN_PREMIUM_TOTAL {premium} bps; available is the lesser of {read} and aToken.totalSupply"
        for closed, reason, why in gates:
            if closed:
                return refuse(reason, f"Pool.getConfiguration: {why}; {detail}", available, fee, facts.pool)
        return lend(amount, available, fee, detail, facts.pool)
