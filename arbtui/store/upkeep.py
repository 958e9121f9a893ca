"""Back-up, export and pruning of a metrics file; for `arbtui db`."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from arbtui.errors import StoreError, UsageError
from arbtui.store.database import Store
from arbtui.store.driver import mapped, open_reader, open_writer, sqlite3, transaction
from arbtui.store.queries import StoreReader

#: What makes a formula of a cell; the last four are the first four in full width.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
#: A plain number, which stays one.
_NEGATIVE = re.compile(r"-[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
#: Rows that a step of an engine takes, with what hangs on them: some milliseconds.
PAGE = 50
_MANY = 1_000
#: Tables that hold nothing for a reader.
_INTERNAL = frozenset({"_sqlite_migrations", "sqlite_sequence"})


def backup_file(source: Path, target: Path) -> int:
    """Copy a database, while it may be written to, into a new file of its own; its size in bytes.

    The target appears whole or not at all, checked and synced. Raises StoreError where source or target cannot be
    used, UsageError where the target exists.
    """
    if target.exists():
        raise UsageError(f"{target} exists already; choose another name")
    part = target.with_name(f"{target.name}.part")
    try:
        with mapped(target):
            part.unlink(missing_ok=True)
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with mapped(source), closing(open_reader(source)) as old, closing(sqlite3.connect(part)) as new:
            # In one step: a copy in pieces begins anew whenever somebody commits between two of them.
            old.backup(new, pages=-1)
        with mapped(part), closing(sqlite3.connect(part)) as new:
            # A copy of a file in WAL mode would make two files beside it when it is opened.
            new.execute("PRAGMA journal_mode = DELETE").fetchone()
            found = [str(row[0]) for row in new.execute("PRAGMA integrity_check(3)")]
        if found != ["ok"]:
            raise StoreError(f"{source}: the copy is not sound ({found[0]}); `arbtui db check` tells more")
        with mapped(target):
            with part.open("rb") as file:
                os.fsync(file.fileno())
            # Not rename: it would take the place of a file that has come meanwhile.
            os.link(part, target)
            return target.stat().st_size
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def relations(reader: StoreReader, wanted: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Every table and view for readers, or those `wanted`, with its columns; REAL twins of tables are left out.

    Raises UsageError for a name that is none.
    """
    names = [
        str(row["name"])
        for row in reader.query(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
        )
        if row["name"] not in _INTERNAL
    ]
    if unknown := sorted(set(wanted) - set(names)):
        raise UsageError(f"there is no table or view {unknown[0]!r}; there are {', '.join(names)}")
    return {
        name: [
            str(column["name"])
            for column in reader.query("SELECT name, hidden FROM pragma_table_xinfo(?)", (name,))
            if not column["hidden"]
        ]
        for name in wanted or names
    }


def export_csv(reader: StoreReader, folder: Path, wanted: tuple[str, ...] = ()) -> dict[str, int]:
    """A CSV file for each table and view (or those `wanted`), all of one moment; rows written, by name.

    Text that a spreadsheet would take for a formula gets an apostrophe before it. Raises UsageError for a name that
    is none, StoreError where the folder cannot be written.
    """
    known = relations(reader, wanted)
    with mapped(folder):
        folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, int] = {}
    with reader.snapshot():
        for name, columns in known.items():
            part = folder / f"{name}.csv.part"
            with whole_file(part), mapped(part):
                with part.open("w", encoding="utf-8", newline="") as file:
                    writer = csv.writer(file)
                    writer.writerow(columns)
                    count = 0
                    for row in reader.rows_of(name, columns):
                        writer.writerow([inert(value) for value in row])
                        count += 1
                part.replace(folder / f"{name}.csv")
            written[name] = count
    return written


