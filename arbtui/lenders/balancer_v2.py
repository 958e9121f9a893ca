"""Balancer v2 Vault (balancer-v2-monorepo, FlashLoans.sol, ProtocolFeesCollector.sol): flashLoan.

The fee is a percentage of 1e18 set by governance (0 at most times, at most 1e16), rounded up. Every vault operation
shares one re-entrancy guard, so a path through the vault must not borrow from it.
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
    lend,
    looked_up,
    refuse,
    words_of,
)
from arbtui.units import Address, mul_div_up


@dataclass(frozen=True, slots=True)
class BalancerV2:
    """`address` is the Vault; its ProtocolFeesCollector is asked of it."""

    address: Address
    id: LenderId = LenderId.BALANCER_V2
    protocol: str = "balancer"
    version: str = "v2"
    gas_prior: int = 36_000

    def discover(self, token: Address) -> Discovery[Address | Terms]:  # noqa: ARG002
        collector = encode_call("getProtocolFeesCollector()")
        return looked_up(None, Call(self.address, collector, "Vault.getProtocolFeesCollector"))

    def reads(self, token: Address, amount: int, facts: Address) -> tuple[Call, ...]:  # noqa: ARG002
        fee = encode_call("getFlashLoanFeePercentage()")
        return (
            Call(facts, fee, "FeesCollector.getFlashLoanFeePercentage"),
            Call(self.address, encode_call("getPausedState()"), "Vault.getPausedState"),
            Call(token, encode_call("balanceOf(address)", self.address), "token.balanceOf(Vault)"),
        )

    def terms(self, token: Address, amount: int, facts: Address, answers: Sequence[CallResult]) -> Terms:
        words = words_of(self.reads(token, amount, facts), answers, self.address)
        if isinstance(words, Terms):
            return words
        percentage, paused, available = words
        fee = mul_div_up(amount, percentage, 10**18)
        detail = f"FeesCollector.getFlashLoanFeePercentage {percentage} of 1e18; available is token.balanceOf(Vault)"
        if paused:
            why = f"Vault.getPausedState says paused; {detail}"
            return refuse(Reason.PAUSED, why, available, fee, self.address)
        if available == 0:
            nothing = "token.balanceOf(Vault): the Vault holds none of this token"
            return refuse(Reason.TOKEN_NOT_ACCEPTED, nothing, 0, fee, self.address)
        return lend(amount, available, fee, detail, self.address)
