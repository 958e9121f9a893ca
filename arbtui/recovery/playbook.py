"""ErrorRecoverySystem: error class and state of the execution in, one decision out. A table; the engine applies it.

What the table may never do, whatever it says (a test goes through all of it): sign for a new nonce while an attempt
of ours may be pending, give a nonce back whose bytes may have arrived, repeat what nobody understood without asking
first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from arbtui.domain import Delivery, ExecutionStatus
from arbtui.errors import UsageError
from arbtui.recovery.classes import Action, ErrorClass
from arbtui.recovery.classify import Classified, classify
from arbtui.recovery.reverts import Errors


class Phase(StrEnum):
    """Where an execution stands, as far as recovery cares."""

    UNSIGNED = "unsigned"  # reading, quoting, simulating: no nonce is held
    PREPARED = "prepared"  # signed and journalled; certainly in no pool
    PENDING = "pending"  # an attempt of ours may be in a pool
    MINED = "mined"  # seen in a block; a reorganisation may still undo it
    OVER = "over"  # nothing is owed any more


class NonceRule(StrEnum):
    NONE = "none"  # none is held
    KEEP = "keep"  # held; nothing else may use it
    RELEASE = "release"  # certainly never delivered: another execution may have it
    BURNT = "burnt"  # used on the chain


@dataclass(frozen=True, slots=True)
class RecoveryContext:
    """What the table needs to know. `tries` counts how often this class was met and acted on before."""

    status: ExecutionStatus | None = None
    pending: bool = False
    sending: bool = True
    tries: int = 0
    blocks_left: int | None = None
    at_ceiling: bool = False
    cancelling: bool = False
    private: bool = False
    method: str = ""
    protocol: str | None = None

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> RecoveryContext:
        """From a mapping with any of these keys; raises UsageError for others."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(context) - known)
        if unknown:
            raise UsageError(f"recovery context: {', '.join(unknown)} is none of {', '.join(sorted(known))}")
        status = context.get("status")
        return cls(**{**context, "status": None if status is None else ExecutionStatus(status)})


@dataclass(frozen=True, slots=True)
class Rule:
    """`limit` tries of `action` (None: until the deadline), then `after`. A wait is in seconds or in blocks.

    `if_lost` follows a probe that found the hash nowhere and the nonce still free.
    """

    action: Action
    reason: str
    limit: int | None = None
    after: Action = Action.WATCH
    wait_s: float = 0.0
    wait_blocks: int = 0
    if_lost: Action | None = None
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Recovery:
    """The decision. `tries_left` is None where only the deadline ends it; `private_only` forbids public endpoints."""

    error_class: ErrorClass
    phase: Phase
    action: Action
    nonce: NonceRule
    reason: str
    wait_s: float
    wait_blocks: int
    limit: int | None
    tries_left: int | None
    if_lost: Action | None
    alarm: bool
    private_only: bool
    known: Classified

    @property
    def stops(self) -> bool:
        """Whether a person must look before anything else is signed for this account."""
        return self.action is Action.STOP_ACCOUNT


_A = Action
_NO_SEND = Rule(_A.WATCH, "it is in a block: only receipts are asked, to the final depth")
_OVER = Rule(_A.DROP, "the execution is over; nothing of it is pending")
_CONFIG = Rule(
    _A.STOP_ACCOUNT,
    "a fault of configuration or key: the same answer would come again",
    0,
    _A.STOP_ACCOUNT,
    alarm=True,
)
_CONFIG_PENDING = Rule(
    _A.STOP_ACCOUNT,
    "this attempt was refused for good while an earlier one may be pending: keep watching that, sign nothing new",
    0,
    _A.STOP_ACCOUNT,
    alarm=True,
)
_GONE = Rule(_A.DROP, "this payload can never be taken; the nonce was never used", 0, _A.DROP)
_OLD_STAYS = Rule(
    _A.WATCH, "this attempt was refused; the earlier one stays in the pool and stays watched", alarm=True
)
_ASK_AGAIN = Rule(_A.WAIT, "nothing is signed yet: ask again on the next block", 3, _A.DROP, wait_blocks=1)
_DROP_ROUTE = Rule(_A.DROP, "nothing is signed yet: let it go", 0, _A.DROP)
_LOOK_FIRST = Rule(
    _A.PROBE,
    "nobody knows whether the bytes arrived: hash, receipts and nonce are asked of every node, then the same bytes",
    wait_s=1,
    if_lost=_A.RESEND_SAME,
)
_ON_SEND = Rule(
    _A.PROBE,
    "the node simulated the transaction and refused it, others may have it: hash, receipts and nonce first",
    3,
    _A.WATCH,
    wait_blocks=1,
)

