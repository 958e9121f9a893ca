"""What an error of a node means for a transaction, and what is done about it."""

from arbtui.recovery.classes import MEANINGS, PRICE_CLASSES, Action, ErrorClass, Meaning
from arbtui.recovery.classify import Classified, classify, classify_send, merge
from arbtui.recovery.playbook import ErrorRecoverySystem, NonceRule, Phase, Recovery, RecoveryContext
from arbtui.recovery.reverts import Revert, RevertKind, decode_reason, decode_revert

__all__ = [
    "MEANINGS",
    "PRICE_CLASSES",
    "Action",
    "Classified",
    "ErrorClass",
    "ErrorRecoverySystem",
    "Meaning",
    "NonceRule",
    "Phase",
    "Recovery",
    "RecoveryContext",
    "Revert",
    "RevertKind",
    "classify",
    "classify_send",
    "decode_reason",
    "decode_revert",
    "merge",
]
