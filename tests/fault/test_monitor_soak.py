"""Watch and metrics beside a store that grows: memory stays flat. An hour's worth of blocks under `make deep`."""

from __future__ import annotations

import gc
import tracemalloc
from datetime import timedelta
from pathlib import Path

from arbtui.domain import ExecutionStatus
from arbtui.monitor.channels import Sent
from arbtui.monitor.lookout import Lookout
from arbtui.monitor.metrics import Gauges
from arbtui.monitor.policy import AlertsPolicy
from arbtui.monitor.watch import Watch
from arbtui.store import Batch, Store, open_store
from arbtui.store.alerts import AlertStore
from arbtui.units import ETHER
from tests import factories as make
from tests.conftest import PROFILE

S = ExecutionStatus
#: Blocks of two seconds.
ROUNDS = 1_800 if PROFILE == "deep" else 90
GROWTH = 1_000_000


class Sink:
    """Takes everything."""

    key = "sink"
    taken = 0

    def send(self, level: str, title: str, body: str) -> Sent:
        self.taken += 1
        return Sent(True, 1, "")


def test_memory_stays_flat(tmp_path: Path) -> None:
    clock = make.Ticking()

    def now() -> str:
        return clock.now.isoformat(timespec="microseconds")

    sink = Sink()
    gauges = Gauges(tmp_path, "live", now=now)
    with Store.open(tmp_path, "live", clock=clock) as store, AlertStore(tmp_path, writing=True) as alerts:
        store.start_run(make.run_info())
        with open_store(tmp_path) as reader:
            lookout = Lookout(reader, AlertsPolicy(disk_free_mb=0), now=now)
            watch = Watch(lookout, alerts, [sink], cooldown_s=60, who="soak", now=now)
            held: list[int] = []
            tracemalloc.start()
            try:
                for number in range(ROUNDS):
                    clock.now += timedelta(seconds=2)
                    with store.batch() as batch:
                        batch.block(make.block_ref(make.HEAD + number), 40, 96, 3.5, ETHER)
                        _trade(batch, number)
                        for extra in range(5):
                            batch.incident(f"kind {number % 7}", f"{extra} of {number}")
                    watch.tick()
                    assert gauges.samples()
                    if number >= ROUNDS // 3 and number % 20 == 0:
                        gc.collect()
                        held.append(tracemalloc.get_traced_memory()[0])
                watch.drain(10)
            finally:
                tracemalloc.stop()
                watch.close()
                gauges.close()
    assert sink.taken > 3
    assert held[-1] - held[0] < GROWTH, held


def _trade(batch: Batch, number: int) -> None:
    name = f"e{number}"
    ticket = make.ticket(f"t{number}", make.opportunity(ETHER + number))
    batch.ticket(ticket, {})
    batch.decision(make.decision(ticket.id))
    batch.execution(name, ticket, S.PREPARED)
    batch.execution_moved(name, S.PREPARED, S.REVERTED if number % 5 == 0 else S.MINED, "told")
    batch.settlement(make.settlement(name, success=number % 5 != 0), make.ROLES, make.TOKENS)
