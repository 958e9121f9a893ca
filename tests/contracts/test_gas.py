"""The gas of a run, lender by lender, is the committed snapshot's, and within the limits it was built for."""

from __future__ import annotations

import json

import pytest

from tests.bench.gas import SNAPSHOT, Row, measure, snapshot

pytestmark = pytest.mark.chain

#: Two V2 hops with the amounts given. What is said of USDC through Aave v2 holds where its treasury takes nothing of
#: the interest, of ERC-3156 for a token that lends itself: contracts/README.md.
LIMITS = {
    "V2>V2 WETH own": 148_000,
    "V2>V2 USDC own": 148_000,
    "V2>V2 WETH flash_swap": 150_000,
    "V2>V2 USDC flash_swap": 150_000,
    "V2>V2 WETH balancer_v2": 188_000,
    "V2>V2 USDC balancer_v2": 188_000,
    "V2>V2 WETH aave_v3": 306_000,
    "V2>V2 USDC aave_v3": 306_000,
    "V2>V2 WETH aave_v2": 313_000,
    "V2>V2 debt-free USDC aave_v2": 299_000,
    "V2>V2 no-factor USDC aave_v2": 299_000,
    "V2>V2 flash-mint DAI erc3156": 171_500,
}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return measure()


def test_the_figures_are_the_committed_ones(rows: list[Row]) -> None:
    committed = json.loads(SNAPSHOT.read_text("utf-8"))
    assert snapshot(rows) == committed, "if the change is meant: python -m tests.bench.gas --write"


def test_no_figure_is_above_its_limit(rows: list[Row]) -> None:
    found = snapshot(rows)
    above = {
        name: found[name]["amounts_given"]
        for name, limit in LIMITS.items()
        if found[name]["amounts_given"] > limit
    }
    assert not above
