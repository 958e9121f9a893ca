"""The notebooks as a reader gets them: kept clean, and run whole in a kernel without a network."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from arbtui.approval import ApproveMode
from arbtui.devnet import Devnet
from arbtui.domain import Stage
from arbtui.monitor import build_report
from arbtui.store import Store, open_store
from arbtui.units import format_amount
from tests import factories as make
from tests.chain import Hand, config_for, in_hand, running_chain, trade_until
from tests.notebooks.conftest import NOTEBOOKS, Execute

REVIEW = "01_performance_review.ipynb"
PICTURES = {"curve", "flow", "lenders", "paths", "gas", "funnel", "decisions", "times"}


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_kept_valid_and_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    ids = [cell["id"] for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), cell["id"]


def test_an_empty_store_is_reviewed(execute: Execute, tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", "live"):
        pass
    ran = execute(REVIEW, tmp_path / "store")
    assert ran.text("check") == "net 0 wei, as arbtui report says\n"
    assert set(ran.pictures()) == PICTURES
    assert "n/a" in ran.text("headline")


def test_no_store_is_told_and_the_other_stage_can_be_chosen(execute: Execute, tmp_path: Path) -> None:
    """Nothing live, one paper run: the page says so, and follows the control."""
    with Store.open(tmp_path / "store", "paper", clock=make.Ticking()) as store:
        store.start_run(make.run_info(stage=Stage.PAPER))
        with store.batch() as batch:
            batch.ticket(make.ticket(), {})
    told = 'problem = panel.review.source.problem; panel.family.value = "paper"; print(problem)'
    ran = execute(REVIEW, tmp_path / "store", told)
    assert "there is a paper one" in ran.text("then")
    assert "net 0 wei" in ran.text("check")
    assert "nothing was sent" in ran.text("data")
    assert "1 tickets" in ran.text("data")


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


async def _trade(devnet: Devnet, store: Path) -> None:
    """A real run: two markets are moved again and again, each lent by another lender."""
    config = config_for(devnet, store)
    config = config.model_copy(
        update={"search": config.search.model_copy(update={"base_tokens": ("DAI", "USDT")})}
    )
    async with in_hand(devnet) as hand:
        await hand.align()
        await _move(hand, 0)
        await trade_until(
            hand,
            config,
            lambda seen: seen.confirmed >= 5,
            stage=Stage.LIVE,
            approve=ApproveMode.ALL,
            between=lambda block: _move(hand, block),
        )


async def _move(hand: Hand, block: int) -> None:
    if block % 4 == 0:
        await hand.dislocate("DAI/WETH", 30_000 + 2_000 * block, mine=False)
    if block % 4 == 2:
        await hand.dislocate("WBTC/USDT", 14_000 + 1_000 * block, mine=False)


@pytest.mark.chain
def test_what_an_engine_did_is_reviewed_to_the_wei(execute: Execute, devnet: Devnet, tmp_path: Path) -> None:
    store = tmp_path / "store"
    asyncio.run(_trade(devnet, store))
    with open_store(store) as reader:
        report = build_report(reader)
    assert len(report["by_lender"]) >= 2
    assert report["successes"] >= 4
    ran = execute(REVIEW, store)
    assert ran.text("check") == f"net {report['net_profit']} wei, as arbtui report says\n"
    assert f"{int(report['net_profit']):,} wei" in ran.text("headline")
    for token in report["by_token"].values():
        assert format_amount(int(token["delta"]), token["decimals"]) in ran.text("tokens")
    assert "<b>0</b>, all settlements agree" in ran.text("data")
    assert set(ran.pictures()) == PICTURES
    for cell, pictures in ran.pictures().items():
        for picture in pictures:
            wide, high = struct.unpack(">II", base64.b64decode(picture)[16:24])
            assert wide > 1_000, cell
            assert high > 250, cell
    lender = min(report["by_lender"])
    chosen = execute(REVIEW, store, f"panel.lenders.value = ({lender!r},)")
    assert f"{int(report['by_lender'][lender]['net_profit']):,} wei" in chosen.text("headline")
    assert chosen.pictures()["curve"] != ran.pictures()["curve"]
    assert f"net {report['net_profit']} wei" in chosen.text("check"), "the check is of the whole store"
