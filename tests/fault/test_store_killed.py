"""`kill -9` in the middle of any batch: the store opens again with every batch it acknowledged, and no half one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from arbtui.store import Store, open_store
from tests import factories as make

ROOT = Path(__file__).parents[2]
ROWS = 40
WRITER = f"""
import sys
from pathlib import Path
from arbtui.store import Store
from arbtui.units import ETHER
from tests import factories as make
folder, name = Path(sys.argv[1]), sys.argv[2]
store = Store.open(folder, "live")
store.start_run(make.run_info(name))
number = 0
while True:
    with store.batch() as batch:
        batch.block(make.block_ref(make.HEAD + number), 40, 96, 1.0)
        for extra in range({ROWS}):
            found = make.opportunity(ETHER * (number + 1) + extra)
            batch.dropped(found, make.quotes(found.amount_in), make.checks("age"), "age", net_wei=extra)
    number += 1
    print(number, flush=True)
"""


@pytest.mark.parametrize("seed", range(2))
def test_reopened_intact(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    told: dict[str, int] = {}
    for life in range(3):
        name = f"r{life}"
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), name],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"1\n"
            time.sleep(rng.uniform(0.05, 0.35))
        finally:
            process.send_signal(signal.SIGKILL)
            rest, _ = process.communicate()
        told[name] = int((rest.split() or [b"1"])[-1])
        with open_store(tmp_path) as reader:
            # A reader may come first: it sees the last commit, and finds nothing amiss.
            assert reader.check() == []
    # And a writer goes on.
    with Store.open(tmp_path, "live") as store:
        store.start_run(make.run_info("after"))
    with open_store(tmp_path) as reader:
        assert reader.check() == []
        for name, acknowledged in told.items():
            blocks = reader.query("SELECT count(*) AS n FROM block WHERE run = ?", (name,))[0]["n"]
            assert blocks in (acknowledged, acknowledged + 1), "the last one may have been committed unheard"
            for table, per_batch in (("opportunity", ROWS), ("loan_quote", 4 * ROWS)):
                (row,) = reader.query(f"SELECT count(*) AS n FROM {table} WHERE run = ?", (name,))  # noqa: S608
                assert row["n"] == per_batch * blocks, table
            (checks,) = reader.query("SELECT count(*) AS n FROM check_result WHERE run = ?", (name,))
            assert checks["n"] == 3 * ROWS * blocks
