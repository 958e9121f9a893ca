"""Own capital that the owner deliberately keeps in the executor: no fee, off unless a limit is set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arbtui.abi import encode_call
from arbtui.domain import Call, CallResult, LenderId
from arbtui.lenders.base import Reason, Terms, lend, refuse, unreadable, word
from arbtui.units import Address


@dataclass(frozen=True, slots=True)
class OwnCapital:
    """`limit` in base units of any one token; 0 means off."""

    address: Address
    limit: int = 0
    id: LenderId = LenderId.OWN
    protocol: str = "own"
    version: str = "v1"
    gas_prior: int = 0

    def discovery(self, token: Address) -> tuple[Call, ...]:  # noqa: ARG002
        return ()

    def discovered(self, token: Address, answers: Sequence[CallResult]) -> None:  # noqa: ARG002
        return None

    def reads(self, token: Address, amount: int, facts: None) -> tuple[Call, ...]:  # noqa: ARG002
        return (Call(token, encode_call("balanceOf(address)", self.address), "token.balanceOf(executor)"),)

    def terms(self, token: Address, amount: int, facts: None, answers: Sequence[CallResult]) -> Terms:
        balance = word(answers[0])
        if balance is None:
            return unreadable(self.reads(token, amount, facts)[0], answers[0])
        if self.limit == 0:
            return refuse(Reason.DISABLED, "own capital is off: lenders.own.limit is not set", balance, 0)
        return lend(
            amount, min(balance, self.limit), 0, "available is token.balanceOf(executor), to the limit"
        )
