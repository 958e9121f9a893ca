"""What approves, and everything that does not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from arbtui.domain import DecisionKind, Stage
from arbtui.tui.app import DeskApp, DetailScreen
from arbtui.tui.dialogs import ApproveDialog, RejectDialog
from tests.tui.sample import HEAD, Sample
from tests.tui.screens import grid, settle, told, until


@asynccontextmanager
async def at_desk(
    sample: Sample, size: tuple[int, int] = (100, 26), **settings: Any
) -> AsyncIterator[tuple[DeskApp, Pilot[Any]]]:
    app = sample.desk(**settings)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.view is not None and app.view.head is not None, "a view with a head")
        await settle(pilot)
        yield app, pilot


async def open_dialog(sample: Sample, app: DeskApp, pilot: Pilot[Any]) -> ApproveDialog:
    """`a` on the row under the cursor, and the quiet time over."""
    await pilot.press("a")
    await until(pilot, lambda: isinstance(app.screen, ApproveDialog), "the dialog")
    await settle(pilot)
    sample.clock.forward(0.5)
    assert isinstance(app.screen, ApproveDialog)
    return app.screen


def token_of(ticket: Any) -> str:
    return str(ticket.digest[2:6])


async def type_token(pilot: Pilot[Any], token: str) -> None:
    await pilot.press(*token, "enter")
    await settle(pilot)


@pytest.fixture
def ticket(sample: Sample) -> Any:
    sample.head()
    return sample.ticket("t1")


async def test_the_right_token_posts_exactly_one_command_with_the_full_digest(
    sample: Sample, ticket: Any
) -> None:
    async with at_desk(sample) as (app, pilot):
        await open_dialog(sample, app, pilot)
        await type_token(pilot, token_of(ticket))
        await until(pilot, lambda: sample.commands("approve"), "the command")
        (row,) = sample.commands("approve")
        assert json.loads(row["argument"]) == {"ticket": ticket.id, "digest": ticket.digest, "by": "desk"}
        await pilot.press("enter", "a", "enter")
        await type_token(pilot, token_of(ticket))
        sample.answer("sent as x12ab: 0xfeed")
        await until(pilot, lambda: "sent as x12ab" in grid(pilot), "the answer")
        await pilot.press("space")
        await until(pilot, lambda: not isinstance(app.screen, ApproveDialog), "closed by a key")
        assert len(sample.commands("approve")) == 1


async def test_no_single_key_approves_and_nothing_pasted(sample: Sample, ticket: Any) -> None:
    assert token_of(ticket) != "aaaa"
    async with at_desk(sample) as (app, pilot):
        dialog = await open_dialog(sample, app, pilot)
        dialog.query_one(Input).post_message(events.Paste(token_of(ticket)))
        await settle(pilot)
        assert dialog.query_one(Input).value == "", "what is pasted was not typed"
        for keys in ("enter", "y", "y enter", "a enter", "a a a a enter", "enter enter enter", "space enter"):
            await pilot.press(*keys.split())
            await settle(pilot)
            assert sample.commands("approve") == [], keys
            assert isinstance(app.screen, ApproveDialog), keys


async def test_an_empty_and_a_wrong_token_are_told_and_cleared(sample: Sample, ticket: Any) -> None:
    async with at_desk(sample) as (app, pilot):
        dialog = await open_dialog(sample, app, pilot)
        await pilot.press("enter")
        assert "type the four digits first" in await settle(pilot)
        wrong = f"{(int(token_of(ticket), 16) + 1) % 65536:04x}"
        await type_token(pilot, wrong)
        assert f"{wrong} is not its digest's beginning" in await settle(pilot)
        assert dialog.query_one(Input).value == ""
        await type_token(pilot, token_of(ticket)[:3])
        assert sample.commands("approve") == []
        await type_token(pilot, token_of(ticket).upper())
        await until(pilot, lambda: sample.commands("approve"), "a right one after wrong ones, in any case")


async def test_keys_of_the_first_moments_are_not_meant_for_the_dialog(sample: Sample, ticket: Any) -> None:
    async with at_desk(sample) as (app, pilot):
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, ApproveDialog), "the dialog")
        await type_token(pilot, token_of(ticket))
        assert app.screen.query_one(Input).value == ""
        assert sample.commands("approve") == []


async def test_a_key_held_down_types_nothing_however_long(sample: Sample) -> None:
    sample.head()
    name = next(n for n in map(str, range(10**7)) if _digest(n).startswith("0xaa"))
    sample.ticket(name)
    async with at_desk(sample) as (app, pilot):
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, ApproveDialog), "the dialog")
        for _ in range(60):
            sample.clock.forward(0.03)
            await pilot.press("a")
        assert app.screen.query_one(Input).value == ""
        sample.clock.forward(0.5)
        await pilot.press("a")
        assert app.screen.query_one(Input).value == "a", "pressed anew, it is a digit"
        assert sample.commands("approve") == []


def _digest(name: str) -> str:
    from tests import factories as make

    return make.word("digest", make.word("ticket", name))


async def test_a_double_click_opens_and_approves_nothing(sample: Sample, ticket: Any) -> None:
    async with at_desk(sample) as (app, pilot):
        table = app.desk.opportunities.table
        await pilot.double_click(table, offset=(5, 1))
        await settle(pilot)
        assert not isinstance(app.screen, ApproveDialog)
        assert sample.commands("approve") == []
        await open_dialog(sample, app, pilot)
        await pilot.double_click("#approve-sheet")
        await pilot.double_click("#approve-prompt")
        await settle(pilot)
        assert sample.commands("approve") == []


async def test_the_dialog_closes_when_its_last_block_comes(sample: Sample, ticket: Any) -> None:
    async with at_desk(sample) as (app, pilot):
        await open_dialog(sample, app, pilot)
        await pilot.press(*token_of(ticket))
        sample.clock.forward(12)
        sample.head(HEAD + 5)
        await until(pilot, lambda: not isinstance(app.screen, ApproveDialog), "it closes")
        await pilot.press("enter")
        await until(pilot, lambda: "expired: its last block has passed" in told(app), "why")
        assert sample.commands("approve") == []


async def test_the_dialog_closes_when_the_ticket_is_decided_meanwhile(sample: Sample, ticket: Any) -> None:
    async with at_desk(sample) as (app, pilot):
        await open_dialog(sample, app, pilot)
        sample.decide(ticket, DecisionKind.STALE, "simulation failed: the pool moved")
        await until(pilot, lambda: not isinstance(app.screen, ApproveDialog), "it closes")
        await until(pilot, lambda: "stale: simulation failed" in told(app), "why")
        await pilot.press("a")
        await settle(pilot)
        assert not isinstance(app.screen, ApproveDialog)
        assert sample.commands("approve") == []


async def test_a_stale_head_refuses_before_and_within_the_dialog(sample: Sample, ticket: Any) -> None:
    async with at_desk(sample) as (app, pilot):
        await open_dialog(sample, app, pilot)
        sample.clock.forward(30)
        await type_token(pilot, token_of(ticket))
        assert "the newest block is 33s old" in grid(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: "STALE" in grid(pilot), "the status says so")
        assert app.desk.opportunities.table.dimmed
        await pilot.press("a")
        await settle(pilot)
        assert "not approved: the newest block is" in told(app)
        assert not isinstance(app.screen, ApproveDialog)
        assert sample.commands("approve") == []


async def test_a_stopped_engine_takes_up_nothing(sample: Sample, ticket: Any) -> None:
    async with at_desk(sample) as (app, pilot):
        await open_dialog(sample, app, pilot)
        sample.stop_engine()
        await type_token(pilot, token_of(ticket))
        assert "the engine is stopped" in grid(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: "ENGINE STOPPED" in grid(pilot), "the status says so")
        await pilot.press("a", "x")
        await settle(pilot)
        assert app.screen is app.desk
        assert sample.commands("approve", "reject") == []


async def test_a_read_only_desk_writes_no_row_at_all(sample: Sample, ticket: Any) -> None:
    async with at_desk(sample, read_only=True) as (app, pilot):
        await pilot.press("a")
        await settle(pilot)
        assert "not approved: this desk is read-only" in told(app)
        await pilot.press("x")
        await settle(pilot)
        assert "not rejected: this desk is read-only" in told(app)
        for _ in range(3):
            sample.clock.forward(1)
            app.tick()
            await settle(pilot)
        assert app.screen is app.desk
        assert sample.commands() == []


async def test_a_stage_that_executes_nothing_approves_nothing(tmp_path: Any) -> None:
    sample = Sample(tmp_path, stage=Stage.OBSERVE)
    sample.head()
    sample.ticket("t1")
    async with at_desk(sample) as (app, pilot):
        await pilot.press("a")
        await settle(pilot)
        assert "stage observe executes nothing" in told(app)
        assert app.screen is app.desk
    sample.close()


async def test_a_ticket_that_is_approved_already_is_not_approved_twice(sample: Sample, ticket: Any) -> None:
    async with at_desk(sample) as (app, pilot):
        await open_dialog(sample, app, pilot)
        await type_token(pilot, token_of(ticket))
        await until(pilot, lambda: sample.commands("approve"), "the command")
        sample.answer("approved: waits for the transaction in flight")
        await until(pilot, lambda: "waits for the transaction in flight" in grid(pilot), "the answer")
        await pilot.press("escape")
        await until(pilot, lambda: "✓ approved" in grid(pilot), "the row's state")
        await pilot.press("a")
        await settle(pilot)
        assert "it is approved already" in told(app)
        assert len(sample.commands("approve")) == 1


async def test_a_dropped_row_is_no_ticket(sample: Sample) -> None:
    from tests.tui.sample import fill

    fill(sample)
    async with at_desk(sample) as (app, pilot):
        await pilot.press("G", "a")
        await settle(pilot)
        assert "this row is no ticket" in told(app)
        assert app.screen is app.desk


async def test_the_dialog_shows_what_is_approved_and_scrolls_at_80_by_24(sample: Sample, ticket: Any) -> None:
    async with at_desk(sample, (80, 24)) as (app, pilot):
        dialog = await open_dialog(sample, app, pilot)
        app.say("a toast does not lie over the digits to be typed, however long it is", "warning")
        seen = await settle(pilot)
        for _ in range(12):
            await pilot.press("pagedown")
            await settle(pilot)
            text = grid(pilot)
            assert f"0x{ticket.digest[2:14]}…" in text.splitlines()[-4], "the prompt never leaves the screen"
            seen += text
        for wanted in (
            "12 WETH", "37,123.456789 USDC", "12.1 WETH", "balancer_v2", "all-in", "fallback", "aave_v3",
            "at once", "max      45", "after 20 s", "worst case", "−0.021840", "floor", "+0.050000",
            "✓ liquidity", "margin 4,070", "5 blocks, 57s left", "+0.093400", "now +0.092166",
        ):  # fmt: skip
            assert wanted in seen, wanted
        assert dialog.query_one(Input).has_focus


async def test_reject_demands_a_reason_and_makes_it_safe(sample: Sample, ticket: Any) -> None:
    async with at_desk(sample) as (app, pilot):
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, RejectDialog), "the dialog")
        await pilot.press("x", "x")
        assert app.screen.query_one(Input).value == "", "the key held down is no reason"
        sample.clock.forward(0.5)
        await pilot.press("enter")
        assert "a reason is needed" in await settle(pilot)
        app.screen.query_one(Input).value = "too\u202e thin \x1b[31m"
        await pilot.press("enter")
        await until(pilot, lambda: sample.commands("reject"), "the command")
        (row,) = sample.commands("reject")
        argument = json.loads(row["argument"])
        assert argument == {"ticket": ticket.id, "reason": "too\ufffd thin \ufffd[31m", "by": "desk"}
        assert app.screen is app.desk
        sample.answer("rejected")
        await until(pilot, lambda: "reject: rejected" in told(app), "the answer")


async def test_letters_in_the_filter_order_nothing(sample: Sample, ticket: Any) -> None:
    async with at_desk(sample) as (app, pilot):
        await pilot.press("/", "a", "x", "q")
        await settle(pilot)
        assert app.screen is app.desk
        assert app.desk.opportunities.filter_text == "axq"
        assert sample.commands("approve", "reject") == []


async def test_a_filtered_out_ticket_is_never_actionable(sample: Sample, ticket: Any) -> None:
    async with at_desk(sample) as (app, pilot):
        await pilot.press("/", *"nosuch")
        await settle(pilot)
        assert app.desk.opportunities.table.cursor_key is None
        await pilot.press("enter", "a")
        await settle(pilot)
        assert "the cursor is on no row" in told(app)
        assert app.screen is app.desk
        assert sample.commands("approve") == []


async def test_the_narrow_detail_screen_approves_its_own_ticket(sample: Sample, ticket: Any) -> None:
    async with at_desk(sample, (80, 24)) as (app, pilot):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen), "the detail")
        assert "WETH→USDC→WETH" in await settle(pilot)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, ApproveDialog), "the dialog")
        assert app.screen.ticket_id == ticket.id
