"""The desk's screens: a live list each, with the chosen row's sheet beside it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget

from arbtui.tui.feed import iso
from arbtui.tui.filtering import parse_filter
from arbtui.tui.live_table import Cell, Column, LiveTable, TableRow
from arbtui.tui.look import Look, Row, age, clock_of, short
from arbtui.tui.sheets import (
    Draw,
    Page,
    closing_text,
    execution_page,
    log_page,
    ticket_page,
    unsound_place,
    way_out,
)
from arbtui.units import format_amount

if TYPE_CHECKING:
    from arbtui.store.desk import DeskView


#: So many that do not fit stand in the log; the status line counts all of them.
_NAMED = 100


class Sheet(Widget):
    """Text that is drawn anew for the width it gets."""

    DEFAULT_CSS = "Sheet { height: auto; width: 1fr; }"

    def __init__(self, css_id: str | None = None) -> None:
        super().__init__(id=css_id)
        self._draw: Draw | None = None
        self._drawn: tuple[int, Content] | None = None

    def show(self, draw: Draw | None) -> None:
        """The same height repaints; another one lays out."""
        old, self._draw, self._drawn = self._drawn, draw, None
        new = self._content(old[0]) if old is not None else None
        same = old is not None and new is not None and _height(old[1]) == _height(new)
        if not same or old is None or new is None or not old[1].is_same(new):
            self.refresh(layout=not same)

    def _content(self, width: int) -> Content:
        if self._drawn is None or self._drawn[0] != width:
            self._drawn = (width, Content("") if self._draw is None else self._draw(width))
        return self._drawn[1]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return _height(self._content(width))

    def render(self) -> Content:
        return self._content(self.size.width)


def _height(content: Content) -> int:
    return content.plain.count("\n") + 1


class SheetScroll(VerticalScroll, can_focus=True):
    """A sheet that scrolls, by the list's own keys too."""

    DEFAULT_CSS = """
    SheetScroll { scrollbar-size-vertical: 1; scrollbar-background: $surface; scrollbar-color: $panel;
        scrollbar-background-hover: $surface; scrollbar-background-active: $surface; }
    """

    BINDINGS: ClassVar = [
        ("j", "scroll_down"),
        ("k", "scroll_up"),
        ("g", "scroll_home"),
        ("G", "scroll_end"),
        ("ctrl+d", "page_down"),
        ("ctrl+u", "page_up"),
    ]


class Pane(Horizontal):
    """One screen's list and sheet. Subclasses say which columns, rows and lines."""

    COLUMNS: ClassVar[tuple[Column, ...]]
    SORT: ClassVar[tuple[str, bool]]
    #: Columns whose values a filter can compare.
    FIGURES: ClassVar[frozenset[str]] = frozenset()

    class Wanted(Message):
        """The sheet of another row is wanted from the store."""

        def __init__(self, pane: Pane) -> None:
            super().__init__()
            self.pane = pane

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Pane.Wanted) and message.pane is self.pane

    def __init__(self, look: Look, css_id: str) -> None:
        super().__init__(id=css_id)
        self.look = look
        self.filter_text = ""
        self.filter_fault = ""
        self._all: list[TableRow] = []
        self.table = LiveTable(
            self.COLUMNS,
            self.SORT,
            empty="waiting for the engine",
            css_id=f"{css_id}-list",
            ascii_only=look.ascii,
        )
        self.sheet = Sheet(f"{css_id}-sheet")

    def compose(self) -> ComposeResult:
        with Vertical(classes="list"):
            yield self.table
        with SheetScroll(classes="detail"):
            yield self.sheet

    # ---- rows

    def rows(self, view: DeskView, now: float) -> list[TableRow]:
        raise NotImplementedError

    def store_key(self, key: str) -> str | None:
        """What the store is asked for to fill the sheet; None where the list has it all."""
        raise NotImplementedError

    def draw(self, key: str, detail: Row | None, view: DeskView, now: float) -> Draw | None:
        raise NotImplementedError

    def copyable(self, key: str) -> str | None:
        """What `y` copies of a row."""
        raise NotImplementedError

    def take(self, view: DeskView, now: float) -> None:
        """Offer the view's rows, as far as the filter lets them through."""
        self._all = self.rows(view, now)
        self._offer()

    def set_filter(self, text: str, now: float) -> None:
        """At once: the cursor may not stand on a row that is not there."""
        self.filter_text = text
        self._offer()
        self.table.flush(now, resort=True)

    def _offer(self) -> None:
        test, self.filter_fault = parse_filter(self.filter_text, self.FIGURES)
        shown = [row for row in self._all if test(row)] if self.filter_text.strip() else self._all
        self.table.empty = "nothing matches the filter" if self._all else self.empty_text()
        self.table.offer(shown)

    def empty_text(self) -> str:
        return "nothing yet"

    @property
    def counts(self) -> tuple[int, int]:
        """Shown and all."""
        return len(self.table.keys), len(self._all)

    def next_sort(self, now: float) -> None:
        names = [column.name for column, _ in self.table.shown_columns() if column.sorts]
        name = self.table.sort[0]
        at = names.index(name) if name in names else -1
        following = names[(at + 1) % len(names)]
        self.table.sort_by(following, next(c.right for c in self.COLUMNS if c.name == following), now)

    def reverse_sort(self, now: float) -> None:
        name, greatest_first = self.table.sort
        self.table.sort_by(name, not greatest_first, now)