#: class -> (unsigned, prepared, pending, mined). What is over has one rule for all.
PLAYBOOK: dict[ErrorClass, tuple[Rule, Rule, Rule, Rule]] = {
    ErrorClass.NONCE_TOO_LOW: (
        Rule(_A.PROBE, "a simulation with an old nonce: read it again", 3, _A.STOP_ACCOUNT),
        *(
            Rule(
                _A.PROBE,
                "mined by one of ours, used by a stranger, or the node lags: receipts of every hash and the nonce tell",
                3,
                _A.STOP_ACCOUNT,
                wait_s=2,
                alarm=True,
            ),
        )
        * 2,
        _NO_SEND,
    ),
    ErrorClass.NONCE_TOO_HIGH: (
        Rule(_A.PROBE, "the node does not know what is pending: read the nonce again", 3, _A.STOP_ACCOUNT),
        *(
            Rule(
                _A.SEND_LOWER_NONCES,
                "what stands before it is missing there: hand over the same bytes of the lower nonces first",
                3,
                _A.STOP_ACCOUNT,
                wait_blocks=1,
            ),
        )
        * 2,
        _NO_SEND,
    ),
    ErrorClass.ALREADY_KNOWN: (
        _DROP_ROUTE,
        *(Rule(_A.WATCH, "an earlier try arrived: wait for the receipt"),) * 2,
        _NO_SEND,
    ),
    ErrorClass.REPLACEMENT_UNDERPRICED: (
        _ASK_AGAIN,
        Rule(
            _A.PROBE,
            "the journal has nothing pending on this nonce, the pool has: look for it before anything is bumped",
            2,
            _A.STOP_ACCOUNT,
            alarm=True,
        ),
        Rule(
            _A.BUMP,
            "read all attempts of the nonce again and go by the stronger rule (effective price) at the next base fee",
            3,
            _A.WATCH,
        ),
        _NO_SEND,
    ),
    ErrorClass.UNDERPRICED: (
        _ASK_AGAIN,
        Rule(
            _A.RAISE_FEE,
            "raise to the stated minimum or the market if it still pays",
            5,
            _A.DROP,
        ),
        Rule(_A.BUMP, "raise to the stated minimum or the market, and by the replacement rule", 3, _A.WATCH),
        _NO_SEND,
    ),
    ErrorClass.FEE_CAP_BELOW_BASE_FEE: (
        _ASK_AGAIN,
        Rule(
            _A.RAISE_FEE,
            "the base fee has risen: raise to the market if it still pays",
            5,
            _A.DROP,
        ),
        Rule(
            _A.BUMP, "the base fee has risen: raise to the market, and by the replacement rule", 3, _A.WATCH
        ),
        _NO_SEND,
    ),
    ErrorClass.INSUFFICIENT_FUNDS: (
        Rule(_A.STOP_ACCOUNT, "the wallet has no gas money", 0, _A.STOP_ACCOUNT, alarm=True),
        Rule(
            _A.STOP_ACCOUNT,
            "no gas money: no retry until the balance moves",
            0,
            _A.STOP_ACCOUNT,
            alarm=True,
        ),
        Rule(_A.WATCH, "the bump overdraws the wallet; the earlier attempt is not dead", alarm=True),
        _NO_SEND,
    ),
    ErrorClass.INTRINSIC_GAS_TOO_LOW: (
        Rule(_A.RE_ESTIMATE, "count calldata, its floor and the L1 part again", 1, _A.DROP),
        Rule(_A.RE_ESTIMATE, "count calldata, its floor and the L1 part again; the same nonce", 1, _A.DROP),
        _OLD_STAYS,
        _NO_SEND,
    ),
    ErrorClass.EXCEEDS_BLOCK_GAS_LIMIT: (_DROP_ROUTE, _GONE, _OLD_STAYS, _NO_SEND),
    ErrorClass.OVERSIZED_DATA: (_DROP_ROUTE, _GONE, _OLD_STAYS, _NO_SEND),
    ErrorClass.TIP_ABOVE_FEE_CAP: (
        Rule(_A.FIX_FEES, "our own arithmetic: tip = max fee", 1, _A.DROP, alarm=True),
        Rule(_A.FIX_FEES, "our own arithmetic: tip = max fee, once; the same nonce", 1, _A.DROP, alarm=True),
        Rule(_A.BUMP, "our own arithmetic: compute the bump again, once", 1, _A.WATCH, alarm=True),
        _NO_SEND,
    ),
    ErrorClass.FEE_TOO_HIGH_REJECTED: (
        Rule(_A.LOWER_FEE, "gas limit × max fee must stay under the node's cap", 1, _A.DROP),
        Rule(_A.LOWER_FEE, "gas limit × max fee must stay under the node's cap; the same nonce", 1, _A.DROP),
        Rule(_A.WATCH, "the bump passes the node's cap; the earlier attempt stays watched"),
        _NO_SEND,
    ),
    ErrorClass.EXECUTION_REVERTED: (
        Rule(_A.DROP, "the simulation reverted", 0, _A.DROP),
        _ON_SEND,
        _ON_SEND,
        Rule(_A.SETTLE, "it is mined and reverted: book the gas; final only at depth", 0, _A.SETTLE),
    ),
    ErrorClass.EXECUTION_HALTED: (
        Rule(_A.DROP, "the simulation broke the machine's rules: set the route aside", 0, _A.DROP),
        _ON_SEND,
        _ON_SEND,
        Rule(_A.SETTLE, "it is mined and all its gas is gone: book it", 0, _A.SETTLE),
    ),
    ErrorClass.OUT_OF_GAS: (
        Rule(_A.RE_ESTIMATE, "simulate once with a quarter more gas, if it would still pay", 1, _A.DROP),
        _ON_SEND,
        _ON_SEND,
        Rule(
            _A.SETTLE, "it is mined and ran out of gas: book it; another try is another ticket", 0, _A.SETTLE
        ),
    ),
    ErrorClass.TXPOOL_FULL: (
        _ASK_AGAIN,
        Rule(
            _A.RESEND_ELSEWHERE,
            "the pool is full: the same bytes to another endpoint after a pause",
            wait_blocks=1,
        ),
        Rule(
            _A.RESEND_ELSEWHERE,
            "the pool is full: the same bytes to another endpoint after a pause",
            wait_blocks=1,
        ),
        _NO_SEND,
    ),
    ErrorClass.RATE_LIMITED: (
        Rule(_A.WAIT, "wait as long as the provider says, ask another meanwhile", wait_s=1),
        Rule(
            _A.RESEND_ELSEWHERE,
            "the limit was met before the bytes were taken: another endpoint, or wait",
            wait_s=1,
        ),
        Rule(
            _A.PROBE,
            "whether the send went through is asked first, of others, after the wait the provider asks for",
            wait_s=1,
            if_lost=_A.RESEND_SAME,
        ),
        Rule(_A.WAIT, "receipts are asked again after the wait", wait_s=1),
    ),
    ErrorClass.TIMEOUT: (
        Rule(_A.WAIT, "ask again, of another node if there is one", 3, _A.DROP, wait_s=1),
        Rule(_A.RESEND_SAME, "nothing was written: the same bytes again", wait_s=1),
        _LOOK_FIRST,
        Rule(_A.WAIT, "receipts are asked again", wait_s=2),
    ),
    ErrorClass.CONNECTION: (
        Rule(_A.WAIT, "ask again, of another node if there is one", 3, _A.DROP, wait_s=1),
        Rule(
            _A.RESEND_SAME,
            "refused before a byte was written: the same bytes again, elsewhere first",
            wait_s=1,
        ),
        _LOOK_FIRST,
        Rule(_A.WAIT, "receipts are asked again", wait_s=2),
    ),
    ErrorClass.NODE_SYNCING: (
        Rule(_A.STOP_ENDPOINT, "what it says is old: set it aside until its head is fresh", wait_blocks=1),
        Rule(
            _A.RESEND_ELSEWHERE,
            "set it aside until its head is fresh; the same bytes elsewhere",
            wait_blocks=1,
        ),
        Rule(_A.STOP_ENDPOINT, "its heads, nonces and pool are old: ask the others", wait_blocks=1),
        Rule(_A.STOP_ENDPOINT, "its heads are old: ask the others for receipts", wait_blocks=1),
    ),
    ErrorClass.AUTH: (
        Rule(_A.STOP_ENDPOINT, "the endpoint refuses us: mend its key, go on with the others", alarm=True),
        Rule(_A.STOP_ENDPOINT, "the endpoint refuses us: the same bytes elsewhere", alarm=True),
        Rule(
            _A.STOP_ENDPOINT,
            "the endpoint refuses us; whether it passed the bytes on is asked of the others first",
            if_lost=_A.RESEND_ELSEWHERE,
            alarm=True,
        ),
        Rule(_A.STOP_ENDPOINT, "the endpoint refuses us: ask the others for receipts", alarm=True),
    ),
    ErrorClass.NOT_FOUND: (
        _ASK_AGAIN,
        Rule(_A.RESEND_SAME, "no node has it and it was never handed over: the same bytes", wait_blocks=1),
        Rule(
            _A.PROBE,
            "keep asking; lost on every node for two blocks: the same bytes again",
            wait_blocks=2,
            if_lost=_A.RESEND_SAME,
        ),
        Rule(
            _A.PROBE, "the block or the receipt is gone: a reorganisation, or a node that lags", wait_blocks=1
        ),
    ),
    ErrorClass.INVALID_CHAIN_ID: (_CONFIG, _CONFIG, _CONFIG_PENDING, _NO_SEND),
    ErrorClass.INVALID_SENDER: (_CONFIG, _CONFIG, _CONFIG_PENDING, _NO_SEND),
    ErrorClass.SENDER_BLOCKED: (_CONFIG, _CONFIG, _CONFIG_PENDING, _NO_SEND),
    ErrorClass.MALFORMED: (_CONFIG, _CONFIG, _CONFIG_PENDING, _NO_SEND),
    ErrorClass.UNSUPPORTED: (
        Rule(_A.STOP_ENDPOINT, "this node cannot do it: another one, or another method", alarm=True),
        Rule(
            _A.RESEND_ELSEWHERE,
            "this node does not take such transactions: another endpoint",
            2,
            _A.STOP_ACCOUNT,
        ),
        Rule(_A.STOP_ENDPOINT, "this node cannot do it: ask the others", alarm=True),
        Rule(_A.STOP_ENDPOINT, "this node cannot do it: ask the others for receipts", alarm=True),
    ),
    ErrorClass.INCOMPATIBLE_TX_TYPE_PENDING: (
        _ASK_AGAIN,
        Rule(
            _A.WAIT,
            "another kind of transaction of this account is pending: wait for it",
            wait_blocks=1,
            alarm=True,
        ),
        Rule(
            _A.WAIT,
            "another kind of transaction of this account is pending: wait for it",
            wait_blocks=1,
            alarm=True,
        ),
        _NO_SEND,
    ),
    ErrorClass.DEADLINE_EXPIRED: (
        _DROP_ROUTE,
        Rule(_A.DROP, "its time has passed and it was never taken", 0, _A.DROP),
        Rule(_A.CANCEL, "its time has passed: free the nonce; what mines decides the outcome", 3, _A.WATCH),
        _NO_SEND,
    ),
    ErrorClass.BUNDLE_REJECTED: (
        _DROP_ROUTE,
        Rule(_A.DROP, "the relay did not take it; no nonce was used", 0, _A.DROP),
        Rule(
            _A.WATCH, "the relay did not take this one; an earlier one may still be included", wait_blocks=1
        ),
        _NO_SEND,
    ),
    ErrorClass.REORGED: (
        Rule(_A.DROP, "quotes and simulations of the lost block are void", 0, _A.DROP),
        Rule(_A.WAIT, "simulate on the new head before anything is sent", 3, _A.DROP, wait_blocks=1),
        Rule(_A.FOLLOW_REORG, "keep nonce and hashes; the same bytes again, dearest first"),
        Rule(_A.FOLLOW_REORG, "its block is gone: back to submitted; the same bytes again, dearest first"),
    ),
    ErrorClass.TERMINALLY_STUCK: (
        _DROP_ROUTE,
        Rule(_A.DROP, "it can never be included as it is", 0, _A.DROP),
        Rule(
            _A.CANCEL, "it can never be included as it is: free the nonce", 3, _A.STOP_ACCOUNT, wait_blocks=1
        ),
        _NO_SEND,
    ),
    ErrorClass.UNKNOWN: (
        Rule(
            _A.WAIT,
            "not understood; nothing is signed yet: once more on the next block",
            2,
            _A.DROP,
            wait_blocks=1,
        ),
        *(
            Rule(
                _A.PROBE,
                "not understood: hash, receipts and nonce are asked of every node before anything is done",
                2,
                _A.STOP_ACCOUNT,
                wait_s=2,
                if_lost=_A.RESEND_SAME,
                alarm=True,
            ),
        )
        * 2,
        Rule(_A.PROBE, "not understood: receipts are asked of every node", wait_s=2),
    ),
}

