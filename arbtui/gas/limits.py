"""What a gas limit may be: intrinsic cost, the calldata floor, the cap of one transaction; and the ceiling of fees."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from arbtui.units import ETHER

TX_GAS_CAP = 16_777_216
"""EIP-7825: no transaction may have more."""

NODE_FEE_CAP_WEI = ETHER
"""What geth, besu, erigon and reth refuse above by default: gas limit × max fee, whatever is really paid."""

_TX_GAS = 21_000
_ZERO_BYTE, _OTHER_BYTE = 4, 16
_FLOOR_PER_TOKEN, _TOKENS_OF_OTHER = 10, 4


def intrinsic_gas(calldata: bytes) -> int:
    """Gas before the first opcode: 21,000, 4 a zero byte, 16 any other (EIP-2028)."""
    zeros = calldata.count(0)
    return _TX_GAS + _ZERO_BYTE * zeros + _OTHER_BYTE * (len(calldata) - zeros)


def floor_gas(calldata: bytes) -> int:
    """Least gas a transaction is charged (EIP-7623): 21,000 + 10 × (zero bytes + 4 × others)."""
    zeros = calldata.count(0)
    return _TX_GAS + _FLOOR_PER_TOKEN * (zeros + _TOKENS_OF_OTHER * (len(calldata) - zeros))


@dataclass(frozen=True, slots=True)
class GasLimit:
    """`fits` is False where the transaction needs more than it may have; `reason` says why, or what decided."""

    gas_limit: int
    fits: bool
    reason: str


def gas_limit_for(gas: int, calldata: bytes, buffer: Decimal, block_gas_limit: int | None = None) -> GasLimit:
    """The limit for `gas` simulated gas: buffered up, never below floor or intrinsic cost, never above a cap.

    The buffer is cut where a cap stands; what does not fit even without it is refused.
    """
    floor = max(intrinsic_gas(calldata), floor_gas(calldata))
    least = max(gas, floor)
    most = TX_GAS_CAP if block_gas_limit is None else min(TX_GAS_CAP, block_gas_limit)
    if least > most:
        what = "EIP-7825's cap" if most == TX_GAS_CAP else "the block's gas limit"
        return GasLimit(most, False, f"needs {least:,} gas, {what} is {most:,}")
    wanted = max(int((Decimal(gas) * buffer).to_integral_value(rounding=ROUND_CEILING)), floor)
    if wanted > most:
        return GasLimit(most, True, f"the buffer is cut at {most:,}")
    return GasLimit(wanted, True, "the calldata floor" if wanted == floor else "simulated gas and buffer")


def ceiling_of(gas_limit: int, break_even: int, max_fee_per_gas: int, max_cost_wei: int | None) -> int:
    """The highest max fee, in wei per gas: break-even, the operator's own limit, and the node's on limit × fee."""
    most = min(break_even, max_fee_per_gas)
    return most if max_cost_wei is None or gas_limit <= 0 else min(most, max_cost_wei // gas_limit)