@contextmanager
def whole_file(part: Path) -> Iterator[None]:
    """Nothing half is left of `part` where writing it fails."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def inert(value: object) -> object:
    """A cell for a CSV file: text that a spreadsheet would take for a formula has an apostrophe before it."""
    if isinstance(value, str) and value.startswith(_FORMULA) and not _NEGATIVE.fullmatch(value):
        return f"'{value}"
    return value


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went of one UTC day; counts of rows."""

    day: str
    opportunities: int = 0
    quotes: int = 0
    checks: int = 0
    closings: int = 0
    blocks: int = 0

    @property
    def rows(self) -> int:
        return self.opportunities + self.quotes + self.checks + self.closings + self.blocks

    def __add__(self, other: Pruned) -> Pruned:
        """Of this one's day."""
        return Pruned(
            self.day,
            self.opportunities + other.opportunities,
            self.quotes + other.quotes,
            self.checks + other.checks,
            self.closings + other.closings,
            self.blocks + other.blocks,
        )


def prune(path: Path, before: date, *, vacuum: bool = False) -> Iterator[Pruned]:
    """Take dropped opportunities, and blocks no ticket is of, of whole UTC days before `before` away; oldest first.

    Counts and exact sums of them stay in `rollup`, a commit a day. Whatever became a ticket stays whole: its
    opportunity, quotes and checks, decisions, executions, settlements; and runs, incidents, commands. Hold the store
    lock: the engine is the only other writer. Raises StoreError.
    """
    with mapped(path), closing(open_writer(path, create=False)) as connection:
        while (day := _oldest(connection)) is not None and day < before.isoformat():
            with transaction(connection):
                pruned = _prune_day(connection, day)
            yield pruned
            if not pruned.rows:
                break
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if vacuum:
            connection.execute("VACUUM")


class Retention:
    """Prunes the store of a running engine as `prune` does, once a UTC day, in steps that a block can wait for.

    A step is one commit of at most `page` opportunities or blocks. A day that is pruned in part is still counted
    exactly; a pass that is broken off goes on at the next start.
    """

    def __init__(self, store: Store, keep_days: int, page: int = PAGE) -> None:
        self._store = store
        self._keep = timedelta(days=keep_days)
        self._page = page
        self._done = ""
        self._looked_at = 0
        self._rows = 0

    def due(self, today: date) -> bool:
        """Whether something may be left to do on that UTC day."""
        return today.isoformat() > self._done

    def step(self, today: date) -> str | None:
        """One step; what was pruned, in words, once that was the last one. Raises StoreError, and is due no more."""
        before = today - self._keep
        done, self._done = self._done, today.isoformat()
        with self._store.upkeep() as connection:
            dropped = _dropped(connection, before.isoformat(), self._page)
            if dropped:
                taken, more = _take_dropped(connection, dropped), True
            else:
                blocks, self._looked_at, more = self._blocks(connection, before)
                taken = _take_blocks(connection, blocks)
        self._rows += taken.rows
        if more:
            self._done = done
            return None
        rows, self._rows, self._looked_at = self._rows, 0, 0
        if not rows:
            return None
        told = f"pruned {rows:,} rows of before {before}; their counts and sums are kept"
        with self._store.batch() as batch:
            batch.command_done("prune", {"by": "store.keep_days", "before": before.isoformat()}, told)
        return told

    def _blocks(
        self, connection: sqlite3.Connection, before: date
    ) -> tuple[list[tuple[int, str, str]], int, bool]:
        """Blocks to take among the next `page`, how far that was looked, and whether there may be more to look at.

        They lie in the order of time, so that a page of newer ones is the end.
        """
        page = connection.execute(
            "SELECT rowid, run, date(timestamp, 'unixepoch'), "  # noqa: S608 - ours
            f"{_OF_NO_TICKET}, timestamp < unixepoch(?) FROM block WHERE rowid > ? ORDER BY rowid LIMIT ?",
            (before.isoformat(), self._looked_at, self._page),
        ).fetchall()
        old = [row for row in page if row[4]]
        return [tuple(row[:3]) for row in old if row[3]], page[-1][0] if page else 0, bool(old)


_OF_NO_TICKET = "NOT EXISTS (SELECT 1 FROM ticket AS t WHERE t.run = block.run AND t.block = block.number)"


