"""A review against sums made by hand over what the test itself wrote."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import pytest

from arbtui.analysis import charts, frames, tables
from arbtui.analysis.places import find_store
from arbtui.analysis.review import Missed, Point, Review, net_here_and_in_report
from arbtui.analysis.widgets import CUSTOM, ReviewPanel
from arbtui.domain import (
    NATIVE,
    ConversionRate,
    DecisionKind,
    Delivery,
    Delta,
    ExecutionStatus,
    LenderId,
    Stage,
    Token,
)
from arbtui.errors import StoreError, UsageError
from arbtui.monitor import build_report
from arbtui.monitor.performance import wilson
from arbtui.store import Batch, Store, StoreReader, open_store
from arbtui.store.upkeep import prune
from arbtui.units import ETHER, GWEI
from tests import factories as make

S = ExecutionStatus
GAS_PRICE = 22 * GWEI
DRAWN = [
    charts.cumulative_net, charts.waterfall, charts.profit_by_lender, charts.profit_by_path, charts.gas_share,
    charts.funnel, charts.decisions, charts.execution_times,
]  # fmt: skip
TABLED = [tables.data_block, tables.headline, tables.tokens,
          lambda seen: tables.groups(seen, seen.by_lender, "lender")]  # fmt: skip


@dataclass(frozen=True)
class Trade:
    """One approved ticket as the test wrote it."""

    number: int
    status: S
    lender: LenderId = LenderId.BALANCER_V2
    decided: float = 0.0
    seconds: float = 4.0
    earned: int = ETHER
    fee: int = 0
    gas_used: int = 300_000
    rate: tuple[int, int] = (1, 1)
    token: Token = make.WETH

    @property
    def gas(self) -> int:
        return self.gas_used * GAS_PRICE if self.landed else 0

    @property
    def landed(self) -> bool:
        return self.status in (S.MINED, S.REVERTED, S.CANCELLED)

    @property
    def net(self) -> int:
        if self.status is not S.MINED:
            return -self.gas
        return self.earned * self.rate[1] // self.rate[0] - self.gas

    @property
    def fee_wei(self) -> int:
        paid = Fraction(self.fee * self.rate[1], self.rate[0]) if self.status is S.MINED else Fraction(0)
        return math.ceil(paid)

    def write(self, batch: Batch) -> None:
        name = f"e{self.number}"
        found = make.opportunity(ETHER * self.number, token=self.token)
        rate = ConversionRate(self.token, *self.rate, make.HEAD, ())
        ticket = make.ticket(f"t{self.number}", found, lender=self.lender, rate=rate)
        batch.ticket(ticket, {})
        batch.decision(make.decision(ticket.id))
        batch.execution(name, ticket, S.PREPARED, decided_at=make.at(self.decided))
        delivery = Delivery.REJECTED if self.status is S.REJECTED else Delivery.DELIVERED
        batch.attempt(make.attempt(name, nonce=self.number, delivery=delivery))
        batch.execution_moved(name, S.PREPARED, self.status, "told", make.at(self.decided + self.seconds))
        if self.landed:
            settled = make.settlement(
                name, gross=self.earned, gas_used=self.gas_used, success=self.status is S.MINED
            )
            if self.status is S.MINED:
                settled = replace(settled, loan_fee=self.fee, net_wei=self.net, deltas=(
                    Delta(make.TREASURY, self.token.address, self.earned),
                    Delta(make.WALLET, NATIVE, -self.gas),
                ))  # fmt: skip
            batch.settlement(settled, make.ROLES, make.TOKENS | {self.token.address: self.token})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, "live", clock=make.Ticking()) as opened:
        opened.start_run(make.run_info())
        yield opened


@pytest.fixture
def reader(store: Store, tmp_path: Path) -> Iterator[StoreReader]:
    with open_store(tmp_path) as opened:
        yield opened


def written(store: Store, *trades: Trade) -> tuple[Trade, ...]:
    with store.batch() as batch:
        for trade in trades:
            trade.write(batch)
    return trades


def drawn(draw: Any, review: Review) -> dict[str, Any]:
    """The picture's specification, checked by Altair against its schema."""
    chart = draw(review)
    assert isinstance(chart, (alt.Chart, alt.LayerChart, alt.VConcatChart))
    found: dict[str, Any] = chart.to_dict()
    return found


