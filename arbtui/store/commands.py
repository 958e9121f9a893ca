"""What people ask of the engine: a row each, written by desk or command line, taken up by the engine, once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from arbtui.errors import StoreError
from arbtui.store.database import Family, metrics_path
from arbtui.store.driver import mapped, open_writer, transaction, utc_now


class CommandPost:
    """The writing side: a desk's or a command line's. It writes commands and nothing else.

    Raises StoreError, one line, where there is no store yet.
    """

    def __init__(self, directory: Path, family: Family, clock: Callable[[], str] = utc_now) -> None:
        self.path = metrics_path(directory, family)
        self._clock = clock
        if not self.path.exists():
            raise StoreError(
                f"there is no store at {self.path}; start `arbtui run`, or name another store.directory"
            )
        with mapped(self.path):
            self._connection = open_writer(self.path, create=False)

    def post(self, kind: str, argument: dict[str, Any]) -> int:
        """Ask for something; the id to look its result up by."""
        with mapped(self.path), transaction(self._connection):
            cursor = self._connection.execute(
                "INSERT INTO command (at, kind, argument) VALUES (?, ?, ?)",
                (self._clock(), kind, json.dumps(argument)),
            )
            return int(cursor.lastrowid or 0)

    def result(self, command_id: int) -> str | None:
        """What the engine made of it; None while it has not taken it up."""
        with mapped(self.path):
            row = self._connection.execute(
                "SELECT result FROM command WHERE id = ? AND taken_at IS NOT NULL", (command_id,)
            ).fetchone()
        return None if row is None else str(row[0])

    def done(self, kind: str, argument: dict[str, Any], result: str) -> None:
        """Write down, as taken, what was done while no engine ran. Hold the store's lock: no other takes commands."""
        with mapped(self.path), transaction(self._connection):
            now = self._clock()
            self._connection.execute(
                "INSERT INTO command (at, kind, argument, taken_at, result) VALUES (?, ?, ?, ?, ?)",
                (now, kind, json.dumps(argument), now, result),
            )

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
