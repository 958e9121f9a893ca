"""Aave v2 LendingPool (aave/protocol-v2, LendingPool.sol): flashLoan with mode 0.

Gate: whole-pool pause only; frozen reserves can still be flashed. Premium: FLASHLOAN_PREMIUM_TOTAL bps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arbtui.abi import decode_address, encode_call
from arbtui.domain import Call, CallResult, LenderId
from arbtui.lenders.base import Reason, Terms, lend, refuse, unreadable, word
from arbtui.units import BPS, ZERO_ADDRESS, Address, mul_div_up

#: Position of aTokenAddress in v2's ReserveData (DataTypes.sol), in words.
_ATOKEN_WORD = 7


@dataclass(frozen=True, slots=True)
class AaveV2:
    address: Address
    id: LenderId = LenderId.AAVE_V2
    protocol: str = "aave"
    version: str = "v2"
    gas_prior: int = 169_000

    def discovery(self, token: Address) -> tuple[Call, ...]:
        data = encode_call("getReserveData(address)", token)
        return (Call(self.address, data, "LendingPool.getReserveData"),)

    def discovered(self, token: Address, answers: Sequence[CallResult]) -> Address | Terms:
        return atoken_of(self.discovery(token)[0], answers[0], _ATOKEN_WORD)

    def reads(self, token: Address, amount: int, facts: Address) -> tuple[Call, ...]:  # noqa: ARG002
        return (
            Call(
                self.address, encode_call("FLASHLOAN_PREMIUM_TOTAL()"), "LendingPool.FLASHLOAN_PREMIUM_TOTAL"
            ),
            Call(self.address, encode_call("paused()"), "LendingPool.paused"),
            Call(token, encode_call("balanceOf(address)", facts), "token.balanceOf(aToken)"),
        )

    def terms(self, token: Address, amount: int, facts: Address, answers: Sequence[CallResult]) -> Terms:
        calls = self.reads(token, amount, facts)
        premium, paused, available = (word(answer) for answer in answers)
        if premium is None or paused is None or available is None:
            bad = next(i for i, answer in enumerate(answers) if word(answer) is None)
            return unreadable(calls[bad], answers[bad])
        fee = mul_div_up(amount, premium, BPS)
        if paused:
            return refuse(Reason.PAUSED, "LendingPool.paused is true", available, fee)
        return lend(amount, available, fee, f"premium {premium} bps; available is token.balanceOf(aToken)")


def atoken_of(call: Call, answer: CallResult, position: int) -> Address | Terms:
    """The aToken in a ReserveData answer; both Aave versions answer zeros for what is not a reserve."""
    if not answer.success or len(answer.data) < 32 * (position + 1):
        return unreadable(call, answer)
    atoken = decode_address(answer.data[32 * position : 32 * (position + 1)], call.what)
    if atoken == ZERO_ADDRESS:
        return refuse(Reason.NOT_A_RESERVE, f"{call.what}: this pool does not list the token")
    return atoken
