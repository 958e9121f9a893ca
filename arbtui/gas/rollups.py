"""What a rollup charges beside execution. Inputs are read by others (predeploys, NodeInterface); here is arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from arbtui.units import Wei, div_up, mul_div_up

_FJORD_MIN = 100_000_000
_FJORD_INTERCEPT = -42_585_600
_FJORD_FASTLZ = 836_500
_FJORD_SCALE = 10**12
_BASE_FEE_FACTOR = 16

ARBITRUM_MAX_TX_BYTES = 95_000


@dataclass(frozen=True, slots=True)
class OpFees:
    """Of an OP-stack chain's L1Block predeploy; prices in wei, scalars as the contract holds them.

    `operator_scalar` (per gas, in millionths) and `operator_constant` (wei) exist since Isthmus; 0 before.
    """

    l1_base_fee: int
    blob_base_fee: int
    base_fee_scalar: int
    blob_base_fee_scalar: int
    operator_scalar: int = 0
    operator_constant: int = 0


def fastlz_bound(size: int) -> int:
    """The most bytes FastLZ can make of `size`: what GasPriceOracle.getL1FeeUpperBound assumes."""
    return size + size // 255 + 16


def op_l1_fee(fastlz_size: int, fees: OpFees) -> Wei:
    """L1 data fee since Fjord, in wei, for the FastLZ-compressed size of the *signed* transaction."""
    scaled = max(_FJORD_MIN, _FJORD_INTERCEPT + _FJORD_FASTLZ * fastlz_size)
    price = (
        fees.base_fee_scalar * _BASE_FEE_FACTOR * fees.l1_base_fee
        + fees.blob_base_fee_scalar * fees.blob_base_fee
    )
    return Wei(scaled * price // _FJORD_SCALE)


def op_l1_fee_bound(tx_bytes: int, fees: OpFees) -> Wei:
    """The most the L1 data fee can be for a signed transaction of `tx_bytes`."""
    return op_l1_fee(fastlz_bound(tx_bytes), fees)


def op_operator_fee(gas: int, fees: OpFees) -> Wei:
    """Operator fee (Isthmus), in wei."""
    return Wei(gas * fees.operator_scalar // 10**6 + fees.operator_constant)


def op_funds_needed(value: int, gas_limit: int, max_fee: int, tx_bytes: int, fees: OpFees) -> Wei:
    """What the wallet must hold for an OP-stack node to take the transaction, in wei."""
    return Wei(
        value + gas_limit * max_fee + op_l1_fee_bound(tx_bytes, fees) + op_operator_fee(gas_limit, fees)
    )


@dataclass(frozen=True, slots=True)
class ArbitrumGas:
    """NodeInterface.gasEstimateComponents: `gas` holds `gas_for_l1`, which the node pads by a tenth."""

    gas: int
    gas_for_l1: int
    base_fee: int
    l1_base_fee: int


def arbitrum_gas_limit(estimate: ArbitrumGas, l2_buffer_permille: int = 250) -> int:
    """A gas limit that holds the L1 part whole and the L2 part with its buffer.

    The L1 part is inside the gas limit: too low a limit is answered by `intrinsic gas too low`.
    """
    l2 = estimate.gas - estimate.gas_for_l1
    return estimate.gas_for_l1 + mul_div_up(l2, 1000 + l2_buffer_permille, 1000)


def arbitrum_cost(estimate: ArbitrumGas) -> Wei:
    """Expected cost in wei. Tips are not collected; the L1 part's padding is taken out, rounded against us."""
    l2 = estimate.gas - estimate.gas_for_l1
    return Wei((l2 + div_up(estimate.gas_for_l1 * 10, 11)) * estimate.base_fee)


def arbitrum_l1_share(estimate: ArbitrumGas) -> Wei:
    """The part of `arbitrum_cost` that pays for L1 data, in wei."""
    return Wei(div_up(estimate.gas_for_l1 * 10, 11) * estimate.base_fee)
