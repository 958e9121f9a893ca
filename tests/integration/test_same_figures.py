"""One stretch of trading on the local chain, read in every way there is: the same figures, to the unit.

An hour of it under `make deep`, with the engine's memory watched meanwhile.
"""

from __future__ import annotations

import csv
import gc
import http.client
import json
import re
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from arbtui.analysis.frames import deltas_frame, executions_frame, settlements_frame
from arbtui.analysis.review import Review
from arbtui.cli import main
from arbtui.devnet import Devnet
from arbtui.monitor import build_report
from arbtui.monitor.html import pretty
from arbtui.monitor.metrics import Gauges, open_server
from arbtui.store import open_store
from arbtui.store.desk import read_desk
from arbtui.units import format_amount
from tests.chain import config_for, in_hand, running_chain, trade_until
from tests.conftest import PROFILE

pytestmark = pytest.mark.chain

DEEP = PROFILE == "deep"
#: Of the deep run, and the growth of this process that is allowed in its last two thirds, KiB.
SECONDS, GROWTH = 3_600, 8_000
#: Blocks between two looks at the memory.
LOOK = 600


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


def resident() -> int:
    """KiB of this process, which runs the engine."""
    gc.collect()
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


async def trade(devnet: Devnet, store: Path) -> list[int]:
    """Two markets moved again and again; now and then somebody closes one in the block of our send: a revert.

    Returns what was resident every LOOK blocks.
    """
    held: list[int] = []
    config = config_for(devnet, store)
    config = config.model_copy(
        update={
            "search": config.search.model_copy(update={"base_tokens": ("DAI", "USDT")}),
            "reconciliation": config.reconciliation.model_copy(update={"depth_blocks": 1}),
        }
    )
    async with in_hand(devnet) as hand:
        await hand.align()

        async def move(block: int) -> None:
            if block % 4 == 0:
                await hand.dislocate("DAI/WETH", 30_000 + 2_000 * (block % 24), mine=False)
            if block % 4 == 2:
                await hand.dislocate("WBTC/USDT", 14_000 + 1_000 * (block % 24), mine=False)
            if block % 6 == 5:
                await hand.dislocate("DAI/WETH", 0, mine=False)
            if block % LOOK == LOOK - 1:
                held.append(resident())

        await trade_until(
            hand,
            config,
            lambda seen: not DEEP and seen.confirmed >= 5 and seen.blocks >= 16,
            between=move,
            seconds=SECONDS if DEEP else 25,
        )
    return held


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    shown = capsys.readouterr()
    assert stop.value.code == 0, shown.err
    return shown.out


