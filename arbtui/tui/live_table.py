"""The live list: a Line-API widget that repaints only the visible lines that changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from arbtui.tui.look import Tone, fit

_GAP = 1


@dataclass(frozen=True, slots=True)
class Column:
    """`keep` orders the giving up of columns where room is short: the least goes first. `grow` shares what is left."""

    name: str
    title: str
    width: int
    keep: int
    right: bool = False
    grow: int = 0
    sorts: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """`key` outlives the row's contents: the cursor stays on it. `first` sorts before everything else.

    `sort`: the value per column; None sorts last both ways.
    """

    key: str
    cells: dict[str, Cell]
    sort: dict[str, Any]
    first: bool = False

    def plain(self) -> str:
        """What a text filter looks at."""
        return " ".join(cell.text for cell in self.cells.values()).lower()


class LiveTable(ScrollView, can_focus=True):
    """Rows by key under a header line. `offer` as often as you like; a timer paints what changed."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "live--header",
        "live--cursor",
        "live--cursor-blurred",
        "live--dim",
        "live--good",
        "live--bad",
        "live--warn",
        "live--accent",
        "live--strong",
        "live--empty",
    }
    DEFAULT_CSS = """
    LiveTable { background: $surface; scrollbar-size-vertical: 1; overflow-x: hidden;
        scrollbar-background: $surface; scrollbar-color: $panel; }
    LiveTable .live--header { color: $arb-dim; background: $panel; text-style: bold; }
    LiveTable .live--cursor { background: $arb-cursor; color: $text; text-style: bold; }
    LiveTable .live--cursor-blurred { background: $panel; text-style: bold; }
    LiveTable .live--dim { color: $arb-dim; }
    LiveTable .live--good { color: $text-success; }
    LiveTable .live--bad { color: $text-error; text-style: bold; }
    LiveTable .live--warn { color: $text-warning; }
    LiveTable .live--accent { color: $text-accent; }
    LiveTable .live--strong { text-style: bold; }
    LiveTable .live--empty { color: $arb-dim; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "Down", show=False, id="list.down"),
        Binding("k,up", "move(-1)", "Up", show=False, id="list.up"),
        Binding("g,home", "move_to(0)", "First", show=False, id="list.first"),
        Binding("G,end", "move_to(-1)", "Last", show=False, id="list.last"),
        Binding("ctrl+d,pagedown", "page(1)", "Half a page down", show=False, id="list.page_down"),
        Binding("ctrl+u,pageup", "page(-1)", "Half a page up", show=False, id="list.page_up"),
        Binding("enter", "choose", "Detail", show=False, id="list.choose"),
    ]

    dimmed: reactive[bool] = reactive(False)

    class Highlighted(Message):
        """The cursor stands on another row, or on none."""

        def __init__(self, table: LiveTable, key: str | None) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> LiveTable:
            return self.table

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LiveTable.Highlighted) and message.table is self.table

    class Chosen(Message):
        """Enter or a double click: look at it closely. Never more than that."""

        def __init__(self, table: LiveTable, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> LiveTable:
            return self.table

    def __init__(
        self,
        columns: Sequence[Column],
        sort: tuple[str, bool],
        *,
        empty: str = "",
        css_id: str | None = None,
        ascii_only: bool = False,
    ) -> None:
        super().__init__(id=css_id)
        self.columns = tuple(columns)
        #: Column and whether the greatest comes first.
        self.sort: tuple[str, bool] = sort
        self.frozen = False
        self.empty = empty
        self._arrows = "v^" if ascii_only else "↓↑"
        self._more = "~" if ascii_only else "…"
        self._rows: dict[str, TableRow] = {}
        self._order: list[str] = []
        self._index: dict[str, int] = {}
        self._offered: dict[str, TableRow] | None = None
        self._sorted_at = float("-inf")
        self._cursor: str | None = None
        #: Until a person moves it, the cursor stays on the first row.
        self._steered = False
        self._layout: tuple[int, tuple[tuple[Column, int], ...]] = (-1, ())
        self._strips: dict[tuple[str, str], tuple[TableRow, Strip]] = {}
        self._styles: dict[str, Style] = {}

    # ---- what is in it

    @property
    def cursor_key(self) -> str | None:
        """The row under the cursor; always one that is in the list."""
        return self._cursor

    @property
    def keys(self) -> list[str]:
        return list(self._order)

    def row(self, key: str) -> TableRow | None:
        return self._rows.get(key)

    def visible_keys(self) -> list[str]:
        """Rows that are on the screen now, not scrolled away."""
        top = self.scroll_offset.y
        return self._order[top : top + self._page()] if self._page() > 0 else []

    def offer(self, rows: Iterable[TableRow]) -> None:
        """These are the rows from the next flush on."""
        self._offered = {row.key: row for row in rows}

    def flush(self, now: float, *, resort: bool = False) -> bool:
        """Take over what was offered: repaint changed visible lines, re-sort once a second at most."""
        offered, self._offered = self._offered, None
        if offered is None and not resort:
            return False
        rows = self._rows if offered is None else offered
        changed = {key for key, row in rows.items() if self._rows.get(key) != row}
        self._rows = rows
        order = [key for key in self._order if key in rows]
        order += [key for key in rows if key not in self._index]
        if resort or (not self.frozen and now - self._sorted_at >= 1.0):
            order = self._sort(order)
            self._sorted_at = now
        if order != self._order:
            self._reorder(order)
        else:
            for key in changed:
                self.refresh_line(self._index[key] + 1)
        return True

    def sort_by(self, name: str, greatest_first: bool, now: float) -> None:
        self.sort = (name, greatest_first)
        self._layout = (-1, ())
        self.flush(now, resort=True)
        self.refresh()

    def _sort(self, keys: list[str]) -> list[str]:
        name, greatest_first = self.sort

        def rank(key: str) -> tuple[bool, bool]:
            row = self._rows[key]
            return (not row.first, row.sort.get(name) is None)

        known = sorted(
            (key for key in keys if self._rows[key].sort.get(name) is not None),
            key=lambda key: self._rows[key].sort[name],
            reverse=greatest_first,
        )
        known += [key for key in keys if self._rows[key].sort.get(name) is None]
        return sorted(known, key=rank)

    def _reorder(self, order: list[str]) -> None:
        was = self._index.get(self._cursor or "", 0)
        self._order = order
        self._index = {key: number for number, key in enumerate(order)}
        self._strips = {slot: cached for slot, cached in self._strips.items() if slot[0] in self._rows}
        self.virtual_size = Size(self.scrollable_content_region.width, len(order) + 1)
        if not self._steered and order:
            self._move_cursor(order[0])
        elif self._cursor not in self._index:
            self._move_cursor(order[min(was, len(order) - 1)] if order else None)
        else:
            self._follow()
        self.refresh()

    # ---- the cursor

    def move_to_key(self, key: str) -> None:
        if key in self._index:
            self._steered = True
            self._move_cursor(key)

    def _move_cursor(self, key: str | None) -> None:
        old, self._cursor = self._cursor, key
        for changed in (old, key):
            if changed is not None and changed in self._index:
                self.refresh_line(self._index[changed] + 1)
        self._follow()
        if old != key:
            self.post_message(self.Highlighted(self, key))

    def _follow(self) -> None:
        if self._cursor is None or self._page() <= 0:
            return
        at, top = self._index[self._cursor], self.scroll_offset.y
        if at < top:
            self.scroll_to(y=at, animate=False, force=True, immediate=True)
        elif at >= top + self._page():
            self.scroll_to(y=at - self._page() + 1, animate=False, force=True, immediate=True)

    def _page(self) -> int:
        return self.scrollable_content_region.height - 1

    def action_move(self, by: int) -> None:
        self._steered = True
        if self._order:
            at = self._index.get(self._cursor or "", 0) + by
            self._move_cursor(self._order[max(0, min(at, len(self._order) - 1))])

    def action_move_to(self, at: int) -> None:
        self._steered = True
        if self._order:
            self._move_cursor(self._order[at])

    def action_page(self, by: int) -> None:
        self.action_move(by * max(1, self._page() // 2))

    def action_choose(self) -> None:
        if self._cursor is not None:
            self.post_message(self.Chosen(self, self._cursor))

    def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset(self)
        number = -1 if at is None else at.y - 1 + self.scroll_offset.y
        if 0 <= number < len(self._order) and at is not None and at.y > 0:
            self._steered = True
            self._move_cursor(self._order[number])
            if event.chain == 2:
                self.action_choose()

    # ---- painting

    def watch_dimmed(self) -> None:
        self.refresh()

    def on_resize(self) -> None:
        self._strips.clear()
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._order) + 1)
        self._follow()
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()
        self._styles.clear()

    def on_focus(self) -> None:
        self._repaint_cursor()

    def on_blur(self) -> None:
        self._repaint_cursor()

    def _repaint_cursor(self) -> None:
        if self._cursor is not None:
            self.refresh_line(self._index[self._cursor] + 1)

    def shown_columns(self) -> tuple[tuple[Column, int], ...]:
        """The columns that there is room for, with their widths."""
        width = self.scrollable_content_region.width
        if self._layout[0] != width:
            self._layout = (width, lay_out(self.columns, width))
        return self._layout[1]

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if y == 0:
            return self._header(width)
        number = self.scroll_offset.y + y - 1
        if number >= len(self._order):
            return self._blank(width, y)
        key = self._order[number]
        row = self._rows[key]
        mark = ""
        if key == self._cursor:
            mark = "cursor" if self.has_focus else "cursor-blurred"
        elif self.dimmed:
            mark = "dim"
        slot = (key, mark)
        cached = self._strips.get(slot)
        if cached is not None and cached[0] == row and cached[1].cell_length == width:
            return cached[1]
        strip = self._paint(row, mark, width)
        self._strips[slot] = (row, strip)
        return strip

    def _paint(self, row: TableRow, mark: str, width: int) -> Strip:
        base = self.rich_style
        # A tone's colour on the cursor's background cannot be read: the cursor's own style wins.
        override = base + self._style(mark) if mark else None
        segments = [Segment(" ", override or base)]
        for column, size in self.shown_columns():
            cell = row.cells.get(column.name, Cell(""))
            style = override or (base + self._style(cell.tone) if cell.tone else base)
            segments.append(Segment(fit(cell.text, size, column.right, self._more) + " " * _GAP, style))
        return Strip(segments).adjust_cell_length(width, override or base)

    def _header(self, width: int) -> Strip:
        style = self.rich_style + self._style("header")
        name, greatest_first = self.sort
        segments = [Segment(" ", style)]
        for column, size in self.shown_columns():
            arrow = self._arrows[0 if greatest_first else 1] if column.name == name else ""
            title = fit(
                column.title + arrow if len(column.title) < size else column.title, size, column.right
            )
            segments.append(Segment(title + " " * _GAP, style))
        return Strip(segments).adjust_cell_length(width, style)

    def _blank(self, width: int, y: int) -> Strip:
        style = self.rich_style
        if y == 2 and not self._order and self.empty:
            return Strip([Segment(fit(f"  {self.empty}", width), style + self._style("empty"))])
        return Strip([Segment(" " * width, style)])

    def _style(self, name: str) -> Style:
        found = self._styles.get(name)
        if found is None:
            found = self._styles[name] = self.get_component_rich_style(f"live--{name}", partial=True)
        return found

    def line_region(self, key: str) -> Region:
        """Where a row is within the widget; for tests."""
        return Region(0, self._index[key] + 1 - self.scroll_offset.y, self.size.width, 1)


def lay_out(columns: Sequence[Column], width: int) -> tuple[tuple[Column, int], ...]:
    """Columns for `width` cells: the least kept go first; what is left over goes to those that grow."""
    kept = list(columns)
    room = width - 1
    while kept and sum(column.width + _GAP for column in kept) > room:
        kept.remove(min(kept, key=lambda column: column.keep))
    spare = room - sum(column.width + _GAP for column in kept)
    shares = sum(column.grow for column in kept)
    laid = []
    for column in kept:
        extra = spare * column.grow // shares if shares else 0
        laid.append((column, column.width + extra))
    return tuple(laid)
