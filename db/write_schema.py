"""Write the schemas of db/*.sql anew: what the migrations make of an empty file."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from arbtui.store import migrations
from arbtui.store.driver import sqlite3


def golden(family: str) -> str:
    """The schema of a family as SQL text."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations.migrate(connection, Path(":memory:"), family)
        return migrations.schema(connection)


if __name__ == "__main__":
    here = Path(__file__).parent
    (here / "schema.sql").write_text(golden(migrations.METRICS), encoding="utf-8")
    (here / "journal.sql").write_text(golden(migrations.JOURNAL), encoding="utf-8")
    (here / "market.sql").write_text(golden(migrations.MARKET), encoding="utf-8")
    (here / "alerts.sql").write_text(golden(migrations.ALERTS), encoding="utf-8")
