"""Chains that a `devnet up` keeps running: who they are, and how one is ended from elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arbtui.devnet.anvil import CHAIN_ID, state_root
from arbtui.devnet.book import AddressBook
from arbtui.errors import DevnetError

DEFAULT_PORT = 8545
STOP_TIMEOUT_S = 15.0
_FILE = "devnet.json"


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process and when it started, so that a number that was given out anew is not taken for it."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        return cls(pid, _start_time(pid))

    def alive(self) -> bool:
        return self.started != "" and _start_time(self.pid) == self.started

    def looks_like(self, *words: str) -> bool:
        """Whether its command line holds every one of `words`."""
        try:
            line = (
                Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            )
        except OSError:
            return False
        return all(word in line for word in words)


@dataclass(frozen=True, slots=True)
class Run:
    """One chain on one port: the process that keeps it and its anvil."""

    port: int
    keeper: ProcessId
    anvil: ProcessId
    book: AddressBook
    traffic: bool
    block_time: int

    def alive(self) -> bool:
        return self.keeper.alive() and self.anvil.alive()

    def to_json(self) -> dict[str, Any]:
        """The book and the run's own facts."""
        return {
            **self.book.to_json(),
            "port": self.port,
            "anvil_pid": self.anvil.pid,
            "traffic": self.traffic,
            "block_time": self.block_time,
        }


def record(run: Run) -> None:
    """Leave a note in the chain's folder by which `find` knows it. Raises DevnetError."""
    path = state_root() / str(run.port) / _FILE
    fresh = path.with_suffix(".new")
    note = run.to_json() | {"started": run.keeper.started, "anvil_started": run.anvil.started}
    try:
        fresh.write_text(json.dumps(note), "utf-8")
        fresh.replace(path)
    except OSError as error:
        raise DevnetError(f"{path}: cannot be written ({error.strerror}); set ARBTUI_STATE") from error


def erase(port: int) -> None:
    """Remove the note of that port."""
    with contextlib.suppress(OSError):
        (state_root() / str(port) / _FILE).unlink()


def running() -> list[Run]:
    """Every chain that is up, by port."""
    root = state_root()
    ports = sorted(int(item.name) for item in root.glob("[0-9]*") if item.name.isdigit())
    return [run for port in ports if (run := _read(port)) is not None and run.alive()]


def find(port: int | None) -> Run | None:
    """The running chain on `port`; without one, that on the default port, or the only one.

    Raises DevnetError where several run and none is named.
    """
    runs = running()
    if port is not None:
        return next((run for run in runs if run.port == port), None)
    if len(runs) > 1:
        default = [run for run in runs if run.port == DEFAULT_PORT]
        if not default:
            ports = ", ".join(str(run.port) for run in runs)
            raise DevnetError(f"several local chains are running; name one with --port ({ports})")
        return default[0]
    return runs[0] if runs else None


def end(run: Run) -> None:
    """End exactly that chain and wait for it. Raises DevnetError where the process is not a devnet of ours."""
    if not (run.keeper.looks_like("devnet") and run.anvil.looks_like("anvil", f"--chain-id {CHAIN_ID}")):
        raise DevnetError(f"process {run.keeper.pid}: not a local chain of ours; it was left alone")
    _signal(run.keeper, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while (run.keeper.alive() or run.anvil.alive()) and time.monotonic() < deadline:
        time.sleep(0.02)
    _signal(run.keeper, signal.SIGKILL)
    _signal(run.anvil, signal.SIGKILL)
    erase(run.port)


def _signal(process: ProcessId, sig: signal.Signals) -> None:
    if process.alive():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, sig)


def _read(port: int) -> Run | None:
    try:
        note = json.loads((state_root() / str(port) / _FILE).read_bytes())
        return Run(
            port=port,
            keeper=ProcessId(int(note["pid"]), str(note["started"])),
            anvil=ProcessId(int(note["anvil_pid"]), str(note["anvil_started"])),
            book=AddressBook.from_json(note),
            traffic=bool(note["traffic"]),
            block_time=int(note["block_time"]),
        )
    except (OSError, ValueError, KeyError, TypeError, DevnetError):
        return None


def _start_time(pid: int) -> str:
    """Field 22 of /proc/PID/stat; "" where there is no such process, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
