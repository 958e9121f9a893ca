"""The watch: look, write down what has to be told, hand it to the channels; a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from arbtui.errors import StoreError
from arbtui.monitor.book import AlertBook, Entry, Message, messages
from arbtui.monitor.channels import Sent
from arbtui.monitor.lookout import Lookout
from arbtui.monitor.rules import Alarm, Level
from arbtui.store.alerts import AlertStore, Row

#: A channel that fails is tried again after so long, doubled each time; a message that old is given up.
BACKOFF_S = 15.0
MOST_BACKOFF_S = 600.0
GIVE_UP_S = 86_400.0
#: So many waiting messages are joined into one, so that a channel that comes back is not flooded.
JOIN_ABOVE = 5


class Sender(Protocol):
    """A channel, as `Channel` is one."""

    @property
    def name(self) -> str: ...

    def send(self, level: str, title: str, body: str) -> Sent: ...


@dataclass(slots=True)
class _Lane:
    """One channel with what is on its way."""

    channel: Sender
    job: Future[Sent] | None = None
    ids: tuple[int, ...] = ()
    failures: int = 0
    not_before: float = 0.0


class Watch:
    """Everything it has not delivered is on disk: a watch that dies goes on where it was."""

    def __init__(
        self,
        lookout: Lookout,
        store: AlertStore,
        channels: Sequence[Sender],
        *,
        cooldown_s: float,
        who: str,
        now: Callable[[], str],
    ) -> None:
        self._lookout = lookout
        self._store = store
        self._lanes = [_Lane(channel) for channel in channels]
        self._who = who
        self._now = now
        self._book = AlertBook(cooldown_s, [_entry(row) for row in store.alarms()])
        self._pool = ThreadPoolExecutor(max_workers=max(1, len(channels)), thread_name_prefix="alert")

    def tick(self) -> int:
        """One look and what follows from it; how many messages were made. Raises StoreError."""
        now = self._now()
        seconds = datetime.fromisoformat(now).timestamp()
        try:
            looked = self._lookout.look(self._store.marks())
            standing, events, marks = looked.standing, looked.events, looked.marks
        except StoreError as error:
            # A store that cannot be read is itself worth an alert.
            text = f"the store cannot be read: {type(error).__name__}"
            standing, events, marks = [Alarm("incident", "store", Level.ERROR, text)], [], {}
            standing += [
                entry.alarm
                for entry in self._book.entries
                if entry.standing and entry.alarm.subject != "store"
            ]
        lines = self._book.take(standing, events, seconds)
        made = messages(lines, self._who)
        self._store.told(
            marks,
            [_row(entry) for entry in self._book.entries],
            [(str(m.level), m.title, m.body) for m in made],
            [lane.channel.name for lane in self._lanes],
            now,
        )
        self._deliver(now, seconds)
        return len(made)

    def drain(self, seconds: float = 30.0) -> None:
        """Wait for what is on its way, and for what waits, for so long at most."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            now = self._now()
            self._deliver(now, datetime.fromisoformat(now).timestamp())
            busy = [lane.job for lane in self._lanes if lane.job is not None]
            if not busy:
                return
            wait(busy, max(0.0, end - time.monotonic()))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _deliver(self, now: str, seconds: float) -> None:
        for lane in self._lanes:
            if lane.job is not None and lane.job.done():
                self._finished(lane, lane.job.result(), now, seconds)
            if lane.job is None and seconds >= lane.not_before:
                self._start(lane, now, seconds)

    def _start(self, lane: _Lane, now: str, seconds: float) -> None:
        waiting = self._store.waiting(lane.channel.name)
        old = [row for row in waiting if seconds - _seconds(row["at"]) > GIVE_UP_S]
        if old:
            self._store.delivered(
                lane.channel.name, [row["id"] for row in old], "given_up", 0, "too old", now
            )
            waiting = waiting[len(old) :]
        if not waiting:
            return
        rows, message = _next(waiting, self._who)
        lane.ids = tuple(row["id"] for row in rows)
        lane.job = self._pool.submit(lane.channel.send, str(message.level), message.title, message.body)

    def _finished(self, lane: _Lane, sent: Sent, now: str, seconds: float) -> None:
        lane.job = None
        lane.failures = 0 if sent.ok else lane.failures + 1
        if not sent.ok:
            lane.not_before = seconds + min(MOST_BACKOFF_S, BACKOFF_S * 2 ** (lane.failures - 1))
        state = "delivered" if sent.ok else "waiting"
        self._store.delivered(lane.channel.name, lane.ids, state, sent.attempts, sent.error, now)


def _next(waiting: Sequence[Row], who: str) -> tuple[Sequence[Row], Message]:
    """The oldest message; where many wait, as many of them as go into one."""
    if len(waiting) <= JOIN_ABOVE:
        row = waiting[0]
        return waiting[:1], Message(Level(row["level"]), row["title"], row["body"])
    taken: list[Row] = []
    size = 0
    for row in waiting:
        size += len(row["body"]) + 30
        if taken and size > 3_000:
            break
        taken.append(row)
    body = "\n".join(f"{row['at'][:19]}Z {row['body']}" for row in taken)
    level = min((Level(row["level"]) for row in taken), key=[Level.ERROR, Level.WARNING, Level.INFO].index)
    return taken, Message(level, f"{who}: {len(taken)} messages that were late", body)


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _at(seconds: float | None) -> str | None:
    return (
        None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
    )


def _row(entry: Entry) -> dict[str, Any]:
    fields = asdict(entry)
    alarm = fields.pop("alarm")
    return {
        **fields,
        "rule": alarm["rule"],
        "subject": alarm["subject"],
        "level": str(entry.alarm.level),
        "text": entry.alarm.text,
        "standing": int(entry.standing),
        **{name: _at(fields[name]) for name in ("first_at", "last_at", "told_at", "next_at")},
    }


def _entry(row: Row) -> Entry:
    alarm = Alarm(
        row["rule"], row["subject"], Level(row["level"]), row["text"], tells_end=row["rule"] != "ticket_waits"
    )
    moments = {
        name: None if row[name] is None else _seconds(row[name])
        for name in ("first_at", "last_at", "told_at", "next_at")
    }
    return Entry(
        alarm,
        bool(row["standing"]),
        row["count"],
        row["told_count"],
        moments["first_at"] or 0.0,
        moments["last_at"] or 0.0,
        moments["told_at"],
        moments["next_at"],
    )
