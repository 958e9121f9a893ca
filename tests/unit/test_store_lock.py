from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from arbtui.errors import LockHeld, StoreError
from arbtui.store import StoreLock, WalletLock, engine_pid
from tests import factories as make

HOLD = """
import sys
from pathlib import Path
from arbtui.store.lock import StoreLock
lock = StoreLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def hold(directory: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def finish(process: subprocess.Popen[str]) -> None:
    process.communicate()


def test_a_second_engine_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    process = hold(tmp_path)
    try:
        with pytest.raises(LockHeld) as error:
            StoreLock(tmp_path)
        assert f"another engine (pid {process.pid})" in str(error.value)
        assert "stop it or choose another store.directory" in str(error.value)
        assert "\n" not in str(error.value)
        assert error.value.exit_code == 3
    finally:
        finish(process)
    StoreLock(tmp_path).close()


def test_who_only_asks_after_the_engine_keeps_none_from_starting(tmp_path: Path) -> None:
    """The question holds the lock, shared, for a moment: here for a tenth of a second."""
    StoreLock(tmp_path).close()
    assert engine_pid(tmp_path) is None
    asking = os.open(tmp_path / "engine.lock", os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH | fcntl.LOCK_NB)
    done = threading.Timer(0.1, os.close, (asking,))
    done.start()
    with StoreLock(tmp_path):
        assert engine_pid(tmp_path) == os.getpid()
    done.join()


def test_the_lock_goes_with_a_killed_process(tmp_path: Path) -> None:
    process = hold(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    finish(process)
    with StoreLock(tmp_path) as lock:
        assert lock.path.read_text() == f"{os.getpid()}\n"


def test_a_lock_is_held_within_one_process_too_and_given_back(tmp_path: Path) -> None:
    with StoreLock(tmp_path / "made" / "here") as lock:
        with pytest.raises(LockHeld):
            StoreLock(tmp_path / "made" / "here")
        StoreLock(tmp_path).close()
    lock.close()
    StoreLock(tmp_path / "made" / "here").close()


def test_a_wallet_is_locked_wherever_the_store_is(tmp_path: Path) -> None:
    with WalletLock(1, make.WALLET, directory=tmp_path):
        with pytest.raises(LockHeld, match="choose another wallet"):
            WalletLock(1, make.WALLET, directory=tmp_path)
        WalletLock(10, make.WALLET, directory=tmp_path).close()
        WalletLock(1, make.EXECUTOR, directory=tmp_path).close()
        WalletLock(1, make.WALLET, scope="0xabc", directory=tmp_path).close()


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"choose another store\.directory"):
        StoreLock(tmp_path / "file" / "store")
