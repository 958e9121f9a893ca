"""The dialogs: approve, reject, leave, help. What moves money takes a typed token; leaving one takes a key."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from arbtui.text import safe_text
from arbtui.tui.look import Look, Row, Tone, age, paint
from arbtui.tui.panes import Sheet, SheetScroll, time_left
from arbtui.tui.sheets import Page, approval_page

if TYPE_CHECKING:
    from arbtui.store.desk import DeskView

#: Keys in so many seconds after a dialog has opened, or in the wake of a key held down, are not meant for it.
QUIET_S = 0.4


@dataclass(frozen=True, slots=True)
class Closed:
    """Why an approval's dialog closed by itself; "" where a person closed it."""

    why: str = ""


class Dialog(ModalScreen[Closed]):
    """A bordered box in the middle, as wide as is good for reading."""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog > Vertical {
        width: 96; max-width: 100%; height: auto; max-height: 100%;
        background: $surface; border: round $primary; padding: 0 1;
    }
    Dialog.-live > Vertical { border: thick $error; }
    Dialog Input { border: none; height: 1; padding: 0 1; background: $panel; }
    Dialog Input:focus { border: none; background: $panel; }
    /* a toast would lie over the digits that are to be typed */
    Dialog ToastRack { display: none; }
    Dialog .foot { height: auto; margin-top: 1; }
    Dialog .said { height: auto; min-height: 1; }
    Dialog SheetScroll { height: auto; scrollbar-size-vertical: 1;
        scrollbar-background: $surface; scrollbar-color: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", id="dialog.back"),
    ]

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._opened = monotonic()
        self._held = "a"
        self._held_at = self._opened

    def too_soon(self, key: str, held: str) -> bool:
        """Whether a key belongs to what was typed before the dialog stood: just opened, or still held down."""
        now = self._monotonic()
        if now - self._opened < QUIET_S:
            if key == held:
                self._held_at = now
            return True
        if key == held and self._held == held and now - self._held_at < QUIET_S:
            self._held_at = now
            return True
        self._held = ""
        return False

    def action_leave(self) -> None:
        self.dismiss(Closed())


class TokenInput(Input):
    """Takes typed hex digits only, nothing pasted, and lets its dialog refuse a key."""

    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, refuses: Callable[[str], bool]) -> None:
        super().__init__(restrict=r"[0-9a-fA-F]*", max_length=4, id="token", select_on_focus=False)
        self.cursor_blink = False
        self._refuses = refuses

    async def _on_key(self, event: events.Key) -> None:
        if (event.is_printable or event.key == "enter") and self._refuses(event.key):
            event.stop()
            event.prevent_default()
            return
        await super()._on_key(event)

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()

    def action_paste(self) -> None:
        """What was not typed approves nothing."""


