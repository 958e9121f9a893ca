"""The classes of errors, and what each means to an operator."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from arbtui.domain import Delivery


class ErrorClass(StrEnum):
    """Why a node, a relay or a connection failed us; interfaces fix the names."""

    NONCE_TOO_LOW = "nonce_too_low"
    NONCE_TOO_HIGH = "nonce_too_high"
    ALREADY_KNOWN = "already_known"
    REPLACEMENT_UNDERPRICED = "replacement_underpriced"
    UNDERPRICED = "underpriced"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    INTRINSIC_GAS_TOO_LOW = "intrinsic_gas_too_low"
    EXCEEDS_BLOCK_GAS_LIMIT = "exceeds_block_gas_limit"
    FEE_CAP_BELOW_BASE_FEE = "fee_cap_below_base_fee"
    TIP_ABOVE_FEE_CAP = "tip_above_fee_cap"
    EXECUTION_REVERTED = "execution_reverted"
    EXECUTION_HALTED = "execution_halted"
    OUT_OF_GAS = "out_of_gas"
    TXPOOL_FULL = "txpool_full"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    NODE_SYNCING = "node_syncing"
    AUTH = "auth"
    NOT_FOUND = "not_found"
    INVALID_CHAIN_ID = "invalid_chain_id"
    INVALID_SENDER = "invalid_sender"
    SENDER_BLOCKED = "sender_blocked"
    FEE_TOO_HIGH_REJECTED = "fee_too_high_rejected"
    OVERSIZED_DATA = "oversized_data"
    MALFORMED = "malformed"
    UNSUPPORTED = "unsupported"
    INCOMPATIBLE_TX_TYPE_PENDING = "incompatible_tx_type_pending"
    DEADLINE_EXPIRED = "deadline_expired"
    BUNDLE_REJECTED = "bundle_rejected"
    REORGED = "reorged"
    TERMINALLY_STUCK = "terminally_stuck"
    UNKNOWN = "unknown"


class Action(StrEnum):
    """What recovery does next. Those that sign at all sign on the same nonce, always."""

    WATCH = "watch"  # look for receipts of every hash of the nonce, send nothing
    PROBE = "probe"  # ask every node for the hashes, the receipts and the nonce before anything else
    WAIT = "wait"  # try the same request again after a time
    SEND_LOWER_NONCES = "send_lower_nonces"  # hand over the same bytes of what stands before it
    RESEND_SAME = "resend_same"  # hand over the same signed bytes again
    RESEND_ELSEWHERE = "resend_elsewhere"  # the same signed bytes to another endpoint
    BUMP = "bump"  # replace on the same nonce, by the replacement rule
    RAISE_FEE = "raise_fee"  # sign again on the same nonce: no earlier attempt is pooled
    LOWER_FEE = "lower_fee"  # sign again below the node's limit; the same nonce
    FIX_FEES = "fix_fees"  # sign again with tip <= max fee; the same nonce
    RE_ESTIMATE = "re_estimate"  # sign again with a new gas limit; the same nonce
    CANCEL = "cancel"  # take the nonce with a transfer of nothing to oneself
    DROP = "drop"  # this payload is over
    STOP_ENDPOINT = "stop_endpoint"  # set the endpoint aside, go on with the others
    STOP_ACCOUNT = "stop_account"  # nothing more is signed for this account until a person has looked
    SETTLE = "settle"  # it is mined: book it
    FOLLOW_REORG = "follow_reorg"  # back to submitted, the same bytes again


@dataclass(frozen=True, slots=True)
class Meaning:
    """`delivery` is what the answer to a *send* proves; `action` is the first thing to do about it.

    `retryable` says that the same goal may be reached by trying again, perhaps with other fees or elsewhere.
    """

    title: str
    explain: str
    action: Action
    retryable: bool
    delivery: Delivery


_REFUSED, _OPEN, _THERE = Delivery.REJECTED, Delivery.AMBIGUOUS, Delivery.DELIVERED

MEANINGS: dict[ErrorClass, Meaning] = {
    ErrorClass.NONCE_TOO_LOW: Meaning(
        "The nonce is used already",
        "Something with this nonce is mined: one of our own attempts, or a transaction made elsewhere with this "
        "key. Or the node lags. Receipts and nonce tell which; the nonce is never just counted up.",
        Action.PROBE,
        True,
        _OPEN,
    ),
    ErrorClass.NONCE_TOO_HIGH: Meaning(
        "A lower nonce is missing",
        "The node does not know the transactions that come before this one. They are handed over first.",
        Action.SEND_LOWER_NONCES,
        True,
        _OPEN,
    ),
    ErrorClass.ALREADY_KNOWN: Meaning(
        "The node has it already",
        "An earlier try arrived. Nothing is to be sent; its receipt is waited for.",
        Action.WATCH,
        True,
        _THERE,
    ),
    ErrorClass.REPLACEMENT_UNDERPRICED: Meaning(
        "The bump was too small",
        "A transaction with this nonce is pending, and clients ask 10 % more on both fees, some on the effective "
        "price. The earlier attempt stays where it is and stays watched.",
        Action.BUMP,
        True,
        _REFUSED,
    ),
    ErrorClass.UNDERPRICED: Meaning(
        "The fee is below the node's minimum",
        "The pool takes nothing at this price or tip. Raise to the minimum it names, if it still pays.",
        Action.RAISE_FEE,
        True,
        _REFUSED,
    ),
    ErrorClass.INSUFFICIENT_FUNDS: Meaning(
        "Not enough coin for gas",
        "The wallet cannot pay gas limit × max fee plus value (on rollups the L1 fee as well). With a flash loan "
        "this is gas money alone: fund the wallet, or wait until what is pending is through.",
        Action.STOP_ACCOUNT,
        False,
        _REFUSED,
    ),
    ErrorClass.INTRINSIC_GAS_TOO_LOW: Meaning(
        "The gas limit is below what the bytes cost",
        "21,000 plus calldata, or EIP-7623's floor; on Arbitrum the L1 part as well. Estimate once more.",
        Action.RE_ESTIMATE,
        True,
        _REFUSED,
    ),
    ErrorClass.EXCEEDS_BLOCK_GAS_LIMIT: Meaning(
        "The gas limit is above what is allowed",
        "Above the block's limit, or above 16,777,216 a transaction (EIP-7825). This payload can never be mined: "
        "a shorter route is needed.",
        Action.DROP,
        False,
        _REFUSED,
    ),
    ErrorClass.FEE_CAP_BELOW_BASE_FEE: Meaning(
        "The max fee is below the base fee",
        "The base fee has risen past it. Raise it if the trade still pays, else let it go.",
        Action.RAISE_FEE,
        True,
        _REFUSED,
    ),
    ErrorClass.TIP_ABOVE_FEE_CAP: Meaning(
        "The tip is above the max fee",
        "A fault of our own arithmetic: the tip is set down to the max fee once, and it counts as a bug.",
        Action.FIX_FEES,
        True,
        _REFUSED,
    ),
    ErrorClass.EXECUTION_REVERTED: Meaning(
        "The contract refused",
        "The call ran and reverted; the reason says who refused. Its text was written by a contract and decides "
        "nothing about nonces or fees.",
        Action.DROP,
        False,
        _OPEN,
    ),
    ErrorClass.EXECUTION_HALTED: Meaning(
        "The call broke the machine's rules",
        "An invalid opcode, a bad jump, a stack or depth limit: no revert, all gas is gone. The route is at fault.",
        Action.DROP,
        False,
        _OPEN,
    ),
    ErrorClass.OUT_OF_GAS: Meaning(
        "Out of gas",
        "The gas limit, or the node's own cap for calls, did not suffice; geth also says so of a call that always "
        "fails. Estimate once with more room, if it still pays.",
        Action.RE_ESTIMATE,
        True,
        _OPEN,
    ),
    ErrorClass.TXPOOL_FULL: Meaning(
        "The pool is full",
        "The node takes nothing more, or nothing more of this account, at this price. Another node, or a higher "
        "tip, after a pause.",
        Action.RESEND_ELSEWHERE,
        True,
        _REFUSED,
    ),
    ErrorClass.RATE_LIMITED: Meaning(
        "Too many requests",
        "The provider's limit. Wait as long as it says, use another endpoint; whether a send went through is asked "
        "first.",
        Action.WAIT,
        True,
        _OPEN,
    ),
    ErrorClass.TIMEOUT: Meaning(
        "No answer in time",
        "A timeout is not a failure: the bytes may have arrived. Look for the hash, then hand over the same bytes.",
        Action.PROBE,
        True,
        _OPEN,
    ),
    ErrorClass.CONNECTION: Meaning(
        "The connection or a server behind it failed",
        "Unless the connection was refused before a byte was written, the bytes may have arrived. Look for the "
        "hash, then hand over the same bytes.",
        Action.PROBE,
        True,
        _OPEN,
    ),
    ErrorClass.NODE_SYNCING: Meaning(
        "The node is not in sync",
        "What it says of heads, nonces and pools is old. Another endpoint until its head is fresh.",
        Action.STOP_ENDPOINT,
        True,
        _REFUSED,
    ),
    ErrorClass.AUTH: Meaning(
        "The endpoint refused us",
        "A missing, wrong or spent key, or a header without a valid signature. Mend the configuration.",
        Action.STOP_ENDPOINT,
        False,
        _OPEN,
    ),
    ErrorClass.NOT_FOUND: Meaning(
        "The node does not have it",
        "A block, a state, a transaction or a receipt that it does not know, yet or any more. Ask again and ask "
        "others before concluding anything.",
        Action.PROBE,
        True,
        _OPEN,
    ),
    ErrorClass.INVALID_CHAIN_ID: Meaning(
        "Signed for another chain",
        "chain_id of the configuration and the node do not agree. Nothing can be sent until they do.",
        Action.STOP_ACCOUNT,
        False,
        _REFUSED,
    ),
    ErrorClass.INVALID_SENDER: Meaning(
        "The sender is not accepted",
        "The signature does not give a plain account, or this node does not serve it. Check key and wallet.",
        Action.STOP_ACCOUNT,
        False,
        _REFUSED,
    ),
    ErrorClass.SENDER_BLOCKED: Meaning(
        "The account is on somebody's list",
        "A filter or blacklist of this endpoint or chain names it. Do not go round it; find out why.",
        Action.STOP_ACCOUNT,
        False,
        _REFUSED,
    ),
    ErrorClass.FEE_TOO_HIGH_REJECTED: Meaning(
        "The fee is above the node's own limit",
        "Nodes refuse gas limit × max fee above a cap, mostly 1 coin, whatever is really paid. Lower the max fee, "
        "or use an endpoint without the cap.",
        Action.LOWER_FEE,
        True,
        _REFUSED,
    ),
    ErrorClass.OVERSIZED_DATA: Meaning(
        "Too many bytes",
        "The transaction or the request is larger than the node takes. A shorter route.",
        Action.DROP,
        False,
        _REFUSED,
    ),
    ErrorClass.MALFORMED: Meaning(
        "Not a valid transaction or request",
        "The node could not decode it, or a field is out of range: a fault of ours or of something between.",
        Action.STOP_ACCOUNT,
        False,
        _REFUSED,
    ),
    ErrorClass.UNSUPPORTED: Meaning(
        "The node cannot do this",
        "The method or the transaction type does not exist there.",
        Action.STOP_ENDPOINT,
        False,
        _REFUSED,
    ),
    ErrorClass.INCOMPATIBLE_TX_TYPE_PENDING: Meaning(
        "Another kind of transaction is pending",
        "A blob transaction or an EIP-7702 delegation of this account is in flight, and pools do not mix them. "
        "Wait until it is through.",
        Action.WAIT,
        True,
        _REFUSED,
    ),
    ErrorClass.DEADLINE_EXPIRED: Meaning(
        "Its time has passed",
        "The block or time it was meant for is over. It is not sent again, and cancelled if it may still live.",
        Action.DROP,
        False,
        _REFUSED,
    ),
    ErrorClass.BUNDLE_REJECTED: Meaning(
        "The relay did not take the bundle",
        "Its shape, its target or its simulation was refused. It consumed no nonce; a new block needs a new one.",
        Action.DROP,
        False,
        _REFUSED,
    ),
    ErrorClass.REORGED: Meaning(
        "The chain has turned",
        "The block that was asked about is no longer part of the chain. What was seen in it is looked for again.",
        Action.FOLLOW_REORG,
        True,
        _OPEN,
    ),
    ErrorClass.TERMINALLY_STUCK: Meaning(
        "It can never be included as it is",
        "A prover's counters do not suffice for it. The nonce is freed by a cancel.",
        Action.CANCEL,
        False,
        _OPEN,
    ),
    ErrorClass.UNKNOWN: Meaning(
        "Nobody can tell",
        "An answer that is not in the table. Nothing is repeated and nothing given up: hash, receipts and nonce "
        "are asked of every node.",
        Action.PROBE,
        False,
        _OPEN,
    ),
}

#: The next step of the ladder is the answer to these.
PRICE_CLASSES = frozenset(
    {ErrorClass.REPLACEMENT_UNDERPRICED, ErrorClass.FEE_CAP_BELOW_BASE_FEE, ErrorClass.UNDERPRICED}
)
