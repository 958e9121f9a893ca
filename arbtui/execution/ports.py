"""What execution needs of the world, as narrow as it can be; the rooms above fill these in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from arbtui.domain import Attempt, Delivery, ExecutionStatus, Visibility
from arbtui.units import Address, Wei


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One fee step that was approved; `after_s` seconds from the first send. Prices in wei per gas."""

    max_fee_per_gas: Wei
    max_priority_fee_per_gas: Wei
    after_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What was approved, as far as a restart needs it to go on: bytes, gas, fee steps and deadlines.

    `worst_cost` is the most that any attempt may cost, in wei. `valid_s` is the life in seconds from the first send,
    0 where only `last_block` ends it. `pools` are those the trade moves.
    """

    to: Address
    data: bytes
    gas: int
    steps: tuple[PlannedStep, ...]
    worst_cost: Wei
    valid_s: float = 0.0
    visibility: Visibility = Visibility.PUBLIC
    pools: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Intent:
    """What is on disk before anything is signed. `key` is the idempotency key: one nonce for one key, ever."""

    execution_id: str
    key: str
    ticket_id: str
    chain_id: int
    wallet: Address
    last_block: int
    created_at: str
    #: None in journals written before plans were.
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where a transaction of ours was seen mined."""

    tx_hash: str
    block_number: int
    block_hash: str
    success: bool


@dataclass(frozen=True, slots=True)
class OpenExecution:
    """All the journal knows of one execution; `attempts` in the order they were signed."""

    intent: Intent
    status: ExecutionStatus
    attempts: tuple[Attempt, ...]
    sightings: tuple[Sighting, ...] = ()

    @property
    def nonce(self) -> int | None:
        return self.attempts[0].nonce if self.attempts else None


class Journal(Protocol):
    """Append-only; every method returns only after its commit has been synced to disk."""

    def intend(self, intent: Intent) -> None:
        """Raises StoreError if the key was intended before."""

    def reserve(self, attempt: Attempt) -> None:
        """Nonce, hash, fees and signed bytes in one commit, before the bytes leave.

        Raises StoreError where the nonce is held by another execution that has not released it.
        """

    def outcome(self, execution_id: str, number: int, delivery: Delivery, error: str) -> None: ...

    def seen(self, execution_id: str, sighting: Sighting) -> None: ...

    def move(self, execution_id: str, status: ExecutionStatus, reason: str) -> None:
        """Raises StoreError for a move that domain.ALLOWED_MOVES does not have."""

    def release(self, execution_id: str, reason: str) -> None:
        """The nonce was certainly never used: another execution may have it."""

    def finish(self, execution_id: str, block_number: int) -> None:
        """The outcome stands since that block: too deep for a reorganisation. Told twice, it is written once."""

    def stop(self, reason: str, execution_id: str) -> None:
        """Nothing more is signed for this account until somebody acknowledges."""

    def acknowledge(self, by: str) -> None:
        """A person has looked; see `stop`."""

    def stopped(self) -> str | None:
        """Why the account is stopped; None where it is not."""

    def open_executions(self) -> list[OpenExecution]:
        """Those that are not final, oldest first."""

    def unfinished(self) -> list[OpenExecution]:
        """Those that used a nonce, have an end, and are not known to stand for good; oldest first."""

    def latest_executions(self, count: int = 20) -> list[OpenExecution]:
        """The last ones intended, final or not, oldest first."""

    def execution(self, execution_id: str) -> OpenExecution | None: ...

    def highest_nonce(self, chain_id: int, wallet: Address) -> int | None:
        """Highest nonce reserved and not released, or None."""


@dataclass(frozen=True, slots=True)
class UnsignedTx:
    """An EIP-1559 transaction before its signature."""

    chain_id: int
    nonce: int
    to: Address
    value: Wei
    data: bytes
    gas: int
    max_fee_per_gas: Wei
    max_priority_fee_per_gas: Wei


@dataclass(frozen=True, slots=True)
class SignedTx:
    raw: bytes
    tx_hash: str


class Signer(Protocol):
    @property
    def address(self) -> Address: ...

    async def sign(self, transaction: UnsignedTx, ticket_id: str) -> SignedTx: ...


class Sender(Protocol):
    """Raises NodeError where the node refused, NodeUnreachable or MalformedAnswer where nobody can know."""

    async def send_raw(self, raw: bytes) -> str: ...


class PrivateSender(Protocol):
    """A private relay. Its yes is no proof of inclusion; after `last_block` it may not include any more."""

    async def send_private(self, raw: bytes, last_block: int) -> str: ...


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds, never backwards."""

    def utc(self) -> str:
        """ISO-8601 UTC with microseconds."""
