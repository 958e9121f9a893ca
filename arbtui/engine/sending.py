"""The life of approved tickets: one nonce each, bytes on disk before they leave, outcome by the hash that mined.

Every error of a send goes to `recovery`, whose decision is written down with its reason and applied here: at once, or
not before its time and block. `watch` looks at everything that is not final: on each block, and in between when
something is due. docs/transactions.md draws the states.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from arbtui.abi import keccak
from arbtui.chain import Node
from arbtui.domain import (
    Attempt,
    AttemptKind,
    BlockRef,
    Delivery,
    ExecutionStatus,
    Receipt,
    Settlement,
    Ticket,
    Token,
    Visibility,
)
from arbtui.engine.flight import HOLDS, Due, Flight, flight_of, plan_of
from arbtui.engine.policy import WalletPolicy
from arbtui.engine.settling import SettlementTerms, Settler, Write
from arbtui.errors import (
    ArbtuiError,
    MalformedAnswer,
    NodeError,
    NodesDisagree,
    NodeUnreachable,
    RefusedError,
    UnknownBlock,
)
from arbtui.execution import Clock, Intent, Journal, OpenExecution, Sighting, Signer, UnsignedTx, next_nonce
from arbtui.execution.ports import PrivateSender
from arbtui.gas import CANCEL_GAS
from arbtui.gas.limits import NODE_FEE_CAP_WEI
from arbtui.gas.replacement import Fees, ReplacementRule, next_fees, rule_of
from arbtui.recovery import (
    Action,
    Classified,
    ErrorClass,
    ErrorRecoverySystem,
    NonceRule,
    Phase,
    Recovery,
    RecoveryContext,
    classify,
)
from arbtui.units import Address, Wei

__all__ = ["FINAL_DEPTH", "Flight", "Sending", "SettlementTerms", "Write"]

_log = logging.getLogger(__name__)
_S = ExecutionStatus
_A = Action
_SEND = "eth_sendRawTransaction"
_AWAY = (NodeUnreachable, MalformedAnswer, NodeError, NodesDisagree)

#: Blocks on top of the one that has it, until an outcome is final.
FINAL_DEPTH = 12
#: Refused, but not for what the bytes are: handed over again, elsewhere where there is another node.
_TRY_AGAIN = frozenset(
    {_A.RESEND_SAME, _A.RESEND_ELSEWHERE, _A.WAIT, _A.PROBE, _A.SEND_LOWER_NONCES, _A.STOP_ENDPOINT}
)
#: Between two looks on the same block, in seconds.
_BREATH_S = 1.0


class _OtherHash(ArbtuiError):
    """A node that answers another hash proves nothing about ours."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One node's view: the account's next nonce first, then the receipts, so that no block comes between."""

    nonce: int
    receipt: Receipt | None
    knows: bool


