"""Which alarms are told: every first one, doublings, ends; bounded under a storm."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbtui.monitor.book import MESSAGE_CHARACTERS, MESSAGE_LINES, AlertBook, Line, messages, span
from arbtui.monitor.rules import RULES, URGENT, Alarm, Level, own, unmarked


def alarm(subject: str = "", rule: str = "node", text: str = "", **changes: bool) -> Alarm:
    return Alarm(rule, subject, Level.WARNING, text or f"{rule} {subject}", **changes)


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


def test_events_are_told_first_and_when_their_number_has_doubled() -> None:
    book = AlertBook(0)
    told = [n for n in range(1, 101) if book.take((), [alarm("a")], float(n))]
    assert told == [1, 2, 4, 8, 16, 32, 64]


def test_the_cool_down_holds_back_doublings_but_no_other_first_one() -> None:
    book = AlertBook(60)
    told = [n for n in range(1, 301) if book.take((), [alarm("a")], float(n))]
    assert told == [1, 61, 122, 244]
    assert texts(book.take((), [alarm("b")], 301.0)) == ["node b"]


@pytest.mark.parametrize("rule", sorted(URGENT))
def test_an_urgent_one_is_never_held_back(rule: str) -> None:
    book = AlertBook(3_600)
    lines = book.take((), [alarm(str(n), rule) for n in range(300)], 0.0)
    assert len(lines) == 300
    standing = AlertBook(3_600)
    for flap in range(5):
        assert len(standing.take([alarm("x", rule)], (), flap * 2.0)) == 1
        assert len(standing.take((), (), flap * 2.0 + 1)) == 1, "its end"


def test_what_stands_is_told_at_once_then_when_its_time_has_doubled_and_at_its_end() -> None:
    book = AlertBook(60)
    told = {n: texts(book.take([alarm("a")], (), float(n))) for n in range(0, 1_000, 5)}
    assert [n for n, lines in told.items() if lines] == [0, 60, 120, 240, 480, 960]
    assert told[240] == ["node a (for 4 min now)"]
    assert texts(book.take((), (), 1_000.0)) == ["over after 17 min: node a"]
    assert book.take((), (), 1_001.0) == []


def test_flapping_is_told_once_a_cool_down_and_ends_with_the_truth() -> None:
    book = AlertBook(60)
    lines = []
    for n in range(120):
        lines += [(n, text) for text in texts(book.take([alarm("a")] if n % 2 == 0 else (), (), float(n)))]
    assert lines == [
        (0, "node a"),
        (1, "over after 1 s: node a"),
        (62, "node a"),
        (63, "over after 1 s: node a"),
    ]
    # Still there when the cool-down is over: told then.
    book.take([alarm("a")], (), 120.0)
    later = [n for n in range(121, 140) if book.take([alarm("a")], (), float(n))]
    assert later == [123]


def test_an_end_nobody_waits_for_is_not_told() -> None:
    book = AlertBook(0)
    book.take([alarm("t", "ticket_waits", tells_end=False)], (), 0.0)
    assert book.take((), (), 1.0) == []


def test_after_a_quiet_hour_the_next_is_a_first_one_and_nothing_is_kept() -> None:
    book = AlertBook(60)
    book.take((), [alarm("a")], 0.0)
    book.take((), [alarm("a")], 1.0)
    assert book.take((), (), 3_700.0) == []
    assert book.entries == []
    assert texts(book.take((), [alarm("a")], 4_000.0)) == ["node a"]


def test_a_storm_is_bounded_and_loses_no_first_one() -> None:
    """10,000 events on 100 things over 50 looks, some urgent, in no order."""
    rng = random.Random(3)
    book = AlertBook(300)
    rules = sorted(RULES)
    keys = [(rules[n % len(rules)], f"s{n}") for n in range(100)]
    seen: set[tuple[str, str]] = set()
    told: list[str] = []
    made = 0
    for look in range(50):
        batch = [alarm(subject, rule, f"<{rule} {subject}>") for rule, subject in rng.choices(keys, k=200)]
        before = set(seen)
        seen |= {one.key for one in batch}
        lines = book.take((), batch, look * 5.0)
        for rule, subject in seen - before:
            assert f"<{rule} {subject}>" in texts(lines), "the first of its kind is told in its own look"
        for message in messages(lines, "ARBTUI"):
            made += 1
            assert len(message.body) <= MESSAGE_CHARACTERS + 200
            told += message.body.splitlines()
    assert len(seen) == 100
    assert {f"<{rule} {subject}>" for rule, subject in keys} <= set(told)
    calm = [line for line in told if not any(f"<{rule} " in line for rule in URGENT)]
    assert len(calm) <= 2 * 100, "250 s are less than a cool-down: hardly more than the first ones"
    assert made <= 50 + 10
    assert len(book.entries) == 100


ALARMS = st.lists(
    st.builds(alarm, st.sampled_from("abcd"), st.sampled_from(["node", "loss", "stuck"])), max_size=6
)


@given(st.lists(st.tuples(ALARMS, ALARMS, st.integers(0, 200)), max_size=30))
def test_what_is_told_follows_from_what_was_seen(looks: list[tuple[list[Alarm], list[Alarm], int]]) -> None:
    """Every first is told; ends only of what stands no more; a book that was saved goes on the same."""
    book = AlertBook(60)
    now = 0.0
    ever: set[tuple[str, str]] = set()
    for standing, events, passed in looks:
        now += passed
        restored = AlertBook(60, book.entries)
        # One thing is an event or stands; the rules of the watch keep that apart.
        events = [Alarm(e.rule, f"e{e.subject}", e.level, e.text) for e in events]
        lines = book.take(standing, events, now)
        assert restored.take(standing, events, now) == lines
        firsts = {one.key for one in (*standing, *events)} - ever
        for one in (*standing, *events):
            if one.key in firsts:
                assert one.text in texts(lines)
        ever |= {one.key for one in (*standing, *events)}
        for line in lines:
            if line.text.startswith("over after"):
                assert not any(line.text.endswith(f": {one.text}") for one in standing)
        assert {e.alarm.key for e in book.entries if e.standing} == {one.key for one in standing}


@given(st.lists(st.builds(Line, st.sampled_from(list(Level)), st.text("ab c", max_size=400)), max_size=200))
def test_messages_hold_every_line_once_worst_first(lines: list[Line]) -> None:
    made = messages(lines, "ARBTUI")
    assert sorted("\n".join(m.body for m in made).split("\n") if made else []) == sorted(texts(lines))
    order = [list(Level)[::-1].index(m.level) for m in made]
    assert order == sorted(order)
    assert all(len(m.body.split("\n")) <= MESSAGE_LINES for m in made)


@pytest.mark.parametrize(
    "text",
    [
        "*bold* _it_ `code` ~no~ |spoiler|",
        "[click](https://evil.example/?key=1)",
        "<b onload=x>@everyone</b>",
        "line\none\r\n\x1b[31mred\u202e",
        "https://user:pass@node.example/secret-key failed",
        "<!channel> &lt; javascript://x",
        "www.evil.com //evil.com",
    ],
)
def test_foreign_words_carry_no_markup_no_link_and_no_line(text: str) -> None:
    shown = unmarked(text)
    assert not set(shown) & set("*_`~|<>[]{}@&\\#\n\r\x1b\u202e")
    assert "://" not in shown
    assert "secret-key" not in shown
    assert ".com" not in shown
    assert len(unmarked(text * 50)) <= 320
    assert "\n" not in own(text)


def test_lengths_of_time() -> None:
    assert [span(s) for s in (0, 59, 119, 121, 7_200, 7_300, 200_000)] == [
        "0 s", "59 s", "119 s", "2 min", "2 h", "2 h", "2 d",
    ]  # fmt: skip
