"""degenbot in an environment of its own, for a side by side in one run; optional."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arbtui.market.uniswap_v2 import UniswapV2Pool

VERSION = "0.6.0a17"
#: A Python 3.13 to make the environment with, where `python3.13` is not on PATH.
VARIABLE = "ARBTUI_BENCH_PYTHON"
_SCRIPT = Path(__file__).with_name("peer_degenbot.py")


@dataclass(frozen=True, slots=True)
class Solved:
    """Milliseconds of each solve of all cycles, by the clock and of the processor; what it found.

    `found` is (cycle, input, profit).
    """

    ms: list[float]
    cpu_ms: list[float]
    found: list[tuple[int, int, int]]


def environment() -> Path | None:
    """The Python of an environment with degenbot in it, made at the first call; None without a Python 3.13."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "arbtui" / f"degenbot-{VERSION}"
    python = home / "bin" / "python"
    if (home / ".ready").exists():
        return python
    found = next((maker for maker in _makers() if _runs(maker)), None)
    if found is None:
        return None
    shutil.rmtree(home, ignore_errors=True)
    for command in (
        [found, "-m", "venv", str(home)],
        [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", f"degenbot=={VERSION}"],
    ):
        if subprocess.run(command, check=False, capture_output=True, timeout=600).returncode:
            return None
    (home / ".ready").touch()
    return python


def _makers() -> Iterator[str]:
    if os.environ.get(VARIABLE):
        yield os.environ[VARIABLE]
    yield "python3.13"
    yield from map(str, (Path.home() / ".pyenv" / "versions").glob("3.13*/bin/python3.13"))


def _runs(python: str) -> bool:
    try:
        done = subprocess.run([python, "-c", ""], check=False, capture_output=True, timeout=60)
    except OSError:
        return False
    return done.returncode == 0


def solve(
    python: Path, pools: Sequence[UniswapV2Pool], cycles: Sequence[Sequence[tuple[int, int]]], repeats: int
) -> Solved:
    """Every cycle, given as (number in `pools`, side) hop by hop, solved `repeats` times."""
    asked: dict[str, Any] = {
        "pools": [
            (pool.address, pool.token0, pool.token1, str(pool.reserve0), str(pool.reserve1), pool.fee_ppm)
            for pool in pools
        ],
        "cycles": cycles,
        "repeats": repeats,
    }
    with tempfile.TemporaryDirectory(prefix="arbtui-bench-") as home:
        done = subprocess.run(
            [str(python), str(_SCRIPT)],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=True,
            timeout=600,
            # It writes a folder of its own into the home directory.
            env={"HOME": home, "PATH": os.environ.get("PATH", "")},
        )
    answer = json.loads(done.stdout)
    found = [(cycle, int(amount), int(gain)) for cycle, amount, gain in answer["results"]]
    return Solved(answer["ms"], answer["cpu_ms"], found)
