"""What a lender must answer, and the words it answers "no" in."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from arbtui.abi import decode_uint
from arbtui.domain import Call, CallResult, ConversionRate, LenderId
from arbtui.units import ZERO_ADDRESS, Address, Wei, parse_address


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
    NOT_IN_EXECUTOR = "not_in_executor"
    OFF_IN_EXECUTOR = "off_in_executor"
    NO_CODE = "no_code"
    UNREADABLE = "unreadable"
    DISABLED = "disabled"
    ZERO_AMOUNT = "zero_amount"
    NEEDS_PATH = "needs_path"
    PATH_NOT_V2 = "path_not_v2"


@dataclass(frozen=True, slots=True)
class Terms:
    """A lender's raw answer: `available` and `fee` in base units of the token, `reason` None where it lends.

    `source` is the contract that would lend. `instead` is what another contract of the same lender asks, for where
    `source` is a pool of the path.
    """

    reason: Reason | None
    detail: str
    available: int | None
    fee: int | None
    source: Address | None = None
    instead: Terms | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """How often executions through a lender were mined, and how often they settled."""

    settled: int = 0
    executed: int = 0


@dataclass(frozen=True, slots=True)
class GasView:
    """What gas costs now: wei per gas expected to be paid, and the token's worth of a wei.

    `overheads` holds measured gas per lender, over the same route with own capital, and `tracks` how its executions
    went; both from own receipts.
    """

    price: Wei
    rate: ConversionRate | None
    overheads: Mapping[LenderId, int]
    tracks: Mapping[LenderId, Track] = field(default_factory=dict)


_F = TypeVar("_F")

#: Yields calls, is sent their answers (all of one block), and returns what they say. Pure: the manager does the
#: asking, one round trip for the calls of all lenders.
Discovery: TypeAlias = Generator[tuple[Call, ...], Sequence[CallResult], _F]


class Lender(Protocol):
    """One flash lender. Pure: it names the reads it needs and understands their answers.

    `discover` asks what does not change for a token (addresses); `reads` what may change every block. `facts` is
    whatever `discover` returned; a Terms there is a refusal that needs no further read.
    """

    @property
    def id(self) -> LenderId: ...

    @property
    def protocol(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def gas_prior(self) -> int:
        """Gas over the same route with own capital, before own receipts tell better."""

    def discover(self, token: Address) -> Discovery[Any]: ...

    def reads(self, token: Address, amount: int, facts: Any) -> tuple[Call, ...]: ...

    def terms(self, token: Address, amount: int, facts: Any, answers: Sequence[CallResult]) -> Terms: ...


@runtime_checkable
class OfPath(Protocol):
    """A lender whose terms depend on what is traded, and on no read."""

    def on_path(self, token: Address, amount: int, path: Sequence[Address]) -> Terms: ...


def nothing_to_discover(facts: _F) -> Discovery[_F]:
    """For a lender whose addresses are all configured."""
    yield from ()
    return facts


def looked_up(address: Address | None, registry: Call | None) -> Discovery[Address | Terms]:
    """The configured address, else the one that a registry's answer holds."""
    if address is not None:
        return address
    assert registry is not None  # noqa: S101 - the policy asks for one of the two
    (answer,) = yield (registry,)
    return found_address(answer) or unreadable(registry, answer)


def refuse(
    reason: Reason,
    detail: str,
    available: int | None = None,
    fee: int | None = None,
    source: Address | None = None,
) -> Terms:
    return Terms(reason, detail, available, fee, source)


def unreadable(call: Call, answer: CallResult, source: Address | None = None) -> Terms:
    """The contract did not answer as this lender does."""
    if answer.success and not answer.data:
        return refuse(Reason.NO_CODE, f"{call.what}: nothing is deployed at {call.target}", source=source)
    return refuse(
        Reason.UNREADABLE,
        f"{call.what} on {call.target} answered {len(answer.data)} bytes it should not",
        source=source,
    )


def words_of(
    calls: Sequence[Call], answers: Sequence[CallResult], source: Address | None = None
) -> tuple[int, ...] | Terms:
    """The first word of each of the answers to `calls`, or the refusal for the first that holds none."""
    words = []
    for call, answer in zip(calls, answers, strict=False):
        found = word(answer)
        if found is None:
            return unreadable(call, answer, source)
        words.append(found)
    return tuple(words)


def word(answer: CallResult) -> int | None:
    """The answer's first word, or None where the call failed or brought less."""
    if not answer.success or len(answer.data) < 32:
        return None
    return decode_uint(answer.data)


def found_address(answer: CallResult, position: int = 0) -> Address | None:
    """The address in the answer's word at `position`; None where there is none, or the zero address."""
    raw = answer.data[32 * position : 32 * (position + 1)]
    if not answer.success or len(raw) < 32 or any(raw[:12]):
        return None
    found = parse_address("0x" + raw[12:].hex())
    return None if found == ZERO_ADDRESS else found


def lend(amount: int, available: int, fee: int, detail: str, source: Address | None = None) -> Terms:
    """The last gate that all lenders share: enough of the token."""
    if amount == 0:
        return refuse(Reason.ZERO_AMOUNT, "a loan of nothing", available, None, source)
    if amount > available:
        short = f"short by {amount - available}; {detail}"
        return refuse(Reason.INSUFFICIENT_LIQUIDITY, short, available, fee, source)
    return Terms(None, detail, available, fee, source)
