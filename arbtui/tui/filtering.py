"""The filter's small language: words, `!words`, and figures such as `net>0.05`; all must hold."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from arbtui.tui.live_table import TableRow

_FIGURE = re.compile(r"(!?)([a-z]+)(>=|<=|>|<|=)([+-]?\d{1,40}(?:\.\d{1,40})?)", re.IGNORECASE)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "=": operator.eq,
}

Test = Callable[[TableRow], bool]


def parse_filter(text: str, figures: frozenset[str]) -> tuple[Test, str]:
    """The test, and what is wrong with the filter ("" if nothing). `figures` are the columns that hold numbers."""
    tests: list[Test] = []
    wrong = ""
    for word in text.split():
        match = _FIGURE.fullmatch(word)
        if match is None:
            tests.append(_text(word))
        elif match[2].lower() not in figures:
            wrong = f"no figures in {match[2]!r}; there are {', '.join(sorted(figures))}"
        else:
            tests.append(_figure(match[2].lower(), match[3], Decimal(match[4]), bool(match[1])))
    return (lambda row: all(test(row) for test in tests)), wrong


def _text(word: str) -> Test:
    wanted = word.lower()
    if wanted.startswith("!"):
        unwanted = wanted[1:]
        return lambda row: not unwanted or unwanted not in row.plain()
    return lambda row: wanted in row.plain()


def _figure(name: str, sign: str, limit: Decimal, inverse: bool) -> Test:
    def test(row: TableRow) -> bool:
        value = row.sort.get(name)
        return value is not None and _OPERATORS[sign](Decimal(value), limit) is not inverse

    return test