_PHASE_OF = {
    None: Phase.UNSIGNED,
    ExecutionStatus.PAPER: Phase.OVER,
    ExecutionStatus.PREPARED: Phase.PREPARED,
    ExecutionStatus.SUBMITTED: Phase.PENDING,
    ExecutionStatus.MINED: Phase.MINED,
    ExecutionStatus.REVERTED: Phase.MINED,
    ExecutionStatus.CANCELLED: Phase.MINED,
    ExecutionStatus.EXPIRED: Phase.MINED,
    ExecutionStatus.REJECTED: Phase.OVER,
}
_COLUMN = {Phase.UNSIGNED: 0, Phase.PREPARED: 1, Phase.PENDING: 2, Phase.MINED: 3}

#: Signs the trade again with other figures: only while nothing of the nonce may be pending.
RESIGNS = frozenset({_A.RAISE_FEE, _A.LOWER_FEE, _A.FIX_FEES, _A.RE_ESTIMATE})
#: Puts new or old bytes on the wire.
SENDS = RESIGNS | {_A.BUMP, _A.CANCEL, _A.RESEND_SAME, _A.RESEND_ELSEWHERE, _A.SEND_LOWER_NONCES}
_DEARER = frozenset({_A.BUMP, _A.RAISE_FEE})
_LONGEST_WAIT_S = 30.0