class ApproveDialog(Dialog):
    """Approval by hand of ONE frozen ticket: its digest's first four digits, typed, then Enter."""

    DEFAULT_CSS = """
    ApproveDialog > Vertical { height: 100%; max-height: 50; }
    ApproveDialog SheetScroll { height: 1fr; border-top: solid $panel; border-bottom: solid $panel; }
    ApproveDialog .foot { margin-top: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll(-1)", "Scroll", show=False, id="approve.up"),
        Binding("down", "scroll(1)", "Scroll", show=False, id="approve.down"),
        Binding("pageup", "scroll(-8)", "Scroll", show=False, id="approve.page_up"),
        Binding("pagedown", "scroll(8)", "Scroll", show=False, id="approve.page_down"),
    ]

    def __init__(
        self,
        detail: Row,
        look: Look,
        *,
        live: bool,
        block_time_s: float,
        monotonic: Callable[[], float],
        refusal: Callable[[str], str],
        post: Callable[[Row], None],
    ) -> None:
        super().__init__(monotonic)
        self.detail = detail
        self.ticket_id: str = detail["id"]
        self._look = look
        self._live = live
        self._block_time_s = block_time_s
        self._refusal = refusal
        self._post = post
        #: watching: may be approved. asked: the engine has it. answered: any key closes.
        self.state: Literal["watching", "asked", "answered"] = "watching"
        self._header = Static(id="approve-head", markup=False)
        self._sheet = Sheet("approve-sheet")
        self._said = Static(id="approve-said", classes="said", markup=False)

    def compose(self) -> ComposeResult:
        with Vertical():
            yield self._header
            with SheetScroll(can_focus=False):
                yield self._sheet
            with Vertical(classes="foot"):
                yield Static(self._prompt(), id="approve-prompt", markup=False)
                yield TokenInput(lambda key: self.too_soon(key, "a"))
                yield self._said

    def on_mount(self) -> None:
        self.set_class(self._live, "-live")
        box = self.query_one(Vertical)
        title = "APPROVE  LIVE" if self._live else "APPROVE  on paper"
        box.border_title = Content(f" {title}  ticket {self.detail['digest'][:10]} ")
        box.border_subtitle = Content(self._look.text(" ↑↓ scroll · esc back ").replace("↑↓", "up/down"))
        look, detail = self._look, self.detail

        def draw(width: int) -> Content:
            page = Page(look, width)
            approval_page(page, detail)
            return page.content()

        self._sheet.show(draw)
        self.query_one(TokenInput).focus()

    def _prompt(self) -> Content:
        digest = self.detail["digest"]
        return paint(
            ("Type the digest's first four digits, then Enter:  0x", ""),
            (digest[2:6], "accent"),
            (self._look.text(digest[6:14] + "…"), "dim"),
        )

    # ---- told by the desk

    def take(self, view: DeskView, now: float) -> None:
        """A newer view of the store, or a later moment: countdown, figures, and whether it closes."""
        waiting = view.ticket(self.ticket_id)
        blocks, seconds = time_left(self.detail["last_block"], view, now, self._block_time_s)
        if self.state == "watching":
            if waiting is None and (ended := self._ended(view)):
                self.dismiss(Closed(ended))
                return
            if blocks <= 0:
                self.dismiss(Closed("expired: its last block has passed"))
                return
            if waiting is None:
                self.dismiss(Closed("gone: the ticket waits no more"))
                return
        self._header.update(self._head(waiting, blocks, seconds))

    def _ended(self, view: DeskView) -> str:
        for decision in view.decisions:
            if decision["ticket_id"] == self.ticket_id:
                kind = decision["kind"].replace("_", " ")
                return f"{kind}: {decision['reason']}" if decision["reason"] else kind
        return ""

    def _head(self, waiting: Row | None, blocks: int, seconds: float) -> Content:
        look, detail = self._look, self.detail
        made = int(detail["expected_net_wei"])
        parts: list[Content] = [
            paint((look.path(detail["path"]), "strong"), (f"  through {detail['lender']}", ""))
        ]
        now_net = None if waiting is None or waiting["now_net_wei"] is None else int(waiting["now_net_wei"])
        line = [
            paint(
                (f"net {look.signed(made)} {look.native}", "good" if made > 0 else "bad"),
                (" when made", "dim"),
            )
        ]
        if now_net is not None and waiting is not None:
            moved = now_net - made
            line.append(
                paint(
                    ("   now ", "dim"),
                    (f"{look.signed(now_net)}", "good" if now_net > 0 else "bad"),
                    (f" ({look.signed(moved)}) at #{waiting['now_block']:,}", "dim"),
                )
            )
        parts.append(Content("").join(line))
        total = max(1, detail["last_block"] - detail["block"])
        full = round(20 * min(blocks, total) / total)
        bar = look.text("█" * full + "░" * (20 - full))
        tone: Tone = "bad" if blocks <= 1 else "warn" if seconds < 15 else "accent"
        word = "block" if blocks == 1 else "blocks"
        parts.append(
            paint(
                (bar, tone),
                (f" {blocks} {word}, {age(seconds)} left", tone),
                (f" to #{detail['last_block']:,}", "dim"),
            )
        )
        return Content("\n").join(parts)

    def answered(self, result: str) -> None:
        """The engine's answer, or why there is none."""
        self.state = "answered"
        self._say(f"{result}   (any key closes)", good=result.startswith(("sent", "approved", "on paper")))

    # ---- what a person does

    @on(Input.Changed, "#token")
    def _typing(self) -> None:
        if self.query_one(TokenInput).value:
            self._said.update("")

    @on(Input.Submitted, "#token")
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self.too_soon("enter", "a") or self.state != "watching":
            return
        typed = event.value.lower()
        field = self.query_one(TokenInput)
        field.value = ""
        if not typed:
            self._say("nothing was approved: type the four digits first")
            return
        if typed != self.detail["digest"][2:6].lower():
            self._say(f"nothing was approved: {typed} is not its digest's beginning")
            return
        if reason := self._refusal(self.ticket_id):
            self._say(f"nothing was approved: {reason}")
            return
        self.state = "asked"
        field.disabled = True
        self._say("asked; the engine simulates it again on the newest block …", good=True)
        self._post(self.detail)

    def on_key(self, event: events.Key) -> None:
        if self.state == "answered":
            event.stop()
            self.dismiss(Closed())

    def action_scroll(self, lines: int) -> None:
        self.query_one(SheetScroll).scroll_relative(y=lines, animate=False)

    def _say(self, text: str, good: bool = False) -> None:
        self._said.update(paint((self._look.text(text), "good" if good else "warn")))


