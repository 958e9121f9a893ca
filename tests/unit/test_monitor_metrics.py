"""The endpoint as a scraper and a health check meet it."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from arbtui.analysis.review import Review
from arbtui.domain import ExecutionStatus
from arbtui.errors import UsageError
from arbtui.monitor import build_report
from arbtui.monitor.html import html_report
from arbtui.monitor.metrics import METRICS, Gauges, open_server
from arbtui.monitor.reconcile import may_send
from arbtui.store import Store, StoreLock, open_store
from arbtui.store.alerts import AlertStore
from arbtui.store.desk import read_desk
from tests import factories as make
from tests import trading

NOW = make.at(60 * 12 + 5)


@dataclass
class Server:
    port: int

    def get(self, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path, headers={"Host": f"{host}:{self.port}"})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    def samples(self) -> dict[tuple[str, str], float]:
        status, body = self.get("/metrics")
        assert status == 200, body
        return {
            (sample.name, next(iter(sample.labels.values()), "")): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
        }


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    gauges = Gauges(folder, "live", now=lambda: NOW)
    server = open_server(gauges, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield Server(int(server.server_address[1]))
    finally:
        server.shutdown()
        server.server_close()
        gauges.close()
        thread.join()


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("traded") / "store"
    with Store.open(where, "live", clock=make.Ticking(60)) as store:
        store.start_run(make.run_info())
        trading.trade(store)
    return where


@pytest.fixture
def folder(traded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(traded, tmp_path / "store"))


def test_every_figure_is_the_reports(folder: Path) -> None:
    with open_store(folder) as reader:
        report = build_report(reader)
    with serving(folder) as server:
        found = server.samples()
    assert found["arbtui_net_profit_wei", ""] == float(report["net_profit"])
    assert found["arbtui_gas_spent_wei", ""] == float(report["gas_spent_wei"])
    assert found["arbtui_success_rate", ""] == report["success_rate"]
    assert found["arbtui_drawdown_wei", ""] == float(report["profit"]["max_drawdown_wei"])
    for status, count in report["by_status"].items():
        assert found["arbtui_executions", status] == count
    for lender, row in report["by_lender"].items():
        assert found["arbtui_lender_net_profit_wei", lender] == float(row["net_profit"])
    assert found["arbtui_closed_opportunities", "foreign"] == 40
    assert (found["arbtui_head_number", ""], found["arbtui_head_age_seconds", ""]) == (make.HEAD + 60, 5.0)
    assert (found["arbtui_in_flight", ""], found["arbtui_engine_up", ""]) == (1, 0)


def test_every_metric_is_there_and_no_other(folder: Path) -> None:
    """What is documented is what is served, once there is something of it."""
    with AlertStore(folder, writing=True) as alerts:
        row = {
            "rule": "node", "subject": "", "level": "info", "text": "", "standing": 1, "count": 1, "told_count": 1,
            "first_at": NOW, "last_at": NOW, "told_at": NOW, "next_at": None,
        }  # fmt: skip
        alerts.told({}, [row], [("info", "t", "b")], ["1 (json)"], NOW)
    with serving(folder) as server:
        found = server.samples()
    assert {name for name, _ in found} == set(METRICS)
    assert found["arbtui_alerts_standing", "node"] == 1
    assert found["arbtui_alert_deliveries", "waiting"] == 1


def test_what_is_written_is_there_at_the_next_scrape(folder: Path) -> None:
    with serving(folder) as server:
        before = server.samples()["arbtui_incidents", "send"]
        with Store.open(folder, "live") as store:
            store.start_run(make.run_info("r2"))
            with store.batch() as batch:
                batch.incident("send", "x")
        assert server.samples()["arbtui_incidents", "send"] == before + 1


def test_health(folder: Path) -> None:
    with serving(folder) as server:
        status, body = server.get("/healthz")
        assert (status, json.loads(body)["engine"]) == (503, False)
        with StoreLock(folder):
            status, body = server.get("/healthz")
            assert (status, json.loads(body)) == (
                200,
                {
                    "ok": True,
                    "engine": True,
                    "head_age_s": 5.0,
                    "fresh": True,
                    "unreconciled": 0,
                    "sending_stopped": False,
                },
            )
            with Store.open(folder, "live") as store:
                store.start_run(make.run_info("r2"))
                with store.batch() as batch:
                    batch.reconciled(
                        make.block_ref(1), make.block_ref(2), {}, {}, {}, amounts="[]", difference="x is gone"
                    )
                    batch.block(make.block_ref(make.HEAD + 60), 1, 1, 1.0)
            status, body = server.get("/healthz")
            assert (status, json.loads(body)["sending_stopped"]) == (503, True)


def test_a_difference_that_a_reorganisation_left_open_is_counted_everywhere(folder: Path) -> None:
    """Its settlement came back clean in another block, and sending is stopped all the same."""
    wrong = make.settlement("e1", reconciled=False, difference="wallet lost 5")
    with StoreLock(folder), Store.open(folder, "live") as store, open_store(folder) as reader:
        store.start_run(make.run_info("r2"))
        (status,) = reader.query("SELECT status FROM execution WHERE id = 'e1'")
        first = ExecutionStatus(status["status"])

        def told() -> tuple[int, ...]:
            report, desk = build_report(reader), read_desk(reader, NOW, folder)
            assert len(report["unreconciled_named"]) == report["unreconciled"]
            assert list(desk.unreconciled_named) == report["unreconciled_named"]
            assert list(Review.read(reader).unreconciled_named) == report["unreconciled_named"]
            seen = server.samples()["arbtui_unreconciled", ""]
            return report["unreconciled"], desk.unreconciled, Review.read(reader).unreconciled, int(seen)

        with store.batch() as batch:
            batch.block(make.block_ref(make.HEAD + 60), 1, 1, 1.0)
            batch.settlement(wrong, make.ROLES, make.TOKENS)
            batch.unreconciled(wrong, "[]")
        with serving(folder) as server:
            assert told() == (1, 1, 1, 1), "a settlement and its own difference are one"
            (named,) = build_report(reader)["unreconciled_named"]
            assert (named["what"], named["reconciliation"]) == ("settlement", 1)
            with store.batch() as batch:
                batch.execution_moved("e1", first, ExecutionStatus.SUBMITTED, "reorganised away")
            assert told() == (1, 1, 1, 1)
            with store.batch() as batch:
                batch.execution_moved("e1", ExecutionStatus.SUBMITTED, first, "mined again")
                again = make.block_ref(make.HEAD + 2, fork=1).hash
                batch.settlement(make.settlement("e1", block_hash=again), make.ROLES, make.TOKENS)
            assert not may_send(store.open_differences())
            assert told() == (1, 1, 1, 1)
            report = build_report(reader, since=make.at(10**6))
            assert [(row["what"], row["execution"]) for row in report["unreconciled_named"]] == [
                ("receipt", "e1")
            ]
            assert "wallet lost 5" in html_report(report, made_at=NOW)
            status_code, body = server.get("/healthz")
            assert (status_code, json.loads(body)["sending_stopped"]) == (503, True)
            with store.batch() as batch:
                batch.acknowledged(1, "me", "known")
            assert may_send(store.open_differences())
            assert told() == (0, 0, 0, 0)
            assert server.get("/healthz")[0] == 200


def test_without_a_store_it_waits_and_says_so(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert server.get("/metrics") == (503, '{"ok": false, "problem": "StoreError"}\n')
        Store.open(tmp_path, "live").close()
        assert server.samples()["arbtui_unreconciled", ""] == 0
        assert server.get("/healthz")[0] == 503
        assert server.get("/other")[0] == 404


@pytest.mark.parametrize(("host", "status"), [("evil.example", 403), ("localhost", 200), ("127.0.0.1", 200)])
def test_a_page_in_a_browser_gets_nothing(folder: Path, host: str, status: int) -> None:
    with serving(folder) as server:
        assert server.get("/metrics", host)[0] == status


def test_hostile_labels_stay_labels(tmp_path: Path) -> None:
    with Store.open(tmp_path, "live", clock=make.Ticking()) as store:
        store.start_run(make.run_info())
        with store.batch() as batch:
            batch.incident('a"} 1\narbtui_fake 1', "x")
    with serving(tmp_path) as server:
        found = server.samples()
    assert ("arbtui_fake", "") not in found
    assert found["arbtui_incidents", 'a"} 1\narbtui_fake 1'] == 1


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with serving(tmp_path) as server, pytest.raises(UsageError, match="--port"):
        open_server(Gauges(tmp_path, "live"), server.port)


def test_many_scrapes_at_once(folder: Path) -> None:
    found: list[Any] = []
    with serving(folder) as server:
        threads = [threading.Thread(target=lambda: found.append(server.samples())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 8
    assert all(one["arbtui_successes", ""] == found[0]["arbtui_successes", ""] for one in found)
