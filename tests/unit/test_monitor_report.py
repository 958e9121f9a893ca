from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arbtui.cli.report_text import show_report
from arbtui.domain import NATIVE, DecisionKind, Delivery, Delta, ExecutionStatus, LenderId, Token
from arbtui.errors import UsageError
from arbtui.monitor import build_report, ledger_rows, parse_since
from arbtui.monitor.html import html_report
from arbtui.store import Batch, Store, StoreLock, StoreReader, open_store
from arbtui.store.desk import read_desk
from arbtui.store.driver import sqlite3
from arbtui.units import ETHER, GWEI
from tests import factories as make

S = ExecutionStatus
PROMISED = {
    "numeraire", "by_token", "executions", "success_rate", "avg_execution_time_s", "p50_execution_time_s",
    "p95_execution_time_s", "avg_profit", "net_profit", "gas_spent_wei", "gas_efficiency", "error_counts",
    "by_lender", "by_gas_strategy", "by_path", "unreconciled", "missed", "decisions", "gas_share", "dropped",
    "window", "stage",
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, "live", clock=make.Ticking()) as opened:
        opened.start_run(make.run_info())
        yield opened


@pytest.fixture
def reader(store: Store, tmp_path: Path) -> Iterator[StoreReader]:
    with open_store(tmp_path) as opened:
        yield opened


def trade(
    batch: Batch,
    number: int,
    status: S,
    *,
    seconds: float = 4.0,
    decided: float = 0.0,
    delivery: Delivery = Delivery.DELIVERED,
    lender: LenderId = LenderId.BALANCER_V2,
    error_class: str = "",
    **settled: Any,
) -> None:
    """An approved ticket that ends in `status`; settled where it landed."""
    name = f"e{number}"
    ticket = make.ticket(f"t{number}", make.opportunity(ETHER * number), lender=lender)
    batch.ticket(ticket, {})
    batch.decision(make.decision(ticket.id))
    batch.execution(name, ticket, S.PREPARED, decided_at=make.at(decided))
    batch.attempt(make.attempt(name, nonce=number, delivery=delivery))
    when = make.at(decided + seconds)
    batch.execution_moved(name, S.PREPARED, status, "told", when, error_class=error_class or None)
    if status in (S.MINED, S.REVERTED, S.CANCELLED):
        changes = {"success": status is S.MINED, **settled}
        batch.settlement(make.settlement(name, **changes), make.ROLES, make.TOKENS)


def test_an_empty_store_reports_nulls(reader: StoreReader) -> None:
    report = build_report(reader)
    assert set(report) >= PROMISED
    for name in ("success_rate", "avg_execution_time_s", "p50_execution_time_s", "p95_execution_time_s",
                 "avg_profit", "gas_efficiency", "gas_share"):  # fmt: skip
        assert report[name] is None, name
    assert (report["executions"], report["net_profit"], report["gas_spent_wei"]) == (0, "0", "0")
    assert (report["by_token"], report["by_lender"], report["unreconciled"]) == ({}, {}, 0)
    assert set(report["decisions"]) == {kind.value for kind in DecisionKind}
    assert report["numeraire"] == {"symbol": "ETH", "decimals": 18}
    json.dumps(report)


