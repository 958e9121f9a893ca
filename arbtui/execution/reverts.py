"""The executor contract's own errors; `recovery.decode_revert` makes sentences of them."""

from __future__ import annotations

from arbtui.abi import selector

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


def observed_profit(data: bytes) -> int | None:
    """The profit an InsufficientProfit revert tells, in base units; None for every other revert."""
    if data[:4] != selector("InsufficientProfit(uint256,uint256)") or len(data) != 68:
        return None
    return int.from_bytes(data[4:36], "big")