class RejectDialog(Dialog):
    """Why a ticket is turned down: free text, and there must be some."""

    DEFAULT_CSS = "RejectDialog > Vertical { width: 76; }"

    def __init__(
        self,
        ticket: Row,
        look: Look,
        *,
        monotonic: Callable[[], float],
        refusal: Callable[[str], str],
        post: Callable[[Row, str], None],
    ) -> None:
        super().__init__(monotonic)
        self._ticket = ticket
        self.ticket_id: str = ticket["id"]
        self._look = look
        self._refusal = refusal
        self._post = post
        self._said = Static(classes="said", markup=False)

    def compose(self) -> ComposeResult:
        ticket = self._ticket
        net = int(ticket["expected_net_wei"])
        with Vertical():
            yield Static(
                paint(
                    (self._look.path(ticket["path"]), "strong"),
                    (f"  {ticket['lender']}  ", "dim"),
                    (f"net {self._look.signed(net)} {self._look.native}", ""),
                ),
                markup=False,
            )
            with Vertical(classes="foot"):
                yield Static("Why is it turned down? It is kept with the ticket.", markup=False)
                yield ReasonInput(lambda key: self.too_soon(key, "x"))
                yield self._said

    def on_mount(self) -> None:
        self._held = "x"
        box = self.query_one(Vertical)
        box.border_title = Content(f" REJECT  ticket {self._ticket['digest'][:10]} ")
        box.border_subtitle = Content(" enter rejects - esc back ")
        self.query_one(ReasonInput).focus()

    @on(Input.Submitted, "#reason")
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self.too_soon("enter", "x"):
            return
        reason = safe_text(event.value.strip(), 200)
        fault = "a reason is needed" if not reason else self._refusal(self.ticket_id)
        if fault:
            self._said.update(paint((f"nothing was rejected: {fault}", "warn")))
            return
        self._post(self._ticket, reason)
        self.dismiss(Closed())


class ReasonInput(Input):
    """Free text; the key that opened the dialog, still held, is no part of it."""

    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, refuses: Callable[[str], bool]) -> None:
        super().__init__(max_length=200, id="reason", select_on_focus=False)
        self.cursor_blink = False
        self._refuses = refuses

    async def _on_key(self, event: events.Key) -> None:
        if (event.is_printable or event.key == "enter") and self._refuses(event.key):
            event.stop()
            event.prevent_default()
            return
        await super()._on_key(event)


