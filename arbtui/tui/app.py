"""The desk itself: reads the store when it changes, paints four times a second, posts what a person asks for."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Footer, Input, Static
from textual.worker import Worker

from arbtui.errors import ArbtuiError
from arbtui.text import safe_text
from arbtui.tui.dialogs import ApproveDialog, Closed, Dialog, HelpDialog, QuitDialog, RejectDialog
from arbtui.tui.feed import Feed, iso
from arbtui.tui.live_table import LiveTable
from arbtui.tui.look import THEMES, Look, Row, Tone, age, cut, ether, fit, gwei, paint, short
from arbtui.tui.panes import ExecutionsPane, LogPane, OpportunitiesPane, Pane, Sheet, SheetScroll
from arbtui.tui.settings import DeskExit, DeskSettings
from arbtui.tui.sheets import flight_lines, unsound_lines

if TYPE_CHECKING:
    from arbtui.store.desk import DeskView

#: How long a store may look unfinished while an engine makes it.
MAKING_S = 3.0
WATCH_S = 0.05
FLUSH_S = 0.25
PID_S = 0.5
SEEN_S = 1.0
#: How long the engine's answer to a command is waited for.
ANSWER_S = 20.0
#: Whole-second block times and the engine's own work are no staleness.
GRACE_S = 2.0
_TABS = (("1", "Opportunities"), ("2", "Executions"), ("7", "Log"))


class StatusBar(Widget):
    """One line: what matters most is dropped last where the terminal is narrow."""

    DEFAULT_CSS = """
    StatusBar { height: 1; background: $panel; color: $text; }
    StatusBar.-live { background: $error-muted; }
    """

    def render(self) -> Content:
        return self.app.status(self.size.width) if isinstance(self.app, DeskApp) else Content("")


class TabBar(Widget):
    """The screens there are, and on the right how the list is being shown."""

    DEFAULT_CSS = "TabBar { height: 1; background: $surface; }"

    def render(self) -> Content:
        screen = self.screen
        return screen.tabs(self.size.width) if isinstance(screen, DeskScreen) else Content("")

    def on_click(self, event: events.Click) -> None:
        start = 1
        for key, name in _TABS:
            width = len(name) + 5
            if start <= event.x < start + width and isinstance(self.screen, DeskScreen):
                self.screen.action_show(key)
            start += width


class DetailScreen(ModalScreen[None]):
    """The sheet of one row over the whole terminal, where there is no room beside the list."""

    DEFAULT_CSS = """
    DetailScreen { background: $surface; }
    DetailScreen SheetScroll { padding: 0 1; scrollbar-size-vertical: 1; height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "app.pop_screen", "Back", id="detail.back"),
        Binding("a", "approve", "Approve", id="detail.approve"),
        Binding("x", "reject", "Reject", id="detail.reject"),
        Binding("y", "copy", "Copy", id="detail.copy"),
    ]

    def __init__(self, desk: DeskScreen, pane: Pane, key: str) -> None:
        super().__init__()
        self._desk = desk
        self.pane = pane
        self.key = key
        self.sheet = Sheet()

    def compose(self) -> ComposeResult:
        yield StatusBar()
        with SheetScroll():
            yield self.sheet
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(SheetScroll).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        if action in ("approve", "reject"):
            return isinstance(self.pane, OpportunitiesPane) and self.pane.ticket_id(self.key) is not None
        return True

    def action_approve(self) -> None:
        self._desk.approve(self.key)

    def action_reject(self) -> None:
        self._desk.reject(self.key)

    def action_copy(self) -> None:
        self._desk.copy(self.pane, self.key)


