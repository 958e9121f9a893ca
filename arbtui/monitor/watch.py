"""The watch: look, write down what has to be told, hand it to the channels; a process of its own."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from arbtui.errors import StoreError
from arbtui.monitor.book import MESSAGE_CHARACTERS, AlertBook, Entry, Message, messages
from arbtui.monitor.channels import ATTEMPTS, Sent
from arbtui.monitor.lookout import Lookout
from arbtui.monitor.rules import Alarm, Level, unmarked
from arbtui.store.alerts import AlertStore, Row

#: A channel that fails is tried again after so long, doubled each time; a message that old is given up.
BACKOFF_S = 15.0
MOST_BACKOFF_S = 600.0
GIVE_UP_S = 86_400.0
#: So many waiting messages are joined into one, so that a channel that comes back is not flooded.
JOIN_ABOVE = 5
#: A message that was refused so often goes behind the others: it may be the message, not the channel.
REFUSED = 2 * ATTEMPTS
#: Messages kept for a channel while they cannot be written down; the oldest go first.
UNWRITTEN = 200


class Sender(Protocol):
    """A channel, as `Channel` is one."""

    @property
    def key(self) -> str: ...

    def send(self, level: str, title: str, body: str) -> Sent: ...


@dataclass(slots=True)
class _Pace:
    """Failures in a row, and when the next try is due."""

    failures: int = 0
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of messages, to be written down."""

    ids: tuple[int, ...]
    state: str
    attempts: int
    error: str


@dataclass(slots=True)
class _Lane:
    """One channel with what is on its way. What was refused often has a pace of its own, and keeps nobody waiting."""

    channel: Sender
    job: Future[Sent] | None = None
    ids: tuple[int, ...] = ()
    late: bool = False
    fresh_pace: _Pace = field(default_factory=_Pace)
    late_pace: _Pace = field(default_factory=_Pace)
    #: Most messages that are joined: halved when such a one is refused, for one of them may be the reason.
    most: int = 1_000
    #: Messages that could not be written down, and results that could not.
    unwritten: deque[Message] = field(default_factory=lambda: deque(maxlen=UNWRITTEN))
    results: list[_Result] = field(default_factory=list)


class Watch:
    """Everything it has not delivered is on disk: a watch that dies goes on where it was.

    While the alerts file cannot be written, it goes on from memory and hands messages over without it.
    """

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
        self._marks = store.marks()
        #: Why the alerts file cannot be written; empty while it can.
        self._fault = ""
        self._others_given_up = False
        self._pool = ThreadPoolExecutor(max_workers=max(1, len(channels)), thread_name_prefix="alert")

    def tick(self) -> int:
        """One look and what follows from it; how many messages were made."""
        now = self._now()
        seconds = datetime.fromisoformat(now).timestamp()
        try:
            looked = self._lookout.look(self._marks)
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
        if self._fault:
            text = f"alerts cannot be written down: {self._fault}; they go out from memory"
            standing.append(Alarm("incident", "alerts", Level.ERROR, text))
        lines = self._book.take(standing, events, seconds)
        made = messages(lines, self._who)
        self._marks = {**self._marks, **marks}
        keys = [lane.channel.key for lane in self._lanes]
        try:
            self._store.told(
                self._marks,
                [_row(entry) for entry in self._book.entries],
                [(str(m.level), m.title, m.body) for m in made],
                keys,
                now,
            )
            if not self._others_given_up:
                self._store.give_up_others(keys, now)
                self._others_given_up = True
            self._fault = ""
        except StoreError as error:
            self._failed(error)
            for lane in self._lanes:
                lane.unwritten.extend(made)
        self._deliver(now, seconds)
        return len(made)

    def _failed(self, error: StoreError) -> None:
        # Without the path.
        self._fault = unmarked(str(error).removeprefix(str(self._store.path)).lstrip(": "), 200)

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
                self._finished(lane, lane.job.result(), seconds)
            try:
                self._note(lane, now)
            except StoreError as error:
                self._failed(error)
            if lane.job is None:
                self._start(lane, now, seconds)

    def _start(self, lane: _Lane, now: str, seconds: float) -> None:
        if lane.unwritten:
            if seconds >= lane.fresh_pace.not_before:
                self._send(lane, lane.unwritten[0], (), late=False)
            return
        try:
            waiting = self._store.waiting(lane.channel.key)
            old = [row for row in waiting if seconds - _seconds(row["at"]) > GIVE_UP_S]
            if old:
                lane.results.append(_Result(tuple(row["id"] for row in old), "given_up", 0, "too old"))
                self._note(lane, now)
        except StoreError as error:
            self._failed(error)
            return
        gone = {number for result in lane.results if result.state != "waiting" for number in result.ids}
        gone |= {row["id"] for row in old}
        fresh = [row for row in waiting if row["id"] not in gone and row["attempts"] < REFUSED]
        late = [row for row in waiting if row["id"] not in gone and row["attempts"] >= REFUSED]
        if fresh and seconds >= lane.fresh_pace.not_before:
            rows = fresh
        elif late and not fresh and seconds >= lane.late_pace.not_before:
            rows = sorted(late, key=lambda row: (row["attempts"], row["id"]))
        else:
            return
        taken, message = _next(rows, self._who, lane.most)
        self._send(lane, message, tuple(row["id"] for row in taken), late=rows is not fresh)

    def _send(self, lane: _Lane, message: Message, ids: tuple[int, ...], *, late: bool) -> None:
        lane.ids, lane.late = ids, late
        lane.job = self._pool.submit(lane.channel.send, str(message.level), message.title, message.body)

    def _finished(self, lane: _Lane, sent: Sent, seconds: float) -> None:
        lane.job = None
        pace = lane.late_pace if lane.late else lane.fresh_pace
        if sent.ok:
            lane.fresh_pace, lane.late_pace = _Pace(), _Pace()
            lane.most = min(1_000, lane.most * 2)
        else:
            pace.failures += 1
            pace.not_before = seconds + min(MOST_BACKOFF_S, BACKOFF_S * 2 ** (pace.failures - 1))
            if len(lane.ids) > 1:
                lane.most = max(1, len(lane.ids) // 2)
        if lane.ids:
            state = "delivered" if sent.ok else "waiting"
            lane.results.append(_Result(lane.ids, state, sent.attempts, sent.error))
        elif sent.ok:
            lane.unwritten.popleft()

    def _note(self, lane: _Lane, now: str) -> None:
        """Write down what became of messages. Raises StoreError; what was not written is kept."""
        while lane.results:
            result = lane.results[0]
            self._store.delivered(
                lane.channel.key, result.ids, result.state, result.attempts, result.error, now
            )
            del lane.results[0]


def _next(waiting: Sequence[Row], who: str, most: int) -> tuple[Sequence[Row], Message]:
    """The first message; where many wait, as many of them as go into one, `most` at most."""
    if len(waiting) <= JOIN_ABOVE or most == 1:
        row = waiting[0]
        return waiting[:1], Message(Level(row["level"]), row["title"], row["body"])
    taken: list[Row] = []
    size = 0
    for row in waiting[:most]:
        size += len(row["body"]) + 30
        if taken and size > MESSAGE_CHARACTERS:
            break
        taken.append(row)
    taken.sort(key=lambda row: int(row["id"]))
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