class ErrorRecoverySystem:
    """What is done about an error. It holds no state: the same error and context give the same decision.

    `own_errors` are the executor's (`execution.reverts.EXECUTOR_ERRORS`), so that its reverts are named.
    """

    def __init__(self, own_errors: Errors | None = None) -> None:
        self._own = own_errors

    def handle_error(self, error: object, context: RecoveryContext | Mapping[str, Any]) -> Recovery:
        """The decision for `error` (an exception, a text, a JSON-RPC object) in `context`.

        Total over errors; raises UsageError for a mapping with keys that RecoveryContext does not have.
        """
        where = context if isinstance(context, RecoveryContext) else RecoveryContext.of(context)
        known = (
            error
            if isinstance(error, Classified)
            else classify(error, method=where.method, protocol=where.protocol, own=self._own)
        )
        return decide(known, where)


def phase_of(known: Classified, context: RecoveryContext) -> Phase:
    """A send that may have arrived makes an execution pending, whatever was written down before it."""
    phase = _PHASE_OF[context.status]
    arrived = context.sending and known.delivery in (Delivery.DELIVERED, Delivery.AMBIGUOUS)
    if phase is Phase.PREPARED and (context.pending or arrived):
        return Phase.PENDING
    return phase


def decide(known: Classified, context: RecoveryContext) -> Recovery:
    """The table, and what stands above it: the deadline, the ceiling, a cancel under way."""
    phase = phase_of(known, context)
    rule = _OVER if phase is Phase.OVER else PLAYBOOK[known.error_class][_COLUMN[phase]]
    used_up = rule.limit is not None and context.tries >= rule.limit and rule.limit > 0
    action, reason = (
        (rule.after, f"{rule.limit} tries are used up") if used_up else (rule.action, rule.reason)
    )
    if phase is Phase.UNSIGNED and known.error_class is ErrorClass.EXECUTION_REVERTED:
        action = known.action
        reason = f"{reason}: {known.revert.meaning}" if known.revert is not None else reason
    if action in _DEARER and context.at_ceiling:
        action = _A.WATCH if phase is Phase.PENDING else _A.DROP
        reason = "the next step would pass the ceiling; watched until the deadline, then cancelled"
    if context.blocks_left is not None and context.blocks_left <= 0:
        action, reason = _past_the_deadline(action, reason, phase)
    if context.cancelling and phase is Phase.PENDING and action is _A.DROP:
        action = _A.WATCH
    tries_left = None if rule.limit is None else max(0, rule.limit - context.tries)
    return Recovery(
        error_class=known.error_class,
        phase=phase,
        action=action,
        nonce=_nonce(action, phase, known, context),
        reason=reason,
        wait_s=_wait(rule, known, context),
        wait_blocks=rule.wait_blocks,
        limit=rule.limit,
        tries_left=tries_left,
        if_lost=None if used_up or phase is not Phase.PENDING else rule.if_lost,
        alarm=rule.alarm or used_up,
        private_only=context.private,
        known=known,
    )


