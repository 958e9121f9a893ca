"""The desk's side of the store: notices that something is new, reads it, writes commands. Knows no widget."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from arbtui.errors import StoreError

# The store's library takes a while to import: the first frame does not wait for it.
if TYPE_CHECKING:
    from arbtui.store import CommandPost, StoreReader
    from arbtui.store.desk import DeskView
from arbtui.tui.settings import DeskSettings


def iso(seconds: float) -> str:
    """A unix time as the store writes times."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


class Feed:
    """`changed` is called on the desk's own thread and costs microseconds; everything else in a worker's.

    All but `changed` raise StoreError, one line.
    """

    def __init__(self, settings: DeskSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        #: A connection of its own: a read's transaction would hide the change from it.
        self._watcher: StoreReader | None = None
        self._reader: StoreReader | None = None
        self._post: CommandPost | None = None
        self._seen_version: int | None = None

    @property
    def opened(self) -> bool:
        return self._reader is not None

    def open(self) -> None:
        """StoreError while there is no store yet, or none that this ARBTUI can read."""
        from arbtui.store import open_store

        with self._lock:
            if self._reader is None:
                watcher = open_store(self._settings.directory, self._settings.family)
                self._watcher = watcher
                self._reader = open_store(self._settings.directory, self._settings.family)

    def exists(self) -> bool:
        """Whether there is a store file to open."""
        return (self._settings.directory / f"{self._settings.family}.sqlite").exists()

    def changed(self) -> bool:
        """Whether somebody has committed since the last time; True the first time. False while a worker is at it."""
        # A worker may be closing the connection this moment, and asking it then is the end of the process.
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._watcher is None:
                return False
            version = self._watcher.data_version()
        except StoreError:
            return True  # the read that follows tells what is wrong
        finally:
            self._lock.release()
        if version == self._seen_version:
            return False
        self._seen_version = version
        return True

    def read(self) -> DeskView:
        from arbtui.store.desk import read_desk

        with self._lock:
            return read_desk(self._open_reader(), iso(self._clock()), self._settings.directory)

    def detail(self, key: str) -> dict[str, Any] | None:
        from arbtui.store.desk import read_detail

        with self._lock:
            return read_detail(self._open_reader(), key)

    def engine_pid(self) -> int | None:
        """Now, not when the store was last read."""
        from arbtui.store import engine_pid

        return engine_pid(self._settings.directory)

    def post(self, kind: str, argument: dict[str, Any]) -> int:
        """Write a command row; its id. A read-only desk never gets here, and is refused if it does."""
        from arbtui.store import CommandPost

        if self._settings.read_only:
            raise StoreError("this desk is read-only: it writes no commands")
        with self._lock:
            if self._post is None:
                self._post = CommandPost(
                    self._settings.directory, self._settings.family, lambda: iso(self._clock())
                )
            return self._post.post(kind, argument)

    def result(self, command_id: int) -> str | None:
        """What the engine made of a command of ours; None while it has not taken it up."""
        with self._lock:
            return None if self._post is None else self._post.result(command_id)

    def close(self) -> None:
        with self._lock:
            for connection in (self._watcher, self._reader, self._post):
                if connection is not None:
                    connection.close()
            self._watcher = self._reader = self._post = None

    def _open_reader(self) -> StoreReader:
        if self._reader is None:
            raise StoreError(f"there is no store at {self._settings.directory} yet")
        return self._reader
