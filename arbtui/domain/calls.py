from __future__ import annotations

from dataclasses import dataclass

from arbtui.units import Address, Wei


@dataclass(frozen=True, slots=True)
class BlockRef:
    """One block, named by its hash: two values read at the same BlockRef belong together."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int
    base_fee_per_gas: Wei
    gas_used: int
    gas_limit: int


@dataclass(frozen=True, slots=True)
class Call:
    """A read-only contract call; `what` names it in errors and explanations ("Pool.getConfiguration(USDC)")."""

    target: Address
    data: bytes
    what: str


@dataclass(frozen=True, slots=True)
class CallResult:
    success: bool
    data: bytes
