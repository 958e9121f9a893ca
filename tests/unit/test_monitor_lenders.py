"""What receipts say of the lenders: gas over own capital, and how often an execution settles."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from arbtui.domain import ExecutionStatus, LenderId, PoolKind
from arbtui.lenders import Track
from arbtui.monitor import LenderRecord, lender_record
from arbtui.monitor.lenders import MEASURED_AFTER, NEWEST
from arbtui.store import Store, open_store
from arbtui.units import ETHER
from arbtui.validation.checks import GAS_PRIOR_HOP, GAS_PRIOR_RUN
from tests import factories as make
from tests.unit.test_monitor_report import trade

S = ExecutionStatus
V2, V3 = PoolKind.UNISWAP_V2, PoolKind.UNISWAP_V3
ROUTE = GAS_PRIOR_RUN + 2 * GAS_PRIOR_HOP[V2]


def test_a_lender_is_measured_from_the_third_receipt_on() -> None:
    record = LenderRecord()
    for number, gas in enumerate((50_000, 40_000, 42_000), 1):
        record.mined(LenderId.BALANCER_V2, ROUTE + gas, (V2, V2), success=True)
        assert bool(record.overheads()) == (number >= MEASURED_AFTER)
    assert record.overheads() == {LenderId.BALANCER_V2: 42_000}
    # A revert stops early: its gas says nothing of a loan, but that it happened does.
    record.mined(LenderId.BALANCER_V2, 60_000, (V2, V2), success=False)
    assert record.overheads() == {LenderId.BALANCER_V2: 42_000}
    assert record.tracks() == {LenderId.BALANCER_V2: Track(settled=3, executed=4)}


def test_what_counts_is_beyond_the_route_and_new() -> None:
    record = LenderRecord()
    for kinds in ((V2, V2), (V3, V2), (V2, V3, V2)):
        route = GAS_PRIOR_RUN + sum(GAS_PRIOR_HOP[kind] for kind in kinds)
        record.mined(LenderId.MAKER, route + 7, kinds, success=True)
    assert record.overheads() == {LenderId.MAKER: 7}
    for _ in range(NEWEST):
        record.mined(LenderId.MAKER, ROUTE + 9, (V2, V2), success=True)
    assert record.overheads() == {LenderId.MAKER: 9}
    assert record.tracks()[LenderId.MAKER].executed == NEWEST + 3


@given(st.lists(st.integers(0, 10**6), min_size=MEASURED_AFTER, max_size=20))
def test_the_measure_is_never_negative_nor_beyond_what_was_seen(gas: list[int]) -> None:
    record = LenderRecord()
    for used in gas:
        record.mined(LenderId.OWN, used, (V2, V2), success=True)
    measured = record.overheads()[LenderId.OWN]
    assert 0 <= measured <= max(0, max(gas) - ROUTE)


def test_the_store_remembers_for_the_same_executor_alone(tmp_path: Path) -> None:
    info = make.run_info()
    route = GAS_PRIOR_RUN + sum(GAS_PRIOR_HOP[hop.kind] for hop in make.path().hops)
    with Store.open(tmp_path, "live", clock=make.Ticking()) as store:
        store.start_run(info)
        with store.batch() as batch:
            batch.block(make.block_ref(), 40, 96, 3.5)
            for number in range(1, 4):
                trade(batch, number, S.MINED, gross=ETHER, gas_used=route + 10_000 * number)
            trade(batch, 4, S.REVERTED, gas_used=90_000)
            trade(batch, 5, S.CANCELLED, gas_used=21_000)
            trade(batch, 6, S.MINED, gross=ETHER, gas_used=route + 1, lender=LenderId.AAVE_V3)
            trade(batch, 7, S.SUBMITTED)
    with open_store(tmp_path) as reader:
        record = lender_record(reader, info.chain_id, info.executor)
        assert record.overheads() == {LenderId.BALANCER_V2: 20_000}
        assert record.tracks() == {LenderId.BALANCER_V2: Track(3, 4), LenderId.AAVE_V3: Track(1, 1)}
        for chain_id, executor in ((info.chain_id + 1, info.executor), (info.chain_id, make.address(77))):
            assert lender_record(reader, chain_id, executor).tracks() == {}
