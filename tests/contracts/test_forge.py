"""The contracts' own suites, by the native forge binary, and the canary that must fail."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.forge

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / "contracts"
# npm's wrapper answers 0 when tests fail, so the binary itself is run.
FORGE = ROOT / "node_modules" / "@foundry-rs" / "forge-linux-amd64" / "bin" / "forge"


class Budget:
    """Seconds that all runs of this file share."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    def forge(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """forge in `folder`: it resolves its compiler against the working directory."""
        begun = time.monotonic()
        try:
            return subprocess.run(
                [str(FORGE), *arguments],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=max(self._left, 1),
                check=False,
            )
        finally:
            self._left -= time.monotonic() - begun


@pytest.fixture(scope="module")
def budget() -> Budget:
    return Budget(220)


@pytest.mark.parametrize("isolation", [(), ("--isolate",)], ids=["one transaction a test", "isolated calls"])
def test_every_forge_test_passes(budget: Budget, isolation: tuple[str, ...]) -> None:
    # A failure kept there would be run again in place of a fresh campaign.
    shutil.rmtree(CONTRACTS / "cache" / "invariant", ignore_errors=True)
    done = budget.forge(CONTRACTS, "test", "--json", *isolation)
    said = done.stderr[-2_000:]
    assert done.stdout.startswith("{"), said
    suites = json.loads(done.stdout)
    results = {
        f"{suite} {test}": result
        for suite, outcome in suites.items()
        for test, result in outcome["test_results"].items()
    }
    others = {name: result["reason"] for name, result in results.items() if result["status"] != "Success"}
    assert not others, said
    assert done.returncode == 0, said
    assert len(results) > 100
    kinds = {kind for result in results.values() for kind in result["kind"]}
    assert kinds == {"Unit", "Fuzz", "Invariant"}


def test_a_failing_test_is_told(budget: Budget) -> None:
    done = budget.forge(CONTRACTS / "canary", "test")
    assert done.returncode == 1, done.stderr[-2_000:]
    assert "test_mustFail()" in done.stdout
    assert "0 tests passed, 1 failed, 0 skipped (1 total tests)" in done.stdout
