"""One execution on its way, from the intent until its outcome is too deep to be undone."""

from __future__ import annotations

from dataclasses import dataclass, field

from arbtui.domain import (
    FINAL_STATUSES,
    Attempt,
    AttemptKind,
    Delivery,
    ExecutionStatus,
    Ticket,
    Visibility,
)
from arbtui.engine.settling import SettlementTerms
from arbtui.execution import Intent, OpenExecution, Plan, PlannedStep, Sighting
from arbtui.gas import CANCEL_GAS
from arbtui.recovery import Action, ErrorClass, Recovery
from arbtui.units import Address, Wei

#: A ticket's life in seconds is its blocks times the block time, this many times: where the head stands still.
_PATIENCE = 4

#: These end re-sending and bumping; what is out stays watched, and its nonce is taken back at the deadline.
HOLDS = frozenset({Action.WATCH, Action.DROP, Action.STOP_ACCOUNT})


@dataclass(frozen=True, slots=True)
class Due:
    """What recovery decided last; nothing is sent before the time (monotonic seconds) and the block."""

    action: Action
    error_class: ErrorClass
    at: float
    block: int


@dataclass(slots=True)
class Flight:
    """An execution that is not final. `sent_at` is of the monotonic clock, and set back by its age after a restart."""

    intent: Intent
    status: ExecutionStatus
    terms: SettlementTerms | None
    attempts: list[Attempt] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    sent_at: float = 0.0
    due: Due | None = None
    tries: dict[ErrorClass, int] = field(default_factory=dict)
    #: A pool asked for more than the ten per cent on both caps.
    refused: bool = False
    #: Where it ended is not certain: looked at in full on the next block.
    doubtful: bool = False
    #: The block at which its nonce was seen used without one of our hashes, for the first time.
    used_at: int | None = None
    #: The block at which it ended without one of our hashes.
    ended_at: int | None = None
    #: What was decided about bytes that every node refused, until that is certain.
    refusal: Recovery | None = None

    @property
    def id(self) -> str:
        return self.intent.execution_id

    @property
    def nonce(self) -> int | None:
        return self.attempts[0].nonce if self.attempts else None

    @property
    def open(self) -> bool:
        return self.status not in FINAL_STATUSES

    @property
    def pools(self) -> frozenset[Address]:
        return frozenset(self.intent.plan.pools) if self.intent.plan is not None else frozenset()

    @property
    def tried(self) -> int:
        """How many of the approved fee steps were signed."""
        return sum(attempt.kind is AttemptKind.TRADE for attempt in self.attempts)

    @property
    def cancelling(self) -> bool:
        return bool(self.attempts) and self.attempts[-1].kind is AttemptKind.CANCEL

    @property
    def standing(self) -> int | None:
        """Index of the newest attempt that no node refused: what has to be in the pool."""
        indices = [
            at for at, attempt in enumerate(self.attempts) if attempt.delivery is not Delivery.REJECTED
        ]
        return indices[-1] if indices else None

    @property
    def maybe_pooled(self) -> bool:
        """Whether a node had, or may have had, any of the bytes. UNSENT after a crash means that nobody knows."""
        return any(
            attempt.delivery in (Delivery.DELIVERED, Delivery.AMBIGUOUS, Delivery.UNSENT)
            for attempt in self.attempts
        )

    @property
    def only_private(self) -> bool:
        """Whether the only bytes out are a relay's: they hold no nonce once their last block has passed.

        No longer once they were in a block: what a reorganisation undoes, nodes put into their public pools.
        """
        return (
            self.maybe_pooled
            and not self.sightings
            and all(
                attempt.visibility is Visibility.PRIVATE
                or attempt.delivery in (Delivery.REJECTED, Delivery.NOT_DELIVERED)
                for attempt in self.attempts
            )
        )

    def next_step(self) -> PlannedStep | None:
        """The next approved fee step; None where all were signed, or where no plan survived."""
        plan = self.intent.plan
        if plan is None or self.tried >= len(plan.steps):
            return None
        return plan.steps[self.tried]

    def ceiling(self, kind: AttemptKind, policy: int) -> int:
        """Most wei per gas: what was approved in all, spread over the gas, and never above the policy's."""
        plan = self.intent.plan
        if plan is None:
            return policy
        gas = plan.gas if kind is AttemptKind.TRADE else CANCEL_GAS
        return min(policy, plan.worst_cost // gas)

    def over(self, block_number: int, monotonic: float) -> bool:
        """Past its last block, or past its life in seconds."""
        plan = self.intent.plan
        timed = plan is not None and plan.valid_s > 0 and monotonic - self.sent_at >= plan.valid_s
        return block_number >= self.intent.last_block or timed


def plan_of(ticket: Ticket, block_time_s: float, visibility: Visibility) -> Plan:
    """What of an approved ticket the journal keeps, so that a restart goes on within it."""
    blocks = max(1, ticket.last_block - ticket.simulated_block.number)
    return Plan(
        to=ticket.executor,
        data=ticket.calldata,
        gas=ticket.gas_limit,
        steps=tuple(
            PlannedStep(step.max_fee_per_gas, step.max_priority_fee_per_gas, step.after_s)
            for step in ticket.ladder.steps
        ),
        worst_cost=Wei(ticket.ladder.steps[-1].max_fee_per_gas * ticket.gas_limit),
        valid_s=_PATIENCE * blocks * block_time_s,
        visibility=visibility,
        pools=tuple(sorted(ticket.opportunity.path.pools)),
    )


def flight_of(known: OpenExecution, terms: SettlementTerms | None, sent_at: float) -> Flight:
    """An execution as the journal knows it."""
    return Flight(
        known.intent,
        known.status,
        terms,
        list(known.attempts),
        list(known.sightings),
        sent_at=sent_at,
        doubtful=True,
    )
