from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from arbtui.cli.common import config_option, emit, json_option, table
from arbtui.config import Config, load_config
from arbtui.domain import NATIVE, Token
from arbtui.errors import StoreError, UsageError
from arbtui.monitor.channels import Channel, open_channels
from arbtui.monitor.lookout import Lookout
from arbtui.monitor.rules import RULES, unmarked
from arbtui.monitor.times import local_time
from arbtui.monitor.watch import Sender, Watch
from arbtui.store import open_store, utc_now
from arbtui.store.alerts import FILE, AlertsLock, AlertStore
from arbtui.store.database import Family, metrics_path
from arbtui.text import safe_text

T = TypeVar("T")
#: A file that cannot be opened for so long is told of: an engine that begins, or upgrades it, needs a moment.
PATIENCE_S = 10.0
#: A channel that did not take that is tried again after so long.
AGAIN_S = 60.0


@click.group()
def alert() -> None:
    """Tell somebody: try the channels, watch the store, see what was told."""


@alert.command()
@config_option
@json_option
def test(config_file: str | None, as_json: bool) -> int:
    """Send one message through every channel of [alerts]; exit 1 if one did not take it."""
    config = load_config(config_file)
    found = []
    for channel in _channels(config):
        sent = channel.send("info", f"{_who(config)}: test", "This is a test: alerts of ARBTUI arrive here.")
        found.append(
            {
                "channel": channel.name,
                "key": channel.key,
                "ok": sent.ok,
                "attempts": sent.attempts,
                "error": sent.error,
            }
        )
    if as_json:
        emit({"channels": found})
    else:
        table(
            ["channel", "taken", "attempts", "what it said"],
            [[f["channel"], "yes" if f["ok"] else "NO", f["attempts"], f["error"]] for f in found],
            right=(2,),
        )
    return 0 if all(f["ok"] for f in found) else 1


@alert.command("list")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True)
@config_option
@json_option
def listing(limit: int, config_file: str | None, as_json: bool) -> int:
    """What holds now, what was told, and what each channel took."""
    config = load_config(config_file)
    with AlertStore(config.store.directory, writing=False) as store:
        alarms, told, channels = store.all_alarms(), store.messages(limit), store.channels()
    if as_json:
        emit({"alarms": alarms, "messages": told, "channels": channels})
        return 0
    table(
        ["now", "store", "level", "rule", "times", "last", "what"],
        [
            [
                "yes" if a["standing"] else "",
                a["family"],
                a["level"],
                a["rule"],
                a["count"],
                local_time(a["last_at"]),
                a["text"],
            ]
            for a in alarms[:limit]
        ],
        right=(4,),
    )
    click.echo()
    table(
        ["told", "message", "channels"],
        [
            [
                local_time(m["at"]),
                m["title"],
                ", ".join(f"{d['channel']} {d['state'].replace('_', ' ')}" for d in m["deliveries"]),
            ]
            for m in told
        ],
    )
    click.echo()
    table(
        ["channel", "delivered", "waiting", "given up", "attempts", "last error"],
        [
            [
                c["channel"],
                c["delivered"],
                c["waiting"],
                c["given_up"],
                c["attempts"],
                safe_text(c["error"] or "", 90),
            ]
            for c in channels
        ],
        right=(1, 2, 3, 4),
    )
    return 0


@alert.command()
@json_option
def rules(as_json: bool) -> int:
    """Every rule and what it tells."""
    if as_json:
        emit({"rules": [{"rule": rule, "tells": text} for rule, text in RULES.items()]})
    else:
        table(["rule", "tells that"], [[rule, text] for rule, text in RULES.items()])
    return 0


@alert.command()
@click.option("--family", type=click.Choice(["live", "paper"]), default="live", show_default=True)
@click.option(
    "--for", "seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after so many seconds."
)
@config_option
def watch(family: str, seconds: float | None, config_file: str | None) -> int:
    """Watch the store and tell, until SIGINT or SIGTERM. A process of its own: run it beside the engine."""
    config = load_config(config_file)
    channels = _channels(config)
    directory = config.store.directory
    which: Family = "live" if family == "live" else "paper"
    end = None if seconds is None else time.monotonic() + seconds
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _: stopping.append(got))

    def over() -> bool:
        return bool(stopping) or (end is not None and time.monotonic() >= end)

    who = _who(config) + ("" if which == "live" else f" {which}")
    with contextlib.ExitStack() as stack:
        reader = _opened(
            "the store",
            metrics_path(directory, which),
            lambda: open_store(directory, which),
            channels,
            who,
            over,
        )
        if reader is None:
            return 0
        stack.enter_context(reader)
        stack.enter_context(AlertsLock(directory))
        store = _opened(
            "the alerts file",
            directory / FILE,
            lambda: AlertStore(directory, writing=True, family=which),
            channels,
            who,
            over,
        )
        if store is None:
            return 0
        with store:
            lookout = Lookout(
                reader,
                config.alerts,
                now=utc_now,
                native=Token(NATIVE, config.chain.native_symbol, 18),
                block_time_s=config.chain.block_time_s,
            )
            click.echo(f"watching {reader.path}; {len(channels)} channels", err=True)
            watched = Watch(
                lookout,
                store,
                channels,
                cooldown_s=config.alerts.cooldown_s,
                who=who,
                now=utc_now,
            )
            try:
                while not over():
                    watched.tick()
                    _sleep(config.alerts.every_s, over)
                watched.drain(10.0)
            finally:
                watched.close()
    return 0


def _opened(
    what: str,
    path: Path,
    attempt: Callable[[], T],
    channels: Sequence[Sender],
    who: str,
    over: Callable[[], bool],
) -> T | None:
    """What `attempt` opens, once it can; None where it is over first. A file that stays shut is told of, once."""
    missing = False
    since = time.monotonic()
    due, again = list(channels), 0.0
    while not over():
        try:
            found = attempt()
        except StoreError as error:
            if not path.exists() and what == "the store":
                if not missing:
                    click.echo(f"there is no store in {path.parent} yet; waiting for one", err=True)
                missing, since = True, time.monotonic()
            elif time.monotonic() >= max(since + PATIENCE_S, again) and due:
                if len(due) == len(channels):
                    click.echo(str(error), err=True)
                why = unmarked(str(error).removeprefix(str(path)).lstrip(": "), 200)
                text = f"nothing is watched: {what} cannot be opened: {why}"
                due = [one for one in due if not one.send("error", f"{who}: error", text).ok]
                again = time.monotonic() + AGAIN_S
            _sleep(0.2, over)
            continue
        for channel in channels:
            if channel not in due:
                channel.send("info", f"{who}: info", f"{what} can be opened again")
        return found
    return None


def _sleep(seconds: float, over: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not over():
        time.sleep(min(0.2, seconds))


def _channels(config: Config) -> list[Channel]:
    if not config.alerts.urls:
        raise UsageError(
            "alerts.urls is empty: put an address such as mailtos://user:pass@host into [alerts]"
        )
    return open_channels(config.alerts.urls)


def _who(config: Config) -> str:
    return f"ARBTUI {safe_text(config.chain.name, 24)}"
