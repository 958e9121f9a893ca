"""Aave v3 Pool (aave-dao/aave-v3-origin, Pool.sol, ValidationLogic.validateFlashloanSimple): flashLoanSimple.

Gates from one word, Pool.getConfiguration: bit 56 active, 60 paused, 63 flash loans enabled; a frozen reserve may be
flashed. The premium rounds up in current code and half-up before, so it is quoted rounded up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arbtui.abi import encode_call
from arbtui.domain import Call, CallResult, LenderId
from arbtui.lenders.aave_v2 import atoken_of
from arbtui.lenders.base import Reason, Terms, lend, refuse, unreadable, word
from arbtui.units import BPS, Address, mul_div_up

#: Position of aTokenAddress in v3's ReserveDataLegacy (DataTypes.sol), in words.
_ATOKEN_WORD = 8
_ACTIVE, _PAUSED, _FLASH_LOAN_ENABLED = 1 << 56, 1 << 60, 1 << 63


@dataclass(frozen=True, slots=True)
class AaveV3:
    address: Address
    id: LenderId = LenderId.AAVE_V3
    protocol: str = "aave"
    version: str = "v3"
    gas_prior: int = 144_000

    def discovery(self, token: Address) -> tuple[Call, ...]:
        return (Call(self.address, encode_call("getReserveData(address)", token), "Pool.getReserveData"),)

    def discovered(self, token: Address, answers: Sequence[CallResult]) -> Address | Terms:
        return atoken_of(self.discovery(token)[0], answers[0], _ATOKEN_WORD)

    def reads(self, token: Address, amount: int, facts: Address) -> tuple[Call, ...]:  # noqa: ARG002
        return (
            Call(self.address, encode_call("FLASHLOAN_PREMIUM_TOTAL()"), "Pool.FLASHLOAN_PREMIUM_TOTAL"),
            Call(self.address, encode_call("getConfiguration(address)", token), "Pool.getConfiguration"),
            Call(facts, encode_call("totalSupply()"), "aToken.totalSupply"),
            Call(token, encode_call("balanceOf(address)", facts), "token.balanceOf(aToken)"),
            Call(
                self.address,
                encode_call("getVirtualUnderlyingBalance(address)", token),
                "Pool.getVirtualUnderlyingBalance",
            ),
        )

    def terms(self, token: Address, amount: int, facts: Address, answers: Sequence[CallResult]) -> Terms:
        calls = self.reads(token, amount, facts)
        premium, configuration, supply, balance, virtual = (word(answer) for answer in answers)
        if premium is None or configuration is None or supply is None or balance is None:
            bad = next(i for i, answer in enumerate(answers) if word(answer) is None)
            return unreadable(calls[bad], answers[bad])
        # Before v3.1 there is no virtual balance and the call reverts; donated tokens then count as liquidity.
        source = "token.balanceOf(aToken)" if virtual is None else "Pool.getVirtualUnderlyingBalance"
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
        for closed, reason, detail in gates:
            if closed:
                return refuse(reason, f"Pool.getConfiguration: {detail}", available, fee)
        return lend(
            amount, available, fee, f"premium {premium} bps; available is min({source}, aToken.totalSupply)"
        )
