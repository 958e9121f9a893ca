"""Morpho Blue (morpho-org/morpho-blue, Morpho.sol): flashLoan of whatever the singleton holds, without a fee.

All markets' tokens lie in the one contract. There is no pause and no ceiling; a loan of nothing reverts.
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
    nothing_to_discover,
    refuse,
    words_of,
)
from arbtui.units import Address


@dataclass(frozen=True, slots=True)
class Morpho:
    address: Address
    id: LenderId = LenderId.MORPHO
    protocol: str = "morpho"
    version: str = "blue"
    #: Balancer v2's, and what a plain loan costs above one from Balancer (docs/lenders.md, "Gas").
    gas_prior: int = 37_000

    def discover(self, token: Address) -> Discovery[None]:  # noqa: ARG002
        return nothing_to_discover(None)

    def reads(self, token: Address, amount: int, facts: None) -> tuple[Call, ...]:  # noqa: ARG002
        # The owner is asked only to tell Morpho from an address without code: a balance says nothing of that.
        return (
            Call(self.address, encode_call("owner()"), "Morpho.owner"),
            Call(token, encode_call("balanceOf(address)", self.address), "token.balanceOf(Morpho)"),
        )

    def terms(self, token: Address, amount: int, facts: None, answers: Sequence[CallResult]) -> Terms:
        words = words_of(self.reads(token, amount, facts), answers, self.address)
        if isinstance(words, Terms):
            return words
        _, available = words
        if available == 0:
            nothing = "token.balanceOf(Morpho): Morpho holds none of this token"
            return refuse(Reason.TOKEN_NOT_ACCEPTED, nothing, 0, 0, self.address)
        return lend(amount, available, 0, "no fee; available is token.balanceOf(Morpho)", self.address)
