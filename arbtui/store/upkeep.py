"""Back-up, export and pruning of a metrics file; for `arbtui db`."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from arbtui.errors import StoreError, UsageError
from arbtui.store.driver import mapped, open_reader, open_writer, sqlite3, transaction
from arbtui.store.queries import StoreReader

#: What makes a formula of a cell; the last four are the first four in full width.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
#: A plain number, which stays one.
_NEGATIVE = re.compile(r"-[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
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
    opportunities: int
    quotes: int
    checks: int
    closings: int
    blocks: int

    @property
    def rows(self) -> int:
        return self.opportunities + self.quotes + self.checks + self.closings + self.blocks


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
    sums: dict[tuple[str, str, str], list[int]] = {}

    def add(run: str, kind: str, name: str, net_wei: object, count: int = 1) -> None:
        entry = sums.setdefault((run, kind, name), [0, 0])
        entry[0] += count
        entry[1] += int(str(net_wei)) if net_wei is not None else 0

    bounds = (day, after)
    dropped = "outcome = 'dropped' AND at >= ?1 AND at < ?2"
    for run, reason, net in connection.execute(
        f"SELECT run, reason, net_wei FROM opportunity WHERE {dropped}",  # noqa: S608 - ours
        bounds,
    ):
        add(run, "dropped", reason, net)
    for run, by, sender, net in connection.execute(
        f"SELECT run, closed_by, sender, net_wei FROM v_missed WHERE {dropped}",  # noqa: S608 - ours
        bounds,
    ):
        add(run, "closed", by, net)
        if sender and by == "foreign":
            add(run, "sender", sender, net)
    old_blocks = f"timestamp >= unixepoch(?1) AND timestamp < unixepoch(?2) AND {_OF_NO_TICKET}"
    for run, count in connection.execute(
        f"SELECT run, count(*) FROM block WHERE {old_blocks} GROUP BY run",  # noqa: S608 - ours
        bounds,
    ):
        add(run, "block", "", None, count)
    for (run, kind, name), (count, net_wei) in sums.items():
        known = connection.execute(
            "SELECT count, net_wei FROM rollup WHERE run = ? AND day = ? AND kind = ? AND name = ?",
            (run, day, kind, name),
        ).fetchone() or (0, "0")
        connection.execute(
            "INSERT INTO rollup (run, day, kind, name, count, net_wei) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (run, day, kind, name) DO UPDATE SET count = excluded.count, net_wei = excluded.net_wei",
            (run, day, kind, name, int(known[0]) + count, str(int(known[1]) + net_wei)),
        )

    def delete(sql: str) -> int:
        return int(connection.execute(sql, bounds).rowcount)

    those = f"(SELECT run, id FROM opportunity WHERE {dropped})"  # noqa: S608 - ours
    return Pruned(
        day=day,
        quotes=delete(f"DELETE FROM loan_quote WHERE (run, opportunity_id) IN {those}"),  # noqa: S608
        checks=delete(
            f"DELETE FROM check_result WHERE subject_kind = 'opportunity' AND (run, subject_id) IN {those}"  # noqa: S608
        ),
        closings=delete(f"DELETE FROM closing WHERE (run, opportunity_id) IN {those}"),  # noqa: S608
        opportunities=delete(f"DELETE FROM opportunity WHERE {dropped}"),  # noqa: S608
        blocks=delete(f"DELETE FROM block WHERE {old_blocks}"),  # noqa: S608
    )
