"""`arbtui report` as it is read: terminal, page, ledger, comparison; every figure of the page is the JSON's."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from arbtui.analysis.review import Review
from arbtui.analysis.tables import headline
from arbtui.cli import main
from arbtui.cli.report_text import sparkline
from arbtui.domain import ExecutionStatus
from arbtui.errors import UsageError
from arbtui.monitor import build_report
from arbtui.monitor.compare import FIGURES, compare, other_side
from arbtui.monitor.html import html_report, nice_ticks
from arbtui.monitor.times import local_time, zone_name
from arbtui.store import Store, open_store
from arbtui.units import format_amount
from tests import factories as make
from tests import trading

Run = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration with two days of trading in its store."""
    where = tmp_path_factory.mktemp("report")
    with Store.open(where / "store", "live", clock=make.Ticking(60)) as store:
        store.start_run(make.run_info())
        trading.trade(store)
    tokens = "".join(
        f'[[tokens]]\naddress = "{token.address}"\nsymbol = "{token.symbol}"\ndecimals = {token.decimals}\n'
        for token in (make.WETH, make.DAI, make.USDC)
    )
    (where / "arbtui.toml").write_text(
        f'[chain]\nname = "test"\nchain_id = 31337\nrpc_url = "http://127.0.0.1:1/secret-key"\n'
        f'wrapped_native = "{make.WETH.address}"\n[wallet]\naddress = "{make.WALLET}"\nexecutor = "{make.EXECUTOR}"\n'
        f'treasury = "{make.TREASURY}"\n[store]\ndirectory = "store"\n[search]\nbase_tokens = ["WETH"]\n{tokens}',
        "utf-8",
    )
    return where


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    def call(*arguments: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["report", *arguments, "--config", str(folder / "arbtui.toml")])
        shown = capsys.readouterr()
        assert stop.value.code == code, shown.err
        return shown.out if not code else shown.err

    return call


