"""Own capital that the owner deliberately keeps in the executor: no fee, off unless a limit is set."""

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
    nothing_to_discover,
    refuse,
    words_of,
)
from arbtui.units import Address


@dataclass(frozen=True, slots=True)
class OwnCapital:
    """`address` is the executor; `limit` in base units of any one token; 0 means off."""

    address: Address
    limit: int = 0
    id: LenderId = LenderId.OWN
    protocol: str = "own"
    version: str = "v1"
    gas_prior: int = 0

    def discover(self, token: Address) -> Discovery[None]:  # noqa: ARG002
        return nothing_to_discover(None)

    def reads(self, token: Address, amount: int, facts: None) -> tuple[Call, ...]:  # noqa: ARG002
        return (Call(token, encode_call("balanceOf(address)", self.address), "token.balanceOf(executor)"),)

    def terms(self, token: Address, amount: int, facts: None, answers: Sequence[CallResult]) -> Terms:
        words = words_of(self.reads(token, amount, facts), answers, self.address)
        if isinstance(words, Terms):
            return words
        (balance,) = words
        detail = "available is token.balanceOf(executor), to the limit"
        if self.limit == 0:
            off = f"own capital is off: lenders.own.limit is not set; {detail}"
            return refuse(Reason.DISABLED, off, balance, 0, self.address)
        return lend(amount, min(balance, self.limit), 0, detail, self.address)