def _past_the_deadline(action: Action, reason: str, phase: Phase) -> tuple[Action, str]:
    if phase is Phase.PENDING and action in (SENDS - {_A.CANCEL}) | {_A.WAIT, _A.DROP}:
        return _A.CANCEL, "its last block has passed: the nonce is freed by a cancel"
    if phase is Phase.PREPARED and action in SENDS | {_A.WAIT}:
        return _A.DROP, "its last block has passed and it was never taken"
    return action, reason


def _nonce(action: Action, phase: Phase, known: Classified, context: RecoveryContext) -> NonceRule:
    if phase in (Phase.UNSIGNED, Phase.OVER):
        return NonceRule.NONE
    if phase is Phase.MINED:
        return NonceRule.KEEP if action is _A.FOLLOW_REORG else NonceRule.BURNT
    never = (
        phase is Phase.PREPARED
        and not context.pending
        and context.sending
        and known.delivery in (Delivery.REJECTED, Delivery.NOT_DELIVERED)
    )
    return NonceRule.RELEASE if never and action in (_A.DROP, _A.STOP_ACCOUNT) else NonceRule.KEEP


def _wait(rule: Rule, known: Classified, context: RecoveryContext) -> float:
    """The provider's wish, else the rule's wait, twice as long with every try."""
    if known.retry_after_s is not None:
        return known.retry_after_s
    asked = known.figures.get("retry_in_s")
    if asked is not None:
        return float(min(asked, 3_600))
    return float(min(_LONGEST_WAIT_S, rule.wait_s * 2 ** min(max(context.tries, 0), 10)))
