"""kill -9 and cut files: what was answered as written is there, and nothing else is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from arbtui.domain import Delivery, ExecutionStatus
from arbtui.errors import StoreError
from arbtui.execution.ports import OpenExecution, Sighting
from arbtui.store import SqliteJournal
from arbtui.store.driver import sqlite3
from tests import factories as make

ROOT = Path(__file__).parents[2]
STEPS = ("intend", "reserve", "outcome", "move", "seen", "second")

#: Does the first N steps, says so, and then is killed; with `torn`, inside the transaction of the next one.
CHILD = """
import sys
from pathlib import Path
from tests.fault.test_journal_crash import step, STEPS
from arbtui.store import SqliteJournal
from arbtui.store.driver import transaction
from tests import factories as make

directory, count, torn = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "torn"
journal = SqliteJournal(directory, make.CHAIN_ID, make.WALLET)
for name in STEPS[:count]:
    step(journal, name)
if torn:
    journal._connection.execute("PRAGMA cache_size = 4")
    journal._connection.execute("BEGIN IMMEDIATE")
    journal._append("torn", "intent", {"half": "x" * 100_000}, idempotency_key="torn", status="prepared")
    journal._append("torn", "move", {"half": "x" * 100_000}, status="submitted")
    assert (directory / "journal.sqlite-wal").stat().st_size > 100_000, "it has spilt into the log"
print("there", flush=True)
sys.stdin.read()
"""


def step(journal: SqliteJournal, name: str) -> None:
    match name:
        case "intend":
            journal.intend(make.intent())
        case "reserve":
            journal.reserve(make.attempt())
        case "outcome":
            journal.outcome("e1", 1, Delivery.AMBIGUOUS, "timeout")
        case "move":
            journal.move("e1", ExecutionStatus.SUBMITTED, "sent")
        case "seen":
            journal.seen("e1", Sighting(make.attempt().tx_hash, make.HEAD, make.block_ref().hash, True))
        case "second":
            journal.intend(make.intent("e2", "t2"))
            journal.reserve(make.attempt("e2", nonce=42))


def after(count: int, directory: Path) -> list[OpenExecution]:
    """What a journal says that did the first steps in peace."""
    with SqliteJournal(directory, make.CHAIN_ID, make.WALLET) as journal:
        for name in STEPS[:count]:
            step(journal, name)
        return journal.open_executions()


def killed(directory: Path, count: int, how: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(directory), str(count), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert said == "there\n"
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("count", "how"), [(1, "whole"), (2, "whole"), (3, "torn"), (6, "torn")], ids=lambda value: str(value)
)
def test_killed_right_after_a_step(tmp_path: Path, count: int, how: str) -> None:
    killed(tmp_path / "killed", count, how)
    expected = after(count, tmp_path / "peace")
    assert expected
    with SqliteJournal(tmp_path / "killed", make.CHAIN_ID, make.WALLET) as journal:
        assert journal.open_executions() == expected
        assert journal.execution("torn") is None
        with pytest.raises(StoreError, match="intended before"):
            journal.intend(make.intent())
        if count >= 2:
            journal.intend(make.intent("e3", "t3"))
            with pytest.raises(StoreError, match="holds it"):
                journal.reserve(make.attempt("e3", nonce=41))


def history(directory: Path) -> list[list[OpenExecution]]:
    """Every state that the steps pass through, from the empty one."""
    states = []
    with SqliteJournal(directory, make.CHAIN_ID, make.WALLET) as journal:
        states.append(journal.open_executions())
        for name in STEPS:
            if name == "second":
                journal.intend(make.intent("e2", "t2"))
                states.append(journal.open_executions())
                journal.reserve(make.attempt("e2", nonce=42))
            else:
                step(journal, name)
            states.append(journal.open_executions())
    return states


def test_a_log_cut_anywhere_gives_back_a_past_state(tmp_path: Path) -> None:
    """As a file system may leave it after a power cut: every whole commit before the cut is there."""
    states = history(tmp_path / "peace")
    source = tmp_path / "source"
    journal = SqliteJournal(source, make.CHAIN_ID, make.WALLET)
    for name in STEPS:
        step(journal, name)
    log = (source / "journal.sqlite-wal").read_bytes()
    base = (source / "journal.sqlite").read_bytes()
    journal.close()
    reached = []
    for length in sorted({*range(0, len(log), 2_003), len(log)}):
        copy = tmp_path / "copy"
        copy.mkdir()
        (copy / "journal.sqlite").write_bytes(base)
        (copy / "journal.sqlite-wal").write_bytes(log[:length])
        with SqliteJournal(copy, make.CHAIN_ID, make.WALLET) as cut:
            reached.append(states.index(cut.open_executions()))
        shutil.rmtree(copy)
    assert reached == sorted(reached)
    assert reached[0] == 0
    assert reached[-1] == len(states) - 1
    assert len(set(reached)) == len(states)


def damaged(path: Path) -> str:
    before = path.read_bytes()
    with (
        pytest.raises(StoreError) as error,
        SqliteJournal(path.parent, make.CHAIN_ID, make.WALLET) as journal,
    ):
        journal.open_executions()
    text = str(error.value)
    assert str(path) in text
    assert "\n" not in text
    assert error.value.exit_code == 3
    assert path.read_bytes() == before, "nothing was changed"
    return text


@pytest.fixture
def written(tmp_path: Path) -> Path:
    after(len(STEPS), tmp_path)
    return tmp_path / "journal.sqlite"


@pytest.mark.parametrize("pages", [1, 2, 5, 8])
def test_a_file_cut_short_is_refused(written: Path, pages: int) -> None:
    written.write_bytes(written.read_bytes()[: pages * 4096 + 100])
    assert "damaged" in damaged(written)


def test_an_emptied_file_is_not_taken_for_a_new_journal(written: Path) -> None:
    written.write_bytes(b"")
    assert "is empty" in damaged(written)


def test_a_lost_file_whose_log_is_left_is_not_begun_anew(tmp_path: Path) -> None:
    killed(tmp_path, 2, "whole")
    (tmp_path / "journal.sqlite").unlink()
    for _ in range(2):
        with pytest.raises(StoreError, match="is missing but its log"):
            SqliteJournal(tmp_path, make.CHAIN_ID, make.WALLET)


def test_a_page_of_rubbish_is_refused(written: Path) -> None:
    whole = written.read_bytes()
    connection = sqlite3.connect(written)
    page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'record'").fetchone()[0]
    connection.close()
    written.write_bytes(whole[: (page - 1) * 4096] + b"\xa5" * 4096 + whole[page * 4096 :])
    assert "damaged" in damaged(written)


def test_another_kind_of_file_is_refused(written: Path) -> None:
    written.write_bytes(b"not a database, whatever its name" * 500)
    assert "not an SQLite database" in damaged(written)


def test_a_directory_in_its_place_is_refused_and_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").mkdir(mode=0o755)
    with pytest.raises(StoreError, match="is not a file"):
        SqliteJournal(tmp_path, make.CHAIN_ID, make.WALLET)
    assert (tmp_path / "journal.sqlite").stat().st_mode & 0o777 == 0o755


def test_a_birth_that_was_interrupted_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite.new").write_bytes(b"half")
    (tmp_path / "journal.sqlite.new-wal").write_bytes(b"half")
    with SqliteJournal(tmp_path, make.CHAIN_ID, make.WALLET) as journal:
        journal.intend(make.intent())
    assert [file.name for file in tmp_path.iterdir()] == ["journal.sqlite"]
