"""How the gas strategies fared: in a block or not, of the newest, on this chain with this wallet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from arbtui.domain import ExecutionStatus
from arbtui.gas import InclusionRecord
from arbtui.monitor import StrategyRecord, strategy_record
from arbtui.monitor.strategies import NEWEST
from arbtui.store import Store, open_store
from arbtui.units import ETHER
from tests import factories as make

S = ExecutionStatus


def test_only_the_newest_sends_of_each_strategy_count() -> None:
    record = StrategyRecord()
    for _ in range(NEWEST):
        record.ended("aggressive", included=False)
    record.ended("balanced", included=True)
    assert record.records() == {
        "aggressive": InclusionRecord(NEWEST, 0),
        "balanced": InclusionRecord(1, 1),
    }
    for _ in range(NEWEST - 3):
        record.ended("aggressive", included=True)
    assert record.records()["aggressive"] == InclusionRecord(NEWEST, NEWEST - 3)


def test_the_store_remembers_what_dynamic_stood_for(tmp_path: Path) -> None:
    info = make.run_info()
    ends = [
        ("balanced", "", S.MINED),
        ("dynamic", "aggressive", S.REVERTED),
        ("dynamic", "aggressive", S.CANCELLED),
        # The node refused it, a stranger used its nonce, it is still out: no word on the strategy.
        ("balanced", "balanced", S.REJECTED),
        ("balanced", "balanced", S.EXPIRED),
        ("balanced", "balanced", S.SUBMITTED),
    ]
    with Store.open(tmp_path, "live", clock=make.Ticking()) as store:
        store.start_run(info)
        with store.batch() as batch:
            batch.block(make.block_ref(), 40, 96, 3.5)
            for number, (strategy, chosen, status) in enumerate(ends, 1):
                ladder = replace(make.ladder(strategy), chosen=chosen)
                ticket = make.ticket(f"t{number}", make.opportunity(ETHER * number), ladder=ladder)
                batch.ticket(ticket, {})
                batch.decision(make.decision(ticket.id))
                batch.execution(f"e{number}", ticket, S.PREPARED)
                batch.execution_moved(f"e{number}", S.PREPARED, status, "told", None)
    with open_store(tmp_path) as reader:
        assert strategy_record(reader, info.chain_id, info.wallet).records() == {
            "balanced": InclusionRecord(1, 1),
            "aggressive": InclusionRecord(2, 1),
        }
        assert strategy_record(reader, info.chain_id + 1, info.wallet).records() == {}
        assert strategy_record(reader, info.chain_id, make.address(77)).records() == {}
