"""What was told to whom: `alerts.sqlite` in the store directory, written by `arbtui alert watch` alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from arbtui.errors import StoreError
from arbtui.store import migrations
from arbtui.store.database import Family
from arbtui.store.driver import mapped, open_reader, open_writer, sqlite3, transaction
from arbtui.store.lock import FileLock

Row = dict[str, Any]
FILE = "alerts.sqlite"
#: Messages kept for `arbtui alert list`, and alarms that are over.
KEEP = 10_000


class AlertsLock(FileLock):
    """One watch per store."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            Path(directory) / "alerts.lock", "`arbtui alert watch` runs already; one is enough", "alert watch"
        )


class AlertStore:
    """Alarms, messages and deliveries. Raises StoreError, one line.

    Marks and alarms are those of one family of the store; in the file its name stands before theirs. Messages go to
    the same people whichever it is.
    """

    def __init__(self, directory: Path, *, writing: bool, family: Family = "live") -> None:
        self.path = Path(directory) / FILE
        self._prefix = f"{family}:"
        with mapped(self.path):
            if writing:
                self._connection = open_writer(self.path)
                self._connection.row_factory = sqlite3.Row
            elif self.path.exists():
                self._connection = open_reader(self.path)
            else:
                raise StoreError(f"there is no {self.path}; `arbtui alert watch` makes it")
            try:
                if writing:
                    migrations.migrate(self._connection, self.path, migrations.ALERTS)
                else:
                    migrations.require_known(self._connection, self.path, migrations.ALERTS, complete=True)
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        with mapped(self.path):
            return [dict(row) for row in self._connection.execute(sql, values)]

    def marks(self) -> dict[str, Any]:
        return {
            str(row["name"]).removeprefix(self._prefix): json.loads(row["value"])
            for row in self._query("SELECT * FROM mark WHERE instr(name, ?) = 1", (self._prefix,))
        }

    def alarms(self) -> list[Row]:
        """Every (rule, subject) of late of this family, the newest first."""
        return [
            {**row, "subject": str(row["subject"]).removeprefix(self._prefix)}
            for row in self._query(
                "SELECT * FROM alarm WHERE instr(subject, ?) = 1 ORDER BY last_at DESC, rule, subject",
                (self._prefix,),
            )
        ]

    def all_alarms(self) -> list[Row]:
        """Those of every family, each with its `family`, the newest first."""
        found = []
        for row in self._query("SELECT * FROM alarm ORDER BY last_at DESC, rule, subject"):
            family, _, subject = str(row["subject"]).partition(":")
            found.append({**row, "family": family, "subject": subject})
        return found

    def messages(self, limit: int = 50) -> list[Row]:
        """The newest messages, each with its `deliveries`."""
        rows = self._query("SELECT * FROM message ORDER BY id DESC LIMIT ?", (limit,))
        for row in rows:
            row["deliveries"] = self._query(
                "SELECT channel, state, attempts, error, at FROM delivery WHERE message_id = ? ORDER BY channel",
                (row["id"],),
            )
        return rows

    def channels(self) -> list[Row]:
        """Each channel's deliveries in numbers, and its newest error."""
        return self._query(
            "SELECT channel, sum(state = 'delivered') AS delivered, sum(state = 'waiting') AS waiting,"
            " sum(state = 'given_up') AS given_up, sum(attempts) AS attempts,"
            " (SELECT l.error FROM delivery AS l WHERE l.channel = d.channel AND l.error <> ''"
            " ORDER BY l.message_id DESC LIMIT 1) AS error FROM delivery AS d GROUP BY channel ORDER BY channel"
        )

    def waiting(self, channel: str) -> list[Row]:
        """Messages that a channel has not had yet, oldest first."""
        return self._query(
            "SELECT m.*, d.attempts FROM delivery AS d JOIN message AS m ON m.id = d.message_id"
            " WHERE d.channel = ? AND d.state = 'waiting' ORDER BY m.id",
            (channel,),
        )

    def told(
        self,
        marks: Mapping[str, Any],
        alarms: Iterable[Mapping[str, Any]],
        messages: Iterable[tuple[str, str, str]],
        channels: Sequence[str],
        at: str,
    ) -> None:
        """All that one look leaves, in one commit: what is not in it is looked at again.

        `messages` are (level, title, body); each is owed to every channel.
        """
        with mapped(self.path), transaction(self._connection):
            # Of this family, and what has none: it is of before there were any.
            self._connection.execute(
                "DELETE FROM alarm WHERE instr(subject, ?) = 1"
                " OR (instr(subject, 'live:') <> 1 AND instr(subject, 'paper:') <> 1)",
                (self._prefix,),
            )
            self._connection.executemany(
                "INSERT INTO alarm (rule, subject, level, text, standing, count, told_count, first_at, last_at,"
                " told_at, next_at) VALUES (:rule, :subject, :level, :text, :standing, :count, :told_count,"
                " :first_at, :last_at, :told_at, :next_at)",
                [{**alarm, "subject": self._prefix + str(alarm["subject"])} for alarm in alarms],
            )
            self._connection.executemany(
                "INSERT INTO mark (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                [(self._prefix + name, json.dumps(value)) for name, value in marks.items()],
            )
            for message in messages:
                cursor = self._connection.execute(
                    "INSERT INTO message (at, level, title, body) VALUES (?, ?, ?, ?)", (at, *message)
                )
                self._connection.executemany(
                    "INSERT INTO delivery (message_id, channel, state, at) VALUES (?, ?, 'waiting', ?)",
                    [(cursor.lastrowid, channel, at) for channel in channels],
                )
            newest = self._connection.execute("SELECT coalesce(max(id), 0) FROM message").fetchone()[0]
            for table, column in (("delivery", "message_id"), ("message", "id")):
                self._connection.execute(f"DELETE FROM {table} WHERE {column} <= ?", (newest - KEEP,))  # noqa: S608

    def give_up_others(self, channels: Sequence[str], at: str) -> None:
        """What waits for a channel that is none of these any more is given up."""
        with mapped(self.path), transaction(self._connection):
            self._connection.execute(
                "UPDATE delivery SET state = 'given_up', error = 'there is no such channel any more', at = ?"
                " WHERE state = 'waiting' AND channel NOT IN (SELECT value FROM json_each(?))",
                (at, json.dumps(list(channels))),
            )

    def delivered(
        self, channel: str, message_ids: Sequence[int], state: str, attempts: int, error: str, at: str
    ) -> None:
        """What became of messages on one channel: delivered, still waiting (it failed), or given_up."""
        with mapped(self.path), transaction(self._connection):
            self._connection.executemany(
                "UPDATE delivery SET state = ?, attempts = attempts + ?, error = ?, at = ?"
                " WHERE message_id = ? AND channel = ?",
                [(state, attempts, error, at, message_id, channel) for message_id in message_ids],
            )