def _coin(wei: int | str) -> Decimal:
    return Decimal(int(wei)).scaleb(-18)


class OpportunitiesPane(Pane):
    """What waits for a decision, then what the newest block refused."""

    COLUMNS = (
        Column("state", "STATE", 12, 100),
        Column("net", "NET", 12, 99, right=True),
        Column("left", "LEFT", 5, 98, right=True),
        Column("path", "PATH", 18, 97, grow=3),
        Column("why", "LENDER / WHY", 14, 70, grow=2),
        Column("gross", "GROSS", 14, 40, right=True),
        Column("token", "IN", 6, 45),
        Column("in", "AMOUNT IN", 14, 30, right=True),
        Column("venues", "WHERE", 16, 20, grow=2),
        Column("block", "BLOCK", 10, 15, right=True),
    )
    SORT = ("net", True)
    FIGURES = frozenset({"net", "gross", "in", "left", "block"})

    def __init__(self, look: Look, css_id: str, block_time_s: float) -> None:
        super().__init__(look, css_id)
        self._block_time_s = block_time_s
        self._refused: tuple[object, list[TableRow]] = (None, [])
        self._ids: dict[str, str] = {}
        self._digests: dict[str, str] = {}
        self.table.columns = tuple(
            Column(c.name, f"NET {look.native}", c.width, c.keep, c.right) if c.name == "net" else c
            for c in self.COLUMNS
        )

    def empty_text(self) -> str:
        return "nothing found yet; blocks are being watched"

    def rows(self, view: DeskView, now: float) -> list[TableRow]:
        if self._refused[0] is not view.dropped:
            self._refused = (view.dropped, self._refusals(view.dropped))
        self._digests = {f"t:{row['id']}": row["digest"] for row in view.waiting}
        return [self._ticket(row, view, now) for row in view.waiting] + self._refused[1]

    def _ticket(self, row: Row, view: DeskView, now: float) -> TableRow:
        net = int(row["now_net_wei"] if row["now_net_wei"] is not None else row["expected_net_wei"])
        blocks, seconds = time_left(row["last_block"], view, now, self._block_time_s)
        asked = row["asked"]
        why = Cell(self.look.text(row["lender"]))
        state = "waiting"
        if asked is not None:
            if asked[0] == "approve" and (asked[1] is None or asked[1].startswith("approved")):
                state = "asked"
            why = Cell(self.look.text(f"{asked[0]}: {asked[1] or 'not answered yet'}"), "accent")
        word, tone = self.look.state(state)
        cells = self._cells(row) | {
            "state": Cell(word, tone),
            "net": Cell(self.look.signed(net), "good" if net > 0 else "bad"),
            "left": Cell(age(seconds), "bad" if blocks <= 1 else "warn" if seconds < 15 else ""),
            "why": why,
        }
        return TableRow(f"t:{row['id']}", cells, self._sort(row, net) | {"left": int(seconds)}, first=True)

    def _refusals(self, rows: Iterable[Row]) -> list[TableRow]:
        found: dict[str, TableRow] = {}
        self._ids = {}
        word, tone = self.look.state("dropped")
        for row in rows:
            # The path's id outlives the block: the cursor stays on the same cycle from block to block.
            key = f"o:{row['path_id']}"
            if key in found:
                key = f"{key}:{row['id']}"
            net = None if row["net_wei"] is None else int(row["net_wei"])
            figure = (
                Cell("-", "dim") if net is None else Cell(self.look.signed(net), "" if net > 0 else "dim")
            )
            cells = self._cells(row) | {
                "state": Cell(word, tone),
                "net": figure,
                "why": Cell(self.look.text(row["reason"].replace("_", " ")), "dim"),
            }
            found[key] = TableRow(key, cells, self._sort(row, net))
            self._ids[key] = row["id"]
        return list(found.values())

    def _cells(self, row: Row) -> dict[str, Cell]:
        token = row["token"]
        return {
            "path": Cell(self.look.path(row["path"])),
            "venues": Cell(self.look.venues(row["path"]), "dim"),
            "gross": Cell(self.look.signed(int(row["gross_profit"]), token["decimals"])),
            "token": Cell(self.look.text(token["symbol"])),
            "in": Cell(format_amount(int(row["amount_in"]), token["decimals"], 4)),
            "block": Cell(f"{row['block']:,}", "dim"),
        }

    def _sort(self, row: Row, net: int | None) -> dict[str, Any]:
        decimals = row["token"]["decimals"]
        return {
            "state": 0,
            "net": None if net is None else _coin(net),
            "gross": Decimal(int(row["gross_profit"])).scaleb(-decimals),
            "in": Decimal(int(row["amount_in"])).scaleb(-decimals),
            "path": self.look.path(row["path"]),
            "token": row["token"]["symbol"],
            "why": row.get("lender") or row.get("reason"),
            "venues": self.look.venues(row["path"]),
            "block": row["block"],
        }

    def ticket_id(self, key: str | None) -> str | None:
        """Of a row that is a waiting ticket."""
        return key[2:] if key is not None and key.startswith("t:") else None

    def store_key(self, key: str) -> str | None:
        return self.ticket_id(key) or self._ids.get(key)

    def draw(self, key: str, detail: Row | None, view: DeskView, now: float) -> Draw | None:
        if detail is None:
            return None
        ticket_id = self.ticket_id(key)
        waiting = view.ticket(ticket_id) if ticket_id else None
        left = ""
        if waiting is not None:
            blocks, seconds = time_left(waiting["last_block"], view, now, self._block_time_s)
            left = f"{blocks} {'block' if blocks == 1 else 'blocks'}, {age(seconds)} left"
        elif ticket_id is not None:
            left = "waits no more"

        def draw(width: int) -> Content:
            page = Page(self.look, width)
            ticket_page(page, detail, waiting, left=left)
            return page.content()

        return draw

    def copyable(self, key: str) -> str | None:
        return self._digests.get(key) or self._ids.get(key)