class FilterInput(Input):
    """Where the filter is typed. No letter typed here is an order."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "screen.clear_filter", "Clear", id="filter.clear"),
    ]


class DeskScreen(Screen[None]):
    """Status, tabs, one of the lists with its sheet, keys."""

    AUTO_FOCUS = "LiveTable"
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - as Textual declares it
        (0, "-narrow"),
        (100, "-wide"),
        (150, "-very-wide"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (16, "-high")]  # noqa: RUF012 - as Textual declares it
    DEFAULT_CSS = """
    DeskScreen { background: $surface; }
    DeskScreen ContentSwitcher { height: 1fr; }
    DeskScreen .list { width: 1fr; }
    DeskScreen LiveTable { height: 1fr; }
    DeskScreen #flights { border-top: solid $panel; padding: 0 1; height: 3; }
    DeskScreen .detail { display: none; border-left: solid $panel; padding: 0 1; scrollbar-size-vertical: 1;
        scrollbar-background: $surface; scrollbar-color: $panel; }
    DeskScreen.-wide .detail { display: block; width: 50; }
    DeskScreen.-very-wide .detail { display: block; width: 42%; max-width: 92; min-width: 64; }
    DeskScreen #unsound { padding: 0 1; }
    DeskScreen #filter-line { display: none; height: 1; background: $panel; }
    DeskScreen #filter-line.-open { display: block; }
    DeskScreen #filter-line Static { width: auto; padding: 0 1; color: $text-accent; }
    DeskScreen #filter { border: none; height: 1; padding: 0; width: 1fr; background: $panel; }
    DeskScreen.-low #flights { display: none; }
    DeskScreen #small { display: none; height: 1; background: $warning-muted; color: $text-warning; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1", "help", "Help", key_display="?", id="desk.help"),
        Binding("a", "approve", "Approve", id="desk.approve"),
        Binding("slash", "filter", "Filter", key_display="/", id="desk.filter"),
        Binding("q", "app.leave", "Quit", id="desk.quit"),
        Binding("x", "reject", "Reject", id="desk.reject"),
        Binding("t", "strategy", "Gas strategy", show=False, id="desk.strategy"),
        Binding("y", "copy", "Copy", id="desk.copy"),
        Binding("s", "sort", "Sort", id="desk.sort"),
        Binding("S", "reverse", "Reverse", show=False, id="desk.reverse"),
        Binding("f", "freeze", "Freeze", show=False, id="desk.freeze"),
        Binding("p", "pause", "Pause", id="desk.pause"),
        Binding("1", "show('1')", "Opportunities", show=False, id="desk.opportunities"),
        Binding("2", "show('2')", "Executions", show=False, id="desk.executions"),
        Binding("7", "show('7')", "Log", show=False, id="desk.log"),
        Binding("escape", "back", "Back", show=False, id="desk.back"),
        Binding("colon", "app.command_palette", "Palette", key_display=":", show=False, id="desk.palette"),
    ]

    def __init__(self, desk: DeskApp) -> None:
        super().__init__()
        self.desk = desk
        self.panes: dict[str, Pane] = {
            "1": OpportunitiesPane(desk.look, "opportunities", desk.settings.block_time_s),
            "2": ExecutionsPane(desk.look, "executions", desk.settings.family),
            "7": LogPane(desk.look, "log", desk.settings.family),
        }
        self.current = "1"
        self.flights = Sheet("flights")
        self.unsound = Sheet("unsound")
        self.unsound.display = False

    def compose(self) -> ComposeResult:
        yield StatusBar()
        yield TabBar()
        yield Static("this terminal is small: 80 columns and 20 rows show more", id="small", markup=False)
        yield self.unsound
        with ContentSwitcher(initial="opportunities"):
            yield from self.panes.values()
        yield self.flights
        with Horizontal(id="filter-line"):
            yield Static("filter", markup=False)
            yield FilterInput(id="filter", select_on_focus=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(FilterInput).cursor_blink = False
        self.query_one(FilterInput).can_focus = False

    def on_resize(self, event: events.Resize) -> None:
        self.query_one("#small").display = event.size.width < 80 or event.size.height < 20

    @property
    def pane(self) -> Pane:
        return self.panes[self.current]

    @property
    def opportunities(self) -> OpportunitiesPane:
        pane = self.panes["1"]
        assert isinstance(pane, OpportunitiesPane)  # noqa: S101 - narrows for the type checker
        return pane

    def tabs(self, width: int) -> Content:
        parts: list[Content] = [Content(" ")]
        for key, name in _TABS:
            style = "$text on $primary-muted bold" if key == self.current else "$arb-dim"
            parts.append(Content.styled(f" {key} {name} ", style))
            parts.append(Content(" "))
        left = Content("").join(parts)
        right = self._notes()
        room = width - left.cell_length - 1
        if right.cell_length > room:
            right = cut(right, max(0, room), self.desk.look.more)
        gap = max(0, width - left.cell_length - right.cell_length - 1)
        return Content("").join([left, Content(" " * gap), right])

    def _notes(self) -> Content:
        pane = self.pane
        shown, everything = pane.counts
        notes: list[tuple[str, Any]] = []
        if self.desk.paused:
            notes.append(("PAUSED", "warn"))
        if pane.table.frozen:
            notes.append(("FROZEN", "warn"))
        if pane.filter_text.strip():
            notes.append((f"filter {pane.filter_text.strip()}", "accent"))
        if pane.filter_fault:
            notes.append((pane.filter_fault, "bad"))
        notes.append(
            (f"{shown} of {everything}" if pane.filter_text.strip() else f"{everything} rows", "dim")
        )
        return Content("  ").join(paint((self.desk.look.text(text), tone)) for text, tone in notes)

    # ---- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        if action in ("approve", "reject"):
            return self.current == "1" and not isinstance(self.focused, Input)
        return True

    def action_show(self, key: str) -> None:
        self.close_filter()
        self.current = key
        self.query_one(ContentSwitcher).current = self.pane.id
        self.pane.table.focus()
        self.desk.repaint()
        self.desk.want_detail(self.pane)
        self.refresh_bindings()

    def action_help(self) -> None:
        self.app.push_screen(HelpDialog(self.desk.look, self.desk.keys_of(self)))

    def action_filter(self) -> None:
        line = self.query_one("#filter-line")
        field = self.query_one(FilterInput)
        line.add_class("-open")
        field.can_focus = True
        field.value = self.pane.filter_text
        field.focus()

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        if self.query_one("#filter-line").has_class("-open"):
            self.pane.set_filter(event.value, self.desk.monotonic())
            self.query_one(TabBar).refresh()

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self.close_filter()

    def close_filter(self) -> None:
        """The filter stays; its line closes."""
        self.query_one("#filter-line").remove_class("-open")
        self.pane.table.focus()
        self.query_one(FilterInput).can_focus = False

    def action_clear_filter(self) -> None:
        self.close_filter()
        self.pane.set_filter("", self.desk.monotonic())
        self.query_one(TabBar).refresh()

    def action_back(self) -> None:
        if self.pane.filter_text:
            self.action_clear_filter()
        else:
            self.pane.table.focus()

    def action_sort(self) -> None:
        self.pane.next_sort(self.desk.monotonic())

    def action_reverse(self) -> None:
        self.pane.reverse_sort(self.desk.monotonic())

    def action_freeze(self) -> None:
        self.pane.table.frozen = not self.pane.table.frozen
        self.query_one(TabBar).refresh()

    def action_pause(self) -> None:
        self.desk.paused = not self.desk.paused
        self.desk.repaint()

    def action_copy(self) -> None:
        key = self.pane.table.cursor_key
        if key is not None:
            self.copy(self.pane, key)

    def copy(self, pane: Pane, key: str) -> None:
        text = pane.copyable(key)
        if text:
            self.app.copy_to_clipboard(text)
            self.desk.say(f"copied {short(text, 10, 6)}")

    def action_approve(self) -> None:
        key = self._aimed_at()
        if key is not None:
            self.approve(key)

    def action_reject(self) -> None:
        key = self._aimed_at()
        if key is not None:
            self.reject(key)

    def action_strategy(self) -> None:
        """The next gas strategy for the ticket under the cursor: a new ticket, with its own digest."""
        key = self._aimed_at()
        if key is None:
            return
        ticket_id = self.opportunities.ticket_id(key)
        if ticket_id is None:
            self.desk.say("this row is no ticket: it has no gas strategy", "warning")
            return
        self.desk.switch_strategy(ticket_id)

    def _aimed_at(self) -> str | None:
        """The row an order is about: under the cursor, and on the screen."""
        table = self.opportunities.table
        key = table.cursor_key
        if key is None or key not in table.visible_keys():
            self.desk.say("the cursor is on no row that is shown", "warning")
            return None
        return key

    def approve(self, key: str) -> None:
        """Open the dialog on the ticket of this row, or say why not."""
        ticket_id = self.opportunities.ticket_id(key)
        if ticket_id is None:
            self.desk.say("this row is no ticket: the block's checks dropped it", "warning")
            return
        if reason := self.desk.refusal(ticket_id):
            self.desk.say(f"not approved: {reason}", "warning")
            return
        self.desk.desk_work(partial(self.desk.open_approval, ticket_id), "dialog", exclusive=True)

    def reject(self, key: str) -> None:
        ticket_id = self.opportunities.ticket_id(key)
        if ticket_id is None:
            self.desk.say("this row is no ticket: there is nothing to reject", "warning")
            return
        self.desk.open_rejection(ticket_id)

    # ---- lists

    @on(LiveTable.Highlighted)
    def _moved(self, event: LiveTable.Highlighted) -> None:
        pane = next((pane for pane in self.panes.values() if pane.table is event.table), None)
        if pane is self.pane:
            self.desk.want_detail(pane)

    @on(LiveTable.Chosen)
    def _chosen(self, event: LiveTable.Chosen) -> None:
        if self.size.width >= 100:
            self.pane.query_one(SheetScroll).focus()
        else:
            self.app.push_screen(DetailScreen(self, self.pane, event.key))
            self.desk.want_detail(self.pane)


class DeskApp(App[DeskExit]):
    """The application. Clocks are handed in so that tests can turn them."""

    TITLE = "ARBTUI"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "leave", "Quit", show=False, priority=True, id="app.quit"),
    ]

    def __init__(
        self,
        settings: DeskSettings,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.clock = clock
        self.monotonic = monotonic
        self.view: DeskView | None = None
        self.paused = False
        self.trouble = "waiting for the engine"
        known = {
            address.lower(): (safe_text(token.symbol, 16), token.decimals)
            for address, token in settings.tokens.items()
        }
        self._tokens: dict[str, tuple[str, int]] = dict(known)
        self.look = Look(settings.ascii, safe_text(settings.native_symbol, 8), self._tokens)
        self.feed = Feed(settings, clock)
        self.engine_pid: int | None = None
        self._dirty = False
        self._flushed_at = float("-inf")
        self._second = -1
        self._details: dict[str, tuple[Row | None, object]] = {}
        self._visible_since: dict[str, float] = {}
        self._told_seen: set[str] = set()
        self._said_at: dict[str, float] = {}
        self._desk: DeskScreen | None = None
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = os.environ.get("ARBTUI_THEME", "arb-dark")

    @property
    def desk(self) -> DeskScreen:
        assert self._desk is not None  # noqa: S101 - narrows for the type checker
        return self._desk

    def get_default_screen(self) -> Screen[None]:
        self._desk = DeskScreen(self)
        return self._desk

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {"arb-dim": "#87919b", "arb-cursor": "#1f4b73"}

    def on_mount(self) -> None:
        self.set_interval(FLUSH_S, self.tick)
        self.desk_work(self._watch, "watch")

    def desk_work(
        self, work: Callable[[], Coroutine[None, None, None]], group: str, *, exclusive: bool = False
    ) -> Worker[None]:
        """Started later, and never if another one takes its place before: so it is a callable."""
        return self.run_worker(work, group=group, exclusive=exclusive)

    async def on_unmount(self) -> None:
        await asyncio.to_thread(self.feed.close)

    # ---- reading

    async def _watch(self) -> None:
        """Notice, read, take; one read at a time, and none while nothing was committed."""
        checked = float("-inf")
        opening: float | None = None
        while True:
            try:
                if not self.feed.opened and await asyncio.to_thread(self.feed.exists):
                    await asyncio.to_thread(self.feed.open)
                if self.feed.opened:
                    started = time.monotonic()
                    due = started - checked >= PID_S
                    if due:
                        checked = started
                        self.engine_pid = await asyncio.to_thread(self.feed.engine_pid)
                    if self.feed.changed():
                        self.receive(await asyncio.to_thread(self.feed.read))
            except ArbtuiError as error:
                # A store that an engine is just making looks unfinished for a moment; only then is it no trouble.
                opening = time.monotonic() if opening is None else opening
                if self.feed.opened or time.monotonic() - opening >= MAKING_S:
                    self.trouble = safe_text(error, 200)
                    self.say(self.trouble, "error")
            await asyncio.sleep(WATCH_S)

    def receive(self, view: DeskView) -> None:
        """A newer view. It is painted at once, unless something was painted a moment ago."""
        self.view = view
        self.engine_pid = view.engine_pid
        self._tokens.update(
            {address: known for address, known in view.tokens.items() if address not in self._tokens}
        )
        self._dirty = True
        if self.monotonic() - self._flushed_at >= FLUSH_S:
            self.tick()

    def tick(self) -> None:
        """Four times a second: paint what is new, count down, notice which tickets a person can see."""
        if not self._running or self._desk is None or not self._desk.is_mounted:
            return
        now, moment = self.clock(), self.monotonic()
        self._flushed_at = moment
        view = self.view
        second = int(now)
        due = self._dirty or second != self._second
        if view is not None and due:
            self._second = second
            dirty, self._dirty = self._dirty, False
            self._tell_dialogs(view, now)
            if not self.paused:
                self._paint(view, now, moment, dirty)
        self._notice(moment)
        for bar in self.screen.query(StatusBar):
            bar.set_class(self.stage() == "live", "-live")
            bar.refresh()
        if due:
            self._desk.query_one(TabBar).refresh()

    def repaint(self) -> None:
        self._dirty = True
        self.tick()

    def _paint(self, view: DeskView, now: float, moment: float, dirty: bool) -> None:
        desk = self.desk
        asking = isinstance(self.screen, Dialog)
        pane = desk.pane
        if asking:
            # Nothing jumps under a dialog: what is behind it stays as it was when it opened.
            return
        pane.take(view, now)
        pane.table.dimmed = bool(self.stale())
        pane.table.flush(moment)
        last = next((row for row in view.executions if row["status"] not in ("prepared", "submitted")), None)
        desk.flights.show(lambda width: flight_lines(self.look, width, view.flights, last, iso(now)))
        unsound = view.unreconciled_named
        desk.unsound.display = any(row["reconciliation"] is not None for row in unsound)
        desk.unsound.show(lambda width: unsound_lines(self.look, width, unsound, self.settings.family))
        if dirty:
            self.want_detail(pane)
        else:
            self._show_detail(pane)

    def _tell_dialogs(self, view: DeskView, now: float) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, ApproveDialog) and screen.is_mounted:
                screen.take(view, now)

    # ---- the sheet

    def want_detail(self, pane: Pane) -> None:
        key = self._detail_key(pane)
        if key is None or self.view is None:
            pane.sheet.show(None)
            return
        self._show_detail(pane)
        stored = pane.store_key(key)
        if stored is not None:
            self.desk_work(partial(self._read_detail, pane, key, stored), "detail", exclusive=True)

    def _detail_key(self, pane: Pane) -> str | None:
        if isinstance(self.screen, DetailScreen) and self.screen.pane is pane:
            return self.screen.key
        return pane.table.cursor_key

    async def _read_detail(self, pane: Pane, key: str, stored: str) -> None:
        try:
            found = await asyncio.to_thread(self.feed.detail, stored)
        except ArbtuiError as error:
            self.say(safe_text(error, 200), "error")
            return
        self._details = {key: (found, None)}
        self._show_detail(pane)

    def _show_detail(self, pane: Pane) -> None:
        key, view = self._detail_key(pane), self.view
        if key is None or view is None:
            return
        detail = self._details.get(key, (None, None))[0]
        draw = pane.draw(key, detail, view, self.clock())
        if draw is None and pane.store_key(key) is not None:
            return
        sheet = self.screen.sheet if isinstance(self.screen, DetailScreen) else pane.sheet
        sheet.show(draw)

    # ---- what may be asked

    def head_age(self) -> float | None:
        if self.view is None or self.view.head is None:
            return None
        return max(0.0, self.clock() - self.view.head.timestamp)

    def stale(self) -> bool:
        """Whether the newest block is older than two block times (and a little for whole seconds and work)."""
        seconds = self.head_age()
        return seconds is not None and seconds > 2 * self.settings.block_time_s + GRACE_S

    def stage(self) -> str:
        return str(self.view.run["stage"]) if self.view is not None and self.view.run is not None else ""

    def refusal(self, ticket_id: str, *, rejecting: bool = False) -> str:
        """Why this ticket cannot be decided on now; "" where it can."""
        view = self.view
        if self.settings.read_only:
            return "this desk is read-only"
        if view is None or view.head is None:
            return "no block has been seen yet"
        if self.feed.engine_pid() is None:
            return "the engine is stopped; nothing would take the command up"
        ticket = view.ticket(ticket_id)
        if ticket is None:
            return "the ticket waits no more"
        if rejecting:
            return ""
        if self.stage() not in ("live", "canary", "paper"):
            return f"stage {self.stage()} executes nothing"
        if self.stale():
            return f"the newest block is {age(self.head_age() or 0)} old"
        if ticket["last_block"] <= view.head.number:
            return "the ticket has expired"
        asked = ticket["asked"]
        if (
            asked is not None
            and asked[0] == "approve"
            and (asked[1] is None or asked[1].startswith("approved"))
        ):
            return "it is approved already"
        return ""

    async def open_approval(self, ticket_id: str) -> None:
        """Read the ticket whole, freeze it in a dialog."""
        try:
            detail = await asyncio.to_thread(self.feed.detail, ticket_id)
        except ArbtuiError as error:
            self.say(safe_text(error, 200), "error")
            return
        if detail is None or detail["what"] != "ticket" or isinstance(self.screen, Dialog):
            return
        if reason := self.refusal(ticket_id):
            self.say(f"not approved: {reason}", "warning")
            return
        dialog = ApproveDialog(
            detail,
            self.look,
            live=self.stage() == "live",
            block_time_s=self.settings.block_time_s,
            monotonic=self.monotonic,
            refusal=self.refusal,
            post=lambda row: self._post_approval(dialog, row),
        )
        self._tell_seen(ticket_id)
        await self.push_screen(dialog, self._approval_closed)
        if self.view is not None:
            dialog.take(self.view, self.clock())

    def _approval_closed(self, closed: Closed | None) -> None:
        if closed is not None and closed.why:
            self.say(f"nothing was approved; {closed.why}", "warning")
        self.repaint()

    def _post_approval(self, dialog: ApproveDialog, detail: Row) -> None:
        argument = {"ticket": detail["id"], "digest": detail["digest"], "by": "desk"}
        self.desk_work(partial(self._ask, "approve", argument, dialog), "asking")

    def open_rejection(self, ticket_id: str) -> None:
        if reason := self.refusal(ticket_id, rejecting=True):
            self.say(f"not rejected: {reason}", "warning")
            return
        ticket = self.view.ticket(ticket_id) if self.view is not None else None
        if ticket is None or isinstance(self.screen, Dialog):
            return
        self._tell_seen(ticket_id)

        def post(row: Row, reason: str) -> None:
            argument = {"ticket": row["id"], "reason": reason, "by": "desk"}
            self.desk_work(partial(self._ask, "reject", argument, None), "asking")

        self.push_screen(
            RejectDialog(
                ticket,
                self.look,
                monotonic=self.monotonic,
                refusal=lambda key: self.refusal(key, rejecting=True),
                post=post,
            ),
            lambda _: self.repaint(),
        )

    def switch_strategy(self, ticket_id: str) -> None:
        if reason := self.refusal(ticket_id, rejecting=True):
            self.say(f"not switched: {reason}", "warning")
            return
        argument = {"ticket": ticket_id, "strategy": "next", "by": "desk"}
        self.desk_work(partial(self._ask, "strategy", argument, None), "asking")

    async def _ask(self, kind: str, argument: dict[str, Any], dialog: ApproveDialog | None) -> None:
        """Post a command, wait for the engine's answer, and show it."""
        try:
            number = await asyncio.to_thread(self.feed.post, kind, argument)
            result = await self._answer(number)
        except ArbtuiError as error:
            result = f"failed: {safe_text(error, 200)}"
        shown = safe_text(result, 200)
        good = shown.startswith(("sent", "approved", "on paper", "rejected", "switched"))
        self.say(f"{kind}: {shown}", "information" if good else "warning")
        if dialog is not None and dialog.is_mounted:
            dialog.answered(shown)

    async def _answer(self, number: int) -> str:
        end = time.monotonic() + ANSWER_S
        while time.monotonic() < end:
            result = await asyncio.to_thread(self.feed.result, number)
            if result is not None:
                return result
            await asyncio.sleep(WATCH_S)
        return f"no answer within {ANSWER_S:g} s; command {number} still stands, see the log"

    # ---- what a person has seen

    def _notice(self, moment: float) -> None:
        """A ticket counts as seen when its row stood on the screen for a second, not filtered, not scrolled away."""
        desk = self.desk
        if self.screen is not desk or desk.current != "1" or self.settings.read_only or self.view is None:
            self._visible_since.clear()
            return
        waiting = {row["id"] for row in self.view.waiting}
        ids = {desk.opportunities.ticket_id(key) for key in desk.opportunities.table.visible_keys()}
        visible = {ticket_id for ticket_id in ids if ticket_id is not None and ticket_id in waiting}
        self._visible_since = {ticket_id: self._visible_since.get(ticket_id, moment) for ticket_id in visible}
        for ticket_id, since in self._visible_since.items():
            if moment - since >= SEEN_S:
                self._tell_seen(ticket_id)

    def _tell_seen(self, ticket_id: str) -> None:
        if ticket_id in self._told_seen or self.settings.read_only:
            return
        self._told_seen.add(ticket_id)
        self.desk_work(partial(self._post_seen, ticket_id), "seen")

    async def _post_seen(self, ticket_id: str) -> None:
        try:
            await asyncio.to_thread(self.feed.post, "seen", {"ticket": ticket_id})
        except ArbtuiError as error:
            self._told_seen.discard(ticket_id)
            self.say(safe_text(error, 200), "error")

    # ---- leaving

    def action_leave(self) -> None:
        """`q`: at once, or, where the engine is this desk's own, after asking what becomes of it."""
        if isinstance(self.screen, QuitDialog):
            return
        if not self.settings.owns_engine or self.engine_pid is None:
            self.exit(DeskExit(stop_engine=False))
            return
        view = self.view
        in_flight = len(view.flights) if view is not None else 0
        waiting = len(view.waiting) if view is not None else 0
        self.push_screen(QuitDialog(self.engine_pid, in_flight, waiting), self._leave)

    def _leave(self, choice: str | None) -> None:
        if choice in ("leave", "stop"):
            self.exit(DeskExit(stop_engine=choice == "stop"))

    async def action_quit(self) -> None:
        """The palette's and the terminal's own way out asks too."""
        self.action_leave()

    def action_help_quit(self) -> None:
        self.say("q leaves the desk")

    # ---- words

    def say(self, text: str, severity: str = "information") -> None:
        """A toast; the same one not twice within ten seconds."""
        now = self.monotonic()
        if severity != "information" and now - self._said_at.get(text, float("-inf")) < 10:
            return
        self._said_at[text] = now
        seconds = {"information": 3.0, "warning": 6.0}.get(severity, 10.0)
        level = "warning" if severity == "warning" else "error" if severity == "error" else "information"
        self.notify(self.look.text(text), severity=level, timeout=seconds, markup=False)  # type: ignore[arg-type]

    def status(self, width: int) -> Content:
        """The status line: fields in their order, the least important left out first."""
        view, look = self.view, self.look
        fields: list[tuple[int, Content]] = []
        stage = self.stage()
        style = "reverse bold $text-error" if stage == "live" else "reverse bold"
        fields.append((100, Content.styled(f" {(stage or 'no run').upper()} ", style)))
        if view is None:
            fields.append((95, paint((look.text(self.trouble), "warn"))))
        else:
            if view.waiting:
                fields.append((90, paint((f"{len(view.waiting)} to approve", "warn"))))
            if view.unreconciled:
                fields.append((92, paint((f"{view.unreconciled} unreconciled", "bad"))))
            ill = [row for row in view.nodes if row["state"] not in ("ok", "new")]
            if ill:
                well = f"! nodes {len(view.nodes) - len(ill)}/{len(view.nodes)}"
                fields.append((94, paint((well, "bad"))))
            if self.engine_pid is None:
                fields.append((96, paint(("! ENGINE STOPPED", "bad"))))
            if view.head is not None:
                name = safe_text(self.settings.chain_name, 16)
                fields.append((35, paint((name, "dim"))))
                fields.append((60, Content(f"#{view.head.number:,}")))
                seconds = age(self.head_age() or 0)
                late = self.stale()
                fields.append(
                    (
                        98 if late else 70,
                        paint((f"! STALE {seconds}" if late else seconds, "bad" if late else "")),
                    )
                )
            profit = view.today.net_wei
            tone: Tone = "good" if profit > 0 else "bad" if profit < 0 else "dim"
            today = f"{look.signed(profit, 18, 4)} {look.native}"
            fields.append((75, paint((today, tone), (f" today ({view.today.settled})", "dim"))))
            if view.head is not None:
                fields.append((20, paint((f"{gwei(view.head.base_fee_per_gas)} gwei", "dim"))))
            if view.run is not None:
                held = (
                    ""
                    if view.head is None or view.head.wallet_balance is None
                    else f" {ether(view.head.wallet_balance)} {look.native}"
                )
                fields.append((30, paint((look.text(short(view.run["wallet"])), "dim"), held)))
            if self.engine_pid is not None:
                fields.append((40, paint((f"pid {self.engine_pid}", "dim"))))
        clock = time.strftime("%H:%M:%S", time.gmtime(self.clock()))
        right = paint(
            (f"{clock} UTC " if width >= 100 else f"{clock} ", "dim"),
            (look.beat(int(self.monotonic() * 4)), "accent"),
        )
        room = width - right.cell_length - 2
        while sum(field.cell_length + 2 for _, field in fields) > room and len(fields) > 1:
            fields.remove(min(fields, key=lambda field: field[0]))
        left = Content("  ").join(field for _, field in fields)
        if left.cell_length > room:
            left = cut(left, room, look.more)
        return Content("").join(
            [
                left,
                Content(" " * max(1, width - left.cell_length - right.cell_length - 1)),
                right,
                Content(" "),
            ]
        )

    def keys_of(self, screen: DeskScreen) -> Iterable[tuple[str, str, str]]:
        """Keys, what they do, and the ids to give them others by."""
        for binding in (*LiveTable.BINDINGS, *screen.BINDINGS, *self.BINDINGS):
            if isinstance(binding, Binding):
                keys = binding.key.replace("question_mark", "?").replace("slash", "/").replace("colon", ":")
                yield (
                    fit(keys.replace(",", " "), 20).rstrip(),
                    _WORDS.get(binding.id or "", binding.description),
                    binding.id or "",
                )

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:  # noqa: ARG002
        """The palette: every action of the desk. No screenshot: it would write a file nobody asked for."""
        desk = self.desk
        yield SystemCommand("Opportunities", "Screen 1", lambda: desk.action_show("1"))
        yield SystemCommand("Executions", "Screen 2", lambda: desk.action_show("2"))
        yield SystemCommand("Log", "Screen 7", lambda: desk.action_show("7"))
        yield SystemCommand("Filter", "Show some rows only", desk.action_filter)
        yield SystemCommand("Clear the filter", "Show all rows", desk.action_clear_filter)
        yield SystemCommand("Sort by the next column", "s", desk.action_sort)
        yield SystemCommand("Reverse the order", "S", desk.action_reverse)
        yield SystemCommand("Freeze the order", "Rows stay where they are", desk.action_freeze)
        yield SystemCommand("Pause the display", "The engine goes on", desk.action_pause)
        yield SystemCommand(
            "Theme", "Other colours; arb-cb is for the colour-blind", self.action_change_theme
        )
        yield SystemCommand("Help", "Keys and rules", desk.action_help)
        yield SystemCommand("Quit", "Leave the desk", self.action_leave)


_WORDS = {
    "list.down": "a row down",
    "list.up": "a row up",
    "list.first": "the first row",
    "list.last": "the last row",
    "list.page_down": "half a page down",
    "list.page_up": "half a page up",
    "list.choose": "look at the row closely",
    "desk.approve": "approve the ticket under the cursor (opens a dialog)",
    "desk.strategy": "make the ticket under the cursor anew with the next gas strategy",
    "desk.reject": "reject the ticket under the cursor, with a reason",
    "desk.filter": "filter the list",
    "desk.quit": "leave the desk",
    "desk.copy": "copy the row's digest or hash",
    "desk.sort": "sort by the next column",
    "desk.reverse": "reverse the order",
    "desk.freeze": "freeze the order of the rows",
    "desk.pause": "pause the display; the engine goes on",
    "desk.back": "back; clear the filter",
    "desk.palette": "the palette (ctrl+p too)",
    "app.quit": "leave the desk",
}
