"""Replacement rules of every client, as properties over random fees and base fees."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from arbtui.gas.replacement import RULES, Fees, Measure, bump, next_fees, replacement_floor, rule_of
from arbtui.units import GWEI

prices = st.integers(0, 10**6) | st.integers(0, 10_000 * GWEI)
base_fees = st.integers(0, 1_000 * GWEI)


@st.composite
def fees(draw: st.DrawFn) -> Fees:
    cap = draw(prices)
    return Fees(cap, draw(st.integers(0, cap)))


CAPPED = [rule for rule in RULES.values() if rule.measure is not Measure.EFFECTIVE]
PAID = [rule for rule in RULES.values() if rule.measure is Measure.EFFECTIVE]


@given(fees(), base_fees)
@example(Fees(11, 1), 5)
@example(Fees(0, 0), 0)
def test_the_floor_rule_satisfies_every_client_that_compares_caps(old: Fees, base_fee: int) -> None:
    new = bump(old, base_fee, by_effective=False)
    assert new.tip <= new.max_fee
    for rule in CAPPED:
        assert rule.takes(old, new, base_fee), rule.client
    # One wei less on the max fee fails somewhere: the rule is no dearer than it must be.
    assume(old.max_fee > 0 and new.max_fee > new.tip)
    less = Fees(new.max_fee - 1, new.tip)
    assert not all(rule.takes(old, less, base_fee) for rule in CAPPED)


@given(fees(), base_fees, st.integers(0, 1000))
def test_the_effective_rule_satisfies_every_client_up_to_a_full_block_later(
    old: Fees, base_fee: int, later: int
) -> None:
    assume(old.max_fee >= base_fee)
    new = bump(old, base_fee, by_effective=True, permille=125)
    assert new.tip <= new.max_fee
    at = base_fee + base_fee * later // 8_000
    for rule in RULES.values():
        assert rule.takes(old, new, base_fee), rule.client
        assert rule.takes(old, new, at), (rule.client, at)
    assert new.effective_tip(base_fee) >= old.effective_tip(base_fee)


@given(fees(), base_fees)
def test_one_that_is_no_dearer_replaces_nothing(old: Fees, base_fee: int) -> None:
    assume(old.max_fee >= base_fee and old.max_fee > 10)
    for rule in RULES.values():
        if rule.client != "reth" or old.tip:
            assert not rule.takes(old, Fees(old.max_fee - 1, min(old.tip, old.max_fee - 1)), base_fee), (
                rule.client
            )
        assert not rule.takes(old, Fees(old.max_fee, old.max_fee + 1), base_fee)


def test_geths_bump_is_too_small_for_those_who_count_the_price_paid() -> None:
    """Base fee 30, cap 61, tip 1 gwei: +10 % on both caps is +0.3 % of the price; 4.1 gwei of tip are needed."""
    old, base_fee = Fees(61 * GWEI, GWEI), 30 * GWEI
    small = bump(old, base_fee, by_effective=False)
    assert small == Fees(67_100_000_000, 1_100_000_000)
    assert [rule.client for rule in RULES.values() if not rule.takes(old, small, base_fee)] == [
        "besu",
        "nethermind",
        "openethereum",
    ]
    assert not RULES["besu"].takes(old, Fees(67_100_000_000, 4_099_999_999), base_fee)
    assert RULES["besu"].takes(old, Fees(67_100_000_000, 4_100_000_000), base_fee)


def test_rounding_down_misses_reth_and_hardhat_by_a_wei() -> None:
    old = Fees(1_001, 101)
    down = Fees(1_001 * 110 // 100, 101 * 110 // 100 + 1)
    assert RULES["geth"].takes(old, down, 0)
    assert not RULES["reth"].takes(old, down, 0)
    assert not RULES["hardhat"].takes(old, down, 0)
    assert replacement_floor(1_001) == 1_102


@given(
    fees(), fees(), base_fees, st.integers(0, 20_000 * GWEI), st.booleans(), st.sampled_from([None, *RULES])
)
def test_the_next_try_is_the_market_or_the_rule_and_never_above_the_ceiling(
    old: Fees, market: Fees, base_fee: int, ceiling: int, refused: bool, client: str | None
) -> None:
    assume(old.max_fee >= base_fee)
    rule = None if client is None else RULES[client]
    new = next_fees(old, market, base_fee, ceiling, rule=rule, refused=refused)
    if new is None:
        return
    assert new.max_fee <= ceiling
    assert new.tip <= new.max_fee
    assert new.max_fee >= max(market.max_fee, replacement_floor(old.max_fee))
    assert new.tip >= max(market.tip, replacement_floor(old.tip))
    for known in CAPPED if rule is None and not refused else RULES.values() if refused else [rule]:
        assert known is not None
        assert known.takes(old, new, base_fee), known.client


@pytest.mark.parametrize(
    ("version", "client"),
    [
        ("Geth/v1.16.4-stable/linux-amd64/go1.24", "geth"),
        ("reth/v1.8.2-9c30bf7/x86_64-unknown-linux-gnu", "reth"),
        ("HardhatNetwork/2.22/@ethereumjs", "hardhat"),
        ("anvil/v1.7.1", "anvil"),
        ("besu/v25.9.0/linux-x86_64/openjdk-java-21", "besu"),
        ("Nethermind/v1.34.0", "nethermind"),
        ("something/1", None),
        ("", None),
    ],
)
def test_a_rule_is_found_by_what_a_node_calls_itself(version: str, client: str | None) -> None:
    rule = rule_of(version)
    assert (None if rule is None else rule.client) == client