def time_left(last_block: int, view: DeskView, now: float, block_time_s: float) -> tuple[int, float]:
    """Blocks to a ticket's last one, and the seconds that should be; 0 blocks: no coming block can take it."""
    if view.head is None:
        return 0, 0.0
    blocks = max(0, last_block - view.head.number)
    return blocks, max(0.0, blocks * block_time_s - max(0.0, now - view.head.timestamp))


class ExecutionsPane(Pane):
    """Every approved ticket's life, newest first."""

    COLUMNS = (
        Column("at", "DECIDED", 8, 90),
        Column("state", "STATE", 11, 100),
        Column("net", "NET", 12, 99, right=True),
        Column("sound", "RECONC.", 7, 80),
        Column("expected", "EXPECTED", 12, 70, right=True),
        Column("path", "PATH", 16, 60, grow=3),
        Column("lender", "LENDER", 11, 65, grow=1),
        Column("gas", "GAS", 9, 40, right=True),
        Column("seconds", "TOOK", 6, 50, right=True),
        Column("tries", "TRIES", 5, 30, right=True),
        Column("why", "REASON", 14, 20, grow=2),
    )
    SORT = ("at", True)
    FIGURES = frozenset({"net", "expected", "gas", "seconds", "tries"})

    def __init__(self, look: Look, css_id: str, family: str) -> None:
        super().__init__(look, css_id)
        self._family = family
        self._copy: dict[str, str] = {}

    def empty_text(self) -> str:
        return "no execution yet"

    def rows(self, view: DeskView, now: float) -> list[TableRow]:  # noqa: ARG002
        self._copy = {row["id"]: row["tx_hash"] or row["digest"] or row["id"] for row in view.executions}
        return [self._row(row) for row in view.executions]

    def _row(self, row: Row) -> TableRow:
        word, tone = self.look.state(row["status"])
        net = None if row["net_profit"] is None else int(row["net_profit"])
        expected = None if row["expected_net_wei"] is None else int(row["expected_net_wei"])
        sound = Cell("-", "dim")
        if row["settled"]:
            sound = Cell(*(("yes", "good") if row["reconciled"] else ("NO", "bad")))
        path = "fills a nonce gap" if row["filler"] else self.look.path(row["path"])
        seconds = row["seconds"]
        cells = {
            "at": Cell(clock_of(row["decided_at"]), "dim"),
            "state": Cell(word, tone),
            "net": Cell("-", "dim")
            if net is None
            else Cell(self.look.signed(net), "good" if net > 0 else "bad"),
            "sound": sound,
            "expected": Cell("-" if expected is None else self.look.signed(expected)),
            "path": Cell(path),
            "lender": Cell(row["lender"]),
            "gas": Cell("-" if row["gas_used"] is None else f"{row['gas_used']:,}"),
            "seconds": Cell("-" if seconds is None else f"{seconds:.1f}s"),
            "tries": Cell(str(row["attempts"])),
            "why": Cell(self.look.text(row["reason"] or row["error_class"]), "dim"),
        }
        sort = {
            "at": row["decided_at"],
            "state": row["status"],
            "net": None if net is None else _coin(net),
            "expected": None if expected is None else _coin(expected),
            "path": path,
            "lender": row["lender"],
            "gas": row["gas_used"],
            "seconds": None if seconds is None else Decimal(str(seconds)),
            "tries": row["attempts"],
            "sound": row["reconciled"],
            "why": row["reason"],
        }
        return TableRow(row["id"], cells, sort, first=row["status"] in ("prepared", "submitted"))

    def store_key(self, key: str) -> str | None:
        return key

    def draw(self, key: str, detail: Row | None, view: DeskView, now: float) -> Draw | None:
        if detail is None:
            return None
        unsound = next((row for row in view.unreconciled_named if row.get("execution") == key), None)

        def draw(width: int) -> Content:
            page = Page(self.look, width)
            execution_page(page, detail, iso(now), unsound, self._family)
            return page.content()

        return draw

    def copyable(self, key: str) -> str | None:
        return self._copy.get(key)


