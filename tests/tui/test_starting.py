"""A desk that is opened before its engine has made the store."""

from __future__ import annotations

import asyncio
from pathlib import Path

from arbtui.store.driver import sqlite3
from arbtui.tui import DeskSettings
from arbtui.tui.app import DeskApp
from tests.tui.sample import Sample
from tests.tui.screens import grid, until


async def test_a_store_in_the_making_is_no_trouble(tmp_path: Path) -> None:
    file = tmp_path / "live.sqlite"
    half = sqlite3.connect(file)
    half.execute("CREATE TABLE _sqlite_migrations (id INTEGER PRIMARY KEY, migration_set TEXT, name TEXT)")
    half.commit()
    half.close()
    app = DeskApp(DeskSettings(tmp_path, "live", "devnet", "ETH", 12.0, owns_engine=False))
    app.animation_level = "none"
    async with app.run_test(size=(120, 40)) as pilot:
        await asyncio.sleep(0.5)  # several looks at it
        assert not app.feed.opened
        assert app.trouble == "waiting for the engine"
        assert "waiting for the engine" in grid(pilot)
        file.unlink()
        sample = Sample(tmp_path)
        sample.head()
        await until(pilot, lambda: app.view is not None, "the finished store is read")
        assert app.trouble == "waiting for the engine"
        sample.close()
