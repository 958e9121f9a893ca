"""Errors of eth_sendRawTransaction, by text: codes say nothing (-32003 alone covers nine causes on anvil).

This is the thin thread: what a send to geth, reth, erigon or anvil answers. What is not in the table is `unknown`,
and unknown is treated as "may have been delivered".
"""

from __future__ import annotations

import re
from enum import StrEnum

from arbtui.domain import Delivery
from arbtui.errors import ArbtuiError, MalformedAnswer, NodeError, NodeUnreachable


class ErrorClass(StrEnum):
    EXECUTION_REVERTED = "execution_reverted"
    INVALID_CHAIN_ID = "invalid_chain_id"
    EXCEEDS_BLOCK_GAS_LIMIT = "exceeds_block_gas_limit"
    INTRINSIC_GAS_TOO_LOW = "intrinsic_gas_too_low"
    NONCE_TOO_LOW = "nonce_too_low"
    NONCE_TOO_HIGH = "nonce_too_high"
    ALREADY_KNOWN = "already_known"
    REPLACEMENT_UNDERPRICED = "replacement_underpriced"
    TIP_ABOVE_FEE_CAP = "tip_above_fee_cap"
    FEE_CAP_BELOW_BASE_FEE = "fee_cap_below_base_fee"
    UNDERPRICED = "underpriced"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    TXPOOL_FULL = "txpool_full"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"


#: Longest specific before short generic; anchored at the start or after a provider's "prefix: ".
_TABLE: tuple[tuple[ErrorClass, str], ...] = (
    (ErrorClass.EXECUTION_REVERTED, r"execution reverted"),
    (ErrorClass.INVALID_CHAIN_ID, r"invalid chain id"),
    (
        ErrorClass.EXCEEDS_BLOCK_GAS_LIMIT,
        r"exceeds block gas limit|intrinsic gas too high|transaction gas limit too",
    ),
    (ErrorClass.INTRINSIC_GAS_TOO_LOW, r"intrinsic gas too low|insufficient gas for floor data"),
    (ErrorClass.NONCE_TOO_LOW, r"nonce too low"),
    (ErrorClass.NONCE_TOO_HIGH, r"nonce too high"),
    (ErrorClass.ALREADY_KNOWN, r"already known|transaction already imported|known transaction"),
    (ErrorClass.REPLACEMENT_UNDERPRICED, r"replacement transaction underpriced"),
    (ErrorClass.TIP_ABOVE_FEE_CAP, r"max priority fee per gas higher than max fee"),
    (
        ErrorClass.FEE_CAP_BELOW_BASE_FEE,
        r"max fee per gas less than block base fee|fee cap less than block base fee",
    ),
    (ErrorClass.UNDERPRICED, r"transaction underpriced|transaction gas price below minimum"),
    (ErrorClass.INSUFFICIENT_FUNDS, r"insufficient funds"),
    (ErrorClass.TXPOOL_FULL, r"txpool is full|account limit exceeded"),
)
_RULES = tuple((name, re.compile(rf"(?:^|: )(?:{pattern})", re.IGNORECASE)) for name, pattern in _TABLE)

#: A refusal before the pool, by a rule that gives the same answer every time.
_REFUSALS = frozenset(
    {
        ErrorClass.INVALID_CHAIN_ID,
        ErrorClass.EXCEEDS_BLOCK_GAS_LIMIT,
        ErrorClass.INTRINSIC_GAS_TOO_LOW,
        ErrorClass.REPLACEMENT_UNDERPRICED,
        ErrorClass.TIP_ABOVE_FEE_CAP,
        ErrorClass.FEE_CAP_BELOW_BASE_FEE,
        ErrorClass.UNDERPRICED,
        ErrorClass.INSUFFICIENT_FUNDS,
        ErrorClass.TXPOOL_FULL,
    }
)

#: The next step of the ladder is the answer to these.
PRICE_CLASSES = frozenset(
    {ErrorClass.REPLACEMENT_UNDERPRICED, ErrorClass.FEE_CAP_BELOW_BASE_FEE, ErrorClass.UNDERPRICED}
)


def classify_send(error: ArbtuiError) -> tuple[ErrorClass, Delivery]:
    """Class of a failed send, and what it proves about where the bytes are. Total: never raises."""
    if isinstance(error, NodeUnreachable):
        if not error.sent:
            return ErrorClass.CONNECTION, Delivery.NOT_DELIVERED
        return ErrorClass.TIMEOUT, Delivery.AMBIGUOUS
    if isinstance(error, MalformedAnswer) or not isinstance(error, NodeError):
        return ErrorClass.MALFORMED, Delivery.AMBIGUOUS
    for name, rule in _RULES:
        if rule.search(error.message):
            if name is ErrorClass.ALREADY_KNOWN:
                return name, Delivery.DELIVERED
            return name, Delivery.REJECTED if name in _REFUSALS else Delivery.AMBIGUOUS
    return ErrorClass.UNKNOWN, Delivery.AMBIGUOUS
