"""Gas limits and what rollups charge."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbtui.gas.limits import TX_GAS_CAP, ceiling_of, floor_gas, gas_limit_for, intrinsic_gas
from arbtui.gas.rollups import (
    ArbitrumGas,
    OpFees,
    arbitrum_cost,
    arbitrum_gas_limit,
    arbitrum_l1_share,
    fastlz_bound,
    op_funds_needed,
    op_l1_fee,
    op_l1_fee_bound,
    op_operator_fee,
)
from arbtui.units import ETHER, GWEI


def test_intrinsic_gas_and_the_calldata_floor() -> None:
    data = bytes(10) + b"\x01" * 5
    assert intrinsic_gas(data) == 21_000 + 40 + 80
    assert floor_gas(data) == 21_000 + 10 * (10 + 20)
    assert intrinsic_gas(b"") == floor_gas(b"") == 21_000


@given(
    st.integers(0, 20_000_000),
    st.binary(max_size=3_000),
    st.decimals("1", "3", places=2),
    st.none() | st.integers(21_000, 60_000_000),
)
def test_a_gas_limit_holds_what_is_needed_or_says_no(
    gas: int, calldata: bytes, buffer: Decimal, block: int | None
) -> None:
    found = gas_limit_for(gas, calldata, buffer, block)
    assert found.gas_limit <= TX_GAS_CAP
    assert block is None or found.gas_limit <= block
    assert found.reason
    needed = max(gas, floor_gas(calldata), intrinsic_gas(calldata))
    assert found.fits == (needed <= min(TX_GAS_CAP, block or TX_GAS_CAP))
    if found.fits:
        assert found.gas_limit >= needed


def test_the_reasons() -> None:
    assert "EIP-7825" in gas_limit_for(TX_GAS_CAP + 1, b"", Decimal(1)).reason
    assert "block" in gas_limit_for(10_000_000, b"", Decimal(1), 8_000_000).reason
    assert gas_limit_for(16_000_000, b"", Decimal("1.4")).gas_limit == TX_GAS_CAP
    assert gas_limit_for(22_000, b"\x01" * 1_000, Decimal("1.4")).gas_limit == 21_000 + 40_000


def test_the_ceiling_is_the_least_of_three() -> None:
    assert ceiling_of(400_000, 90 * GWEI, 500 * GWEI, ETHER) == 90 * GWEI
    assert ceiling_of(400_000, 900 * GWEI, 500 * GWEI, ETHER) == 500 * GWEI
    assert ceiling_of(10_000_000, 900 * GWEI, 500 * GWEI, ETHER) == 100 * GWEI
    assert ceiling_of(10_000_000, 900 * GWEI, 500 * GWEI, None) == 500 * GWEI


#: The parameters of op-geth's own test (core/types/rollup_cost_test.go) and its expected fee for a tiny transaction.
OP = OpFees(l1_base_fee=1_000 * 10**6, blob_base_fee=10 * 10**6, base_fee_scalar=2, blob_base_fee_scalar=3)


def test_the_op_stacks_l1_fee() -> None:
    assert op_l1_fee(30, OP) == 3_203_000
    # Above the least size: -42,585,600 + 836,500 × 1,000 = 793,914,400 millionths of a byte.
    assert op_l1_fee(1_000, OP) == 793_914_400 * (2 * 16 * 10**9 + 3 * 10**7) // 10**12
    assert op_l1_fee_bound(1_000, OP) == op_l1_fee(fastlz_bound(1_000), OP)
    assert fastlz_bound(510) == 510 + 2 + 16


@given(st.integers(0, 130_000), st.integers(0, 130_000))
def test_more_bytes_never_cost_less(one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert op_l1_fee(small, OP) <= op_l1_fee(large, OP)
    assert op_l1_fee(small, OP) <= op_l1_fee_bound(small, OP)


def test_what_an_op_wallet_must_hold() -> None:
    fees = OpFees(OP.l1_base_fee, OP.blob_base_fee, 2, 3, operator_scalar=500_000, operator_constant=7)
    assert op_operator_fee(100_000, fees) == 50_007
    assert op_funds_needed(5, 100_000, 2, 30, fees) == 5 + 200_000 + 3_203_000 + 50_007


def test_arbitrums_components() -> None:
    estimate = ArbitrumGas(gas=1_110_000, gas_for_l1=110_000, base_fee=10**7, l1_base_fee=10**9)
    assert arbitrum_gas_limit(estimate) == 110_000 + 1_250_000
    # The L1 part is padded by a tenth: 110,000 holds 100,000.
    assert arbitrum_l1_share(estimate) == 100_000 * 10**7
    assert arbitrum_cost(estimate) == 1_100_000 * 10**7


@pytest.mark.parametrize("gas_for_l1", [0, 1, 10, 11, 12, 999_983])
def test_arbitrums_padding_is_rounded_against_us(gas_for_l1: int) -> None:
    estimate = ArbitrumGas(gas=gas_for_l1, gas_for_l1=gas_for_l1, base_fee=1, l1_base_fee=1)
    assert arbitrum_cost(estimate) * 11 >= gas_for_l1 * 10
    assert arbitrum_cost(estimate) <= gas_for_l1
