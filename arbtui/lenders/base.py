"""What a lender must answer, and the words it answers "no" in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from arbtui.abi import decode_uint
from arbtui.domain import Call, CallResult, ConversionRate, LenderId
from arbtui.units import Address, Wei


class Reason(StrEnum):
    """Why a lender cannot lend this amount of this token at this block."""

    PAUSED = "paused"
    INACTIVE = "inactive"
    FLASH_LOANS_DISABLED = "flash_loans_disabled"
    INSUFFICIENT_LIQUIDITY = "insufficient_liquidity"
    NOT_A_RESERVE = "not_a_reserve"
    TOKEN_NOT_ACCEPTED = "token_not_accepted"  # noqa: S105 - a reason code
    CEILING = "ceiling"
    NOT_LIVE = "not_live"
    COLLIDES_WITH_PATH = "collides_with_path"
    NO_CODE = "no_code"
    UNREADABLE = "unreadable"
    DISABLED = "disabled"
    ZERO_AMOUNT = "zero_amount"


@dataclass(frozen=True, slots=True)
class Terms:
    """A lender's raw answer: `available` and `fee` in base units of the token, `reason` None where it lends."""

    reason: Reason | None
    detail: str
    available: int | None
    fee: int | None


@dataclass(frozen=True, slots=True)
class GasView:
    """What gas costs now: wei per gas expected to be paid, and the token's worth of a wei.

    `overheads` holds measured gas per lender, over the same route with own capital, from own receipts.
    """

    price: Wei
    rate: ConversionRate | None
    overheads: dict[LenderId, int]


class Lender(Protocol):
    """One flash lender. Pure: it names the reads it needs and understands their answers.

    `discovery` reads what never changes for a token (addresses); `reads` what may change every block. `facts` is
    whatever `discovered` made of the discovery's answers; a Terms there is a refusal that needs no further read.
    """

    @property
    def id(self) -> LenderId: ...

    @property
    def protocol(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def address(self) -> Address: ...

    @property
    def gas_prior(self) -> int:
        """Gas over the same route with own capital, before own receipts tell better."""

    def discovery(self, token: Address) -> tuple[Call, ...]: ...

    def discovered(self, token: Address, answers: Sequence[CallResult]) -> Any: ...

    def reads(self, token: Address, amount: int, facts: Any) -> tuple[Call, ...]: ...

    def terms(self, token: Address, amount: int, facts: Any, answers: Sequence[CallResult]) -> Terms: ...


def refuse(reason: Reason, detail: str, available: int | None = None, fee: int | None = None) -> Terms:
    return Terms(reason, detail, available, fee)


def unreadable(call: Call, answer: CallResult) -> Terms:
    """The contract did not answer as this lender does."""
    if answer.success and not answer.data:
        return refuse(Reason.NO_CODE, f"{call.what}: nothing is deployed at {call.target}")
    return refuse(
        Reason.UNREADABLE, f"{call.what} on {call.target} answered {len(answer.data)} bytes it should not"
    )


def word(answer: CallResult) -> int | None:
    """The answer's first word, or None where the call failed or brought less."""
    if not answer.success or len(answer.data) < 32:
        return None
    return decode_uint(answer.data)


def lend(amount: int, available: int, fee: int, detail: str) -> Terms:
    """The last gate that all lenders share: enough of the token."""
    if amount == 0:
        return refuse(Reason.ZERO_AMOUNT, "a loan of nothing", available, None)
    if amount > available:
        return refuse(
            Reason.INSUFFICIENT_LIQUIDITY, f"short by {amount - available}; {detail}", available, fee
        )
    return Terms(None, detail, available, fee)
