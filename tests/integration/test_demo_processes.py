"""`arbtui demo` and `arbtui devnet up` as processes: nothing of theirs outlives them, however they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from arbtui.store import open_store

pytestmark = pytest.mark.chain

GONE_S = 15.0
FOUR = ("aave_v2", "aave_v3", "balancer_v2", "maker")
#: Makes its standard input the terminal it hangs on, then becomes the program. Also where the tests run under nohup.
ON_TERMINAL = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGHUP, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


class Program:
    """`python -m arbtui …`; its output in files, its state in a folder of its own."""

    def __init__(self, folder: Path, cache: Path, *arguments: str, terminal: int | None = None) -> None:
        self.state = folder / "state"
        self.out, self.err = folder / "out", folder / "err"
        command = [sys.executable, "-m", "arbtui", *arguments]
        environment = os.environ | {
            "ARBTUI_STATE": str(self.state), "ARBTUI_CACHE": str(cache), "XDG_STATE_HOME": str(folder / "xdg"),
        }  # fmt: skip
        if terminal is not None:
            command = [sys.executable, "-c", ON_TERMINAL, *command]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            streams: tuple[int | IO[bytes], ...] = (subprocess.DEVNULL, out, err)
            self.process = subprocess.Popen(
                command,
                stdin=streams[0] if terminal is None else terminal,
                stdout=streams[1] if terminal is None else terminal,
                stderr=streams[2] if terminal is None else terminal,
                env=environment,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.err.read_text("utf-8")

    def store(self) -> Path:
        (found,) = self.state.glob("devnet/*/store")
        return found

    def family(self) -> dict[int, str]:
        """Every process under this one, by id, with when it started."""
        found: dict[int, str] = {}
        waiting = [self.process.pid]
        while waiting:
            try:
                pid = waiting.pop()
                tasks = list(Path(f"/proc/{pid}/task").iterdir())
                children = [int(c) for task in tasks for c in (task / "children").read_text().split()]
            except OSError:
                continue
            found |= {child: started(child) for child in children}
            waiting += children
        return found


def started(pid: int) -> str:
    """Field 22 of the process's stat; "" where it is gone or only its remains are there."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def assert_gone(family: dict[int, str]) -> None:
    assert family
    until(
        lambda: not any(start and started(pid) == start for pid, start in family.items()),
        GONE_S,
        f"still there: {[pid for pid, start in family.items() if started(pid) == start]}",
    )


@contextmanager
def program(folder: Path, cache: Path, *arguments: str, terminal: int | None = None) -> Iterator[Program]:
    """Whatever the test finds, nothing is left behind."""
    running = Program(folder, cache, *arguments, terminal=terminal)
    family: dict[int, str] = {}
    try:
        yield running
        family = running.family()
    finally:
        family |= running.family()
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait(10)
        for pid, start in family.items():
            if start and started(pid) == start:
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def whole_demo(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Program]:
    """The whole promise, run while the others of this file come and go: it must not mind them."""
    with program(tmp_path_factory.mktemp("whole"), cache, "demo", "--seed", "42", "--for", "90") as demo:
        yield demo


@pytest.fixture(autouse=True)
def beside_the_whole_demo(whole_demo: Program) -> None:
    pass


def trading(demo: Program) -> dict[int, str]:
    """Wait until it has executed something; its descendants: the chain's keeper and anvil."""
    until(lambda: "mined through" in demo.said() or demo.process.poll() is not None, 60, "it does not trade")
    assert demo.process.poll() is None, demo.said()
    family = demo.family()
    assert len(family) >= 2
    return family


# ── ended early ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_interrupted_it_drains_reports_and_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    with program(tmp_path, cache, "demo", "--seed", "7", "--for", "60") as demo:
        family = trading(demo)
        demo.process.send_signal(signal.SIGINT)
        code = demo.process.wait(GONE_S + 10)
        assert_gone(family)
        # It ended too early to have shown everything, and says what.
        assert code in (0, 1, 130)
        assert "Traceback" not in demo.said()
        assert "stopping: no new tickets" in demo.said()
        answer = json.loads(demo.out.read_text().splitlines()[-1])
        assert answer["unreconciled"] == 0
        assert answer["successes"] >= 1
        with open_store(demo.store()) as reader:
            assert {row["status"] for row in reader.executions()} <= {
                "mined",
                "reverted",
                "cancelled",
                "not_sent",
            }
            assert reader.runs()[0]["ended_at"]


def test_interrupted_before_the_chain_stands(tmp_path: Path, cache: Path) -> None:
    with program(tmp_path, cache, "demo", "--seed", "7", "--for", "60") as demo:
        until(lambda: len(demo.family()) >= 1, 20, "no chain is started")
        family = demo.family()
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(GONE_S + 10) == 130
        assert_gone(family)
        # The chain's own last words are its business; ours is one line.
        assert "interrupted" in demo.said().splitlines()
        assert "Traceback" not in demo.said()


def test_killed_its_chain_ends_with_it(tmp_path: Path, cache: Path) -> None:
    with program(tmp_path, cache, "demo", "--seed", "7", "--for", "60") as demo:
        family = trading(demo)
        demo.process.kill()
        assert demo.process.wait(GONE_S) == -signal.SIGKILL
        assert_gone(family)


