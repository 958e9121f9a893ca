"""The one SQLite library of the process, its connections, and its errors as StoreError.

Two SQLite libraries in one process release each other's file locks, so everybody takes `sqlite3` from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from arbtui.errors import StoreError

if TYPE_CHECKING:
    import sqlite3  # noqa: TID251
else:
    from sqlite_utils.utils import sqlite3

__all__ = [
    "library_version",
    "mapped",
    "open_reader",
    "open_writer",
    "refuse_non_file",
    "sqlite3",
    "transaction",
    "utc_now",
]

BUSY_TIMEOUT_MS = 5_000

_MENDING: dict[str, str] = {
    "SQLITE_BUSY": "is locked by another process; stop it or wait, then try again",
    "SQLITE_LOCKED": "is locked by another process; stop it or wait, then try again",
    "SQLITE_FULL": "could not be written: the disk is full; free some space and try again",
    "SQLITE_READONLY": "is read-only; mend its permissions or choose another store.directory",
    "SQLITE_PERM": "may not be opened; mend its permissions or choose another store.directory",
    "SQLITE_AUTH": "may not be opened; mend its permissions or choose another store.directory",
    "SQLITE_CANTOPEN": "could not be opened; it, or its directory, is missing or not permitted,"
    " or it is not a file",
    "SQLITE_CORRUPT": "is damaged; nothing was changed: keep a copy, then restore a back-up"
    " or choose another store.directory",
    "SQLITE_NOTADB": "is not an SQLite database; nothing was changed: move it away"
    " or choose another store.directory",
    "SQLITE_IOERR": "could not be read or written: the disk reports an error",
    "SQLITE_CONSTRAINT": "refused a row",
}


def library_version() -> str:
    """Version of the SQLite library that is used, such as "3.51.3"."""
    return str(sqlite3.sqlite_version)


def utc_now() -> str:
    """Now, as the store writes it: UTC ISO-8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise about `path` into a StoreError of one line."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise  # a mistake of ours, not of the file
    except sqlite3.Error as error:
        name = str(getattr(error, "sqlite_errorname", None) or "")
        family = "_".join(name.split("_")[:2])
        mending = _MENDING.get(family)
        text = " ".join(str(error).split())
        raise StoreError(f"{path} {mending} ({text})" if mending else f"{path}: {text}") from error
    except OSError as error:
        raise StoreError(
            f"{path}: {(error.strerror or 'cannot be used').lower()}; mend it or choose another store.directory"
        ) from error


def open_writer(path: Path, *, create: bool = True) -> sqlite3.Connection:
    """A read-write connection: WAL, every commit synced, foreign keys on; transactions are begun by hand.

    Raises what SQLite raises: callers stand inside `mapped`.
    """
    mode: Literal["rwc", "rw"] = "rwc" if create else "rw"
    connection = _connect(path, mode)
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, with rows by name. Raises what SQLite raises."""
    connection = _connect(path, "ro")
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA query_only = ON")
    return connection


def refuse_non_file(path: Path) -> None:
    """Raises StoreError where a directory, a device or the like stands in the file's place."""
    if path.exists() and not path.is_file():
        raise StoreError(f"{path} is not a file; move it away or choose another store.directory")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    refuse_non_file(path)
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; the write lock is taken at the start, so a commit cannot find a stale snapshot."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk or a trigger's ROLLBACK may have ended the transaction already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
