"""Balancer v2 Vault (balancer-v2-monorepo, FlashLoans.sol, ProtocolFeesCollector.sol): flashLoan.

The fee is a percentage of 1e18 set by governance (0 at most times, at most 1e16), rounded up. Every vault operation
shares one re-entrancy guard, so a path through the vault must not borrow from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arbtui.abi import decode_address, encode_call
from arbtui.domain import Call, CallResult, LenderId
from arbtui.lenders.base import Reason, Terms, lend, refuse, unreadable, word
from arbtui.units import Address, mul_div_up


@dataclass(frozen=True, slots=True)
class BalancerV2:
    address: Address
    id: LenderId = LenderId.BALANCER_V2
    protocol: str = "balancer"
    version: str = "v2"
    gas_prior: int = 41_000

    def discovery(self, token: Address) -> tuple[Call, ...]:  # noqa: ARG002
        return (
            Call(self.address, encode_call("getProtocolFeesCollector()"), "Vault.getProtocolFeesCollector"),
        )

    def discovered(self, token: Address, answers: Sequence[CallResult]) -> Address | Terms:
        if word(answers[0]) is None:
            return unreadable(self.discovery(token)[0], answers[0])
        return decode_address(answers[0].data, "Vault.getProtocolFeesCollector")

    def reads(self, token: Address, amount: int, facts: Address) -> tuple[Call, ...]:  # noqa: ARG002
        return (
            Call(
                facts, encode_call("getFlashLoanFeePercentage()"), "FeesCollector.getFlashLoanFeePercentage"
            ),
            Call(self.address, encode_call("getPausedState()"), "Vault.getPausedState"),
            Call(token, encode_call("balanceOf(address)", self.address), "token.balanceOf(Vault)"),
        )

    def terms(self, token: Address, amount: int, facts: Address, answers: Sequence[CallResult]) -> Terms:
        calls = self.reads(token, amount, facts)
        percentage, paused, available = (word(answer) for answer in answers)
        if percentage is None or paused is None or available is None:
            bad = next(i for i, answer in enumerate(answers) if word(answer) is None)
            return unreadable(calls[bad], answers[bad])
        fee = mul_div_up(amount, percentage, 10**18)
        if paused:
            return refuse(Reason.PAUSED, "Vault.getPausedState says paused", available, fee)
        if available == 0:
            return refuse(Reason.TOKEN_NOT_ACCEPTED, "the Vault holds none of this token", 0, fee)
        return lend(amount, available, fee, f"fee {percentage} of 1e18; available is token.balanceOf(Vault)")