def test_a_day(store: Store, reader: StoreReader) -> None:
    gas = 22 * GWEI
    with store.batch() as batch:
        batch.block(make.block_ref(), 40, 96, 3.5)
        trade(batch, 1, S.MINED, seconds=2, gross=ETHER, gas_used=300_000)
        trade(batch, 2, S.MINED, seconds=6, gross=ETHER + 1, gas_used=300_003, lender=LenderId.AAVE_V3,
              delivery=Delivery.AMBIGUOUS)  # fmt: skip
        trade(batch, 3, S.REVERTED, seconds=10, gas_used=100_000, error_class="execution_reverted")
        trade(batch, 4, S.REJECTED, delivery=Delivery.REJECTED, error_class="underpriced")
        trade(batch, 5, S.SUBMITTED)
        trade(batch, 6, S.CANCELLED, seconds=30, gas_used=21_000)
        batch.incident("send", "once", error_class="underpriced", execution_id="e4")
        batch.incident("node", "gone", error_class="connection")
        batch.incident("reorg", "no class")
        for number, check in enumerate(("profit", "profit", "age"), 50):
            batch.dropped(make.opportunity(ETHER * number), (), make.checks(check), check)
        for number, kind in (
            (7, DecisionKind.EXPIRED_UNSEEN),
            (8, DecisionKind.STALE),
            (9, DecisionKind.REJECTED),
        ):
            batch.ticket(
                make.ticket(f"t{number}", make.opportunity(ETHER * number), expected_net_wei=number), {}
            )
            batch.decision(
                make.decision(f"t{number}", kind),
                (),
                make.foreign_trade() if kind is DecisionKind.STALE else None,
            )
    report = build_report(reader, now=make.at(99))
    spent = (300_000 + 300_003 + 100_000 + 21_000) * gas
    net = 2 * ETHER + 1 - spent
    assert report["executions"] == 6
    assert report["success_rate"] == 2 / 5, "e4 was never delivered"
    assert report["avg_execution_time_s"] == pytest.approx((2 + 6 + 10 + 30) / 4)
    assert report["p50_execution_time_s"] == pytest.approx(8)
    assert report["p95_execution_time_s"] == pytest.approx(27)
    assert report["net_profit"] == str(net)
    assert report["avg_profit"] == str((2 * ETHER + 1 - 600_003 * gas) // 2), "halves are rounded down"
    assert report["gas_spent_wei"] == str(spent)
    assert report["gas_efficiency"] == 300_001.5
    assert report["gas_share"] == pytest.approx(spent / (net + spent))
    assert report["by_token"] == {
        "ETH": {"address": NATIVE, "decimals": 18, "delta": str(-spent)},
        "WETH": {"address": make.WETH.address, "decimals": 18, "delta": str(2 * ETHER + 1)},
    }
    assert report["error_counts"] == {"connection": 1, "execution_reverted": 1, "underpriced": 1}
    assert {name: (row["executions"], row["successes"]) for name, row in report["by_lender"].items()} == {
        "aave_v3": (1, 1),
        "balancer_v2": (5, 1),
    }
    assert sum(int(row["net_profit"]) for row in report["by_lender"].values()) == net
    assert report["by_gas_strategy"]["balanced"]["executions"] == 6
    assert report["by_path"][make.path().id]["pools"] == [make.POOL_A, make.POOL_B]
    assert report["unreconciled"] == 0
    assert report["dropped"] == {"age": 1, "profit": 2}
    assert report["decisions"] == {
        "approved_by_hand": 6,
        "approved_by_mandate": 0,
        "approved_by_all": 0,
        "rejected": 1,
        "expired_seen": 0,
        "expired_unseen": 1,
        "stale": 1,
    }
    assert report["missed"]["tickets"] == 3
    assert report["missed"]["expected_net_wei"] == str(7 + 8 + 9)
    assert report["missed"]["moved_by_others"] == 1
    assert report["missed"]["by_decision"]["stale"] == {"tickets": 1, "expected_net_wei": "8"}
    assert report["window"] == {"since": None, "until": make.at(99)}
    assert (report["stage"], report["runs"]) == ("live", 1)
    assert json.loads(json.dumps(report)) == report


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE settlement SET net_wei = '1' WHERE execution_id = 'e1'",
        "UPDATE settlement SET gas_used = gas_used + 1 WHERE execution_id = 'e1'",
        "UPDATE settlement SET loan_fee = NULL WHERE execution_id = 'e1'",
        "UPDATE settlement SET tx_hash = '0x00' WHERE execution_id = 'e1'",
        "UPDATE settlement SET reconciled = 0 WHERE execution_id = 'e1'",
        "UPDATE settlement_delta SET amount = '5' WHERE execution_id = 'e1' AND seq = 0",
        "DELETE FROM settlement_delta WHERE execution_id = 'e1' AND seq = 1",
    ],
)
def test_one_altered_settlement_is_one_unreconciled(
    store: Store, reader: StoreReader, tmp_path: Path, sql: str
) -> None:
    with store.batch() as batch:
        trade(batch, 1, S.MINED)
        trade(batch, 2, S.MINED)
    assert build_report(reader)["unreconciled"] == 0
    other = sqlite3.connect(tmp_path / "live.sqlite")
    with other:
        assert other.execute(sql).rowcount == 1
    other.close()
    assert build_report(reader)["unreconciled"] == 1