def test_terminated_it_drains_and_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    with program(tmp_path, cache, "demo", "--seed", "7", "--for", "60") as demo:
        family = trading(demo)
        demo.process.terminate()
        assert demo.process.wait(GONE_S + 10) in (0, 1, 143)
        assert_gone(family)
        assert "Traceback" not in demo.said()


def on_closed_terminal(folder: Path, cache: Path, wait_for: bytes, *options: str) -> Program:
    """A demo whose terminal was closed once it had shown `wait_for`, and which has ended since."""
    master, slave = os.openpty()
    try:
        with program(folder, cache, "demo", "--seed", "7", *options, terminal=slave) as demo:
            os.close(slave)
            seen = b""
            while wait_for not in seen:
                seen += os.read(master, 4096)
            family = demo.family()
            assert len(family) >= 2
            os.close(master)
            master = -1
            code = demo.process.wait(GONE_S + 10)
            assert_gone(family)
            assert code in (0, 1, 129, 130, 143, -signal.SIGHUP, -signal.SIGTERM)
            return demo
    finally:
        if master >= 0:
            os.close(master)


def test_a_closed_terminal_ends_it_all(tmp_path: Path, cache: Path) -> None:
    """Though nothing can be printed any more, what was in flight is settled and the run is closed."""
    demo = on_closed_terminal(tmp_path, cache, b"mined through", "--headless", "--for", "60")
    with open_store(demo.store()) as reader:
        assert reader.runs()[0]["ended_at"]
        assert {row["status"] for row in reader.executions()} <= {
            "mined",
            "reverted",
            "cancelled",
            "not_sent",
        }


def test_a_closed_terminal_ends_the_desk_its_engine_and_its_chain(tmp_path: Path, cache: Path) -> None:
    demo = on_closed_terminal(tmp_path, cache, b"to approve")
    with open_store(demo.store()) as reader:
        assert reader.runs()[0]["ended_at"]
        assert reader.tickets()
        assert not [row for row in reader.tickets() if row["decision"] is None]


def test_a_local_chain_ends_on_sigterm(tmp_path: Path, cache: Path) -> None:
    with program(tmp_path, cache, "devnet", "up", "--port", "0", "--json") as up:
        until(lambda: up.out.read_text().endswith("\n"), 60, "no chain came up")
        book = json.loads(up.out.read_text())
        assert book["pid"] == up.process.pid
        assert Path(book["config"]).is_file()
        family = up.family()
        up.process.terminate()
        assert up.process.wait(GONE_S) == 0
        assert_gone(family)
        assert "Traceback" not in up.said()
        assert not Path(book["config"]).exists()


def test_a_local_chain_killed_takes_its_node_along(tmp_path: Path, cache: Path) -> None:
    with program(tmp_path, cache, "devnet", "up", "--port", "0", "--json") as up:
        until(lambda: up.out.read_text().endswith("\n"), 60, "no chain came up")
        family = up.family()
        up.process.kill()
        up.process.wait(GONE_S)
        assert_gone(family)


# ── the whole promise, last: it has been running all the while ──────────────────────────────────────────────────


def test_the_whole_demo_keeps_its_promise(whole_demo: Program) -> None:
    family = whole_demo.family()
    assert whole_demo.process.wait(150) == 0, whole_demo.said()[-1500:]
    if family:
        assert_gone(family)
    assert "Traceback" not in whole_demo.said()
    answer = json.loads(whole_demo.out.read_text().splitlines()[-1])
    assert answer["by_status"]["mined"] >= 10
    assert answer["unreconciled"] == 0
    assert all(answer["by_lender"][lender]["successes"] >= 1 for lender in FOUR)
    assert sum(answer["dropped"].values()) >= 1
    assert sum(answer["decisions"].get(kind, 0) for kind in ("stale", "expired_seen", "expired_unseen")) >= 1
    assert int(answer["net_profit"]) > 0
    # Its store stays where it said, and bears the report out.
    store = whole_demo.store()
    assert str(store) in whole_demo.said()
    with open_store(store) as reader:
        executions = [reader.execution(row["id"]) for row in reader.executions()]
        decisions = reader.decisions()
        ours = {row["tx_hash"] for row in reader.query("SELECT tx_hash FROM attempt")}
        assert reader.check() == []
    assert len(executions) == answer["executions"]
    for execution in executions:
        assert execution is not None
        costs = {q["lender"]: int(q["total_cost"]) for q in execution["quotes"] if q["usable"]}
        assert costs[execution["lender"]] == min(costs.values()), execution["id"]
        assert set(FOUR) <= {q["lender"] for q in execution["quotes"]}
        if execution["status"] == "mined":
            assert execution["reconciled"]
            assert set(execution["tx_hashes"]) <= ours
    net = sum(int(e["net_profit"]) for e in executions if e is not None and e["net_profit"] is not None)
    assert net == int(answer["net_profit"])
    blamed = [row for row in decisions if row["kind"] == "stale" and row["moved_by_tx"]]
    assert blamed
    for row in blamed:
        assert row["moved_by_tx"] not in ours
