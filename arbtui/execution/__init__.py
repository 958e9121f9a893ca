"""From an approved ticket to a settlement: calldata, fees, nonces, receipts. Ports say what the world must offer."""

from arbtui.execution.calldata import decode_execute, encode_execute
from arbtui.execution.executor import GasOptimizedExecutor, LadderExhausted, climb
from arbtui.execution.nonces import next_nonce
from arbtui.execution.ports import (
    Clock,
    Intent,
    Journal,
    OpenExecution,
    Plan,
    PlannedStep,
    Sender,
    Sighting,
    SignedTx,
    Signer,
    UnsignedTx,
)
from arbtui.execution.reverts import EXECUTOR_ERRORS, observed_profit
from arbtui.execution.settlement import differences, settle, transfer_deltas

__all__ = [
    "EXECUTOR_ERRORS",
    "Clock",
    "GasOptimizedExecutor",
    "Intent",
    "Journal",
    "LadderExhausted",
    "OpenExecution",
    "Plan",
    "PlannedStep",
    "Sender",
    "Sighting",
    "SignedTx",
    "Signer",
    "UnsignedTx",
    "climb",
    "decode_execute",
    "differences",
    "encode_execute",
    "next_nonce",
    "observed_profit",
    "settle",
    "transfer_deltas",
]