class QuitDialog(ModalScreen[Literal["leave", "stop", "back"]]):
    """Whether the engine that this desk started goes on without it."""

    DEFAULT_CSS = """
    QuitDialog { align: center middle; background: $background 60%; }
    QuitDialog > Vertical {
        width: 64; max-width: 100%; height: auto; background: $surface; border: round $primary; padding: 0 1;
    }
    QuitDialog Horizontal { height: auto; align-horizontal: center; margin-top: 1; }
    QuitDialog Button { margin: 0 1; min-width: 14; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "pick('leave')", "Leave it running", id="quit.leave"),
        Binding("s", "pick('stop')", "Stop it", id="quit.stop"),
        Binding("b,escape,q", "pick('back')", "Back", id="quit.back"),
        Binding("left", "app.focus_previous", "Previous", show=False, id="quit.previous"),
        Binding("right", "app.focus_next", "Next", show=False, id="quit.next"),
    ]

    def __init__(self, engine: int | None, in_flight: int, waiting: int) -> None:
        super().__init__()
        self._engine = engine
        self._in_flight = in_flight
        self._waiting = waiting

    def compose(self) -> ComposeResult:
        with Vertical():
            lines = [f"The engine runs as process {self._engine}."]
            if self._in_flight:
                lines.append("A transaction is in flight; stopping waits for it, ten seconds at most.")
            if self._waiting:
                lines.append(f"{self._waiting} waiting tickets will expire.")
            yield Static("\n".join(lines), markup=False)
            with Horizontal():
                yield Button(Content("Back"), id="back")
                yield Button(Content("Leave running"), id="leave", variant="primary")
                yield Button(Content("Drain, stop"), id="stop", variant="warning")

    def on_mount(self) -> None:
        box = self.query_one(Vertical)
        box.border_title = Content(" LEAVE THE DESK ")
        box.border_subtitle = Content(" l leave it running - s drain and stop it - esc back ")
        self.query_one("#back").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.action_pick(event.button.id or "back")

    def action_pick(self, choice: str) -> None:
        self.dismiss("leave" if choice == "leave" else "stop" if choice == "stop" else "back")


class HelpDialog(ModalScreen[None]):
    """Every key there is, from the bindings themselves, and what the desk does and does not do."""

    DEFAULT_CSS = """
    HelpDialog { align: center middle; background: $background 60%; }
    HelpDialog > SheetScroll {
        width: 84; max-width: 100%; height: auto; max-height: 100%;
        background: $surface; border: round $primary; padding: 0 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1", "app.pop_screen", "Back", id="help.back")
    ]

    def __init__(self, look: Look, keys: Iterable[tuple[str, str, str]]) -> None:
        super().__init__()
        self._look = look
        self._keys = tuple(keys)

    def compose(self) -> ComposeResult:
        with SheetScroll():
            yield Sheet("help-sheet")

    def on_mount(self) -> None:
        box = self.query_one(SheetScroll)
        box.border_title = Content(" HELP ")
        box.border_subtitle = Content(" esc back ")

        def draw(width: int) -> Content:
            page = Page(self._look, width)
            page.title("keys")
            for keys, what, _ in self._keys:
                page.pair(keys, what, label_width=22)
            page.title("filter")
            page.pair("dai", "rows with that text", label_width=22)
            page.pair("!dai", "rows without it", label_width=22)
            page.pair(
                "net>0.05 left<20", "figures: net gross in left block; all words must hold", label_width=22
            )
            page.title("approving")
            page.text(
                "A single letter never moves money. `a` opens the ticket under the cursor, frozen; it is approved by "
                "typing the first four digits of its digest, then Enter. The engine quotes and simulates it again on "
                "the newest block and sends it within its floor, or says what moved."
            )
            page.text(
                "Nothing can be approved while the head is stale, the engine is stopped, the ticket is gone, or the "
                "desk is read-only."
            )
            page.title("states")
            for state in (
                "waiting",
                "asked",
                "submitted",
                "mined",
                "reverted",
                "cancelled",
                "expired",
                "stale",
            ):
                word, tone = self._look.state(state)
                page.line((word, tone), (f"  {_MEANING[state]}", "dim"))
            return page.content()

        self.query_one(Sheet).show(draw)
        box.focus()


_MEANING = {
    "waiting": "a ticket that a person may approve until its last block",
    "asked": "approved by hand; waits for the transaction in flight",
    "submitted": "handed to the node, not mined yet",
    "mined": "done; settled from its receipt",
    "reverted": "mined without effect: it cost its gas, at most the worst case",
    "cancelled": "its nonce was taken by a transfer of nothing",
    "expired": "nobody decided in time",
    "stale": "approved, but the market had moved below its floor",
}
