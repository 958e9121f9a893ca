"""The schema, as the SQL files of db/migrations; sqlite-utils remembers which of them a file has had."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import sqlite_utils

from arbtui.errors import StoreError
from arbtui.store.driver import sqlite3

METRICS = "metrics"
JOURNAL = "journal"
MARKET = "market"


def directory(family: str) -> Path:
    """Where the SQL files of a family (METRICS, JOURNAL or MARKET) are: in the wheel, else in the checkout."""
    package = Path(__file__).parents[1]
    root = package / "_migrations"
    if not root.is_dir():
        root = package.parent / "db" / "migrations"
    return root if family == METRICS else root / family


def statements(script: str) -> list[str]:
    """An SQL script's statements, one by one: `executescript` would commit the migration's transaction."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    if any(line.strip() and not line.lstrip().startswith("--") for line in pending.splitlines()):
        raise StoreError(f"a migration ends inside a statement: {pending.strip()[:60]!r}")
    return found


def _files(family: str) -> list[Path]:
    files = sorted(directory(family).glob("[0-9]*.sql"))
    if not files:
        raise StoreError(f"{directory(family)} holds no migrations; install ARBTUI again")
    return files


@lru_cache(maxsize=3)
def _migrations(family: str) -> sqlite_utils.Migrations:
    migrations = sqlite_utils.Migrations(family)
    for file in _files(family):
        script = statements(file.read_text(encoding="utf-8"))

        def apply_one(db: sqlite_utils.Database, script: list[str] = script) -> None:
            for statement in script:
                db.execute(statement)

        migrations(name=file.stem)(apply_one)
    return migrations


def _state(connection: sqlite3.Connection, family: str) -> tuple[list[str], list[str]]:
    known = [file.stem for file in _files(family)]
    table = connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone()
    applied = (
        [
            str(row[0])
            for row in connection.execute(
                "SELECT name FROM _sqlite_migrations WHERE migration_set = ? ORDER BY id", (family,)
            )
        ]
        if table
        else []
    )
    return known, applied


def require_known(connection: sqlite3.Connection, path: Path, family: str, *, complete: bool) -> None:
    """Raises StoreError for a schema of a newer ARBTUI, and where `complete` for one of an older."""
    known, applied = _state(connection, family)
    newer = [name for name in applied if name not in known]
    if newer:
        raise StoreError(
            f"{path} was written by a newer ARBTUI (its schema has {newer[-1]}); upgrade this one"
            " or choose another store.directory"
        )
    # As sets: one that came later may have a lower number.
    if complete and set(applied) != set(known):
        what = "is not a store of ARBTUI" if not applied else "was written by an older ARBTUI"
        raise StoreError(f"{path} {what}; run `arbtui db migrate` or choose another store.directory")


def migrate(connection: sqlite3.Connection, path: Path, family: str) -> None:
    """Bring a file up to this ARBTUI's schema; a migration that fails leaves no trace."""
    require_known(connection, path, family, complete=False)
    database = sqlite_utils.Database(connection)
    _migrations(family).apply(database)


def schema(connection: sqlite3.Connection) -> str:
    """Every table, index, view and trigger as SQL text, for db/schema.sql."""
    rows = connection.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE '%sqlite_%'"
        " ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'view' THEN 2 ELSE 3 END, name"
    )
    return "\n\n".join(f"{row[0]};" for row in rows) + "\n"
