"""Foreign text in the store's rows is shown, never obeyed, and none of its bytes reach the terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

from arbtui.domain import CheckResult, Delivery, ExecutionStatus, Token
from arbtui.tui.dialogs import ApproveDialog, RejectDialog
from tests import factories as make
from tests.tui.sample import HEAD, Sample, found, route
from tests.tui.screens import settle, until
from tests.tui.test_approval import at_desk

CLICK = "[@click=app.leave]X[/]"
SYMBOLS = (
    "US[/]DC",
    CLICK,
    "\x1b]52;c;aGFja2Vk\x07",
    "A\u202eB\u2066C",
    "\x9b31mRED",
    "\x1b[666mZ",
    "漢字[bold",
    "Z\u0336\u0336a",
    "two\nlines\ttab",
)
#: Bytes of the above that no desk sends of its own accord.
PAYLOADS = (
    b"\x1b]52",
    b"aGFja2Vk\x07",
    b"\xe2\x80\xae",
    b"\xe2\x81\xa6",
    b"\xc2\x9b",
    b"\x1b[666m",
    b"\xcc\xb6",
)
FORBIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Me"}


def hostile(sample: Sample) -> list[Any]:
    """Every text a row can hold, filled with what acts on a terminal or a markup parser."""
    sample.head(HEAD - 1)
    everything = " ".join(SYMBOLS)
    tickets = []
    for number, symbol in enumerate(SYMBOLS):
        token = Token(make.address(0xBAD000 + number), symbol, 18)
        path = route(token, make.USDC, dexes=(symbol, "[red]sushi[/red]"), seed=40 + number)
        check = CheckResult.at_least(symbol, 5, 3, symbol, everything)
        quotes = tuple(
            replace(quote, detail=everything, reason=None if quote.usable else symbol)
            for quote in make.quotes()
        )
        tickets.append(
            sample.ticket(
                f"h{number}",
                opportunity=found(path, token, 10**18, 10**16, HEAD - 1),
                checks=(check,),
                quotes=quotes,
                expected_net_wei=10**16 * (20 - number),
            )
        )
        refused = found(path, token, 2 * 10**18, 10**15, HEAD)
        with sample.store.batch() as batch:
            batch.dropped(refused, quotes, (check,), symbol, net_wei=-number)
            batch.incident(symbol, everything, error_class=symbol)
    done = make.ticket("hx", found(route(make.WETH, make.DAI), make.WETH, 10**18, 10**16, HEAD - 1))
    with sample.store.batch() as batch:
        batch.ticket(done, dict.fromkeys(make.WHY_LOST, everything))
        batch.execution("xh", done, ExecutionStatus.PREPARED, decided_at=make.at())
        batch.attempt(make.attempt("xh", delivery=Delivery.AMBIGUOUS, error=everything))
        batch.execution_moved(
            "xh", ExecutionStatus.PREPARED, ExecutionStatus.SUBMITTED, everything, make.at(1)
        )
        batch.incident("send", everything, execution_id="xh")
        batch.execution_moved("xh", ExecutionStatus.SUBMITTED, ExecutionStatus.MINED, everything, make.at(2))
        evil = {make.WETH.address: replace(make.WETH, symbol=CLICK)}
        batch.settlement(make.settlement("xh", reconciled=False, difference=everything), make.ROLES, evil)
    sample.head()
    return tickets


def assert_harmless(text: str) -> None:
    odd = {ch for ch in text if ch != "\n" and unicodedata.category(ch) in FORBIDDEN}
    assert odd == set()


async def test_hostile_rows_are_drawn_as_they_are_and_fire_nothing(sample: Sample) -> None:
    tickets = hostile(sample)
    async with at_desk(sample, (200, 60), chain_name=CLICK, native_symbol="E[/]H") as (app, pilot):
        text = await settle(pilot)
        assert "US[/]DC" in text
        assert CLICK[:16] in text
        assert_harmless(text)
        for y in range(2, 14, 3):
            await pilot.click(offset=(45, y))
        for _ in SYMBOLS:
            await pilot.press("j")
            assert_harmless(await settle(pilot))
        await pilot.press("g", "a")
        await until(pilot, lambda: isinstance(app.screen, ApproveDialog), "the dialog")
        for y in range(4, 40, 9):
            await pilot.click(offset=(70, y))
        await pilot.press("pagedown", "pagedown")
        assert_harmless(await settle(pilot))
        await pilot.press("escape", "x")
        await until(pilot, lambda: isinstance(app.screen, RejectDialog), "the other dialog")
        assert_harmless(await settle(pilot))
        await pilot.press("escape")
        for key in "27":
            await pilot.press(key)
            assert_harmless(await settle(pilot))
            await pilot.press("j")
            assert_harmless(await settle(pilot))
        app.say(CLICK, "warning")
        assert CLICK in await settle(pilot)
        assert app.is_running
        assert app.return_value is None
        assert len(tickets) == len(SYMBOLS)
        assert sample.commands("approve", "reject") == []


async def test_the_narrow_screens_too(sample: Sample) -> None:
    hostile(sample)
    async with at_desk(sample, (80, 24)) as (app, pilot):
        for key in ("1", "2", "7"):
            await pilot.press(key, "enter")
            assert_harmless(await settle(pilot))
            await pilot.press("escape")
        assert app.is_running


def test_no_byte_of_it_reaches_the_terminal(sample: Sample, tmp_path: Path) -> None:
    """A real desk on a pseudo-terminal."""
    hostile(sample)
    now = "import time; time.time = lambda: %r" % sample.clock.wall
    code = f"""
{now}
from pathlib import Path
from arbtui.tui import DeskSettings, run_desk
run_desk(DeskSettings(Path({str(sample.directory)!r}), "live", "devnet", "ETH", 12.0, owns_engine=False))
"""
    lead, follow = pty.openpty()
    fcntl.ioctl(follow, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    environment = {
        **os.environ,
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "TEXTUAL_ANIMATIONS": "none",
    }
    began = time.perf_counter()
    desk = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=follow,
        stdout=follow,
        stderr=follow,
        env=environment,
        start_new_session=True,
    )
    os.close(follow)
    out = b""
    try:
        out += read_until(lead, b"Opportunities")
        first_frame = time.perf_counter() - began
        out += read_until(lead, b"US[/]DC")
        for keys in (b"j", b"j", b"2", b"j", b"7", b"j"):
            os.write(lead, keys)
            out += read_for(lead, 0.15)
        os.write(lead, b"1")
        out += read_until(lead, b"to approve")
        out += read_for(lead, 0.2)
        os.write(lead, b"a")
        out += read_until(lead, b"APPROVE")
        os.write(lead, b"\x1b[B\x1b[6~")
        out += read_for(lead, 0.2)
        os.write(lead, b"\x1b")
        out += read_for(lead, 0.6)
        os.write(lead, b"q")
        end = time.perf_counter() + 10
        while desk.poll() is None and time.perf_counter() < end:
            out += read_for(lead, 0.1)
        assert desk.poll() == 0, out[-3_000:]
    finally:
        if desk.poll() is None:
            os.killpg(desk.pid, signal.SIGKILL)
            desk.wait()
        os.close(lead)
    assert [payload for payload in PAYLOADS if payload in out] == []
    assert first_frame < 5, "far above what it takes, for a busy machine"


def read_for(lead: int, seconds: float) -> bytes:
    out, end = b"", time.perf_counter() + seconds
    while (left := end - time.perf_counter()) > 0:
        if not select.select([lead], [], [], left)[0]:
            break
        try:
            out += os.read(lead, 65_536)
        except OSError:  # Linux says EIO once the other side has gone
            break
    return out


def read_until(lead: int, wanted: bytes, seconds: float = 15.0) -> bytes:
    out, end = b"", time.perf_counter() + seconds
    while wanted not in out and time.perf_counter() < end:
        out += read_for(lead, 0.05)
    assert wanted in out, re.sub(rb"\x1b\[[0-9;?<>=]*[a-zA-Z$]", b"", out).decode(errors="replace")
    return out
