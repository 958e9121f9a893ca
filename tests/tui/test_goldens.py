"""What the desk looks like, as text. `ARBTUI_GOLDENS=write pytest tests/tui/test_goldens.py` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.tui.picture import draw

GOLDENS = Path(__file__).parent / "goldens"


@pytest.mark.parametrize("size", ["80x24", "120x40", "200x60"])
@pytest.mark.parametrize("screen", ["opportunities", "approve"])
async def test_the_picture_is_the_golden_one(screen: str, size: str) -> None:
    width, height = (int(part) for part in size.split("x"))
    _, text = await draw((width, height), screen, "arb-dark", False)
    file = GOLDENS / f"{screen}-{size}.txt"
    if os.environ.get("ARBTUI_GOLDENS") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text + "\n")
    assert text + "\n" == file.read_text()
    lines = text.splitlines()
    assert len(lines) == height
    assert max(map(cell_len, lines)) <= width
    assert "LIVE" in text