class Sending:
    """At most one execution is on its way; those that ended are followed until no reorganisation can undo them.

    Every method returns what the store has to be told, as writes.
    """

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
        block_time_s: float = 0.0,
        depth: int = FINAL_DEPTH,
        relay: PrivateSender | None = None,
        settler: Settler | None = None,
        why_not: Callable[[bytes, int, BlockRef], Awaitable[str]] | None = None,
    ) -> None:
        self._node = node
        self._journal = journal
        self._signer = signer
        self._clock = clock
        self._chain_id = chain_id
        self._wallet = wallet
        self._max_fee_per_gas = max_fee_per_gas
        self._block_time_s = block_time_s
        self._depth = depth
        self._relay = relay
        self._settler = settler or Settler(node, wallet, multicall, tokens, native_symbol)
        #: Why bytes with so much gas would revert on a block; empty where they would not.
        self._why_not = why_not
        self._recovery = ErrorRecoverySystem()
        self._rule: ReplacementRule | None = None
        self._rule_asked = False
        self._flights: dict[str, Flight] = {}
        self._head: BlockRef | None = None
        self._looked_at = 0.0
        #: Why nothing more is signed until a person acknowledges; None where nothing is in the way.
        self.stopped: str | None = journal.stopped()
        #: Executions that landed since the engine took them: what it counts and measures gas from.
        self.settled: list[tuple[str, Settlement, str]] = []

    @property
    def flight(self) -> Flight | None:
        """What is on its way, the lowest nonce first; nothing else is sent meanwhile."""
        return next((flight for flight in self._ordered() if flight.open), None)

    @property
    def followed(self) -> tuple[Flight, ...]:
        """Everything that is watched: on its way, or ended but not final yet."""
        return tuple(self._ordered())

    def _ordered(self) -> list[Flight]:
        return sorted(
            self._flights.values(), key=lambda flight: (flight.nonce is not None, flight.nonce or 0)
        )

    @property
    def restless(self) -> bool:
        """Whether something is due before the next block."""
        now = self._clock.monotonic()
        if self._head is None or now - self._looked_at < _BREATH_S:
            return False
        head = self._head.number
        return any(
            flight.open
            and (
                (flight.due is not None and flight.due.at <= now and flight.due.block <= head)
                or self._bump_due(flight)
            )
            for flight in self._flights.values()
        )

    # ---- sending

    async def send(self, ticket: Ticket, execution_id: str) -> list[Write]:
        """Intent, nonce, signature and bytes to disk, then out; climbing the ladder while refused for price.

        Raises RefusedError while the account is stopped or another execution is on its way.
        """
        if self._signer is None:
            raise RefusedError("nothing can sign in this stage")
        if self.stopped is not None:
            raise RefusedError(f"the account is stopped: {self.stopped}; `arbtui recover` shows it")
        if self.flight is not None:
            raise RefusedError(f"execution {self.flight.id} is on its way: one at a time")
        now = self._clock.utc()
        visibility = Visibility.PRIVATE if self._relay is not None else Visibility.PUBLIC
        intent = Intent(
            execution_id=execution_id,
            key=ticket.id,
            ticket_id=ticket.id,
            chain_id=ticket.chain_id,
            wallet=ticket.wallet,
            last_block=ticket.last_block,
            created_at=now,
            plan=plan_of(ticket, self._block_time_s, visibility),
        )
        token = ticket.opportunity.token.address
        flight = Flight(
            intent=intent,
            status=_S.PREPARED,
            terms=SettlementTerms(token, ticket.rate, ticket.opportunity.path.tokens),
            sent_at=self._clock.monotonic(),
        )
        self._journal.intend(intent)
        self._flights[flight.id] = flight
        writes: list[Write] = [
            lambda b: b.execution(execution_id, ticket, _S.PREPARED, decided_at=now),
        ]
        if self._head is None or self._head.number < ticket.simulated_block.number:
            self._head = ticket.simulated_block
        try:
            nonce = next_nonce(
                await self._node.nonce(ticket.wallet),
                self._journal.highest_nonce(ticket.chain_id, ticket.wallet),
            )
            recovery = await self._climb(flight, nonce, writes)
        except _AWAY as error:
            # Before anything was signed.
            writes.append(self._move(flight, _S.EXPIRED, f"nothing was signed: {error}"))
            del self._flights[flight.id]
            return writes
        try:
            await self._conclude(flight, recovery, writes)
        except _AWAY as error:
            # What a refusal proves is looked up once more with the next block; what was signed is told already.
            flight.due, flight.doubtful = None, True
            _log.warning("looking for execution %s: %s", flight.id, error)
        return writes

    async def _climb(self, flight: Flight, nonce: int, writes: list[Write]) -> Recovery | None:
        """Sign and send step after step while nothing is pooled and only the price is in the way."""
        recovery: Recovery | None = None
        lowered: Wei | None = None
        while (step := flight.next_step()) is not None:
            fees = Fees(step.max_fee_per_gas, step.max_priority_fee_per_gas)
            if lowered is not None:
                fees = Fees(min(lowered, fees.max_fee), min(lowered, fees.tip))
            recovery = await self._attempt(flight, nonce, fees, AttemptKind.TRADE, writes)
            if recovery is None or flight.maybe_pooled:
                return recovery
            if recovery.action is _A.LOWER_FEE and flight.intent.plan is not None:
                lowered = Wei(NODE_FEE_CAP_WEI // flight.intent.plan.gas)
                if lowered >= fees.max_fee:
                    return recovery
            elif recovery.action not in (_A.RAISE_FEE, _A.BUMP):
                return recovery
        return recovery

    async def _conclude(self, flight: Flight, recovery: Recovery | None, writes: list[Write]) -> None:
        """Where a flight stands after its bytes were handed over, or refused."""
        if recovery is None or flight.maybe_pooled:
            if flight.status is _S.PREPARED:
                writes.append(self._move(flight, _S.SUBMITTED, "handed to the node"))
        elif flight.due is None or flight.due.action in HOLDS | {
            _A.RAISE_FEE,
            _A.BUMP,
            _A.LOWER_FEE,
            _A.FIX_FEES,
            _A.RE_ESTIMATE,
        }:
            # Gas and fees are part of what was approved: where those do not serve, a new ticket is needed.
            flight.refusal = recovery
            await self._give_up(flight, f"{recovery.error_class}: {recovery.known.told}", writes, recovery)

    async def _give_up(
        self, flight: Flight, reason: str, writes: list[Write], recovery: Recovery | None = None
    ) -> None:
        """Rule NM-5: the nonce is given back only where no node had the bytes, none knows them, and it is free."""
        if flight.nonce is not None and (flight.maybe_pooled and not flight.only_private):
            flight.due = Due(_A.WATCH, ErrorClass.UNKNOWN, 0.0, 0)
            return
        if flight.nonce is not None:
            seen = await self._look(flight)
            for attempt in flight.attempts:
                if seen.receipt is None and await self._node.knows(attempt.tx_hash):
                    # Refused, and there all the same: what is seen outweighs what was said.
                    self._found(flight, attempt.number - 1, writes)
            known = flight.maybe_pooled and not flight.only_private
            if known or seen.receipt is not None or seen.nonce > flight.nonce:
                flight.due = None
                return
        # Released first: a crash after the final move would leave the nonce held for ever.
        self._journal.release(flight.id, "no node has its transaction, and none had it in its pool")
        name = str(recovery.error_class) if recovery is not None else str(ErrorClass.DEADLINE_EXPIRED)
        status = _S.REJECTED if flight.status is _S.PREPARED else _S.EXPIRED
        writes.append(self._move(flight, status, reason, name))
        del self._flights[flight.id]

    async def _attempt(
        self, flight: Flight, nonce: int, fees: Fees, kind: AttemptKind, writes: list[Write]
    ) -> Recovery | None:
        """Sign, journal, send once; what to do where that did not simply succeed."""
        plan = flight.intent.plan
        if self._signer is None or (kind is AttemptKind.TRADE and plan is None):
            return None
        trade = plan if kind is AttemptKind.TRADE else None
        transaction = UnsignedTx(
            chain_id=self._chain_id,
            nonce=nonce,
            to=trade.to if trade is not None else self._wallet.address,
            value=Wei(0) if flight.intent.ticket_id else _mark(flight.id),
            data=trade.data if trade is not None else b"",
            gas=trade.gas if trade is not None else CANCEL_GAS,
            max_fee_per_gas=Wei(fees.max_fee),
            max_priority_fee_per_gas=Wei(fees.tip),
        )
        signed = await self._signer.sign(transaction, flight.intent.ticket_id)
        if "0x" + keccak(signed.raw).hex() != signed.tx_hash:
            raise RefusedError("the signer's hash is not that of its bytes: nothing was sent")
        for at, earlier in enumerate(flight.attempts):
            if earlier.tx_hash == signed.tx_hash:
                # The same fees again are the same transaction.
                return await self._deliver(flight, at, writes)
        attempt = Attempt(
            execution_id=flight.id,
            number=len(flight.attempts) + 1,
            kind=kind,
            nonce=nonce,
            tx_hash=signed.tx_hash,
            raw=signed.raw,
            max_fee_per_gas=transaction.max_fee_per_gas,
            max_priority_fee_per_gas=transaction.max_priority_fee_per_gas,
            visibility=trade.visibility if trade is not None else Visibility.PUBLIC,
        )
        self._journal.reserve(attempt)
        flight.attempts.append(attempt)
        return await self._deliver(flight, len(flight.attempts) - 1, writes)

    async def _deliver(self, flight: Flight, index: int, writes: list[Write]) -> Recovery | None:
        """Hand the journalled bytes over once, and write down what that proved; the decision where it did not serve."""
        attempt = flight.attempts[index]
        if attempt.delivery in (Delivery.REJECTED, Delivery.NOT_DELIVERED):
            # What was proved of the last time says nothing of this one, should the process end before its outcome.
            self._journal.outcome(flight.id, attempt.number, Delivery.UNSENT, "handed over again")
        failure: ArbtuiError | None = None
        try:
            answered = await self._hand_over(flight, attempt)
            if answered != attempt.tx_hash:
                failure = _OtherHash(f"the node answered the hash {answered}, not {attempt.tx_hash}")
        except ArbtuiError as error:
            failure = error
        known = None if failure is None else classify(failure, method=_SEND)
        delivery = Delivery.DELIVERED if known is None else known.delivery
        if isinstance(failure, _OtherHash):
            delivery = Delivery.AMBIGUOUS
        text = "" if known is None else f"{known.error_class}: {known.told}"
        self._journal.outcome(flight.id, attempt.number, delivery, text)
        if _WEIGHT[delivery] < _WEIGHT[attempt.delivery]:
            # A node that once had the bytes may still have them, whatever another says now.
            delivery = attempt.delivery
        done = replace(attempt, delivery=delivery, error=text)
        flight.attempts[index] = done
        writes.append(lambda b: b.attempt(done))
        flight.due = None
        if known is None or known.delivery is Delivery.DELIVERED:
            return None
        told, kind = known.told, str(known.error_class)
        writes.append(lambda b: b.incident("send", told, error_class=kind, execution_id=flight.id))
        return self._decide(flight, known, writes, private=attempt.visibility is Visibility.PRIVATE)

    async def _hand_over(self, flight: Flight, attempt: Attempt) -> str:
        """To the relay or to the nodes, by what the journal says of the attempt; never the one for the other."""
        if attempt.visibility is Visibility.PUBLIC:
            return await self._node.send_raw(attempt.raw)
        if self._relay is None:
            raise NodeUnreachable(
                "no private relay is configured any more, and the public pool is no substitute"
            )
        return await self._relay.send_private(attempt.raw, flight.intent.last_block)

    # ---- what recovery decides

    def _decide(
        self, flight: Flight, known: Classified, writes: list[Write], *, private: bool = False
    ) -> Recovery:
        head = self._head.number if self._head is not None else 0
        step = flight.next_step()
        tries = flight.tries.get(known.error_class, 0)
        pending = flight.maybe_pooled
        context = RecoveryContext(
            status=flight.status,
            pending=pending,
            tries=tries,
            blocks_left=flight.intent.last_block - head,
            at_ceiling=step is None and not flight.cancelling,
            cancelling=flight.cancelling,
            private=private,
            method=_SEND,
        )
        recovery = self._recovery.handle_error(known, context)
        flight.tries[known.error_class] = tries + 1
        if known.error_class is ErrorClass.REPLACEMENT_UNDERPRICED:
            flight.refused = True
        wait_block = head + recovery.wait_blocks
        flight.due = Due(
            recovery.action,
            known.error_class,
            self._clock.monotonic() + recovery.wait_s,
            wait_block if recovery.wait_blocks else 0,
        )
        self._tell(flight, recovery, tries, writes)
        if recovery.stops:
            self._stop(flight, f"{known.title}: {known.told}", writes)
        return recovery

    def _tell(self, flight: Flight, recovery: Recovery, tries: int, writes: list[Write]) -> None:
        due = flight.due
        next_at = None
        if recovery.wait_s:
            moment = datetime.fromisoformat(self._clock.utc()) + timedelta(seconds=recovery.wait_s)
            next_at = moment.isoformat(timespec="microseconds")
        next_block = due.block if due is not None and due.block else None
        writes.append(
            lambda b: b.recovered(
                flight.id,
                error_class=str(recovery.error_class),
                phase=str(recovery.phase),
                action=str(recovery.action),
                nonce_rule=str(recovery.nonce),
                reason=recovery.reason,
                tries=tries,
                next_at=next_at,
                next_block=next_block,
                alarm=recovery.alarm,
            )
        )

    def _note(
        self, flight: Flight, error_class: ErrorClass, action: Action, reason: str, writes: list[Write]
    ) -> None:
        """A decision that no error of a send has led to."""
        phase = Phase.PENDING if flight.open else Phase.MINED
        writes.append(
            lambda b: b.recovered(
                flight.id,
                error_class=str(error_class),
                phase=str(phase),
                action=str(action),
                nonce_rule=str(NonceRule.KEEP),
                reason=reason,
                tries=0,
            )
        )

    def _stop(self, flight: Flight, reason: str, writes: list[Write]) -> None:
        if self.stopped is None:
            self._journal.stop(reason, flight.id)
            self.stopped = reason
        detail = f"nothing more is signed until somebody acknowledges: {reason}"
        writes.append(lambda b: b.incident("stopped", detail, execution_id=flight.id))

    @property
    def sure(self) -> bool:
        """Whether everything that is not final was looked at with success on the newest block."""
        return not any(flight.doubtful for flight in self._flights.values())

    def acknowledge(self, by: str) -> str:
        """A person has looked at why the account was stopped; sending goes on. Returns the answer for the command."""
        if self.stopped is None:
            return "refused: the account is not stopped"
        self._journal.acknowledge(by)
        self.stopped = None
        return "acknowledged"

    # ---- watching

    async def watch(self, block: BlockRef, removed: Collection[str] | None = None) -> list[Write]:
        """Look at all that is not final; settle, follow, re-send the same bytes, bump, or cancel past the deadline.

        `removed` are hashes of the blocks undone since the last look; None where that is not known. A node that
        fails costs this look at the flight, nothing else.
        """
        self._head = block
        self._looked_at = self._clock.monotonic()
        writes: list[Write] = []
        behind = False
        for flight in self._ordered():
            try:
                if flight.open:
                    await self._on_its_way(flight, block, writes, lowest=not behind)
                    behind = behind or flight.open
                else:
                    await self._follow(flight, block, removed, writes)
                    behind = behind or flight.open
            except _AWAY as error:
                flight.doubtful = True
                behind = behind or flight.open
                _log.warning("looking for execution %s: %s", flight.id, error)
                detail = str(error)
                writes.append(lambda b, detail=detail: b.incident("node", detail))  # type: ignore[misc]
        return writes

    async def _look(self, flight: Flight) -> _Seen:
        """Nonce, receipts and pool as one node has them, in this order: a node that has the block worked on.

        One that lags, or stands on another fork, has another nonce and other receipts.
        """
        head = self._head

        async def stands(node: Node) -> None:
            if head is not None and (await node.block(head.number)).hash != head.hash:
                raise UnknownBlock(f"{node.where}: block {head.number} is not {head.hash}")

        async def read(node: Node) -> _Seen:
            await stands(node)
            nonce = await node.nonce(self._wallet.address)
            for attempt in reversed(flight.attempts):
                receipt = await node.receipt(attempt.tx_hash)
                if receipt is not None:
                    # Also after the receipt: a reorganisation may have come between.
                    await stands(node)
                    return _Seen(nonce, receipt, True)
            at = flight.standing
            knows = at is not None and await node.knows(flight.attempts[at].tx_hash)
            return _Seen(nonce, None, knows)

        return await self._node.one(read)

    async def _on_its_way(
        self, flight: Flight, block: BlockRef, writes: list[Write], *, lowest: bool
    ) -> None:
        if flight.nonce is None:
            writes.append(self._move(flight, _S.EXPIRED, "nothing was signed"))
            del self._flights[flight.id]
            return
        seen = await self._look(flight)
        if seen.receipt is not None:
            if seen.receipt.block_number <= block.number:
                await self._landed(flight, seen.receipt, writes)
            return
        if seen.nonce > flight.nonce:
            self._used_elsewhere(flight, block, writes)
            return
        flight.used_at = None
        now = self._clock.monotonic()
        if flight.over(block.number, now):
            await self._past_deadline(flight, block, seen, writes, lowest=lowest)
            return
        due = flight.due
        if due is not None and (due.at > now or due.block > block.number or due.action in HOLDS):
            return
        at = flight.standing
        if due is not None and due.action is _A.BUMP and lowest:
            await self._bump(flight, block, writes)
        elif at is None and due is not None and due.action in _TRY_AGAIN:
            await self._again(flight, len(flight.attempts) - 1, writes)
        elif at is None:
            refusal = flight.refusal
            why = f"{refusal.error_class}: {refusal.known.told}" if refusal else "every attempt was refused"
            await self._give_up(flight, why, writes, refusal)
        elif seen.knows:
            flight.due = None
            self._found(flight, at, writes)
            if flight.status is _S.PREPARED:
                writes.append(self._move(flight, _S.SUBMITTED, "the node has it"))
            if lowest and self._bump_due(flight):
                await self._bump(flight, block, writes)
        else:
            await self._lost(flight, at, block, writes, lowest=lowest)

    def _found(self, flight: Flight, at: int, writes: list[Write]) -> None:
        """A node has what nobody knew to have arrived."""
        attempt = flight.attempts[at]
        if attempt.delivery is Delivery.DELIVERED:
            return
        self._journal.outcome(flight.id, attempt.number, Delivery.DELIVERED, attempt.error)
        done = replace(attempt, delivery=Delivery.DELIVERED)
        flight.attempts[at] = done
        writes.append(lambda b: b.attempt(done))

    async def _lost(
        self, flight: Flight, at: int, block: BlockRef, writes: list[Write], *, lowest: bool
    ) -> None:
        """The node does not have it: the same bytes while their cap covers the base fee, else the next step."""
        attempt, due = flight.attempts[at], flight.due
        if attempt.visibility is Visibility.PRIVATE and attempt.delivery is Delivery.DELIVERED:
            # A relay is silent until it includes: what it took is not to be found anywhere.
            return
        waited = due is not None and due.error_class is ErrorClass.NOT_FOUND
        if attempt.delivery is Delivery.DELIVERED and due is None and not flight.doubtful and not waited:
            gone = NodeError(-32000, "transaction not found", method="eth_getTransactionByHash")
            self._decide(flight, classify(gone, method="eth_getTransactionByHash"), writes)
            return
        flight.doubtful = False
        if attempt.max_fee_per_gas < block.base_fee_per_gas and lowest and flight.next_step() is not None:
            await self._bump(flight, block, writes)
            return
        await self._again(flight, at, writes)

    async def _again(self, flight: Flight, at: int, writes: list[Write]) -> None:
        recovery = await self._deliver(flight, at, writes)
        if recovery is None or flight.maybe_pooled:
            if flight.status is _S.PREPARED:
                writes.append(self._move(flight, _S.SUBMITTED, "the journalled bytes were sent again"))
        elif recovery.nonce is NonceRule.RELEASE:
            await self._give_up(flight, f"{recovery.error_class}: {recovery.known.told}", writes, recovery)

    def _bump_due(self, flight: Flight) -> bool:
        if flight.due is not None or flight.cancelling:
            return False
        step = flight.next_step()
        return step is not None and self._clock.monotonic() - flight.sent_at >= step.after_s

    async def _bump(self, flight: Flight, block: BlockRef, writes: list[Write]) -> None:
        """The next approved step, and at least what the pool asks; never above what was approved in all."""
        step = flight.next_step()
        nonce = flight.nonce
        if self._signer is None or nonce is None:
            return
        plan = flight.intent.plan
        if self._why_not is not None and plan is not None and step is not None:
            why = await self._why_not(plan.data, plan.gas, block)
            if why:
                # Rule FB-6: what does not pay any more is replaced by a cancel, not by a dearer copy.
                if flight.only_private:
                    flight.due = Due(_A.WATCH, ErrorClass.EXECUTION_REVERTED, 0.0, 0)
                    self._note(flight, ErrorClass.EXECUTION_REVERTED, _A.WATCH, f"no bump: {why}", writes)
                    return
                self._note(flight, ErrorClass.EXECUTION_REVERTED, _A.CANCEL, f"no bump: {why}", writes)
                await self._cancel(flight, block, f"it would revert now ({why})", writes)
                return
        ceiling = flight.ceiling(AttemptKind.TRADE, self._max_fee_per_gas)
        fees = None
        if step is not None:
            market = Fees(step.max_fee_per_gas, step.max_priority_fee_per_gas)
            fees = await self._fees(flight, market, block, ceiling)
        if fees is None:
            flight.due = Due(_A.WATCH, ErrorClass.UNDERPRICED, 0.0, 0)
            reason = f"the next step would pass {ceiling} wei per gas; watched, and cancelled at the deadline"
            self._note(flight, ErrorClass.UNDERPRICED, _A.WATCH, reason, writes)
            return
        recovery = await self._attempt(flight, nonce, fees, AttemptKind.TRADE, writes)
        if (recovery is None or flight.maybe_pooled) and flight.status is _S.PREPARED:
            writes.append(self._move(flight, _S.SUBMITTED, "handed to the node"))

    async def _fees(self, flight: Flight, market: Fees, block: BlockRef, ceiling: int) -> Fees | None:
        """Fees that replace every attempt of the nonce (FB-8), by the rule of the client; None above the ceiling."""
        old = Fees(
            max((attempt.max_fee_per_gas for attempt in flight.attempts), default=0),
            max((attempt.max_priority_fee_per_gas for attempt in flight.attempts), default=0),
        )
        rule = await self._client_rule()
        base = _next_base(block)
        fees = next_fees(old, market, base, ceiling, rule=rule, refused=flight.refused)
        if fees is None and market.max_fee:
            # The market is above what is allowed; what replaces the old one may still be below it.
            fees = next_fees(old, Fees(base, 0), base, ceiling, rule=rule, refused=flight.refused)
        return fees

    async def _client_rule(self) -> ReplacementRule | None:
        if not self._rule_asked:
            try:
                self._rule = rule_of(await self._node.client_version())
            except _AWAY as error:
                _log.info("which client: %s", error)
                return None
            self._rule_asked = True
        return self._rule

    # ---- the deadline

    async def _past_deadline(
        self, flight: Flight, block: BlockRef, seen: _Seen, writes: list[Write], *, lowest: bool
    ) -> None:
        """The trade can only revert now: the nonce is given back if that is safe, else taken by a self-transfer."""
        if not flight.maybe_pooled or (flight.only_private and block.number > flight.intent.last_block):
            await self._give_up(flight, "its last block has passed and it was never taken", writes)
            return
        if flight.only_private or not lowest or self._signer is None:
            return
        if flight.nonce is not None and seen.nonce < flight.nonce:
            await self._fill(seen.nonce, flight, block, writes)
            return
        due, now = flight.due, self._clock.monotonic()
        if flight.cancelling:
            if due is not None and (due.at > now or due.block > block.number):
                return
            at = flight.standing
            standing = flight.attempts[at] if at is not None else None
            if (
                at is not None
                and standing is not None
                and standing.kind is AttemptKind.CANCEL
                and standing.max_fee_per_gas >= block.base_fee_per_gas
            ):
                if not seen.knows:
                    await self._again(flight, at, writes)
                return
        await self._cancel(flight, block, f"last block {flight.intent.last_block} has passed", writes)

    async def _fill(self, nonce: int, waiting: Flight, block: BlockRef, writes: list[Write]) -> None:
        """Rule NM-6: a lower nonce is free and nothing of ours holds it (its user was undone): a self-transfer does.

        It is an execution like any other, without a ticket and past its deadline from the start.
        """
        name = f"gap{nonce}-{waiting.id}-{block.number}"
        if any(flight.nonce == nonce for flight in self._flights.values()):
            return
        if self._journal.execution(name) is not None:
            # One was given up at this very block, which no node took: the next with the next block.
            return
        now = self._clock.utc()
        intent = Intent(name, name, "", self._chain_id, self._wallet.address, 0, now)
        filler = Flight(intent, _S.PREPARED, None, sent_at=self._clock.monotonic())
        self._journal.intend(intent)
        self._flights[name] = filler
        detail = f"nonce {nonce} is free below nonce {waiting.nonce} of execution {waiting.id}: filling it"
        writes.append(lambda b: b.adopt(OpenExecution(intent, _S.PREPARED, ()), detail))
        writes.append(lambda b: b.incident("gap", detail, execution_id=name))
        base = _next_base(block)
        tip = max(attempt.max_priority_fee_per_gas for attempt in waiting.attempts)
        cap = min(2 * base + tip, filler.ceiling(AttemptKind.CANCEL, self._max_fee_per_gas))
        recovery = await self._attempt(filler, nonce, Fees(cap, min(tip, cap)), AttemptKind.CANCEL, writes)
        if recovery is None or filler.maybe_pooled:
            writes.append(self._move(filler, _S.SUBMITTED, "handed to the node"))

    async def _cancel(self, flight: Flight, block: BlockRef, reason: str, writes: list[Write]) -> None:
        nonce = flight.nonce
        if nonce is None:
            return
        tip = max(attempt.max_priority_fee_per_gas for attempt in flight.attempts)
        ceiling = flight.ceiling(AttemptKind.CANCEL, self._max_fee_per_gas)
        base = _next_base(block)
        fees = await self._fees(flight, Fees(2 * base + tip, tip), block, ceiling)
        if fees is None:
            detail = (
                f"a cancel would pass {ceiling} wei per gas, of gas.max_fee_per_gas and the ticket; waiting"
            )
            if flight.due is None or flight.due.error_class is not ErrorClass.DEADLINE_EXPIRED:
                writes.append(lambda b: b.incident("cancel", detail, execution_id=flight.id))
            flight.due = Due(_A.CANCEL, ErrorClass.DEADLINE_EXPIRED, 0.0, block.number + 1)
            return
        detail = f"{reason}: cancelling nonce {nonce}"
        writes.append(lambda b: b.incident("cancel", detail, execution_id=flight.id))
        recovery = await self._attempt(flight, nonce, fees, AttemptKind.CANCEL, writes)
        if (recovery is None or flight.maybe_pooled) and flight.status is _S.PREPARED:
            writes.append(self._move(flight, _S.SUBMITTED, "the cancel was handed to the node"))

    # ---- the end, and what may undo it

    async def _landed(self, flight: Flight, receipt: Receipt, writes: list[Write]) -> None:
        """By the hash that mined (DL-3): the original after a cancel is a success, not a cancel."""
        attempt = next(item for item in flight.attempts if item.tx_hash == receipt.tx_hash)
        # Read first: where the node fails here, nothing has moved, and the next look does it again.
        beside = await self._beside(flight, receipt)
        settlement = await self._settler.settlement(
            flight.id, flight.terms, receipt, beside, old=self._old(receipt)
        )
        status, said, error_class = await self._came_of(flight, attempt, receipt)
        sighting = Sighting(receipt.tx_hash, receipt.block_number, receipt.block_hash, receipt.success)
        self._journal.seen(flight.id, sighting)
        flight.sightings.append(sighting)
        flight.due = None
        flight.doubtful = False
        reason = said
        if status is _S.REVERTED:
            reason = f"reverted in block {receipt.block_number}: {said.removeprefix('reverted').lstrip(': ')}"
        writes.append(self._move(flight, status, reason, error_class))
        writes += self._settler.told(settlement)
        self.settled.append((flight.intent.ticket_id, settlement, said))

    async def _came_of(
        self, flight: Flight, attempt: Attempt, receipt: Receipt
    ) -> tuple[ExecutionStatus, str, str]:
        """Status, the line that tells why, and the class of an error."""
        if attempt.kind is AttemptKind.CANCEL:
            return _S.CANCELLED, "the cancel was mined", ""
        if receipt.success:
            return _S.MINED, f"in block {receipt.block_number}", ""
        plan = flight.intent.plan
        # Each call keeps a 64th of its gas from the one it makes (EIP-150): six of them leave 9 % at most. What reverts
        # for another reason stays far below, since the limit is 1.4 times what was simulated.
        if plan is not None and receipt.gas_used * 10 >= plan.gas * 9:
            return (
                _S.REVERTED,
                f"out of gas, {receipt.gas_used} used of {plan.gas}",
                str(ErrorClass.OUT_OF_GAS),
            )
        why = await self._settler.why_reverted(receipt, plan)
        return _S.REVERTED, why, str(ErrorClass.EXECUTION_REVERTED)

    async def _beside(self, flight: Flight, receipt: Receipt) -> list[Receipt]:
        """Receipts of our other transactions in the same block: after a reorganisation there may be several."""
        found = []
        for other in self._flights.values():
            here = other.sightings and other.sightings[-1].block_hash == receipt.block_hash
            if other is flight or not (here or other.open):
                continue
            for attempt in other.attempts:
                mined = await self._node.receipt(attempt.tx_hash)
                if mined is not None and mined.block_hash == receipt.block_hash:
                    found.append(mined)
        return found

    def _used_elsewhere(self, flight: Flight, block: BlockRef, writes: list[Write]) -> None:
        """Rule NM-7 b: not one of our hashes has it. Somebody else signs for this wallet, and a person must look.

        Believed on a second block: behind one address may stand nodes of which the one that told the receipts lags.
        """
        if flight.used_at is None or block.number <= flight.used_at:
            if flight.used_at is None:
                reason = f"nonce {flight.nonce} is used, and no node has a receipt of ours: asked again"
                self._note(flight, ErrorClass.NONCE_TOO_LOW, _A.PROBE, reason, writes)
            flight.used_at = block.number if flight.used_at is None else flight.used_at
            return
        detail = f"nonce {flight.nonce} was used by a transaction that is not ours"
        writes.append(lambda b: b.incident("foreign_nonce", detail, execution_id=flight.id))
        self._note(flight, ErrorClass.NONCE_TOO_LOW, _A.STOP_ACCOUNT, detail, writes)
        writes.append(self._move(flight, _S.EXPIRED, detail, str(ErrorClass.NONCE_TOO_LOW)))
        flight.ended_at = block.number
        self._stop(flight, detail, writes)

    async def _follow(
        self, flight: Flight, block: BlockRef, removed: Collection[str] | None, writes: list[Write]
    ) -> None:
        """An outcome counts while its block stands; below FINAL_DEPTH blocks it is final."""
        if flight.status is _S.EXPIRED or not flight.sightings:
            await self._follow_expired(flight, block, writes)
            return
        last = flight.sightings[-1]
        if removed is not None and last.block_hash in removed:
            flight.doubtful = True
        deep = block.number - last.block_number >= self._depth
        if removed is not None and not flight.doubtful and not deep:
            return
        try:
            stands = (await self._node.block(last.block_number)).hash == last.block_hash
        except UnknownBlock:
            # A shorter chain, or a node that lags: only the feed can tell the one from the other.
            stands = removed is None or last.block_hash not in removed
            if stands:
                flight.doubtful = True
                return
        if not stands:
            await self._undone(flight, block, last, writes)
            return
        flight.doubtful = False
        if deep:
            self._finish(flight, block, writes)

    async def _undone(self, flight: Flight, block: BlockRef, last: Sighting, writes: list[Write]) -> None:
        """Back to submitted, the settlement counts no more; the same bytes again, dearest first (RG-2)."""
        detail = f"block {last.block_number} with {last.tx_hash} was undone"
        self._note(flight, ErrorClass.REORGED, _A.FOLLOW_REORG, detail, writes)
        writes.append(lambda b: b.incident("reorg", detail, execution_id=flight.id))
        writes.append(self._move(flight, _S.SUBMITTED, detail))
        flight.tries.clear()
        flight.due = None
        flight.doubtful = True
        seen = await self._look(flight)
        if seen.receipt is not None:
            if seen.receipt.block_number <= block.number:
                await self._landed(flight, seen.receipt, writes)
            return
        nonce = flight.nonce
        if nonce is not None and seen.nonce > nonce:
            return
        standing = [
            at for at, attempt in enumerate(flight.attempts) if attempt.delivery is not Delivery.REJECTED
        ]
        for at in sorted(standing, key=lambda at: -flight.attempts[at].max_fee_per_gas):
            if not await self._node.knows(flight.attempts[at].tx_hash):
                await self._deliver(flight, at, writes)
                if flight.attempts[at].delivery is Delivery.DELIVERED and flight.due is None:
                    break
            else:
                break

    async def _follow_expired(self, flight: Flight, block: BlockRef, writes: list[Write]) -> None:
        """A stranger used the nonce: unless his transaction is undone, that is the end."""
        seen = await self._look(flight)
        if seen.receipt is not None:
            if seen.receipt.block_number <= block.number:
                await self._landed(flight, seen.receipt, writes)
            return
        nonce = flight.nonce
        if nonce is not None and seen.nonce <= nonce:
            reason = f"nonce {nonce} is free again: what used it was undone"
            self._note(flight, ErrorClass.REORGED, _A.FOLLOW_REORG, reason, writes)
            writes.append(self._move(flight, _S.SUBMITTED, reason))
            flight.due, flight.ended_at, flight.doubtful = None, None, True
            return
        if flight.ended_at is None:
            flight.ended_at = block.number
        if block.number - flight.ended_at >= self._depth:
            self._finish(flight, block, writes)

    def _finish(self, flight: Flight, block: BlockRef, writes: list[Write]) -> None:
        self._journal.finish(flight.id, block.number)
        execution_id, number = flight.id, block.number
        writes.append(lambda b: b.finalized(execution_id, number))
        del self._flights[flight.id]

    def _move(self, flight: Flight, status: ExecutionStatus, reason: str, error_class: str = "") -> Write:
        old = flight.status
        self._journal.move(flight.id, status, reason)
        flight.status = status
        at, nonce = self._clock.utc(), flight.nonce
        return lambda b: b.execution_moved(
            flight.id, old, status, reason, at, nonce=nonce, error_class=error_class or None
        )

    # ---- restart

    def take_up(self, known: OpenExecution, terms: SettlementTerms | None) -> list[Write]:
        """An execution of the journal that is open or not final: the next `watch` settles, sends again or cancels it.

        Its age is measured by the wall clock, once, since no other survives a restart; never below zero.
        """
        age = (
            datetime.fromisoformat(self._clock.utc()) - datetime.fromisoformat(known.intent.created_at)
        ).total_seconds()
        for attempt in known.attempts:
            if attempt.delivery is Delivery.UNSENT:
                # Nobody knows whether it left: from here on a refusal of the same bytes does not prove that it did not.
                text = "the engine stopped before its outcome was written down"
                self._journal.outcome(known.intent.execution_id, attempt.number, Delivery.AMBIGUOUS, text)
        known = self._journal.execution(known.intent.execution_id) or known
        flight = flight_of(known, terms, self._clock.monotonic() - max(0.0, age))
        self._flights[flight.id] = flight
        return [lambda b: b.adopt(known)]

    async def settle_again(self, known: OpenExecution, terms: SettlementTerms | None) -> list[Write]:
        """The settlement of an execution that landed, but whose receipt the store never heard of."""
        for attempt in known.attempts:
            receipt = await self._node.receipt(attempt.tx_hash)
            if receipt is not None:
                settlement = await self._settler.settlement(
                    known.intent.execution_id, terms, receipt, old=True
                )
                return self._settler.told(settlement)
        return []

    def _old(self, receipt: Receipt) -> bool:
        """Whether it is so deep that a node may have let go of the state of its block."""
        return self._head is not None and self._head.number - receipt.block_number >= self._depth


_WEIGHT = {
    Delivery.UNSENT: 0,
    Delivery.NOT_DELIVERED: 1,
    Delivery.REJECTED: 2,
    Delivery.AMBIGUOUS: 3,
    Delivery.DELIVERED: 4,
}


def _mark(name: str) -> Wei:
    """Some wei that a filler sends to itself: two of them on one nonce are never the same bytes under two names."""
    return Wei(int.from_bytes(keccak(name.encode())[:3], "big"))


def _next_base(block: BlockRef) -> int:
    """The base fee of the next block at most: one full block above this one's."""
    return block.base_fee_per_gas + block.base_fee_per_gas // 8 + 1