@pytest.fixture(scope="module")
def answer(folder: Path) -> dict[str, Any]:
    with open_store(folder / "store") as reader:
        return build_report(reader, now=make.at(86_400))


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_shows_it_whole_and_within_its_width(
    run: Run, answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    shown = run()
    assert max(map(len, shown.splitlines())) <= width
    assert f"{format_amount(int(answer['net_profit']), 18, 6)} ETH" in shown
    for lender in answer["by_lender"]:
        assert lender in shown
    for token in answer["by_token"].values():
        assert format_amount(int(token["delta"]), token["decimals"]) in shown
    assert "▁" in shown
    abreast = re.search(r"^lender .* token ", shown, re.MULTILINE)
    assert bool(abreast) == (width >= 110), "two tables stand beside each other where there is room"


def test_a_filler_is_told_apart_wherever_the_report_is_read(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    with open_store(tmp_path / "store") as reader:
        before = build_report(reader)
    with Store.open(tmp_path / "store", "live") as store:
        store._run = "r1"
        with store.batch() as batch:
            paid = make.fill_gap(batch, "gap9", 999, make.at(7), make.at(9))
    with open_store(tmp_path / "store") as reader:
        after = build_report(reader)
        review = Review.read(reader)
    assert (after["fillers"], after["filler_net_wei"]) == (1, str(paid.net_wei))
    assert int(after["net_profit"]) == int(before["net_profit"]) + paid.net_wei
    for name in ("executions", "delivered", "success_rate", "by_status", "histogram", "times", "funnel"):
        assert after[name] == before[name], name
    assert after["recovery"] == before["recovery"]
    assert after["by_lender"]["unknown"]["fillers"] == 1
    with pytest.raises(SystemExit):
        main(["report", "--config", str(tmp_path / "arbtui.toml")])
    assert re.search(r"nonce fillers\s+1, -0\.0004", capsys.readouterr().out)
    assert "1 nonce fillers apart" in html_report(after, made_at=make.at(10))
    assert "nonce fillers" in headline(review)


def test_times_are_of_this_place_and_say_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert local_time(make.at()).startswith("2026-07-04 ")
    assert re.search(r"UTC", zone_name(make.at()))
    assert zone_name(make.at()) in run()


def test_windows(run: Run, answer: dict[str, Any]) -> None:
    noon = make.at(12 * 3_600)
    early = json.loads(run("--until", noon, "--json"))
    late = json.loads(run("--since", noon, "--json"))
    assert early["executions"] + late["executions"] == answer["executions"]
    assert int(early["net_profit"]) + int(late["net_profit"]) == int(answer["net_profit"])
    assert early["window"] == {"since": None, "until": noon}
    assert "ends at" in run("--since", noon, "--until", make.at(), code=2)


def test_the_ledger_adds_up(run: Run, answer: dict[str, Any], tmp_path: Path) -> None:
    run("--csv", str(tmp_path / "ledger.csv"))
    with (tmp_path / "ledger.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert sum(int(line["net_wei"]) for line in lines) == int(answer["net_profit"])
    assert sum(int(line["delta_WETH"]) for line in lines) == int(answer["by_token"]["WETH"]["delta"])
    assert len(lines) == answer["profit"]["settled"]


class Page(HTMLParser):
    """Text and attributes; a tag that is never closed, or closes what is not open, is a fault."""

    VOID = frozenset({"meta", "line", "rect", "circle", "polygon", "polyline", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.attributes: list[tuple[str, str | None]] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID or tag in ("rect", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_holds_every_figure_and_fetches_nothing(
    run: Run, answer: dict[str, Any], tmp_path: Path
) -> None:
    run("--html", str(tmp_path / "report.html"))
    source = (tmp_path / "report.html").read_text("utf-8")
    page = Page(source)
    assert f"exactly {int(answer['net_profit']):,} wei" in page.text
    for token in answer["by_token"].values():
        assert format_amount(int(token["delta"]), token["decimals"]) in page.text
    for key in ("won_wei", "expectancy_wei", "max_drawdown_wei", "without_best_wei"):
        if key != "won_wei":
            assert format_amount(int(answer["profit"][key]), 18, 6) in page.text, key
    for reason, count in answer["dropped"].items():
        assert f"{reason}{count}" in page.text
    assert page.tags.count("svg") == 8
    assert "://" not in source, "nothing may be fetched"
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not {"src", "href", "onclick"} & {name for name, _ in page.attributes}
    assert "secret-key" not in source


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    """Every string of the store that a stranger can choose, at once."""
    with Store.open(tmp_path, "live", clock=make.Ticking()) as store:
        store.start_run(make.run_info())
        with store.batch() as batch:
            found = make.opportunity(
                token=trading.HOSTILE, path=make.path(("<script>alert(1)</script>", "x"))
            )
            ticket = make.ticket("t1", found)
            batch.ticket(ticket, {})
            batch.execution("e1", ticket, ExecutionStatus.PREPARED, decided_at=make.at())
            batch.execution_moved(
                "e1",
                ExecutionStatus.PREPARED,
                ExecutionStatus.MINED,
                "x",
                error_class="</td><img src=x onerror=1>",
            )
            told = make.settlement("e1", reconciled=False, difference="<svg onload=1>")
            batch.settlement(told, make.ROLES, {})
            batch.incident("<i>kind</i>", "detail", error_class="<u>")
    with open_store(tmp_path) as reader:
        source = html_report(build_report(reader), made_at=make.at())
    page = Page(source)
    assert not {"script", "img", "b", "i", "u"} & set(page.tags) - {"b"}
    assert "<script>" in page.text
    assert not {"onload", "onerror", "src"} & {name for name, _ in page.attributes}
    assert "\x1b" not in source


def test_an_empty_store_makes_a_page_and_a_table(tmp_path: Path) -> None:
    with Store.open(tmp_path, "paper"), open_store(tmp_path, "paper") as reader:
        source = html_report(build_report(reader), made_at=make.at())
    assert "nothing in this window" in Page(source).text
    assert "n/a" in Page(source).text


def test_comparing_windows(run: Run) -> None:
    noon, end = make.at(10 * 3_600), make.at(20 * 3_600)
    both = json.loads(run("--since", noon, "--until", end, "--compare", "previous", "--json"))
    assert set(both["change"]) == set(FIGURES)
    net = both["change"]["net_profit"]
    assert int(net["difference"]) == int(net["b"]) - int(net["a"])
    assert both["a"]["window"] == {"since": make.at(), "until": noon}
    assert both["b"]["window"] == {"since": noon, "until": end}
    assert both["rates_overlap"] in (True, False)
    shown = run("--since", noon, "--until", end, "--compare", "previous")
    assert "success rate" in shown
    assert "chance" in shown


def test_comparing_stores(run: Run, folder: Path, tmp_path: Path) -> None:
    with Store.open(tmp_path, "live", clock=make.Ticking()) as store:
        store.start_run(make.run_info())
        trading.trade(store, 10, seed=8)
    both = json.loads(run("--compare", str(tmp_path), "--json"))
    with open_store(tmp_path) as reader:
        assert both["a"]["net_profit"] == build_report(reader)["net_profit"]
    assert (both["a"]["executions"], both["b"]["executions"]) == (10, 60)


@pytest.mark.parametrize("text", ["yesterday", "x..y", "2h", "/no/such/store"])
def test_what_cannot_be_compared_is_one_line(text: str) -> None:
    with pytest.raises(UsageError):
        other_side(text, None, make.at())


def test_previous_needs_a_beginning_and_coins_must_be_alike(answer: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--since"):
        other_side("previous", None, make.at())
    with pytest.raises(UsageError, match="POL"):
        compare(answer, answer | {"numeraire": {"symbol": "POL", "decimals": 18}}, "a", "b")


def test_sparklines() -> None:
    assert sparkline([]) == ""
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([5, 5]) == "██"
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert sparkline(range(1_000), 10) == "▁▂▃▄▅▅▆▇▇█" or len(sparkline(range(1_000), 10)) == 10
    assert sparkline([1, 2], ascii_only=True).isascii()


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 7), (0, 0), (-1e-9, 1e-9), (-5, -5), (0, 123_456)])
def test_ticks_span_what_they_are_of(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low + 1e-12
    assert ticks[-1] >= high - 1e-12
    assert 2 <= len(ticks) <= 9
