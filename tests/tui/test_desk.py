"""The desk's manners: what is seen, filtered, sorted, noticed, and how it is left."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from arbtui.domain import (
    NATIVE,
    ClosedBy,
    Closing,
    DecisionKind,
    Delta,
)
from arbtui.store import open_store
from arbtui.store.desk import read_desk, read_detail
from arbtui.tui import DeskExit, DeskSettings
from arbtui.tui.app import DeskApp, DeskScreen, DetailScreen, QuitDialog
from arbtui.tui.dialogs import ApproveDialog, HelpDialog
from arbtui.tui.feed import Feed, iso
from arbtui.tui.filtering import parse_filter
from arbtui.tui.live_table import Cell, Column, LiveTable, TableRow, lay_out
from arbtui.tui.look import Look, compact, fit, significant, wrap
from arbtui.tui.sheets import unsound_lines
from arbtui.units import ETHER, Wei
from arbtui.validation import Ranked
from tests import factories as make
from tests.factories import HEAD
from tests.tui.sample import Sample, fill, found, route
from tests.tui.screens import grid, settle, until
from tests.tui.test_approval import at_desk


async def test_a_desk_without_a_store_waits_and_goes_on(tmp_path: Path) -> None:
    directory = tmp_path / "later"
    from tests.tui.sample import Clock

    clock = Clock()
    sample: Sample | None = None
    settings = Sample.settings(_Nowhere(directory))  # type: ignore[arg-type]
    app = DeskApp(settings, clock=lambda: clock.wall, monotonic=lambda: clock.steady)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert "waiting for the engine" in grid(pilot)
        sample = Sample(directory, clock)
        sample.head()
        sample.ticket("t1")
        await until(pilot, lambda: "to approve" in grid(pilot), "the ticket")
    sample.close()


class _Nowhere:
    def __init__(self, directory: Path) -> None:
        from arbtui.domain import Stage

        self.directory = directory
        self.stage = Stage.LIVE


async def test_a_commit_is_noticed_within_a_tenth_of_a_second(sample: Sample) -> None:
    sample.head()
    async with at_desk(sample) as (app, _pilot):
        delays = []
        for number in range(5):
            sample.ticket(f"n{number}")
            began = time.perf_counter()
            async with asyncio.timeout(5):
                while app.view is None or len(app.view.waiting) <= number:  # noqa: ASYNC110 - it is timed
                    await asyncio.sleep(0.002)
            delays.append(time.perf_counter() - began)
        assert sorted(delays)[2] < 0.1, delays


def test_a_store_that_a_worker_is_closing_is_not_asked(sample: Sample) -> None:
    """SQLite answers a question to a connection that another thread is closing with the end of the process."""
    feed = Feed(DeskSettings(sample.directory, "live", "devnet", "ETH", 12.0, owns_engine=False), time.time)
    for _ in range(60):
        feed.open()
        assert feed.opened
        closing = threading.Thread(target=feed.close)
        closing.start()
        while closing.is_alive():
            feed.changed()
        assert not feed.changed()


async def test_the_status_bar_says_what_matters(sample: Sample) -> None:
    fill(sample)
    async with at_desk(sample, (200, 60), owns_engine=True) as (_, pilot):
        top = grid(pilot).splitlines()[0]
        for wanted in (
            "LIVE",
            "2 to approve",
            "#20,000,003",
            "3s",
            "+0.2679 ETH today (5)",
            "9,998.7650 ETH",
            "0xf39F…2266",
        ):
            assert wanted in top, (wanted, top)


async def test_the_profit_today_is_the_exact_sum(sample: Sample) -> None:
    fill(sample)
    with open_store(sample.directory) as reader:
        view = read_desk(reader, iso(sample.clock.wall))
        told = [int(row["net_wei"]) for row in reader.settlements()]
        tomorrow = read_desk(reader, iso(sample.clock.wall + 86_400))
    assert view.today.net_wei == sum(told)
    assert (view.today.settled, view.today.mined) == (5, 3)
    assert tomorrow.today.settled == 0
    assert view.unreconciled == 0


async def test_a_filler_costs_money_and_counts_as_no_execution(sample: Sample) -> None:
    fill(sample, flight=False)
    with open_store(sample.directory) as reader:
        before = read_desk(reader, iso(sample.clock.wall)).today
        with sample.store.batch() as batch:
            paid = make.fill_gap(batch, "gap46", 46, sample.clock.utc(), sample.clock.utc())
        after = read_desk(reader, iso(sample.clock.wall)).today
        assert [row["id"] for row in reader.executions() if row["filler"]] == ["gap46"]
    assert (after.settled, after.mined) == (before.settled, before.mined)
    assert after.net_wei == before.net_wei + paid.net_wei
    async with at_desk(sample, (200, 60)) as (_, pilot):
        await until(pilot, lambda: "today (5)" in grid(pilot), "the day")
        await pilot.press("2")
        await until(pilot, lambda: "fills a nonce gap" in grid(pilot), "its row")


def test_an_altered_settlement_counts_as_unreconciled(sample: Sample) -> None:
    fill(sample)
    from arbtui.store.driver import open_writer

    other = open_writer(sample.directory / "live.sqlite")
    other.execute(
        "UPDATE settlement SET net_wei = '7' WHERE execution_id = (SELECT min(execution_id) FROM settlement)"
    )
    other.close()
    with open_store(sample.directory) as reader:
        assert read_desk(reader, iso(sample.clock.wall)).unreconciled == 1


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_what_does_not_reconcile_is_named_with_its_way_out(
    sample: Sample, size: tuple[int, int]
) -> None:
    fill(sample, flight=False)
    async with at_desk(sample, size) as (app, pilot):
        await settle(pilot)
        assert not app.desk.unsound.display, "where all fits it takes no line"
        sample.differ(Delta(make.WALLET, NATIVE, -7), block=HEAD + 1)
        sample.differ(Delta(make.TREASURY, make.WETH.address, ETHER), block=HEAD + 2)
        await until(pilot, lambda: "2 unreconciled" in grid(pilot), "the count")
        for key in "127":
            await pilot.press(key)
            shown = await settle(pilot)
            assert "unreconciled  blocks 19,999,999-20,000,001  and 1 more: 7 Log" in shown
            assert f"wallet {make.WALLET}: -0.000000000000000007 ETH" in shown
            assert 'nothing is sent; if it is all right: arbtui acknowledge 1 --reason "why"' in shown
        assert app.desk.pane.table.visible_keys()[:2] == ["u:balances:None:1", "u:balances:None:2"]
        await pilot.press("j", "y")
        assert app.clipboard == 'arbtui acknowledge 2 --reason "why"'
        await pilot.press("enter")
        shown = await settle(pilot)
        assert "+1.000000000000000000" in shown
        assert "acknowledge 2" in shown
        with sample.store.batch() as batch:
            batch.acknowledged(1, "me", "known")
            batch.acknowledged(2, "me", "known")
        await pilot.press("escape")
        await until(pilot, lambda: "unreconciled" not in grid(pilot), "all fits")
        assert not app.desk.unsound.display


def test_of_what_does_not_reconcile_the_oldest_is_named_whatever_its_kind() -> None:
    rows = [
        {
            "what": "settlement",
            "execution": "x1",
            "reconciliation": None,
            "block": 5,
            "difference": "altered",
        },
        {"what": "settlement", "execution": "x2", "reconciliation": 9, "block": 30, "difference": "newer"},
        {"what": "balances", "reconciliation": 3, "from_block": 10, "to_block": 12, "difference": "older"},
    ]
    told = unsound_lines(Look(False, "ETH", {}), 100, rows, "live").plain
    assert "blocks 11-12  and 1 more" in told
    assert "arbtui acknowledge 3 " in told
    assert "newer" not in told


async def test_a_settlement_that_contradicts_its_block_says_so_in_its_sheet(sample: Sample) -> None:
    fill(sample, flight=False)
    with open_store(sample.directory) as reader:
        name = next(row["id"] for row in reader.executions() if row["status"] == "mined")
    wrong = make.settlement(name, 9, reconciled=False, difference="balance changed by 5, the receipt says 4")
    with sample.store.batch() as batch:
        batch.settlement(wrong, make.ROLES, make.TOKENS)
        batch.unreconciled(wrong, "[]")
    async with at_desk(sample, (120, 50), family="live") as (app, pilot):
        await until(pilot, lambda: "1 unreconciled" in grid(pilot), "the count")
        assert f"execution {name[:9]}, block 20,000,002" in grid(pilot)
        await pilot.press("2")
        while app.desk.pane.table.cursor_key != name:
            await pilot.press("j")
        shown = await settle(pilot)
        assert "receipt says 4" in shown
        assert "arbtui acknowledge 1" in shown
        assert "arbtui acknowledge 1" in app.desk.pane.sheet.render().plain
        with sample.store.batch() as batch:
            batch.acknowledged(1, "me", "known")
        await until(pilot, lambda: not app.desk.unsound.display, "sending goes on")
        shown = await settle(pilot)
        assert "1 unreconciled" in shown
        assert "counts for ever" in app.desk.pane.sheet.render().plain
        assert "arbtui acknowledge" not in shown


def test_the_view_holds_what_waits_flies_and_was_refused(sample: Sample) -> None:
    first, second = fill(sample)
    with open_store(sample.directory) as reader:
        view = read_desk(reader, iso(sample.clock.wall))
        detail = read_detail(reader, second.id)
        missing = read_detail(reader, "nobody")
        execution = read_detail(reader, view.executions[-1]["id"])
    assert {row["id"] for row in view.waiting} == {first.id, second.id}
    assert view.waiting[0]["now_net_wei"] is not None
    assert len(view.dropped) == 14
    assert [row["net_wei"] is None for row in view.dropped].count(True) == 1
    (flight,) = view.flights
    assert flight.execution["status"] == "submitted"
    assert flight.attempts[-1]["delivery"] == "delivered"
    assert flight.event is not None
    assert flight.event["reason"] == "handed to the node"
    assert missing is None
    assert detail is not None
    assert detail["what"] == "ticket"
    assert "calldata" not in detail
    assert next(quote["lender"] for quote in detail["quotes"]) == "aave_v3"
    assert execution is not None
    assert execution["what"] == "execution"
    assert execution["settlement"]["reconciled"]
    assert execution["trade"]["what"] == "ticket"


def test_a_ticket_of_an_earlier_run_does_not_wait(sample: Sample) -> None:
    from tests import factories as make

    sample.head()
    sample.ticket("t1")
    sample.store.start_run(make.run_info("r2", started_at=make.at(60)))
    sample.head()
    with open_store(sample.directory) as reader:
        assert read_desk(reader, iso(sample.clock.wall)).waiting == ()


# ---- seen


async def look(sample: Sample, app: DeskApp, pilot: Any, seconds: float) -> None:
    sample.clock.forward(seconds)
    app.tick()
    await settle(pilot)


async def test_a_row_that_stood_on_the_screen_for_a_second_was_seen_once(sample: Sample) -> None:
    sample.head()
    ticket = sample.ticket("t1")
    async with at_desk(sample) as (app, pilot):
        await look(sample, app, pilot, 0)
        await look(sample, app, pilot, 0.7)
        assert sample.commands("seen") == []
        await look(sample, app, pilot, 0.4)
        await until(pilot, lambda: sample.commands("seen"), "it was seen")
        await look(sample, app, pilot, 5)
        (row,) = sample.commands("seen")
        assert json.loads(row["argument"]) == {"ticket": ticket.id}


async def test_what_is_filtered_covered_or_on_another_screen_is_not_seen(sample: Sample) -> None:
    sample.head()
    sample.ticket("t1")
    async with at_desk(sample) as (app, pilot):
        await pilot.press("/", *"nosuch", "enter")
        for _ in range(3):
            await look(sample, app, pilot, 1)
        await pilot.press("escape", "7")
        for _ in range(3):
            await look(sample, app, pilot, 1)
        await pilot.press("1", "?")
        for _ in range(3):
            await look(sample, app, pilot, 1)
        assert sample.commands("seen") == []


async def test_what_is_scrolled_away_is_not_seen(sample: Sample) -> None:
    sample.head()
    tickets = [sample.ticket(f"t{number}", expected_net_wei=ETHER * (40 - number)) for number in range(40)]
    async with at_desk(sample, (100, 24)) as (app, pilot):
        for _ in range(3):
            await look(sample, app, pilot, 1)
        await until(pilot, lambda: len(sample.commands("seen")) >= 10, "those on the screen")
        await settle(pilot)
        shown = {json.loads(row["argument"])["ticket"] for row in sample.commands("seen")}
        assert shown == {key[2:] for key in app.desk.opportunities.table.visible_keys()}
        assert tickets[-1].id not in shown


async def test_an_opened_dialog_is_seen_at_once(sample: Sample) -> None:
    sample.head()
    sample.ticket("t1")
    async with at_desk(sample) as (app, pilot):
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, ApproveDialog), "the dialog")
        await until(pilot, lambda: sample.commands("seen"), "it was seen")


# ---- the list


async def test_the_cursor_stays_on_its_row_when_rows_come_and_go(sample: Sample) -> None:
    sample.head()
    tickets = [sample.ticket(f"t{number}", expected_net_wei=ETHER * (9 - number)) for number in range(3)]
    async with at_desk(sample) as (app, pilot):
        table = app.desk.opportunities.table
        await pilot.press("j")
        assert table.cursor_key == f"t:{tickets[1].id}"
        sample.ticket("best", expected_net_wei=ETHER * 50)
        sample.clock.forward(1.5)
        await until(pilot, lambda: len(table.keys) == 4, "the new row")
        await settle(pilot)
        assert table.cursor_key == f"t:{tickets[1].id}"
        sample.decide(tickets[1], DecisionKind.EXPIRED_SEEN)
        await until(pilot, lambda: len(table.keys) == 3, "the row is gone")
        assert table.cursor_key in table.keys


async def test_filters_by_words_and_figures(sample: Sample) -> None:
    fill(sample)
    async with at_desk(sample) as (app, pilot):
        table = app.desk.opportunities.table
        assert len(table.keys) == 16
        await pilot.press("/", *"net>0.05")
        await settle(pilot)
        assert len(table.keys) == 1
        assert "filter net>0.05  1 of 16" in grid(pilot)
        await pilot.press("escape")
        await settle(pilot)
        assert len(table.keys) == 16
        await pilot.press("/", *"!gas wbtc", "enter")
        await settle(pilot)
        assert 0 < len(table.keys) < 16
        assert all("gas cost" not in row.plain() for key in table.keys if (row := table.row(key)))
        await pilot.press("/", *" foo>1")
        assert "no figures in 'foo'" in await settle(pilot)


def test_the_filter_language() -> None:
    row = TableRow("k", {"path": Cell("WETH→DAI→WETH")}, {"net": 5, "left": None})
    figures = frozenset({"net", "left"})
    for text, passes in {
        "dai": True, "!dai": False, "net>4": True, "net>=5 weth": True, "net<5": False, "net=5": True,
        "!net>4": False, "left>0": False, "usdc": False, "": True, "!": True,
    }.items():  # fmt: skip
        test, wrong = parse_filter(text, figures)
        assert test(row) is passes, text
        assert wrong == ""


async def test_sorting_freezing_and_pausing(sample: Sample) -> None:
    fill(sample)
    async with at_desk(sample) as (app, pilot):
        table = app.desk.opportunities.table
        before = table.keys
        await pilot.press("S")
        await settle(pilot)
        assert [key for key in table.keys if key.startswith("t:")] == [
            k for k in before if k.startswith("t:")
        ][::-1]
        assert table.keys[0].startswith("t:"), "what waits stays on top"
        await pilot.press("f")
        assert "FROZEN" in await settle(pilot)
        order = table.keys
        sample.ticket("late", expected_net_wei=ETHER)
        sample.clock.forward(3)
        await until(pilot, lambda: len(table.keys) == 17, "the new row")
        assert table.keys[:16] == order
        await pilot.press("p")
        assert "PAUSED" in await settle(pilot)
        sample.ticket("later")
        await until(pilot, lambda: app.view is not None and len(app.view.waiting) == 4, "it was read")
        await settle(pilot)
        assert len(table.keys) == 17
        await pilot.press("p")
        await until(pilot, lambda: len(table.keys) == 18, "it is shown")


async def test_nothing_moves_behind_a_dialog(sample: Sample) -> None:
    sample.head()
    sample.ticket("t1")
    async with at_desk(sample) as (app, pilot):
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, ApproveDialog), "the dialog")
        keys = app.desk.opportunities.table.keys
        sample.ticket("t2", expected_net_wei=ETHER)
        sample.clock.forward(3)
        await until(pilot, lambda: app.view is not None and len(app.view.waiting) == 2, "it was read")
        await settle(pilot)
        assert app.desk.opportunities.table.keys == keys
        await pilot.press("escape")
        await until(pilot, lambda: len(app.desk.opportunities.table.keys) == 2, "afterwards")


async def test_only_changed_visible_lines_are_painted(sample: Sample) -> None:
    fill(sample)
    async with at_desk(sample) as (app, pilot):
        table = app.desk.opportunities.table
        painted: list[str] = []
        paint = table._paint

        def counted(row: TableRow, mark: str, width: int) -> Any:
            painted.append(row.key)
            return paint(row, mark, width)

        table._paint = counted  # type: ignore[method-assign]
        app.repaint()
        await settle(pilot)
        assert painted == [], "nothing changed"
        sample.clock.forward(1)
        app.tick()
        await settle(pilot)
        assert painted, "the countdown"
        assert all(key.startswith("t:") for key in painted)


def test_columns_give_way_by_importance() -> None:
    columns = (Column("a", "A", 10, 9), Column("b", "B", 10, 1), Column("c", "C", 5, 5, grow=1))
    assert [(c.name, w) for c, w in lay_out(columns, 40)] == [("a", 10), ("b", 10), ("c", 16)]
    assert [(c.name, w) for c, w in lay_out(columns, 20)] == [("a", 10), ("c", 7)]
    assert [(c.name, w) for c, w in lay_out(columns, 12)] == [("a", 10)]


def test_texts_fit() -> None:
    assert fit("abcdef", 4) == "abc…"
    assert fit("漢字漢字", 5) == "漢字…"
    assert fit("ab", 4, right=True) == "  ab"
    assert fit("abc", 0) == ""
    assert wrap("one two threefour", 5) == ["one", "two", "three", "four"]
    assert compact(8_300 * ETHER, 18, 6) == "8,300"
    assert compact(123_456_789 * ETHER, 18, 6) == "123.4M"
    assert compact(1, 18, 6) == "<0.001"
    assert significant(5_300_000_000_000_000, 18) == "0.0053"
    look = Look(False, "ETH", {})
    assert look.signed(-1) == "−0.000001"
    assert look.signed(0) == "+0.000000"
    assert look.exact(1, 18) == "0.000000000000000001"
    assert look.exact(12 * ETHER, 18) == "12"


async def test_every_size_stands(sample: Sample) -> None:
    fill(sample)
    async with at_desk(sample, (200, 60)) as (app, pilot):
        for width, height in (
            (150, 40),
            (149, 40),
            (100, 30),
            (99, 30),
            (80, 24),
            (60, 15),
            (30, 8),
            (120, 40),
        ):
            await pilot.resize_terminal(width, height)
            text = await settle(pilot)
            assert ("this terminal is small" in text) is (width < 80 or height < 20), (width, height)
            beside = app.desk.opportunities.sheet.parent
            assert beside is not None
            assert bool(getattr(beside, "display", False)) is (width >= 100)
            assert app.desk.opportunities.table.cursor_key in app.desk.opportunities.table.visible_keys()
            assert all(len(line) <= width for line in text.splitlines())


# ---- screens


async def test_a_recovery_shows_what_is_done_why_and_when(sample: Sample) -> None:
    """In the strip of what flies with a countdown, and whole on the execution's page."""
    fill(sample)
    with open_store(sample.directory) as reader:
        (flight,) = read_desk(reader, iso(sample.clock.wall)).flights
    with sample.store.batch() as batch:
        batch.recovered(
            flight.execution["id"],
            error_class="replacement_underpriced",
            phase="pending",
            action="bump",
            nonce_rule="same",
            reason="the node wants 10 % more [bold]than[/] before",
            tries=2,
            next_at=iso(sample.clock.wall + 6),
            next_block=HEAD + 2,
        )
    sample.head()
    async with at_desk(sample, (160, 60)) as (app, pilot):
        told = f"! replacement underpriced: bump, in 6.0 s, from block {HEAD + 2:,}"
        await until(pilot, lambda: told in grid(pilot), "the strip")
        await look(sample, app, pilot, 2.5)
        assert "bump, in 3.5 s, from" in grid(pilot)
        await look(sample, app, pilot, 4)
        assert f"bump, from block {HEAD + 2:,}" in grid(pilot)
        await pilot.press("2", "enter")
        await until(pilot, lambda: "RECOVERY" in grid(pilot), "the page")
        page = " ".join(grid(pilot).split())
        assert "replacement underpriced while pending" in page
        assert "→ bump, nonce: same, try 2, from block" in page
        assert "the node wants 10 % more [bold]than[/] before" in page


