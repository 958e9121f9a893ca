"""The controls of a review: stage family, window and lenders. What was shown is drawn again when one changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

import ipywidgets as widgets  # type: ignore[import-untyped]
from IPython.display import HTML, display

from arbtui.analysis.review import Review, pretty
from arbtui.errors import ArbtuiError, StoreError
from arbtui.store.database import Family
from arbtui.store.queries import StoreReader
from arbtui.text import safe_text

PRESETS: dict[str, timedelta | None] = {
    "everything": None,
    "last hour": timedelta(hours=1),
    "last 24 hours": timedelta(days=1),
    "last 7 days": timedelta(days=7),
    "last 30 days": timedelta(days=30),
}
CUSTOM = "from … to …"


class ReviewPanel:
    """Shows controls, and keeps `review` what they say.

    `show(draw)` displays what `draw` makes of the review (a chart, or HTML as text), and displays it anew, in the same
    place, after each change. `open_reader` opens one of the two files; what it raises is shown, not raised.
    """

    def __init__(
        self,
        open_reader: Callable[[Family], StoreReader],
        family: Family = "live",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._open = open_reader
        self._clock = clock
        self._muted = False
        self._shown: list[tuple[Callable[[Review], Any], Any]] = []
        self.family = widgets.ToggleButtons(options=["live", "paper"], value=family, description="stage")
        self.preset = widgets.Dropdown(options=[*PRESETS, CUSTOM], value="everything", description="window")
        self.since = widgets.NaiveDatetimePicker(description="from (UTC)")
        self.until = widgets.NaiveDatetimePicker(description="to (UTC)")
        self.lenders = widgets.SelectMultiple(description="lenders", rows=5)
        self.again = widgets.Button(description="read again", tooltip="the engine may have written since")
        self.status = widgets.HTML()
        self.box = widgets.VBox(
            [
                widgets.HBox([self.family, self.again]),
                widgets.HBox(
                    [widgets.VBox([self.preset, self.since, self.until]), self.lenders],
                ),
                self.status,
            ]
        )
        self.review = Review.nothing(family)
        self._read()
        self.family.observe(self._changed, "value")
        self.lenders.observe(self._changed, "value")
        self.preset.observe(self._preset_changed, "value")
        for picker in (self.since, self.until):
            picker.observe(self._picked, "value")
        self.again.on_click(lambda _: self._redraw())

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.box._repr_mimebundle_(**options)

    def show(self, draw: Callable[[Review], Any]) -> None:
        """Display `draw(review)` here, now and after each change."""
        handle = display(_drawable(draw(self.review)), display_id=True)  # type: ignore[no-untyped-call]
        self._shown.append((draw, handle))

    @contextmanager
    def open(self) -> Iterator[StoreReader | None]:
        """The file that is looked at, for frames and queries; None where there is none yet."""
        try:
            reader = self._open(self.family.value)
        except StoreError:
            yield None
            return
        with reader:
            yield reader

    def _changed(self, _: Any) -> None:
        if not self._muted:
            self._redraw()

    def _preset_changed(self, change: Any) -> None:
        if self._muted:
            return
        if change["new"] != CUSTOM:
            self._quietly(lambda: self._set_pickers(None, None))
        self._redraw()

    def _picked(self, _: Any) -> None:
        if not self._muted:
            self._quietly(lambda: setattr(self.preset, "value", CUSTOM))
            self._redraw()

    def _set_pickers(self, since: datetime | None, until: datetime | None) -> None:
        self.since.value, self.until.value = since, until

    def _quietly(self, change: Callable[[], None]) -> None:
        self._muted = True
        try:
            change()
        finally:
            self._muted = False

    def _window(self) -> tuple[str | None, str | None]:
        if self.preset.value != CUSTOM:
            length = PRESETS[self.preset.value]
            return (None if length is None else _text(self._clock() - length)), None
        since, until = self.since.value, self.until.value
        return (_text(since) if since else None), (_text(until) if until else None)

    def _redraw(self) -> None:
        self._read()
        for draw, handle in self._shown:
            handle.update(_drawable(draw(self.review)))

    def _read(self) -> None:
        try:
            with self._open(self.family.value) as reader:
                self.review = Review.read(reader, *self._window(), self.lenders.value)
            self._quietly(self._offer_lenders)
            self.status.value = (
                f"{self.review.rows['executions']:,} executions, read {escape(self.review.read_at[:19])} UTC"
            )
        except StoreError as error:
            self.review = Review.nothing(self.family.value, str(error))
            self.status.value = _problem(error)
        except ArbtuiError as error:
            self.status.value = _problem(error)

    def _offer_lenders(self) -> None:
        """The store's lenders, keeping the choice; one that the other file has not stays chosen."""
        chosen = self.lenders.value
        names = sorted({*self.review.source.lenders, *chosen})
        options = [(pretty(name), name) for name in names]
        if list(self.lenders.options) != options:
            self.lenders.options = options
            self.lenders.value = chosen


def _drawable(drawn: Any) -> Any:
    return HTML(drawn) if isinstance(drawn, str) else drawn  # type: ignore[no-untyped-call]


def _problem(error: ArbtuiError) -> str:
    return f'<span style="color:#D55E00">{escape(safe_text(error, 400))}</span>'


def _text(moment: datetime) -> str:
    """As the store writes times; a picker's is UTC."""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
