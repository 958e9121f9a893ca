"""The life of one approved ticket: one nonce, bytes on disk before they leave, outcome by the hash that mined."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from arbtui.chain import Node, read_balances
from arbtui.domain import (
    NATIVE,
    Attempt,
    AttemptKind,
    BlockRef,
    ConversionRate,
    Delivery,
    ExecutionStatus,
    FeeStep,
    Receipt,
    Settlement,
    Ticket,
    Token,
)
from arbtui.engine.policy import WalletPolicy
from arbtui.errors import ArbtuiError
from arbtui.execution import (
    Clock,
    Intent,
    Journal,
    LadderExhausted,
    OpenExecution,
    Sighting,
    Signer,
    UnsignedTx,
    climb,
    differences,
    next_nonce,
    settle,
)
from arbtui.gas import CANCEL_GAS, replacement_floor
from arbtui.monitor.reconcile import amounts_json, unexplained
from arbtui.recovery import ErrorClass, classify_send
from arbtui.recovery.classify import PRICE_CLASSES
from arbtui.store import Batch
from arbtui.units import Address, Wei

_log = logging.getLogger(__name__)

Write = Callable[[Batch], None]
_S = ExecutionStatus


@dataclass(frozen=True, slots=True)
class SettlementTerms:
    """What a settlement needs beyond the receipt; of a live ticket, or read back from the store after a restart."""

    asset: Address
    rate: ConversionRate
    tokens: tuple[Address, ...]


@dataclass(slots=True)
class Flight:
    """An execution that is not final. `steps` are the fee steps of its ladder; `calldata` is None after a restart."""

    intent: Intent
    status: ExecutionStatus
    terms: SettlementTerms
    attempts: list[Attempt] = field(default_factory=list)
    steps: tuple[FeeStep, ...] = ()
    calldata: bytes | None = None
    gas_limit: int = 0
    pools: frozenset[Address] = frozenset()
    sent_at: float = 0.0

    @property
    def id(self) -> str:
        return self.intent.execution_id

    @property
    def nonce(self) -> int:
        return self.attempts[0].nonce


class Sending:
    """At most one execution is in flight. Every method returns what the store has to be told, as writes."""

    def __init__(
        self,
        *,
        node: Node,
        journal: Journal,
        signer: Signer | None,
        clock: Clock,
        chain_id: int,
        wallet: WalletPolicy,
        multicall: Address,
        tokens: Mapping[Address, Token],
        native_symbol: str,
        max_fee_per_gas: int,
    ) -> None:
        self._node = node
        self._journal = journal
        self._signer = signer
        self._clock = clock
        self._chain_id = chain_id
        self._wallet = wallet
        self._multicall = multicall
        self._tokens = {**tokens, NATIVE: Token(NATIVE, native_symbol, 18)}
        self._max_fee_per_gas = max_fee_per_gas
        self.flight: Flight | None = None
        #: The last execution that became final: what the engine measures gas from.
        self.settled: list[tuple[str, Settlement]] = []

    # ---- sending

    async def send(self, ticket: Ticket, execution_id: str) -> list[Write]:
        """Intent, nonce, signature and bytes to disk, then out; climbing the ladder while refused for price."""
        if self._signer is None:
            raise RuntimeError("nothing can sign in this stage")
        now = self._clock.utc()
        intent = Intent(
            execution_id=execution_id,
            key=ticket.id,
            ticket_id=ticket.id,
            chain_id=ticket.chain_id,
            wallet=ticket.wallet,
            last_block=ticket.last_block,
            created_at=now,
        )
        flight = Flight(
            intent=intent,
            status=_S.PREPARED,
            terms=SettlementTerms(
                ticket.opportunity.token.address, ticket.rate, ticket.opportunity.path.tokens
            ),
            steps=ticket.ladder.steps,
            calldata=ticket.calldata,
            gas_limit=ticket.gas_limit,
            pools=ticket.opportunity.path.pools,
            sent_at=self._clock.monotonic(),
        )
        self._journal.intend(intent)
        self.flight = flight
        writes: list[Write] = [
            lambda b: b.execution(execution_id, ticket, _S.PREPARED, decided_at=now),
        ]
        nonce = next_nonce(
            await self._node.nonce(ticket.wallet), self._journal.highest_nonce(ticket.chain_id, ticket.wallet)
        )

        async def attempt(step: FeeStep) -> None:
            await self._attempt(
                flight,
                UnsignedTx(
                    chain_id=ticket.chain_id,
                    nonce=nonce,
                    to=ticket.executor,
                    value=Wei(0),
                    data=ticket.calldata,
                    gas=ticket.gas_limit,
                    max_fee_per_gas=step.max_fee_per_gas,
                    max_priority_fee_per_gas=step.max_priority_fee_per_gas,
                ),
                AttemptKind.TRADE,
                writes,
            )

        error_class = ""
        reason = ""
        try:
            await climb(ticket.ladder, attempt)
        except LadderExhausted as error:
            error_class, reason = str(error.last), str(error)
        except ArbtuiError as error:
            name, _ = classify_send(error)
            error_class, reason = str(name), str(error)
        writes += self._after_send(flight, error_class, reason)
        return writes

    async def _attempt(
        self, flight: Flight, transaction: UnsignedTx, kind: AttemptKind, writes: list[Write]
    ) -> None:
        """Sign, journal, send once. Raises the send's error where it was a refusal; an ambiguous send returns."""
        assert self._signer is not None  # noqa: S101 - narrows for the type checker; `send` checked
        signed = await self._signer.sign(transaction, flight.intent.ticket_id)
        attempt = Attempt(
            execution_id=flight.id,
            number=len(flight.attempts) + 1,
            kind=kind,
            nonce=transaction.nonce,
            tx_hash=signed.tx_hash,
            raw=signed.raw,
            max_fee_per_gas=transaction.max_fee_per_gas,
            max_priority_fee_per_gas=transaction.max_priority_fee_per_gas,
        )
        self._journal.reserve(attempt)
        flight.attempts.append(attempt)
        await self._deliver(flight, len(flight.attempts) - 1, writes)

    async def _deliver(self, flight: Flight, index: int, writes: list[Write]) -> None:
        """Hand the journalled bytes over once and write down what that proved."""
        attempt = flight.attempts[index]
        failure: ArbtuiError | None = None
        try:
            answered = await self._node.send_raw(attempt.raw)
        except ArbtuiError as error:
            name, delivery = classify_send(error)
            text = f"{name}: {error}"
            failure = error if delivery in (Delivery.REJECTED, Delivery.NOT_DELIVERED) else None
            if delivery is not Delivery.DELIVERED:
                told, kind = str(error), str(name)
                writes.append(lambda b: b.incident("send", told, error_class=kind, execution_id=flight.id))
        else:
            # A node that answers another hash proves nothing about ours.
            same = answered == attempt.tx_hash
            delivery = Delivery.DELIVERED if same else Delivery.AMBIGUOUS
            text = "" if same else f"the node answered the hash {answered}"
        self._journal.outcome(flight.id, attempt.number, delivery, text)
        done = replace(attempt, delivery=delivery, error=text)
        flight.attempts[index] = done
        writes.append(lambda b: b.attempt(done))
        if failure is not None:
            raise failure

    def _after_send(self, flight: Flight, error_class: str, reason: str) -> list[Write]:
        """Where the execution stands once the ladder was climbed as far as it went."""
        deliveries = {attempt.delivery for attempt in flight.attempts}
        if deliveries & {Delivery.DELIVERED, Delivery.AMBIGUOUS}:
            return [self._move(flight, _S.SUBMITTED, "handed to the node")]
        # Released first: a crash after the final move would leave the nonce held for ever.
        self._journal.release(flight.id, "every attempt was refused before the pool")
        move = self._move(flight, _S.REJECTED, reason or "refused by the node", error_class)
        self.flight = None
        return [move]

    # ---- watching

    async def watch(self, block: BlockRef) -> list[Write]:
        """Look for our hashes at a new block; settle, re-send the same bytes, bump, or cancel past the deadline."""
        flight = self.flight
        if flight is None:
            return []
        writes: list[Write] = []
        for attempt in flight.attempts:
            receipt = await self._node.receipt(attempt.tx_hash)
            if receipt is not None and receipt.block_number <= block.number:
                return writes + await self._mined(flight, attempt, receipt)
        if not flight.attempts:
            writes.append(self._move(flight, _S.EXPIRED, "nothing was signed"))
            self.flight = None
            return writes
        if await self._node.nonce(self._wallet.address) > flight.nonce:
            # Not our hash took it: somebody else sends from this wallet. A person must look.
            detail = f"nonce {flight.nonce} was used by a transaction that is not ours"
            writes.append(lambda b: b.incident("foreign_nonce", detail, execution_id=flight.id))
            writes.append(self._move(flight, _S.EXPIRED, detail, str(ErrorClass.NONCE_TOO_LOW)))
            self.flight = None
            return writes
        latest = flight.attempts[-1]
        if block.number >= flight.intent.last_block:
            if latest.kind is not AttemptKind.CANCEL or not await self._node.knows(latest.tx_hash):
                await self._cancel(flight, block, writes)
        elif not await self._node.knows(latest.tx_hash):
            await self._again(flight, block, writes)
        elif self._bump_due(flight):
            await self._bump(flight, writes)
        return writes

    def _bump_due(self, flight: Flight) -> bool:
        tried = sum(attempt.kind is AttemptKind.TRADE for attempt in flight.attempts)
        if tried >= len(flight.steps) or flight.calldata is None:
            return False
        return self._clock.monotonic() - flight.sent_at >= flight.steps[tried].after_s

    async def _again(self, flight: Flight, block: BlockRef, writes: list[Write]) -> None:
        """The node lost it: the same bytes while their cap covers the base fee, else the next step."""
        latest = flight.attempts[-1]
        tried = sum(attempt.kind is AttemptKind.TRADE for attempt in flight.attempts)
        if latest.max_fee_per_gas < block.base_fee_per_gas and tried < len(flight.steps):
            await self._bump(flight, writes)
            return
        try:
            await self._deliver(flight, len(flight.attempts) - 1, writes)
        except ArbtuiError as error:
            _log.info("re-sending %s: %s", latest.tx_hash, error)
            return
        if flight.status is _S.PREPARED:
            writes.append(self._move(flight, _S.SUBMITTED, "the journalled bytes were sent again"))

    async def _bump(self, flight: Flight, writes: list[Write]) -> None:
        tried = sum(attempt.kind is AttemptKind.TRADE for attempt in flight.attempts)
        step = flight.steps[tried]
        if flight.calldata is None or self._signer is None:
            return
        transaction = UnsignedTx(
            chain_id=self._chain_id,
            nonce=flight.nonce,
            to=self._wallet.executor,
            value=Wei(0),
            data=flight.calldata,
            gas=flight.gas_limit,
            max_fee_per_gas=step.max_fee_per_gas,
            max_priority_fee_per_gas=step.max_priority_fee_per_gas,
        )
        await self._try(flight, transaction, AttemptKind.TRADE, writes)

    async def _cancel(self, flight: Flight, block: BlockRef, writes: list[Write]) -> None:
        """Past the last block the trade can only revert: take the nonce with a self-transfer of nothing."""
        if self._signer is None:
            return
        cap = max(attempt.max_fee_per_gas for attempt in flight.attempts)
        tip = max(attempt.max_priority_fee_per_gas for attempt in flight.attempts)
        wanted = max(replacement_floor(cap), 2 * block.base_fee_per_gas + replacement_floor(tip))
        if wanted > self._max_fee_per_gas:
            detail = f"a cancel at {wanted} wei per gas would pass gas.max_fee_per_gas; waiting"
            writes.append(lambda b: b.incident("cancel", detail, execution_id=flight.id))
            return
        transaction = UnsignedTx(
            chain_id=self._chain_id,
            nonce=flight.nonce,
            to=self._wallet.address,
            value=Wei(0),
            data=b"",
            gas=CANCEL_GAS,
            max_fee_per_gas=Wei(wanted),
            max_priority_fee_per_gas=replacement_floor(tip),
        )
        detail = f"last block {flight.intent.last_block} has passed: cancelling nonce {flight.nonce}"
        writes.append(lambda b: b.incident("cancel", detail, execution_id=flight.id))
        await self._try(flight, transaction, AttemptKind.CANCEL, writes)

    async def _try(
        self, flight: Flight, transaction: UnsignedTx, kind: AttemptKind, writes: list[Write]
    ) -> None:
        """An attempt whose refusal is no end: the earlier attempts stay watched."""
        try:
            await self._attempt(flight, transaction, kind, writes)
        except ArbtuiError as error:
            name, _ = classify_send(error)
            level = logging.INFO if name in PRICE_CLASSES else logging.WARNING
            _log.log(level, "attempt refused: %s", error)
            return
        if flight.status is _S.PREPARED:
            writes.append(self._move(flight, _S.SUBMITTED, "handed to the node"))

    # ---- the end

    async def _mined(self, flight: Flight, attempt: Attempt, receipt: Receipt) -> list[Write]:
        self._journal.seen(
            flight.id, Sighting(receipt.tx_hash, receipt.block_number, receipt.block_hash, receipt.success)
        )
        settlement = await self._settlement(flight.id, flight.terms, receipt)
        if attempt.kind is AttemptKind.CANCEL:
            status, reason, error_class = _S.CANCELLED, "the cancel was mined", ""
        elif receipt.success:
            status, reason, error_class = _S.MINED, f"in block {receipt.block_number}", ""
        else:
            status, error_class = _S.REVERTED, str(ErrorClass.EXECUTION_REVERTED)
            reason = f"reverted in block {receipt.block_number}"
        writes = [self._move(flight, status, reason, error_class)]
        writes += self._told(settlement)
        self.settled.append((flight.intent.ticket_id, settlement))
        self.flight = None
        return writes

    async def _settlement(self, execution_id: str, terms: SettlementTerms, receipt: Receipt) -> Settlement:
        """What the receipt says, beside the balances of the block before and the block itself, to the wei."""
        settlement = settle(
            execution_id,
            receipt,
            executor=self._wallet.executor,
            wallet=self._wallet.address,
            treasury=self._wallet.treasury,
            asset=terms.asset,
            rate=terms.rate,
        )
        accounts = (self._wallet.executor, self._wallet.address, self._wallet.treasury)
        touched = {delta.token for delta in settlement.deltas} | set(terms.tokens)
        tokens = sorted(touched - {NATIVE})
        block = await self._node.block(settlement.block_hash)
        parent = await self._node.block(block.parent_hash)
        before = await read_balances(self._node, accounts, tokens, parent, self._multicall)
        after = await read_balances(self._node, accounts, tokens, block, self._multicall)
        found = differences([settlement], before, after)
        return replace(
            settlement,
            reconciled=not found,
            difference="; ".join(found),
            unexplained=unexplained(before, after, settlement.deltas),
        )

    def _told(self, settlement: Settlement) -> list[Write]:
        roles = {
            self._wallet.executor: "executor",
            self._wallet.address: "wallet",
            self._wallet.treasury: "treasury",
        }
        writes: list[Write] = [lambda b: b.settlement(settlement, roles, self._tokens)]
        if settlement.reconciled is False:
            amounts = amounts_json(settlement.unexplained)
            writes.append(lambda b: b.unreconciled(settlement, amounts))
            writes.append(
                lambda b: b.incident(
                    "unreconciled", settlement.difference, execution_id=settlement.execution_id
                )
            )
        return writes

    def _move(self, flight: Flight, status: ExecutionStatus, reason: str, error_class: str = "") -> Write:
        old, flight.status = flight.status, status
        self._journal.move(flight.id, status, reason)
        nonce = flight.attempts[0].nonce if flight.attempts else None
        at = self._clock.utc()
        return lambda b: b.execution_moved(
            flight.id, old, status, reason, at, nonce=nonce, error_class=error_class or None
        )

    # ---- restart

    async def resume(
        self, known: OpenExecution, terms: SettlementTerms | None, block: BlockRef
    ) -> list[Write]:
        """One execution the journal left open: settled, taken up again with the same bytes, or expired.

        Nothing new is signed here for the trade; what `watch` does afterwards is as for any other flight.
        """
        flight = Flight(known.intent, known.status, terms or self._gas_alone(), list(known.attempts))
        flight.sent_at = self._clock.monotonic()
        self.flight = flight
        return [lambda b: b.adopt(known), *await self.watch(block)]

    async def settle_again(self, known: OpenExecution, terms: SettlementTerms | None) -> list[Write]:
        """The settlement of an execution that landed, but whose receipt the store never heard of."""
        for attempt in known.attempts:
            receipt = await self._node.receipt(attempt.tx_hash)
            if receipt is not None:
                settlement = await self._settlement(
                    known.intent.execution_id, terms or self._gas_alone(), receipt
                )
                return self._told(settlement)
        return []

    def _gas_alone(self) -> SettlementTerms:
        """Without the ticket the asset is unknown; gas is then settled in the native coin."""
        return SettlementTerms(NATIVE, ConversionRate(self._tokens[NATIVE], 1, 1, 0, ()), ())