async def test_the_executions_screen_tells_a_life_to_the_unit(sample: Sample) -> None:
    fill(sample)
    async with at_desk(sample, (200, 60)) as (_app, pilot):
        await pilot.press("2", "G")
        text = await settle(pilot)
        for wanted in (
            "TIMELINE",
            "↑ submitted",
            "● mined",
            "ATTEMPTS",
            "delivered",
            "✓ reconciled to the unit",
            "+0.100123456789012345 WETH",
            "−0.0066 ETH",
            "treasury",
        ):
            assert wanted in text, wanted


async def test_the_log_has_decisions_incidents_and_commands(sample: Sample) -> None:
    fill(sample)
    async with at_desk(sample) as (_app, pilot):
        from arbtui.store import CommandPost

        with CommandPost(sample.directory, "live") as post:
            post.post("reject", {"ticket": "0xabc", "reason": "no", "by": "cli"})
        await pilot.press("7")
        await until(pilot, lambda: "› command" in grid(pilot), "the command")
        text = grid(pilot)
        assert "! incident" in text
        assert "✓ approved" in text
        assert "not taken up yet" in text


async def test_who_took_a_missed_opportunity_is_in_the_log_and_on_its_sheet(sample: Sample) -> None:
    sample.head()
    lost = found(route(make.WETH, make.DAI, seed=5), make.WETH, 3 * ETHER, ETHER // 50)
    trade = make.foreign_trade()
    with sample.store.batch() as batch:
        ranked = Ranked(lost, None, 0, 0, ETHER // 60, behind="better-one")
        batch.dropped(lost, (), (), "place", net_wei=ETHER // 60, ranked=ranked, place=4)
        batch.closing(
            Closing(
                lost.id,
                lost.path.id,
                HEAD,
                HEAD,
                HEAD + 1,
                ETHER // 60,
                ClosedBy.FOREIGN,
                trade,
                tx_index=3,
                sender=make.TREASURY,
                tip_per_gas=Wei(2_500_000_000),
            )
        )
    async with at_desk(sample, (200, 60)) as (_, pilot):
        await until(pilot, lambda: "place 4 of its block" in grid(pilot), "the sheet")
        for wanted in ("better-one", "at position 3", "tip 2.500 gwei", "open for 1 block"):
            assert wanted in grid(pilot), wanted
        await pilot.press("7")
        await until(pilot, lambda: "taken" in grid(pilot), "the log")
        assert "0x7099" in grid(pilot)


async def test_t_asks_for_the_next_gas_strategy(sample: Sample) -> None:
    first, _ = fill(sample)
    async with at_desk(sample) as (_app, pilot):
        await until(pilot, lambda: "to approve" in grid(pilot), "the tickets")
        await pilot.press("t")
        await until(pilot, lambda: bool(sample.store.commands()), "the command")
        asked = [(kind, argument) for _, kind, argument in sample.store.commands() if kind == "strategy"]
        assert asked == [("strategy", {"ticket": first.id, "strategy": "next", "by": "desk"})]


async def test_help_palette_and_copy(sample: Sample) -> None:
    sample.head()
    ticket = sample.ticket("t1")
    async with at_desk(sample) as (app, pilot):
        await pilot.press("?")
        await until(pilot, lambda: isinstance(app.screen, HelpDialog), "help")
        assert "approve the ticket under the cursor" in await settle(pilot)
        await pilot.press("escape", "y")
        await settle(pilot)
        assert app.clipboard == ticket.digest
        titles = [command.title for command in app.get_system_commands(app.desk)]
        assert not any("creen" in title and "hot" in title for title in titles)
        await pilot.press("colon")
        await until(pilot, lambda: app.screen is not app.desk, "the palette")


def test_bindings_have_ids_and_do_not_collide() -> None:
    for owner in (LiveTable, DeskScreen, DetailScreen):
        bindings: list[Any] = list(owner.BINDINGS)
        ids = [binding.id for binding in bindings]
        assert all(ids)
        assert len(set(ids)) == len(ids)
    keys = [key for owner in (LiveTable, DeskScreen) for b in owner.BINDINGS for key in b.key.split(",")]  # type: ignore[union-attr]
    assert len(set(keys)) == len(keys)


async def test_the_footer_begins_with_help_approve_filter_quit(sample: Sample) -> None:
    sample.head()
    async with at_desk(sample, (80, 24)) as (_, pilot):
        assert grid(pilot).splitlines()[-1].split()[:8] == [
            "?",
            "Help",
            "a",
            "Approve",
            "/",
            "Filter",
            "q",
            "Quit",
        ]


# ---- leaving


@pytest.mark.parametrize(
    ("keys", "stop"), [(("l",), False), (("s",), True), (("right", "right", "enter"), True)]
)
async def test_the_owner_of_an_engine_is_asked(sample: Sample, keys: tuple[str, ...], stop: bool) -> None:
    sample.head()
    async with at_desk(sample, owns_engine=True) as (app, pilot):
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, QuitDialog), "the question")
        await pilot.press("enter")
        assert app.screen is app.desk, "enter alone goes back"
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, QuitDialog), "the question again")
        await pilot.press(*keys)
        await pilot.pause()
    assert app.return_value == DeskExit(stop_engine=stop)


async def test_a_guest_leaves_at_once(sample: Sample) -> None:
    sample.head()
    async with at_desk(sample) as (app, pilot):
        await pilot.press("q")
        await pilot.pause()
    assert app.return_value == DeskExit(stop_engine=False)


def test_the_desk_starts_without_what_takes_long() -> None:
    code = (
        "import sys, arbtui.tui.app;"
        "print([n for n in ('web3', 'pydantic_settings', 'pandas', 'sqlite_utils', 'aiohttp') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_ascii_terminals_get_ascii(sample: Sample) -> None:
    fill(sample)
    async with at_desk(sample, ascii=True) as (_, pilot):
        text = grid(pilot)
        foreign = {ch for ch in text if ord(ch) > 126} - set("─│▁▂▃▄▅▆▇█▔╭╮╰╯")
        assert foreign == set()
        assert "? to approve" in text