def _oldest(connection: sqlite3.Connection) -> str | None:
    """The first UTC day on which anything can be pruned."""
    days = [
        connection.execute("SELECT min(at) FROM opportunity WHERE outcome = 'dropped'").fetchone()[0],
        connection.execute(
            f"SELECT date(min(timestamp), 'unixepoch') FROM block WHERE {_OF_NO_TICKET}"  # noqa: S608 - ours
        ).fetchone()[0],
    ]
    return min((str(day)[:10] for day in days if day is not None), default=None)


def _prune_day(connection: sqlite3.Connection, day: str) -> Pruned:
    after = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
    pruned = Pruned(day)
    while dropped := _dropped(connection, after, _MANY):
        pruned += _take_dropped(connection, dropped)
    blocks = connection.execute(
        "SELECT rowid, run, date(timestamp, 'unixepoch') FROM block"  # noqa: S608 - ours
        f" WHERE timestamp >= unixepoch(?) AND timestamp < unixepoch(?) AND {_OF_NO_TICKET}",
        (day, after),
    ).fetchall()
    return pruned + _take_blocks(connection, blocks)


def _dropped(connection: sqlite3.Connection, before: str, limit: int) -> list[tuple[Any, ...]]:
    """The oldest dropped opportunities of UTC days before `before`: run, id, day, reason, net in wei or None."""
    return connection.execute(
        "SELECT run, id, substr(at, 1, 10), reason, net_wei FROM opportunity"
        " WHERE outcome = 'dropped' AND at < ? ORDER BY at LIMIT ?",
        (before, limit),
    ).fetchall()


def _take_dropped(connection: sqlite3.Connection, dropped: Sequence[tuple[Any, ...]]) -> Pruned:
    """Those opportunities with their quotes, checks and endings, for sums; not committed."""
    sums = _Sums()
    for run, name, day, reason, net in dropped:
        sums.add(run, day, "dropped", reason, net)
        for by, sender, closed_net in connection.execute(
            "SELECT closed_by, sender, net_wei FROM closing WHERE run = ? AND opportunity_id = ?", (run, name)
        ):
            sums.add(run, day, "closed", by, closed_net)
            if sender and by == "foreign":
                sums.add(run, day, "sender", sender, closed_net)
    sums.write(connection)
    keys = [row[:2] for row in dropped]

    def delete(sql: str) -> int:
        return int(connection.executemany(sql, keys).rowcount)

    return Pruned(
        "",
        quotes=delete("DELETE FROM loan_quote WHERE run = ? AND opportunity_id = ?"),
        checks=delete(
            "DELETE FROM check_result WHERE subject_kind = 'opportunity' AND run = ? AND subject_id = ?"
        ),
        closings=delete("DELETE FROM closing WHERE run = ? AND opportunity_id = ?"),
        opportunities=delete("DELETE FROM opportunity WHERE run = ? AND id = ?"),
    )


def _take_blocks(connection: sqlite3.Connection, blocks: Sequence[tuple[int, str, str]]) -> Pruned:
    """Those blocks (rowid, run, UTC day), for their number; not committed."""
    sums = _Sums()
    for _, run, day in blocks:
        sums.add(run, day, "block", "", None)
    sums.write(connection)
    rowids = [row[:1] for row in blocks]
    return Pruned("", blocks=connection.executemany("DELETE FROM block WHERE rowid = ?", rowids).rowcount)


class _Sums:
    """Counts and exact sums on their way into `rollup`."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str, str, str], list[int]] = {}

    def add(self, run: str, day: str, kind: str, name: str, net_wei: object) -> None:
        entry = self._sums.setdefault((run, day, kind, name), [0, 0])
        entry[0] += 1
        entry[1] += int(str(net_wei)) if net_wei is not None else 0

    def write(self, connection: sqlite3.Connection) -> None:
        for key, (count, net_wei) in self._sums.items():
            known = connection.execute(
                "SELECT count, net_wei FROM rollup WHERE run = ? AND day = ? AND kind = ? AND name = ?", key
            ).fetchone() or (0, "0")
            connection.execute(
                "INSERT INTO rollup (run, day, kind, name, count, net_wei) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (run, day, kind, name)"
                " DO UPDATE SET count = excluded.count, net_wei = excluded.net_wei",
                (*key, int(known[0]) + count, str(int(known[1]) + net_wei)),
            )
