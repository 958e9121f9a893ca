"""Revert data as a sentence: Error(string), Panic(uint256) and the executor contract's own errors."""

from __future__ import annotations

from arbtui.abi import decode, selector
from arbtui.errors import MalformedAnswer
from arbtui.text import safe_text

#: contracts/src/IExecutor.sol; a test compares this list with the artifact's ABI.
EXECUTOR_ERRORS: dict[str, tuple[str, ...]] = {
    "InvalidAddress": ("bytes32", "address"),
    "TooMany": ("bytes32", "uint256", "uint256"),
    "InvalidFee": ("address", "uint24"),
    "TagTaken": ("uint32",),
    "NotOwner": ("address",),
    "NotOperator": ("address",),
    "NotOwnerOrOperator": ("address",),
    "ExecutionPaused": ("address",),
    "RunOpen": ("address",),
    "MalformedPlan": ("uint256",),
    "TicketUsed": ("uint64",),
    "DeadlinePassed": ("uint256", "uint256"),
    "AmountZero": ("uint64",),
    "AssetUnknown": ("uint32",),
    "AssetOff": ("address",),
    "BelowFloor": ("address", "uint256", "uint256"),
    "AmountTooLarge": ("address", "uint256"),
    "UnknownKind": ("uint8",),
    "PoolUnproven": ("uint32",),
    "FlashSwapNeedsV2": ("address",),
    "NoCode": ("address",),
    "LenderUnavailable": ("uint8",),
    "LenderOff": ("uint8",),
    "LenderUnproven": ("address", "address"),
    "LenderInPath": ("address",),
    "InsufficientOwnCapital": ("address", "uint256", "uint256"),
    "UnexpectedCallback": ("address", "uint8", "bytes32", "bytes32"),
    "WrongInitiator": ("address",),
    "WrongLengths": ("uint256", "uint256", "uint256"),
    "WrongLoan": ("address", "uint256", "address", "uint256"),
    "NoCallback": ("address",),
    "LenderReturnedFalse": ("address",),
    "UnexpectedSwapCallback": ("address",),
    "WrongSwapInput": ("address", "uint256", "uint256"),
    "NoSwapCallback": ("address",),
    "NoOutput": ("address",),
    "TokenCallFailed": ("address", "bytes4", "bytes"),
    "AllowanceLeft": ("address", "address", "uint256"),
    "InsufficientProfit": ("uint256", "uint256"),
    "BalanceFell": ("address", "uint256", "uint256"),
}

_BY_SELECTOR = {
    selector(f"{name}({','.join(types)})"): (name, types) for name, types in EXECUTOR_ERRORS.items()
}
_ERROR, _PANIC = selector("Error(string)"), selector("Panic(uint256)")


def explain_revert(data: bytes) -> str:
    """Total: any bytes in, one safe line out."""
    head, body = data[:4], data[4:]
    try:
        if not data:
            return "reverted without a reason"
        if head == _ERROR:
            return f"reverted: {safe_text(decode(['string'], body)[0], 120)}"
        if head == _PANIC:
            return f"panic 0x{decode(['uint256'], body)[0]:02x}"
        if head in _BY_SELECTOR:
            name, types = _BY_SELECTOR[head]
            values = decode(types, body)
            shown = ", ".join("0x" + v.hex() if isinstance(v, bytes) else str(v) for v in values)
            return f"{name}({shown})"
    except MalformedAnswer:
        return f"reverted with malformed data 0x{data[:36].hex()}"
    return f"reverted with unknown error 0x{head.hex()}"


def observed_profit(data: bytes) -> int | None:
    """The profit an InsufficientProfit revert tells, in base units; None for every other revert."""
    if data[:4] != selector("InsufficientProfit(uint256,uint256)") or len(data) != 68:
        return None
    return int.from_bytes(data[4:36], "big")