def test_an_altered_settlement_counts_on_the_desk_whenever_it_was_made(
    store: Store, reader: StoreReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more than one look takes up: the first sees all, later ones the newest and the older in turn."""
    monkeypatch.setattr("arbtui.store.queries.SEALS", 2)
    with store.batch() as batch:
        for number in range(1, 10):
            trade(batch, number, S.MINED)
    tomorrow = make.at(86_400)
    assert read_desk(reader, tomorrow, tmp_path).unreconciled == 0

    def alter(name: str, by: int) -> None:
        with sqlite3.connect(tmp_path / "live.sqlite") as other:
            other.execute("UPDATE settlement SET gas_used = gas_used + ? WHERE execution_id = ?", (by, name))
        other.close()

    alter("e9", 1)
    assert read_desk(reader, tomorrow, tmp_path).unreconciled == 1, "the newest are looked at each time"
    alter("e9", -1)
    assert read_desk(reader, tomorrow, tmp_path).unreconciled == 0
    for name in ("e1", "e4", "e7"):
        alter(name, 1)
        looks = [read_desk(reader, tomorrow, tmp_path).unreconciled for _ in range(4)]
        assert looks[-1] == build_report(reader)["unreconciled"] == 1, (name, looks)
        with open_store(tmp_path) as fresh:
            assert read_desk(fresh, tomorrow, tmp_path).unreconciled == 1
        alter(name, -1)
        assert read_desk(reader, tomorrow, tmp_path).unreconciled == 0, "a row that is right again is right"


def test_a_killed_run_reaches_as_far_as_its_rows(store: Store, reader: StoreReader, tmp_path: Path) -> None:
    with store.batch() as batch:
        batch.incident("send", "its last word", at=make.at(100))
    store.start_run(make.run_info("r2", started_at=make.at(5_000)))
    counted = [build_report(reader, make.at(since))["runs"] for since in (0, 100, 101, 5_000, 5_001)]
    assert counted == [2, 2, 1, 1, 0]
    with StoreLock(tmp_path):
        assert build_report(reader, make.at(9_000))["runs"] == 1, "the newest, while an engine runs"
    assert build_report(reader, make.at(0), until=make.at(5_000))["runs"] == 1


def test_what_nobody_has_compared_yet_is_a_figure_of_its_own(
    store: Store, reader: StoreReader, capsys: pytest.CaptureFixture[str]
) -> None:
    with store.batch() as batch:
        trade(batch, 1, S.MINED, reconciled=None)
    report = build_report(reader)
    assert (report["unreconciled"], report["not_yet_reconciled"]) == (0, 1)
    page = html_report(report, made_at=make.at())
    assert "not compared yet: 1" in page
    assert "to the last unit" not in page
    show_report(report)
    assert re.search(r"^not compared yet +1 *$", capsys.readouterr().out, re.MULTILINE)
    with store.batch() as batch:
        batch.settlement(make.settlement("e1"), make.ROLES, make.TOKENS)
    page = html_report(build_report(reader), made_at=make.at())
    assert "not compared yet" not in page
    assert "reconciled to the last unit" in page


def test_sums_are_exact_beyond_what_a_float_holds(store: Store, reader: StoreReader) -> None:
    amounts = [10**30 + 1, 10**30 + 2, -(10**29) - 7]
    with store.batch() as batch:
        for number, amount in enumerate(amounts, 1):
            deltas = (
                Delta(make.TREASURY, make.DAI.address, amount),
                Delta(make.EXECUTOR, make.DAI.address, -1),
            )
            trade(batch, number, S.MINED, deltas=deltas, net_wei=amount)
    report = build_report(reader)
    assert report["by_token"]["DAI"]["delta"] == str(sum(amounts) - 3)
    assert report["net_profit"] == str(sum(amounts))


def test_tokens_that_share_a_symbol_are_kept_apart(store: Store, reader: StoreReader) -> None:
    fake, twin = Token(make.address(1), "ETH", 6), Token(make.address(2), "DAI", 8)
    tokens = {**make.TOKENS, fake.address: fake, twin.address: twin}
    deltas = tuple(
        Delta(make.TREASURY, token.address, amount)
        for amount, token in ((1, fake), (2, twin), (3, make.DAI), (4, make.ETH))
    )
    with store.batch() as batch:
        trade(batch, 1, S.MINED)
        batch.settlement(replace(make.settlement("e1"), deltas=deltas), make.ROLES, tokens)
    found = {key: (row["delta"], row["decimals"]) for key, row in build_report(reader)["by_token"].items()}
    assert found == {
        "ETH": ("4", 18),
        f"ETH@{fake.address}": ("1", 6),
        f"DAI@{twin.address}": ("2", 8),
        f"DAI@{make.DAI.address}": ("3", 18),
    }


def test_the_native_coin_is_named_by_the_numeraire(store: Store, reader: StoreReader) -> None:
    with store.batch() as batch:
        trade(batch, 1, S.MINED)
    report = build_report(reader, numeraire=Token(NATIVE, "POL", 18))
    assert (report["numeraire"]["symbol"], sorted(report["by_token"])) == ("POL", ["POL", "WETH"])


def test_the_window(store: Store, reader: StoreReader) -> None:
    with store.batch() as batch:
        trade(batch, 1, S.MINED, decided=0)
        trade(batch, 2, S.MINED, decided=100)
        batch.incident("send", "x", error_class="timeout", at=make.at(50))
        batch.dropped(make.opportunity(), (), (), "age")
    report = build_report(reader, make.at(60))
    assert (report["executions"], report["error_counts"], report["dropped"]) == (1, {}, {})
    assert report["by_token"]["WETH"]["delta"] == str(ETHER // 10)
    assert [row["execution"] for row in ledger_rows(reader, make.at(60))] == ["e2"]


def test_a_reorg_leaves_the_sums(store: Store, reader: StoreReader) -> None:
    with store.batch() as batch:
        trade(batch, 1, S.MINED)
        batch.execution_moved("e1", S.MINED, S.SUBMITTED, "reorg")
    report = build_report(reader)
    assert (report["net_profit"], report["by_token"], report["success_rate"]) == ("0", {}, 0.0)


def test_the_last_word_on_a_ticket_counts(store: Store, reader: StoreReader) -> None:
    with store.batch() as batch:
        batch.ticket(make.ticket(), {})
        batch.decision(make.decision(kind=DecisionKind.APPROVED_BY_HAND))
        batch.decision(make.decision(kind=DecisionKind.STALE))
    assert build_report(reader)["missed"]["tickets"] == 1


def test_the_ledger_has_a_line_per_settlement_with_the_same_columns(
    store: Store, reader: StoreReader
) -> None:
    with store.batch() as batch:
        trade(batch, 1, S.MINED, l1_fee=5)
        trade(batch, 2, S.REVERTED, decided=1)
        trade(batch, 3, S.SUBMITTED)
    rows = ledger_rows(reader)
    assert [row["execution"] for row in rows] == ["e1", "e2"]
    assert list(rows[0]) == list(rows[1])
    first, second = rows
    assert first["time"] == make.at(4)
    assert (first["delta_WETH"], second["delta_WETH"]) == (str(ETHER // 10), "0")
    assert first["delta_ETH"] == str(-make.settlement().gas_cost)
    assert (first["l1_fee_wei"], first["rate"], first["reconciled"]) == ("5", "1/1", True)
    assert (second["status"], second["loan_fee"]) == ("reverted", None)
    assert build_report(reader)["gas_spent_wei"] == str(2 * make.settlement().gas_cost + 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", "2026-07-04T11:58:30.000000+00:00"),
        ("15m", "2026-07-04T11:45:00.000000+00:00"),
        ("2h", "2026-07-04T10:00:00.000000+00:00"),
        ("7d", "2026-06-27T12:00:00.000000+00:00"),
        ("1w", "2026-06-27T12:00:00.000000+00:00"),
        (" 1.5 h ", "2026-07-04T10:30:00.000000+00:00"),
        ("2026-07-01", "2026-07-01T00:00:00.000000+00:00"),
        ("2026-07-01T10:00:00", "2026-07-01T10:00:00.000000+00:00"),
        ("2026-07-01T10:00:00Z", "2026-07-01T10:00:00.000000+00:00"),
        ("2026-07-01T10:00:00.5+02:00", "2026-07-01T08:00:00.500000+00:00"),
    ],
)
def test_since(text: str, expected: str) -> None:
    assert parse_since(text, now=make.at()) == expected


@pytest.mark.parametrize("text", ["", "soon", "5", "-5m", "5 y", "2026-13-01", "999999999d", "1e3s"])
def test_since_refuses(text: str) -> None:
    with pytest.raises(UsageError, match="since"):
        parse_since(text, now=make.at())
