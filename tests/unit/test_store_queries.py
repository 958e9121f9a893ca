from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import arbtui
from arbtui.domain import ExecutionStatus, Token
from arbtui.errors import StoreError
from arbtui.monitor import build_report
from arbtui.store import Store, library_version, migrations, open_store
from arbtui.store.driver import sqlite3, transaction
from arbtui.units import ETHER
from tests import factories as make

DB = Path(arbtui.__file__).parent.parent / "db"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Three executions: mined, prepared, paper."""
    with Store.open(tmp_path, "live") as store:
        store.start_run(make.run_info())
        with store.batch() as batch:
            for number, status in enumerate(("mined", "prepared", "paper"), 1):
                ticket = make.ticket(f"t{number}", make.opportunity(ETHER * number))
                batch.ticket(ticket, make.WHY_LOST)
                first = ExecutionStatus.PAPER if status == "paper" else ExecutionStatus.PREPARED
                batch.execution(f"e{number}", ticket, first, decided_at=make.at(number))
            batch.attempt(make.attempt("e1"))
            batch.execution_moved(
                "e1", ExecutionStatus.PREPARED, ExecutionStatus.MINED, "receipt", make.at(9)
            )
            batch.settlement(make.settlement("e1"), make.ROLES, make.TOKENS)
    return tmp_path


def test_executions_have_the_keys_that_other_programs_rely_on(directory: Path) -> None:
    with open_store(directory) as reader:
        rows = reader.executions()
    assert [row["id"] for row in rows] == ["e3", "e2", "e1"]
    for row in rows:
        assert set(row) >= {
            "id", "ticket", "status", "lender", "tx_hashes", "expected_profit", "net_profit", "token",
            "gas_used", "reconciled", "tx_hash", "quotes",
        }  # fmt: skip
        assert isinstance(row["expected_profit"], str)
        assert isinstance(row["reconciled"], bool)
        assert row["token"] == {"address": make.WETH.address, "symbol": "WETH", "decimals": 18}
        assert [quote["lender"] for quote in row["quotes"]] == ["balancer_v2", "aave_v3", "aave_v2", "maker"]
    assert rows[2]["net_profit"] == str(make.settlement().net_wei)


def test_executions_since_and_limit(directory: Path) -> None:
    with open_store(directory) as reader:
        assert [row["id"] for row in reader.executions(limit=1)] == ["e3"]
        assert [row["id"] for row in reader.executions(since=make.at(2))] == ["e3", "e2"]
        assert reader.execution("nobody") is None
        assert reader.ticket("nobody") is None
        assert reader.opportunity("nobody") is None


def test_a_reader_cannot_write(directory: Path) -> None:
    with open_store(directory) as reader, pytest.raises(StoreError, match="read-only"):
        reader.query("DELETE FROM incident")


def test_a_reader_works_beside_no_engine_and_leaves_the_rows_alone(directory: Path) -> None:
    before = (directory / "live.sqlite").read_bytes()
    with open_store(directory) as reader:
        assert len(reader.tickets()) == 3
    assert (directory / "live.sqlite").read_bytes() == before


def test_an_altered_settlement_is_not_reconciled_any_more(directory: Path) -> None:
    other = sqlite3.connect(directory / "live.sqlite")
    with other:
        other.execute("UPDATE settlement SET net_wei = '1' WHERE execution_id = 'e1'")
    other.close()
    with open_store(directory) as reader:
        assert [row["reconciled"] for row in reader.executions()] == [False, False, False]
        row = reader.execution("e1")
        assert row is not None
        assert row["reconciled"] is False


@pytest.mark.parametrize("file", sorted((DB / "queries").glob("*.sql")), ids=lambda file: file.stem)
def test_the_queries_of_db_run(directory: Path, file: Path) -> None:
    with open_store(directory) as reader:
        reader.query(file.read_text())
        if file.stem == "lenders":
            (row,) = reader.query(file.read_text())
            assert (row["lender"], row["executions"], row["mined"]) == ("balancer_v2", 3, 1)


# ---- the schema


@pytest.mark.parametrize(
    ("family", "file"),
    [
        (migrations.METRICS, "schema.sql"),
        (migrations.JOURNAL, "journal.sql"),
        (migrations.MARKET, "market.sql"),
        (migrations.ALERTS, "alerts.sql"),
    ],
)
def test_the_golden_schema_is_what_the_migrations_make(family: str, file: str) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrations.migrate(connection, Path(":memory:"), family)
    assert migrations.schema(connection) == (DB / file).read_text(), "run python db/write_schema.py"
    connection.close()


def test_every_table_is_strict() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for family in (migrations.METRICS, migrations.JOURNAL):
        migrations.migrate(connection, Path(":memory:"), family)
    tables = connection.execute("PRAGMA table_list").fetchall()
    loose = [row[1] for row in tables if row[2] == "table" and not row[5] and "sqlite_" not in row[1]]
    connection.close()
    assert loose == []


def test_a_failing_migration_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_good.sql").write_text("CREATE TABLE good (a TEXT) STRICT;")
    (folder / "0002_bad.sql").write_text(
        "CREATE TABLE half (a TEXT) STRICT;\nCREATE TABLE half (a TEXT) STRICT;"
    )
    monkeypatch.setattr(migrations, "directory", lambda family: folder)
    migrations._migrations.cache_clear()
    try:
        with pytest.raises(StoreError, match="half already exists"):
            Store.open(tmp_path, "live")
    finally:
        migrations._migrations.cache_clear()
    other = sqlite3.connect(tmp_path / "live.sqlite")
    names = {row[0] for row in other.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    other.close()
    assert names == {"good", "_sqlite_migrations"}


def test_statements_keep_triggers_whole_and_refuse_a_torso() -> None:
    trigger = "CREATE TRIGGER t BEFORE DELETE ON a\nBEGIN\n    SELECT 1;\nEND;\n"
    script = f"-- first\nCREATE TABLE a (b TEXT);\n{trigger}-- end\n"
    assert [text.split()[-1] for text in migrations.statements(script)] == ["TEXT);", "END;"]
    with pytest.raises(StoreError, match="inside a statement"):
        migrations.statements("CREATE TABLE a (b TEXT")


def test_the_library_tells_its_version() -> None:
    assert tuple(map(int, library_version().split("."))) >= (3, 37), "STRICT tables need 3.37"


def test_a_transaction_is_all_or_nothing() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE a (b INTEGER)")

    def insert_and_fail() -> None:
        with transaction(connection):
            connection.execute("INSERT INTO a VALUES (1)")
            raise KeyError

    with pytest.raises(KeyError):
        insert_and_fail()
    with transaction(connection):
        connection.execute("INSERT INTO a VALUES (2)")
    assert connection.execute("SELECT b FROM a").fetchall() == [(2,)]
    connection.close()


def test_datasettes_metadata_names_what_there_is(directory: Path) -> None:
    """Tables, columns and queries of db/metadata.yml are the schema's."""
    told = yaml.safe_load((DB / "metadata.yml").read_text("utf-8"))["databases"]
    assert told["live"] == told["paper"]
    with open_store(directory) as reader:
        for name, entry in told["live"]["tables"].items():
            columns = {row["name"] for row in reader.query("SELECT name FROM pragma_table_xinfo(?)", (name,))}
            assert columns, name
            assert set(entry.get("columns", ())) <= columns, name
            assert {entry[key] for key in ("sort", "sort_desc") if key in entry} <= columns, name
        for entry in told["live"]["queries"].values():
            reader.query(entry["sql"])


def test_tokens_that_share_a_symbol_are_kept_apart_in_the_views_too(tmp_path: Path) -> None:
    twin = Token(make.address(7), "WETH", 6)
    with Store.open(tmp_path, "live", clock=make.Ticking()) as store:
        store.start_run(make.run_info())
        with store.batch() as batch:
            for number, token in enumerate((make.WETH, twin, twin, make.DAI), 1):
                ticket = make.ticket(f"t{number}", make.opportunity(number, token=token))
                batch.ticket(ticket, {})
                batch.execution(f"e{number}", ticket, ExecutionStatus.PREPARED, decided_at=make.at())
    with open_store(tmp_path) as reader:
        rows = reader.query("SELECT key, executions FROM v_figures WHERE scope = 'token'")
        report = build_report(reader)
    assert {row["key"]: row["executions"] for row in rows} == {
        f"WETH@{make.WETH.address}": 1,
        f"WETH@{twin.address}": 2,
        "DAI": 1,
    }
    assert {row["key"] for row in rows} == report["by_base_token"].keys()
