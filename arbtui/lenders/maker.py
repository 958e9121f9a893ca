"""Maker's DssFlash (makerdao/dss-flash, flash.sol; ERC-3156): flashLoan of DAI alone, up to its own `max`.

`maxFlashLoan` is 0 while a loan is open but does not look at the system's live flag, so that is read beside it: from
the Vat where the contract names one, else from the contract itself (the local chain's stand-in). Where the
configuration names Maker's chainlog, the contract is what stands there under MCD_FLASH now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arbtui.abi import encode_call
from arbtui.domain import Call, CallResult, LenderId
from arbtui.lenders.base import Discovery, Reason, Terms, found_address, looked_up, refuse, unreadable, word
from arbtui.lenders.erc3156 import erc3156_reads, erc3156_terms
from arbtui.units import Address

_KEY = b"MCD_FLASH".ljust(32, b"\0")


@dataclass(frozen=True, slots=True)
class Flash:
    """The DssFlash, and the contract whose live flag counts."""

    lender: Address
    live: Address


@dataclass(frozen=True, slots=True)
class Maker:
    """`address` is DssFlash, or `registry` the chainlog.

    `stand_in`: the contract is not Maker's but the local chain's, and is called so wherever it is shown.
    """

    address: Address | None
    registry: Address | None = None
    stand_in: bool = False
    id: LenderId = LenderId.MAKER
    protocol: str = "maker"
    version: str = "v1"

    @property
    def gas_prior(self) -> int:
        """The stand-in's as contracts/README.md has it; DssFlash's from runs against the real one."""
        return 39_000 if self.stand_in else 205_000

    def discover(self, token: Address) -> Discovery[Flash | Terms]:  # noqa: ARG002
        what = "Chainlog.getAddress(MCD_FLASH)"
        registry = self.registry and Call(self.registry, encode_call("getAddress(bytes32)", _KEY), what)
        lender = yield from looked_up(self.address, registry or None)
        if isinstance(lender, Terms):
            return lender
        (vat,) = yield (Call(lender, encode_call("vat()"), "DssFlash.vat"),)
        return Flash(lender, found_address(vat) or lender)

    def reads(self, token: Address, amount: int, facts: Flash) -> tuple[Call, ...]:
        live = Call(facts.live, encode_call("live()"), "Vat.live")
        return (*erc3156_reads(facts.lender, "DssFlash", token, amount), live)

    def terms(self, token: Address, amount: int, facts: Flash, answers: Sequence[CallResult]) -> Terms:
        name = "the local chain's stand-in for DssFlash" if self.stand_in else "DssFlash"
        calls = self.reads(token, amount, facts)
        terms = erc3156_terms(name, amount, facts.lender, calls, answers)
        live = word(answers[2])
        if live is None and terms.reason is not Reason.NO_CODE:
            return unreadable(calls[2], answers[2], facts.lender)
        if live != 1 and terms.reason in (None, Reason.CEILING):
            not_live = f"{name}: Vat.live is {live}"
            return refuse(Reason.NOT_LIVE, not_live, terms.available, terms.fee, facts.lender)
        return terms
