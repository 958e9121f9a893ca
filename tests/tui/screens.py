"""What stands on a desk's screen, as text; and waiting until it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from textual.app import App
from textual.pilot import Pilot

from arbtui.tui import DeskExit
from arbtui.tui.app import DeskApp


def grid(pilot: Pilot[DeskExit]) -> str:
    """The painted screen as text. The compositor's strips are no public interface: only here."""
    app = pilot.app
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join(strip.text.rstrip() for strip in strips)


def told(app: App[DeskExit]) -> str:
    """What the toasts say, unwrapped."""
    return "\n".join(notification.message for notification in app._notifications)


async def settle(pilot: Pilot[DeskExit], tries: int = 300) -> str:
    """The screen once it has been the same three times in a row."""
    last, same = "", 0
    for _ in range(tries):
        await pilot.pause()
        busy = [worker for worker in pilot.app.workers if worker.group in ("detail", "dialog", "seen")]
        if busy:  # an empty list would mean all of them, and one watches for ever
            await pilot.app.workers.wait_for_complete(busy)
        now = grid(pilot)
        # What was read but not painted yet comes with the next tick.
        waits = isinstance(pilot.app, DeskApp) and pilot.app._dirty
        if waits and isinstance(pilot.app, DeskApp):
            pilot.app.tick()
        same = same + 1 if now == last and not waits else 0
        last = now
        if same >= 2:
            return last
        await asyncio.sleep(0.005)
    raise AssertionError(f"the screen never stood still:\n{last}")


async def until(pilot: Pilot[DeskExit], true: Callable[[], object], what: str = "") -> None:
    """Wait for something that must come true."""
    for _ in range(400):
        if true():
            return
        if isinstance(pilot.app, DeskApp) and pilot.app._dirty:
            pilot.app.tick()
        await pilot.pause()
        await asyncio.sleep(0.01)
    raise AssertionError(f"it never came true: {what}\n{grid(pilot)}")
