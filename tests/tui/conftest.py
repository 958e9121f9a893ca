from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import textual._wait

from tests.tui.sample import Sample

os.environ["TEXTUAL_ANIMATIONS"] = "none"
# Pilot's pauses guess by the processor's load, 20 ms at a time; `settle` and `until` know what they wait for.
textual._wait.SLEEP_GRANULARITY = 0.004
textual._wait.SLEEP_IDLE = 0.002


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[Sample]:
    """An empty store with an engine's lock held on it."""
    made = Sample(tmp_path / "store")
    yield made
    made.close()