def all_drawn(review: Review) -> str:
    return json.dumps([drawn(draw, review) for draw in DRAWN], ensure_ascii=False)


def all_tabled(review: Review) -> str:
    return "".join(table(review) for table in TABLED)


def at_random(seed: int) -> list[Trade]:
    draw = random.Random(seed)
    statuses = [S.MINED, S.MINED, S.MINED, S.REVERTED, S.CANCELLED, S.SUBMITTED, S.REJECTED]
    return [
        Trade(
            number,
            draw.choice(statuses),
            draw.choice([LenderId.AAVE_V2, LenderId.AAVE_V3, LenderId.MAKER]),
            decided=draw.randrange(200_000),
            seconds=draw.randrange(1, 60),
            earned=draw.choice([draw.randrange(1, ETHER), 10**30 + draw.randrange(9), 7]),
            fee=draw.randrange(ETHER // 100),
            gas_used=draw.randrange(21_000, 400_000),
            rate=(draw.randrange(1, 5_000), draw.randrange(1, 9)),
            token=draw.choice([make.WETH, make.DAI]),
        )
        for number in range(1, 31)
    ]


@pytest.mark.parametrize("seed", range(6))
def test_against_sums_by_hand(store: Store, reader: StoreReader, seed: int) -> None:
    trades = written(store, *at_random(seed))
    for since, until, lenders in (
        (None, None, ()),
        (50_000, 150_000, ()),
        (None, 120_000, ("aave_v2", "maker")),
        (60_000, None, ("aave_v3",)),
    ):
        review = Review.read(
            reader,
            None if since is None else make.at(since),
            None if until is None else make.at(until),
            lenders,
        )
        kept = [
            trade
            for trade in trades
            if (since is None or trade.decided >= since)
            and (until is None or trade.decided < until)
            and (not lenders or trade.lender.value in lenders)
        ]
        landed = [trade for trade in kept if trade.landed]
        mined = [trade for trade in kept if trade.status is S.MINED]
        assert review.performance.executions == len(kept)
        assert review.performance.successes == len(mined)
        assert review.net == sum(trade.net for trade in landed)
        assert isinstance(review.net, int)
        flow = review.native_flow
        assert (flow.net, flow.gas, flow.loan_fee) == (
            review.net, sum(trade.gas for trade in landed), sum(trade.fee_wei for trade in landed)
        )  # fmt: skip
        assert flow.gross - flow.loan_fee - flow.gas == flow.net
        by_token = {told.token.address: told for told in review.by_token}
        for token in (make.WETH, make.DAI):
            own = [trade for trade in mined if trade.token == token]
            if own:
                told = by_token[token.address]
                assert told.net == sum(trade.earned for trade in own)
                assert told.loan_fee == sum(trade.fee for trade in own)
                assert (told.gross, told.gas) == (told.net + told.loan_fee, 0)
            else:
                assert token.address not in by_token
        if landed:
            coin = by_token[NATIVE]
            assert (coin.gross, coin.gas, coin.net) == (0, flow.gas, -flow.gas)
        for groups in (review.by_lender, review.by_path):
            assert sum(group.net for group in groups) == review.net
            assert sum(group.gross for group in groups) == flow.gross
            assert sum(group.performance.executions for group in groups) == len(kept)
        assert sum(review.daily.values()) == review.net
        nets = [t.net for t in sorted(landed, key=lambda t: (t.decided + t.seconds, f"e{t.number}"))]
        assert [point.net for point in review.curve] == nets
        assert [point.total for point in review.curve] == [sum(nets[: end + 1]) for end in range(len(nets))]
        heights = [0, *(point.total for point in review.curve)]
        assert review.drawdown == max(
            high - low for place, high in enumerate(heights) for low in heights[place:]
        )
        if seed == 0:
            assert len(all_drawn(review)) > 1_000
    assert net_here_and_in_report(reader) == (Review.read(reader).net,) * 2


def test_agrees_with_the_report_figure_by_figure(store: Store, reader: StoreReader) -> None:
    written(store, *at_random(99))
    with store.batch() as batch:
        batch.incident("node", "gone", error_class="connection")
        batch.dropped(make.opportunity(ETHER * 77), (), make.checks("age"), "age")
        batch.ticket(make.ticket("t78", make.opportunity(ETHER * 78), expected_net_wei=78), {})
        batch.decision(make.decision("t78", DecisionKind.STALE), (), make.foreign_trade())
    review, report = Review.read(reader), build_report(reader)
    assert str(review.net) == report["net_profit"]
    assert str(review.performance.gas_spent) == report["gas_spent_wei"]
    for name in ("success_rate", "gas_share", "gas_efficiency", "delivered"):
        assert getattr(review.performance, name) == report[name]
    assert {group.name: str(group.net) for group in review.by_lender} == {
        name: figures["net_profit"] for name, figures in report["by_lender"].items()
    }
    assert {group.name: str(group.net) for group in review.by_path} == {
        name: figures["net_profit"] for name, figures in report["by_path"].items()
    }
    assert {flow.token.symbol: str(flow.net) for flow in review.by_token} == {
        symbol: told["delta"] for symbol, told in report["by_token"].items()
    }
    assert dict(review.decisions) == report["decisions"]
    assert (dict(review.dropped), dict(review.by_status)) == (report["dropped"], report["by_status"])
    assert review.missed_total.tickets == report["missed"]["tickets"] == 1
    assert str(review.missed_total.expected_net_wei) == report["missed"]["expected_net_wei"]
    assert review.missed_total.moved_by_others == report["missed"]["moved_by_others"] == 1
    assert (review.unreconciled, review.not_yet_reconciled) == (
        report["unreconciled"], report["not_yet_reconciled"]
    )  # fmt: skip


def test_what_was_pruned_is_counted_as_the_report_counts_it(
    store: Store, reader: StoreReader, tmp_path: Path
) -> None:
    with store.batch() as batch:
        for number in range(5):
            batch.dropped(make.opportunity(ETHER + number), (), make.checks("age"), "age")
    before = Review.read(reader)
    assert list(prune(tmp_path / "live.sqlite", date(2026, 8, 1)))
    review, report = Review.read(reader), build_report(reader)
    assert dict(review.dropped) == report["dropped"] == {"age": 5}
    assert review.funnel.seen == report["funnel"]["opportunities"] == 5
    assert (review.dropped, review.funnel) == (before.dropped, before.funnel)
    assert Review.read(reader, make.at(60)).funnel.seen == 0, "a day that a window cuts is not guessed at"


def test_nothing_yet(reader: StoreReader) -> None:
    for review in (Review.read(reader), Review.nothing("live", "there is no store")):
        assert (review.net, review.net_without_best, review.drawdown, review.daily) == (0, 0, 0, {})
        assert review.profit_factor is None
        assert review.success_interval is None
        assert review.by_token == ()
        assert all_drawn(review).count("nothing yet") == len(DRAWN)
        assert "n/a" in all_tabled(review)
    assert net_here_and_in_report(reader) == net_here_and_in_report(None) == (0, 0)


def test_one_trade(store: Store, reader: StoreReader) -> None:
    (trade,) = written(store, Trade(1, S.MINED, earned=ETHER + 1))
    review = Review.read(reader)
    assert (review.net, review.net_without_best, review.drawdown) == (trade.net, 0, 0)
    assert review.profit_factor == math.inf
    assert "∞ (0 losses)" in tables.headline(review)
    assert f"{trade.net:,} wei" in tables.headline(review)
    assert "nothing yet" not in all_drawn(review)


def test_no_losses(store: Store, reader: StoreReader) -> None:
    first, second = written(store, Trade(1, S.MINED), Trade(2, S.MINED, decided=9, earned=2 * ETHER))
    review = Review.read(reader)
    assert (review.wins, review.losses, review.profit_factor) == (2, 0, math.inf)
    assert review.net_without_best == first.net
    assert review.net == first.net + second.net
    low, high = review.success_interval or (0, 0)
    assert (round(low, 4), high) == (0.3424, 1.0), "Wilson's figures for 2 of 2"


def test_only_reverts(store: Store, reader: StoreReader) -> None:
    one, other = written(store, Trade(1, S.REVERTED), Trade(2, S.REVERTED, decided=9, gas_used=21_000))
    review = Review.read(reader)
    assert review.net == -(one.gas + other.gas) == review.net_without_best == -review.drawdown
    assert (review.profit_factor, review.performance.success_rate) == (0.0, 0.0)
    assert (review.native_flow.gross, review.native_flow.loan_fee) == (0, 0)
    assert review.performance.gas_share is None
    assert "nothing was grossed" in json.dumps(drawn(charts.gas_share, review))
    assert "nothing yet" not in json.dumps(drawn(charts.waterfall, review))
    assert review.funnel.sent == 2
    assert (review.funnel.mined, review.funnel.profitable) == (0, 0)


def test_decisions_missed_and_the_funnel(store: Store, reader: StoreReader) -> None:
    written(
        store, Trade(1, S.MINED), Trade(2, S.REVERTED), Trade(3, S.MINED, earned=1, lender=LenderId.MAKER)
    )
    with store.batch() as batch:
        for number, kind in enumerate(
            (DecisionKind.STALE, DecisionKind.STALE, DecisionKind.EXPIRED_UNSEEN, None), 10
        ):
            found = make.opportunity(ETHER * number)
            batch.ticket(make.ticket(f"t{number}", found, expected_net_wei=10**20 + number), {})
            if kind is not None:
                moved = make.foreign_trade() if number == 10 else None
                batch.decision(make.decision(f"t{number}", kind), (), moved)
        # An approval that did not hold: its last word counts as missed, and it was approved all the same.
        batch.ticket(make.ticket("t20", make.opportunity(ETHER * 20), expected_net_wei=5), {})
        batch.decision(make.decision("t20"))
        batch.decision(make.decision("t20", DecisionKind.STALE))
        batch.dropped(make.opportunity(ETHER * 50), (), make.checks("profit"), "profit")
    review = Review.read(reader)
    assert review.missed["stale"] == Missed(3, 2 * 10**20 + 21 + 5, 1)
    assert review.missed["expired_unseen"] == Missed(1, 10**20 + 12, 0)
    funnel = review.funnel
    assert (funnel.seen, funnel.dropped, funnel.tickets, funnel.waiting) == (9, 1, 8, 1)
    assert (funnel.approved, funnel.sent, funnel.mined, funnel.profitable) == (4, 3, 2, 1)
    assert "upper bound" in json.dumps(drawn(charts.decisions, review))
    assert "upper bound" in tables.headline(review)
    maker = Review.read(reader, lenders=["maker"])
    assert (maker.funnel.seen, maker.funnel.tickets, maker.funnel.mined) == (None, 1, 1)
    assert maker.missed_total == Missed()


def test_a_window_may_not_end_before_it_begins(reader: StoreReader) -> None:
    with pytest.raises(UsageError, match="before it begins"):
        Review.read(reader, make.at(5), make.at(4))


def test_an_altered_settlement_is_not_reconciled(store: Store, reader: StoreReader) -> None:
    written(store, Trade(1, S.MINED), Trade(2, S.MINED))
    store._connection.execute("UPDATE settlement SET net_wei = '5' WHERE execution_id = 'e1'")
    review = Review.read(reader)
    assert (review.unreconciled, review.not_yet_reconciled) == (1, 0)
    assert "<b>1</b>, 1 differ, were altered or are open" in tables.data_block(review)
    assert frames.executions_frame(reader)["reconciled"].to_list() == [False, True]


def test_what_does_not_fit_is_named_in_the_table(store: Store, reader: StoreReader) -> None:
    with store.batch() as batch:
        for number in range(12):
            ends = make.block_ref(number), make.block_ref(number + 1)
            batch.reconciled(*ends, {}, {}, {}, amounts="[]", difference=f"<i>gone {number}</i>")
    table = tables.data_block(Review.read(reader))
    assert "<b>12</b>, 12 differ, were altered or are open" in table
    assert "balances #1, block 0-1: &lt;i&gt;gone 0&lt;/i&gt;" in table
    assert table.count("gone ") == 10
    assert "and 2 more" in table


def test_foreign_text_is_only_text(store: Store, reader: StoreReader) -> None:
    evil = Token(make.address(666), "<img src=x>\x1b]52;c;\u202e", 18)
    written(store, Trade(1, S.MINED, token=evil))
    store._connection.execute("UPDATE run SET chain = '<b onclick=x>'")
    review = Review.read(reader)
    table, picture = all_tabled(review), all_drawn(review)
    assert "&lt;img src=x&gt;" in table
    for bad in ("<img", "<b onclick", "\x1b", "\u202e"):
        assert bad not in table, bad
    for bad in ("\x1b", "\\u001b", "\u202e"):
        assert bad not in picture, bad


def test_many_points_are_thinned_and_keep_their_extremes() -> None:
    draw = random.Random(3)
    total = 0
    points = []
    for number in range(20_000):
        net = draw.randrange(-ETHER, ETHER)
        total += net
        points.append(Point(datetime.fromtimestamp(number, UTC), str(number), "maker", "mined", net, total))
    kept = charts._thinned(points)
    assert len(kept) <= charts.MAX_POINTS
    assert kept[-1] == points[-1]
    assert {max(p.total for p in points), min(p.total for p in points)} <= {p.total for p in kept}
    assert [p.at for p in kept] == sorted(p.at for p in kept)


def test_wilson_is_none_of_nothing_and_stays_within_the_unit() -> None:
    assert wilson(0, 0) is None
    low, high = wilson(0, 10) or (1, 0)
    assert (low, round(high, 4)) == (0.0, 0.2775)


# ---- frames


def test_frames_keep_every_digit(store: Store, reader: StoreReader) -> None:
    huge = 2**200 + 1
    (trade,) = written(store, Trade(1, S.MINED, earned=huge, fee=3, token=make.DAI))
    with store.batch() as batch:
        batch.ticket(make.ticket("t9", make.opportunity(ETHER * 9)), make.WHY_LOST)
        batch.decision(make.decision("t9", DecisionKind.STALE))
    executions = frames.executions_frame(reader)
    assert executions.schema == pl.Schema(dict(frames.EXECUTIONS))
    assert executions["net_wei"].to_list() == [str(trade.net)]
    assert executions["net_float"].to_list() == [trade.net / 10**18]
    assert executions["decided_at"].to_list() == [make.START]
    assert executions["gas_cost_wei"].to_list() == [str(trade.gas)]
    deltas = frames.deltas_frame(reader)
    assert str(huge) in deltas["amount"].to_list()
    settled = frames.settlements_frame(reader)
    assert settled["sealed"].to_list() == [True]
    assert settled["loan_fee"].to_list() == ["3"]
    decisions = frames.decisions_frame(reader)
    assert decisions["kind"].to_list() == ["approved_by_hand", "stale"]
    assert decisions["last_word"].to_list() == [True, True]
    quotes = frames.quotes_frame(reader)
    assert quotes.height == 8
    assert quotes.filter(pl.col("usable").not_())["reason"].unique().to_list() == ["token_not_supported"]
    assert frames.executions_frame(reader, make.at(1)).height == 0


@pytest.mark.parametrize("name", ["executions", "settlements", "deltas", "decisions", "quotes"])
def test_frames_of_nothing_have_their_columns(reader: StoreReader, name: str) -> None:
    make_frame = getattr(frames, f"{name}_frame")
    schema = pl.Schema(dict(getattr(frames, name.upper())))
    for frame in (make_frame(reader), make_frame(None)):
        assert frame.height == 0
        assert frame.schema == schema


# ---- the controls


def panel_of(directory: Path, **options: Any) -> ReviewPanel:
    return ReviewPanel(lambda family: open_store(directory, family), **options)


def test_the_controls_choose(store: Store, tmp_path: Path) -> None:
    first, second = written(
        store, Trade(1, S.MINED), Trade(2, S.MINED, LenderId.MAKER, decided=7_200, earned=3 * ETHER)
    )
    now = datetime.fromisoformat(make.at(7_300))
    panel = panel_of(tmp_path, clock=lambda: now)
    assert panel.review.net == first.net + second.net
    assert panel.lenders.options == (("Balancer v2", "balancer_v2"), ("Maker", "maker"))
    panel.lenders.value = ("maker",)
    assert panel.review.net == second.net
    panel.preset.value = "last hour"
    assert panel.review.since == make.at(7_300 - 3_600)
    panel.lenders.value = ()
    assert panel.review.net == second.net
    panel.until.value = datetime.fromisoformat(make.at(60)).replace(tzinfo=None)
    assert (panel.preset.value, panel.review.net) == (CUSTOM, first.net)
    assert panel.review.until == make.at(60)
    panel.since.value = datetime.fromisoformat(make.at(90)).replace(tzinfo=None)
    assert "before it begins" in panel.status.value
    panel.preset.value = "everything"
    assert (panel.since.value, panel.until.value) == (None, None)
    assert panel.review.net == first.net + second.net


def test_the_controls_tell_of_a_missing_store(store: Store, tmp_path: Path) -> None:
    written(store, Trade(1, S.MINED))
    panel = panel_of(tmp_path, family="paper")
    assert "there is a live one" in panel.status.value
    with panel.open() as reader:
        assert reader is None
    panel.family.value = "live"
    assert panel.review.performance.executions == 1
    with panel.open() as reader:
        assert reader is not None
        assert reader.family == "live"


def test_what_the_reader_says_is_escaped(tmp_path: Path) -> None:
    def refuse(_: object) -> StoreReader:
        raise StoreError("<script>")

    panel = ReviewPanel(refuse)
    assert "&lt;script&gt;" in panel.status.value
    assert "<script>" not in tables.data_block(panel.review)


def test_paper_is_told_apart(tmp_path: Path) -> None:
    with Store.open(tmp_path, "paper", clock=make.Ticking()) as store:
        store.start_run(make.run_info(stage=Stage.PAPER))
        with open_store(tmp_path, "paper") as reader:
            assert "nothing was sent" in tables.data_block(Review.read(reader))


# ---- where the store is


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("ARBTUI_STORE__DIRECTORY", "ARBTUI_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    (tmp_path / "notebooks").mkdir()
    return tmp_path


def test_the_store_is_found(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = bare / "notebooks"
    with pytest.raises(UsageError, match="parameter STORE"):
        find_store(start=here)
    (bare / "arbtui.toml").write_text('[store]\ndirectory = "data"\n', "utf-8")
    assert find_store(start=here) == bare / "data"
    monkeypatch.setenv("ARBTUI_STORE__DIRECTORY", "/elsewhere")
    assert find_store(start=here) == Path("/elsewhere")
    assert find_store("/given", here) == Path("/given")


@pytest.mark.parametrize("text", ["[store", "[store]\n", "store = 3\n"])
def test_a_configuration_without_a_store_is_named(bare: Path, text: str) -> None:
    (bare / "arbtui.toml").write_text(text, "utf-8")
    with pytest.raises(UsageError, match=r"arbtui\.toml"):
        find_store(start=bare)