class LogPane(Pane):
    """What does not fit; then decisions, incidents and commands in one line of time, newest first."""

    COLUMNS = (
        Column("at", "TIME", 8, 90),
        Column("state", "WHAT", 14, 100),
        Column("who", "OF", 22, 95),
        Column("text", "SAID", 24, 99, grow=5),
        Column("block", "BLOCK", 10, 40, right=True),
    )
    SORT = ("at", True)
    FIGURES = frozenset({"block"})

    def __init__(self, look: Look, css_id: str, family: str) -> None:
        super().__init__(look, css_id)
        self._family = family
        self._entries: dict[str, dict[str, Any]] = {}
        self._made: tuple[object, list[TableRow]] = (None, [])

    def rows(self, view: DeskView, now: float) -> list[TableRow]:  # noqa: ARG002
        if self._made[0] is not view:
            self._entries = {entry["key"]: entry for entry in self._log(view)}
            self._made = (view, [self._row(entry) for entry in self._entries.values()])
        return self._made[1]

    def _log(self, view: DeskView) -> Iterable[dict[str, Any]]:
        for row in view.unreconciled_named[:_NAMED]:
            place, (said, command) = unsound_place(row), way_out(row, self._family)
            yield {
                "key": f"u:{row['what']}:{row.get('execution')}:{row['reconciliation']}",
                "at": None,
                "state": "unsound",
                "who": place,
                "text": row["difference"],
                "block": row.get("block") or row.get("to_block"),
                "copy": command or row.get("execution"),
                "facts": [
                    ("where", place),
                    *([("execution", row["execution"])] if row.get("execution") else []),
                    ("so", said),
                    *([("command", command)] if command else []),
                ],
            }
        for row in view.decisions:
            yield {
                "key": f"d:{row['id']}",
                "at": row["at"],
                "state": row["kind"],
                "who": f"ticket {row['digest'][2:10]}",
                "text": row["reason"],
                "block": row["block"],
                "copy": row["digest"],
                "facts": [
                    ("ticket", row["digest"]),
                    ("lender", row["lender"]),
                    ("expected", f"{self.look.signed(int(row['expected_net_wei']))} {self.look.native}"),
                    *(
                        [
                            ("moved by", row["moved_by_tx"]),
                            ("in block", f"{row['moved_by_block']:,}"),
                            ("at pool", row["moved_by_pool"]),
                        ]
                        if row["moved_by_tx"]
                        else []
                    ),
                ],
            }
        for row in view.closings:
            yield {
                "key": f"e:{row['run']}:{row['opportunity_id']}",
                "at": row["at"],
                "state": f"closed_{row['closed_by']}",
                "who": self.look.path(row["path"]),
                "text": closing_text(row),
                "block": row["closed_block"],
                "copy": row["tx"] or row["opportunity_id"],
                "facts": [
                    ("opportunity", row["opportunity_id"]),
                    ("would leave", f"{self.look.signed(int(row['net_wei']))} {self.look.native}"),
                    *([("transaction", row["tx"]), ("pool", row["pool"])] if row["tx"] else []),
                    *([("sender", row["sender"])] if row["sender"] else []),
                ],
            }
        for row in view.incidents:
            yield {
                "key": f"i:{row['id']}",
                "at": row["at"],
                "state": "incident",
                "who": row["kind"],
                "text": f"{row['error_class']}: {row['detail']}" if row["error_class"] else row["detail"],
                "block": row["block"],
                "copy": row["execution_id"] or row["detail"],
                "facts": [("kind", row["kind"]), ("class", row["error_class"] or "-")]
                + ([("execution", row["execution_id"])] if row["execution_id"] else []),
            }
        for row in view.commands:
            if row["kind"] == "seen":
                continue
            argument = row["argument"]
            answer = row["result"] if row["taken_at"] else "not taken up yet"
            yield {
                "key": f"c:{row['id']}",
                "at": row["at"],
                "state": "command",
                "who": f"{row['kind']} {str(argument.get('ticket', ''))[2:10]}",
                "text": answer,
                "block": row["block"],
                "copy": str(argument.get("digest") or argument.get("ticket") or ""),
                "facts": [
                    ("command", f"{row['id']}"),
                    *((str(name), str(value)) for name, value in argument.items()),
                ],
            }

    def _row(self, entry: dict[str, Any]) -> TableRow:
        word, tone = self.look.state(entry["state"])
        cells = {
            "at": Cell("-" if entry["at"] is None else clock_of(entry["at"]), "dim"),
            "state": Cell(word, tone),
            "who": Cell(self.look.text(entry["who"])),
            "text": Cell(self.look.text(entry["text"]), "dim"),
            "block": Cell("-" if entry["block"] is None else f"{entry['block']:,}", "dim"),
        }
        sort = {name: entry[name] for name in ("at", "state", "who", "text", "block")}
        return TableRow(entry["key"], cells, sort, first=entry["state"] == "unsound")

    def store_key(self, key: str) -> str | None:  # noqa: ARG002
        return None

    def draw(self, key: str, detail: Row | None, view: DeskView, now: float) -> Draw | None:  # noqa: ARG002
        entry = self._entries.get(key)
        if entry is None:
            return None

        def draw(width: int) -> Content:
            page = Page(self.look, width)
            log_page(page, entry)
            return page.content()

        return draw

    def copyable(self, key: str) -> str | None:
        entry = self._entries.get(key)
        return entry["copy"] if entry else None


__all__ = [
    "ExecutionsPane",
    "LogPane",
    "OpportunitiesPane",
    "Pane",
    "Sheet",
    "SheetScroll",
    "short",
    "time_left",
]
