from __future__ import annotations

from dataclasses import dataclass

from arbtui.units import Address, Wei


@dataclass(frozen=True, slots=True)
class Log:
    """One event. Topics and hashes are lower-case 0x text; of a simulated one the block's and transaction's are empty.

    `removed` is false in everything that `chain` reads: a log that says otherwise is refused there.
    """

    address: Address
    topics: tuple[str, ...]
    data: bytes
    block_number: int
    tx_hash: str
    log_index: int
    block_hash: str = ""
    tx_index: int = 0
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the chain says of one mined transaction; `l1_fee` in wei is 0 where the chain has none.

    `tx_index` is its position in the block, `sender` who signed it.
    """

    tx_hash: str
    block_number: int
    block_hash: str
    success: bool
    gas_used: int
    effective_gas_price: Wei
    l1_fee: Wei
    logs: tuple[Log, ...]
    tx_index: int | None = None
    sender: Address | None = None

    @property
    def gas_cost(self) -> Wei:
        return Wei(self.gas_used * self.effective_gas_price)


@dataclass(frozen=True, slots=True)
class Simulated:
    """Outcome of one transaction on top of a block; `return_data` is revert data where it failed."""

    success: bool
    gas_used: int
    return_data: bytes
    error: str
    logs: tuple[Log, ...]
