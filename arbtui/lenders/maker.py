"""Maker's DssFlash (makerdao/dss-flash, flash.sol; ERC-3156): flashLoan of DAI alone, up to its own `max`.

`maxFlashLoan` is 0 while a loan is open but does not look at the system's live flag, so that is read beside it: from
the Vat where the contract names one, else from the contract itself (the local chain's stand-in).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arbtui.abi import decode_address, encode_call
from arbtui.domain import Call, CallResult, LenderId
from arbtui.lenders.base import Reason, Terms, lend, refuse, unreadable, word
from arbtui.units import Address


@dataclass(frozen=True, slots=True)
class Maker:
    """`stand_in`: the contract is not Maker's but the local chain's, and is called so wherever it is shown."""

    address: Address
    stand_in: bool = False
    id: LenderId = LenderId.MAKER
    protocol: str = "maker"
    version: str = "v1"

    @property
    def gas_prior(self) -> int:
        """The stand-in's as contracts/README.md has it; DssFlash's from runs against the real one."""
        return 60_000 if self.stand_in else 205_000

    def discovery(self, token: Address) -> tuple[Call, ...]:  # noqa: ARG002
        return (Call(self.address, encode_call("vat()"), "DssFlash.vat"),)

    def discovered(self, token: Address, answers: Sequence[CallResult]) -> Address:  # noqa: ARG002
        if word(answers[0]) is None:
            return self.address
        return decode_address(answers[0].data, "DssFlash.vat")

    def reads(self, token: Address, amount: int, facts: Address) -> tuple[Call, ...]:
        return (
            Call(self.address, encode_call("maxFlashLoan(address)", token), "DssFlash.maxFlashLoan"),
            Call(self.address, encode_call("flashFee(address,uint256)", token, amount), "DssFlash.flashFee"),
            Call(facts, encode_call("live()"), "Vat.live"),
        )

    def terms(self, token: Address, amount: int, facts: Address, answers: Sequence[CallResult]) -> Terms:
        calls = self.reads(token, amount, facts)
        ceiling, fee, live = (word(answer) for answer in answers)
        if ceiling is None or live is None:
            bad = 0 if ceiling is None else 2
            return unreadable(calls[bad], answers[bad])
        name = "the local chain's stand-in for DssFlash" if self.stand_in else "DssFlash"
        if fee is None:
            return refuse(Reason.TOKEN_NOT_ACCEPTED, f"{name} lends DAI only: flashFee reverts", ceiling)
        if live != 1:
            return refuse(Reason.NOT_LIVE, f"{name}: live is {live}", ceiling, fee)
        if amount > ceiling:
            return refuse(
                Reason.CEILING, f"{name}: short by {amount - ceiling} of maxFlashLoan {ceiling}", ceiling, fee
            )
        return lend(amount, ceiling, fee, f"{name}: available is maxFlashLoan")