def scrape(store: Path) -> dict[tuple[str, str], float]:
    gauges = Gauges(store, "live")
    server = open_server(gauges, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
        connection.request("GET", "/metrics")
        body = connection.getresponse().read().decode()
        connection.close()
    finally:
        server.shutdown()
        server.server_close()
        gauges.close()
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


async def test_report_page_ledger_notebook_desk_prometheus_and_sql_agree(
    devnet: Devnet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    held = await trade(devnet, store)
    if DEEP:
        with capsys.disabled():
            print(f"KiB resident every {LOOK} blocks: {held}")
        assert len(held) >= 9
        assert held[-1] - held[len(held) // 3] < GROWTH, held
    config = str(tmp_path / "store.toml")
    report: dict[str, Any] = json.loads(call(capsys, "report", "--config", config, "--json"))
    net, gas = int(report["net_profit"]), int(report["gas_spent_wei"])
    assert report["successes"] >= 5
    assert report["unreconciled"] == 0
    assert net != 0

    # the page
    call(
        capsys,
        "report",
        "--config",
        config,
        "--html",
        str(tmp_path / "r.html"),
        "--csv",
        str(tmp_path / "r.csv"),
    )
    source = (tmp_path / "r.html").read_text("utf-8")
    page = re.sub(r"<[^>]+>", " ", source)
    assert f"exactly {net:,} wei" in page
    for token in report["by_token"].values():
        assert format_amount(int(token["delta"]), token["decimals"]) in page
    assert f"{report['successes']} of {report['delivered']} sent" in page
    assert format_amount(gas, 18, 6) in page
    assert "reconciled to the last unit" in page
    lines = {
        tuple(unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<td[^>]*>(.*?)</td>", line))
        for line in re.findall(r"<tr>(.*?)</tr>", source)
    }
    shown_of = {line[0]: line for line in lines if len(line) == 8}
    for names in (
        {pretty(name): row for name, row in report["by_lender"].items()},
        report["by_gas_strategy"],
        report["by_base_token"],
    ):
        for name, row in names.items():
            line = shown_of[name]
            assert line[1] == f"{row['executions']:,}"
            assert [line[column] for column in (3, 5, 6)] == [
                format_amount(int(row[wei]), 18, 6)
                for wei in ("net_profit", "gas_spent_wei", "gas_wasted_wei")
            ]

    # the terminal
    shown = call(capsys, "report", "--config", config)
    assert f"{format_amount(net, 18, 6)} ETH" in shown

    # the ledger
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as file:
        ledger = list(csv.DictReader(file))
    assert sum(int(line["net_wei"]) for line in ledger) == net
    assert sum(int(line["gas_cost_wei"]) + int(line["l1_fee_wei"]) for line in ledger) == gas
    for symbol, token in report["by_token"].items():
        assert sum(int(line[f"delta_{symbol}"]) for line in ledger) == int(token["delta"])

    with open_store(store) as reader:
        # the notebook
        review = Review.read(reader)
        assert (review.net, review.performance.gas_spent) == (net, gas)
        assert review.performance.success_rate == report["success_rate"]
        assert review.drawdown == int(report["profit"]["max_drawdown_wei"])
        assert {group.name: group.net for group in review.by_lender} == {
            name: int(row["net_profit"]) for name, row in report["by_lender"].items()
        }
        assert {flow.token.symbol: flow.net for flow in review.by_token} == {
            symbol: int(token["delta"]) for symbol, token in report["by_token"].items()
        }
        assert review.decisions == report["decisions"]
        assert review.missed_total.expected_net_wei == int(report["missed"]["expected_net_wei"])
        assert sum(int(wei) for wei in settlements_frame(reader)["net_wei"]) == net
        assert executions_frame(reader).height == report["executions"]
        assert dict(review.dropped) == report["dropped"]
        assert review.funnel.seen == report["funnel"]["opportunities"]
        assert (review.unreconciled, review.not_yet_reconciled) == (0, report["not_yet_reconciled"])
        deltas = deltas_frame(reader)
        for symbol, token in report["by_token"].items():
            own = deltas.filter(deltas["token_symbol"] == symbol)["amount"]
            assert sum(int(amount) for amount in own) == int(token["delta"])

        # the desk
        first = min(row["decided_at"] for row in reader.executions())
        desk = read_desk(reader, f"{first[:10]}T23:59:59.999999+00:00", store)
        assert desk.today.net_wei == net
        assert (desk.today.mined, desk.today.settled) == (report["successes"], report["profit"]["settled"])
        assert desk.unreconciled == report["unreconciled"]
        # The desk lists the newest ones.
        newest = reader.executions(limit=len(desk.executions))
        assert [(row["id"], row["net_profit"]) for row in desk.executions] == [
            (row["id"], row["net_profit"]) for row in newest
        ]

        # plain SQL
        (total,) = reader.query("SELECT * FROM v_figures WHERE scope = 'total'")
        assert (total["net_wei"], total["gas_spent_wei"]) == (report["net_profit"], report["gas_spent_wei"])
        assert (total["executions"], total["delivered"], total["successes"], total["success_rate"]) == tuple(
            report[name] for name in ("executions", "delivered", "successes", "success_rate")
        )
        days = {row["decided_at"][:10] for row in reader.executions()}
        by_day = {
            day: build_report(reader, f"{day}T00:00:00.000000+00:00", until=f"{day}T23:59:59.999999+00:00")
            for day in days
        }
        for scope, groups in (
            ("lender", report["by_lender"]),
            ("strategy", report["by_gas_strategy"]),
            ("token", report["by_base_token"]),
            ("path", report["by_path"]),
            ("day", by_day),
        ):
            rows = reader.query("SELECT * FROM v_figures WHERE scope = ?", (scope,))
            assert {row["key"] for row in rows} == groups.keys(), scope
            for row in rows:
                told = groups[row["key"]]
                assert row["net_wei"] == told["net_profit"]
                for name in ("executions", "delivered", "successes", "success_rate", "gas_spent_wei"):
                    assert row[name] == told[name], (scope, row["key"], name)

    # Prometheus, whose numbers are doubles
    found = scrape(store)
    assert found["arbtui_net_profit_wei", ""] == float(net)
    assert found["arbtui_gas_spent_wei", ""] == float(gas)
    assert found["arbtui_successes", ""] == report["successes"]
    assert found["arbtui_success_rate", ""] == report["success_rate"]
    assert found["arbtui_unreconciled", ""] == found["arbtui_sending_stopped", ""] == 0
    assert found["arbtui_not_yet_reconciled", ""] == report["not_yet_reconciled"]
    assert {label for name, label in found if name == "arbtui_lender_executions"} == report[
        "by_lender"
    ].keys()
    for name, row in report["by_lender"].items():
        assert found["arbtui_lender_net_profit_wei", name] == float(row["net_profit"])
        assert found["arbtui_lender_executions", name] == row["executions"]
