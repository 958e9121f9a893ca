"""How long a commit takes while 500 rows a second are written and two readers run aggregates without a pause."""

from __future__ import annotations

import math
import multiprocessing
import platform
import statistics
import sys
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path

from arbtui.monitor import build_report
from arbtui.store import Store, library_version, open_store
from arbtui.units import ETHER
from tests import factories as make
from tests import trading

ROWS_PER_SECOND = 500
BATCHES_PER_SECOND = 10
#: An opportunity, two quotes and two checks.
ROWS_EACH = 5
BOUND_MS = 25.0


def read(folder: str, stop: Event, reads: object) -> None:
    """A reader: the report and the exact sums, again and again."""
    with open_store(folder) as reader:
        while not stop.is_set():
            build_report(reader)
            reader.query("SELECT * FROM v_figures")
            reader.funnel()
            reads.value += 1  # type: ignore[attr-defined]


def measure(seconds: float = 20.0, executions: int = 2_000) -> tuple[list[float], float, int, int]:
    """Milliseconds of each commit, rows a second, the readers' reads, and rows there were to begin with."""
    with tempfile.TemporaryDirectory(prefix="arbtui-bench-") as folder:
        with Store.open(Path(folder), "live", clock=make.Ticking(5)) as store:
            store.start_run(make.run_info())
            trading.trade(store, executions, hours=24.0 * 7)
        with open_store(folder) as reader:
            before = sum(
                reader.query(f"SELECT count(*) AS n FROM {table}")[0]["n"]  # noqa: S608 - of these names
                for table in (
                    "opportunity",
                    "loan_quote",
                    "check_result",
                    "execution",
                    "settlement",
                    "decision",
                )
            )
        context = multiprocessing.get_context("spawn")
        stop, reads = context.Event(), context.Value("q", 0)
        readers = [context.Process(target=read, args=(folder, stop, reads), daemon=True) for _ in range(2)]
        for process in readers:
            process.start()
        while not reads.value:
            time.sleep(0.05)
        try:
            took, rate = _write(Path(folder), seconds)
        finally:
            stop.set()
            for process in readers:
                process.join(30)
        return took, rate, int(reads.value), before


def _write(folder: Path, seconds: float) -> tuple[list[float], float]:
    took: list[float] = []
    written = 0
    per_batch = ROWS_PER_SECOND // BATCHES_PER_SECOND // ROWS_EACH
    with Store.open(folder, "live") as store:
        store.start_run(make.run_info("bench"))
        begun = time.perf_counter()
        for number in range(int(seconds * BATCHES_PER_SECOND)):
            time.sleep(max(0.0, begun + number / BATCHES_PER_SECOND - time.perf_counter()))
            opportunities = [make.opportunity(ETHER * 10**6 + number * 100 + n) for n in range(per_batch)]
            start = time.perf_counter()
            with store.batch() as batch:
                for found in opportunities:
                    quotes = make.quotes(found.amount_in)[:2]
                    batch.dropped(found, quotes, make.checks("age")[:2], "age", net_wei=-1)
            took.append((time.perf_counter() - start) * 1000)
            written += per_batch * ROWS_EACH
        return took, written / (time.perf_counter() - begun)


def lines() -> list[str]:
    """The table: the whole batch, from its first row to its commit on disk."""
    took, rate, reads, before = measure()
    p95 = sorted(took)[math.ceil(0.95 * len(took)) - 1]
    verdict = "within" if p95 < BOUND_MS else "over"
    return [
        f"python {platform.python_version()}, SQLite {library_version()}; two readers, {reads} full reports beside it",
        "| rows before | rows/s | batches | p50 ms | p95 ms | max ms | bound p95 |",
        "|---:|---:|---:|---:|---:|---:|---:|",
        f"| {before:,} | {rate:,.0f} | {len(took)} | {statistics.median(took):.2f} | {p95:.2f} | {max(took):.2f} |"
        f" {BOUND_MS:g}: {verdict} |",
    ]


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines()) + "\n")
