"""The documentation says what the code says: generated parts, links, and the lists that pages claim to be whole."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from arbtui.domain import DecisionKind, ExecutionStatus, LenderId
from arbtui.lenders.base import Reason
from arbtui.monitor import build_report
from arbtui.monitor.metrics import METRICS
from arbtui.monitor.rules import RULES
from arbtui.recovery import ErrorClass
from arbtui.store import Store, open_store

ROOT = Path(__file__).parents[2]


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def missing(names: set[str], text: str) -> set[str]:
    """Those that do not stand in the page as code."""
    return {name for name in names if f"`{name}`" not in text}


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_generated_is_up_to_date(build: ModuleType) -> None:
    assert build.out_of_date() == []


def test_check_tells_of_a_page_that_fell_behind(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (ROOT / "docs").glob("*.md"):
        (tmp_path / file.name).write_text(file.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(build, "DOCS", tmp_path)
    monkeypatch.setattr(build, "ROOT", tmp_path)
    (tmp_path / "commands.md").write_text("old", "utf-8")
    assert build.main(["--check"]) == 1
    assert "commands.md is out of date" in capsys.readouterr().err
    assert (tmp_path / "commands.md").read_text("utf-8") == "old"


def test_links_lead_somewhere(build: ModuleType) -> None:
    assert build.broken_links() == []


def test_a_link_to_nowhere_is_found(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = "# A b-c?\n[a](#a-b-c) [b](#no) [c](gone.md) [d](https://example.org) `[e](f.md)`\n"
    (tmp_path / "one.md").write_text(text, "utf-8")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    assert build.broken_links() == ["one.md: #no: there is no such heading", "one.md: gone.md leads nowhere"]


def test_every_reason_and_lender_is_explained() -> None:
    text = page("docs/lenders.md")
    assert missing({str(reason) for reason in Reason} | {str(lender) for lender in LenderId}, text) == set()


def first_texts(source: Path, function: str) -> Iterator[str]:
    """The texts that the first argument of `function` may be, in every call of it in a file or folder."""
    for file in [source] if source.is_file() else sorted(source.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and function in ast.unparse(node.func).split("."):
                for part in _choices(node.args[0]):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield part.value


def _choices(node: ast.expr) -> list[ast.expr]:
    return [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]


def test_every_check_is_explained() -> None:
    names = set(first_texts(ROOT / "arbtui" / "validation", "CheckResult"))
    names |= set(first_texts(ROOT / "arbtui" / "engine", "CheckResult"))
    names |= set(first_texts(ROOT / "arbtui" / "engine", "_refused"))
    assert {"path", "simulation", "fee_cap", "shared_pool", "ticket_limit"} <= names
    assert missing(names, page("docs/checks.md")) == set()


def test_every_figure_of_the_report_is_explained(tmp_path: Path) -> None:
    with Store.open(tmp_path, "paper"), open_store(tmp_path, "paper") as reader:
        report = build_report(reader)
    assert missing(set(report), page("docs/monitoring.md")) == set()


def test_every_decision_error_and_incident_is_explained() -> None:
    engine = ROOT / "arbtui" / "engine"
    incidents = {*first_texts(engine, "incident"), *first_texts(engine, "_incident")}
    assert {"node", "reorg", "market"} <= incidents
    names = {str(kind) for kind in DecisionKind} | {str(name) for name in ErrorClass} | incidents
    assert missing(names, page("docs/monitoring.md")) == set()


def test_every_metric_is_explained() -> None:
    assert missing(set(METRICS), page("docs/monitoring.md")) == set()


def test_every_alert_rule_is_explained() -> None:
    assert missing(set(RULES), page("docs/alerts.md")) == set()


def test_every_table_and_view_is_listed() -> None:
    text = page("db/schema.sql") + page("db/journal.sql") + page("db/alerts.sql")
    names = set(re.findall(r"CREATE (?:TABLE|VIEW) \"?(\w+)", text))
    assert "v_execution" in names
    assert missing(names - {"_sqlite_migrations"}, page("docs/store.md")) == set()


def test_every_status_is_in_the_table_of_moves(build: ModuleType) -> None:
    table = build.moves_table()
    assert all(f"| **{status}** |" in table for status in ExecutionStatus)
    assert table in page("docs/architecture.md")


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        *(f"docs/{file.name}" for file in sorted((ROOT / "docs").glob("*.md"))),
    ],
)
def test_no_page_shows_a_path_of_somebodys_machine(name: str) -> None:
    assert re.findall(r"(?<![\w.…])/(?:home|root|work|tmp|Users)/\S*", page(name)) == []
