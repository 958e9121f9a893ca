from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from arbtui.domain.calls import BlockRef
from arbtui.domain.checks import CheckResult
from arbtui.domain.gas import FeeLadder
from arbtui.domain.loans import LenderId, LoanQuote
from arbtui.domain.market import Opportunity, Token
from arbtui.units import Address, Wei, mul_div_down, mul_div_up


class Stage(StrEnum):
    """How far a run goes, each step with more at stake."""

    OBSERVE = "observe"
    PAPER = "paper"
    CANARY = "canary"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class ConversionRate:
    """How many base units of `token` one wei of the native coin is worth: `numerator / denominator`.

    Read at `block` from `pools`, in that order from the wrapped native coin to the token.
    """

    token: Token
    numerator: int
    denominator: int
    block: int
    pools: tuple[Address, ...]

    def from_wei_up(self, wei: int) -> int:
        """What is owed in wei, in base units of the token, rounded up."""
        return mul_div_up(wei, self.numerator, self.denominator)

    def to_wei_down(self, amount: int) -> Wei:
        """What is received in the token, in wei, rounded towards minus infinity."""
        return Wei(mul_div_down(amount, self.denominator, self.numerator))


@dataclass(frozen=True, slots=True)
class Fallback:
    """The other leg of a ticket: the same trade through another lender, with bytes and a floor of its own.

    It is shown and digested with the ticket; of the two legs at most one is ever signed, on the same nonce.
    """

    lender: LenderId
    calldata: bytes
    gas_limit: int
    min_profit: int
    expected_profit: int
    expected_gas: int
    expected_net_wei: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """An approvable trade, bound to bytes and to a block.

    `min_profit` (base units of the opportunity's token, after the loan fee) and `last_block` are inside `calldata`
    and enforced by the contract. `digest` binds everything a person approves.
    """

    id: str
    digest: str
    opportunity: Opportunity
    quotes: tuple[LoanQuote, ...]
    lender: LenderId
    ladder: FeeLadder
    rate: ConversionRate
    checks: tuple[CheckResult, ...]
    wallet: Address
    executor: Address
    chain_id: int
    calldata: bytes
    gas_limit: int
    min_profit: int
    last_block: int
    #: By simulation on `simulated_block`: base units of the token after the loan fee; gas; and wei after gas.
    expected_profit: int
    expected_gas: int
    expected_net_wei: int
    simulated_block: BlockRef
    fallback: Fallback | None = None

    @property
    def block(self) -> BlockRef:
        return self.opportunity.block


class DecisionKind(StrEnum):
    APPROVED_BY_HAND = "approved_by_hand"
    APPROVED_BY_MANDATE = "approved_by_mandate"
    APPROVED_BY_ALL = "approved_by_all"
    REJECTED = "rejected"
    EXPIRED_SEEN = "expired_seen"
    EXPIRED_UNSEEN = "expired_unseen"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a ticket, and why; `at` is the block it was decided on."""

    ticket_id: str
    kind: DecisionKind
    reason: str
    at: BlockRef
