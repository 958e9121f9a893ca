"""Which alarms are told, and when: each first one, then at every doubling, then its end. Pure: no clock, no channel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from arbtui.monitor.rules import Alarm, Level

#: An event that has not come again for so long begins anew.
QUIET_S = 3_600.0
#: One message's greatest size; of what is longer than a messenger takes (Discord: 2,000), apprise makes several.
MESSAGE_LINES = 40
MESSAGE_CHARACTERS = 1_700
_ORDER = (Level.ERROR, Level.WARNING, Level.INFO)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one (rule, subject). Times in seconds; `told_count` 0: not told in this episode."""

    alarm: Alarm
    standing: bool
    count: int
    told_count: int
    first_at: float
    last_at: float
    told_at: float | None
    next_at: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a message."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    level: Level
    title: str
    body: str


class AlertBook:
    """Keeps an Entry for each (rule, subject) of late; `entries` may be saved and given back after a restart."""

    def __init__(self, cooldown_s: float, entries: Iterable[Entry] = ()) -> None:
        self._cooldown = cooldown_s
        self._entries = {entry.alarm.key: entry for entry in entries}

    @property
    def entries(self) -> list[Entry]:
        return list(self._entries.values())

    def take(self, standing: Iterable[Alarm], events: Iterable[Alarm], now: float) -> list[Line]:
        """What is to be told now of what holds at this moment and of what has happened since the last look.

        An alarm's first is always told. Later ones of the same key are told when their number has doubled since the
        last message, one that stands when the time it stands has doubled; but never twice within the cool-down,
        unless it is urgent. The end of what stood is told if its beginning was.
        """
        lines: list[Line] = []
        for alarm in events:
            lines += self._event(alarm, now)
        held = {alarm.key: alarm for alarm in standing}
        for alarm in held.values():
            lines += self._standing(alarm, now)
        for key, entry in list(self._entries.items()):
            if entry.standing and key not in held:
                lines += self._end(entry, now)
            elif not entry.standing and now - entry.last_at >= QUIET_S:
                del self._entries[key]
        return lines

    def _event(self, alarm: Alarm, now: float) -> list[Line]:
        known = self._entries.get(alarm.key)
        if known is None or now - known.last_at >= QUIET_S:
            self._entries[alarm.key] = Entry(alarm, False, 1, 1, now, now, now, None)
            return [Line(alarm.level, alarm.text)]
        count = known.count + 1
        told_at = known.told_at
        due = count >= 2 * max(1, known.told_count) and self._cool(alarm, told_at, now)
        self._entries[alarm.key] = replace(
            known,
            alarm=alarm,
            count=count,
            last_at=now,
            told_count=count if due else known.told_count,
            told_at=now if due else told_at,
        )
        return [Line(alarm.level, f"{alarm.text} ({count} times by now)")] if due else []

    def _standing(self, alarm: Alarm, now: float) -> list[Line]:
        known = self._entries.get(alarm.key)
        if known is None or not known.standing:
            told_at = known.told_at if known else None
            tell = self._cool(alarm, told_at, now)
            self._entries[alarm.key] = Entry(
                alarm,
                True,
                1,
                1 if tell else 0,
                now,
                now,
                now if tell else told_at,
                now + max(self._cooldown, 60.0) if tell else None,
            )
            return [Line(alarm.level, alarm.text)] if tell else []
        first = known.told_count == 0 and self._cool(alarm, known.told_at, now)
        again = known.next_at is not None and now >= known.next_at
        changed = replace(known, alarm=alarm, count=known.count + 1, last_at=now)
        if not first and not again:
            self._entries[alarm.key] = changed
            return []
        lasted = max(now - known.first_at, self._cooldown, 60.0)
        self._entries[alarm.key] = replace(
            changed, told_count=changed.count, told_at=now, next_at=now + lasted
        )
        since = "" if first else f" (for {span(now - known.first_at)} now)"
        return [Line(alarm.level, alarm.text + since)]

    def _end(self, entry: Entry, now: float) -> list[Line]:
        told = entry.told_count > 0 and entry.alarm.tells_end
        self._entries[entry.alarm.key] = replace(
            entry,
            standing=False,
            told_count=0,
            last_at=now,
            told_at=now if told else entry.told_at,
            next_at=None,
        )
        return (
            [Line(Level.INFO, f"over after {span(now - entry.first_at)}: {entry.alarm.text}")] if told else []
        )

    def _cool(self, alarm: Alarm, told_at: float | None, now: float) -> bool:
        return told_at is None or alarm.urgent or now - told_at >= self._cooldown


def messages(lines: Iterable[Line], who: str) -> list[Message]:
    """The lines of one moment in as few messages as hold them, worst first; every line stands in one of them."""
    ordered = sorted(lines, key=lambda line: _ORDER.index(line.level))
    found: list[Message] = []
    chunk: list[Line] = []

    def close() -> None:
        if chunk:
            worst = chunk[0].level
            title = f"{who}: {worst}" if len(chunk) == 1 else f"{who}: {len(chunk)} alerts, {worst} first"
            found.append(Message(worst, title, "\n".join(line.text for line in chunk)))
            chunk.clear()

    size = 0
    for line in ordered:
        if chunk and (len(chunk) >= MESSAGE_LINES or size + len(line.text) > MESSAGE_CHARACTERS):
            close()
            size = 0
        chunk.append(line)
        size += len(line.text) + 1
    close()
    return found


def span(seconds: float) -> str:
    """A length of time in words: "40 s", "5 min", "3 h", "2 d"."""
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"
