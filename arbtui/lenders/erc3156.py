"""Any ERC-3156 lender (https://eips.ethereum.org/EIPS/eip-3156): maxFlashLoan, flashFee, flashLoan.

`maxFlashLoan` answers 0 for a token that is not lent, and `flashFee` reverts for it; some lenders do only one of the
two. A lender that wants repayment by transfer, not by allowance (crvUSD's), breaks the standard and is not served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arbtui.abi import encode_call
from arbtui.domain import Call, CallResult, LenderId
from arbtui.lenders.base import Discovery, Reason, Terms, lend, nothing_to_discover, refuse, unreadable, word
from arbtui.units import Address


@dataclass(frozen=True, slots=True)
class Erc3156:
    address: Address
    id: LenderId = LenderId.ERC3156
    protocol: str = "erc3156"
    version: str = "v1"
    #: OpenZeppelin's ERC20FlashMint over own capital, on the local chain of the design's measurements: 28,200.
    gas_prior: int = 29_000

    def discover(self, token: Address) -> Discovery[Address]:  # noqa: ARG002
        return nothing_to_discover(self.address)

    def reads(self, token: Address, amount: int, facts: Address) -> tuple[Call, ...]:
        return erc3156_reads(facts, "lender", token, amount)

    def terms(self, token: Address, amount: int, facts: Address, answers: Sequence[CallResult]) -> Terms:
        calls = self.reads(token, amount, facts)
        return erc3156_terms("the lender", amount, facts, calls, answers)


def erc3156_reads(lender: Address, name: str, token: Address, amount: int) -> tuple[Call, ...]:
    """What the standard lets one ask; `name` is how the contract is called in explanations."""
    return (
        Call(lender, encode_call("maxFlashLoan(address)", token), f"{name}.maxFlashLoan"),
        Call(lender, encode_call("flashFee(address,uint256)", token, amount), f"{name}.flashFee"),
    )


def erc3156_terms(
    name: str, amount: int, source: Address, calls: Sequence[Call], answers: Sequence[CallResult]
) -> Terms:
    """Terms from the answers to `erc3156_reads`."""
    ceiling, fee = word(answers[0]), word(answers[1])
    if ceiling is None:
        return unreadable(calls[0], answers[0], source)
    if fee is None:
        not_lent = f"{name} does not lend this token: flashFee reverts"
        return refuse(Reason.TOKEN_NOT_ACCEPTED, not_lent, ceiling, None, source)
    if amount > ceiling:
        short = f"{name}: short by {amount - ceiling} of maxFlashLoan {ceiling}"
        return refuse(Reason.CEILING, short, ceiling, fee, source)
    return lend(amount, ceiling, fee, f"{name}: flashFee {fee}; available is maxFlashLoan", source)
