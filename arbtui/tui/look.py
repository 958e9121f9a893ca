"""How things look: glyph and word for every state, numbers with sign and unit, colours. No widgets here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.theme import Theme

from arbtui.units import format_amount

Tone = Literal["", "dim", "good", "bad", "warn", "accent", "strong"]
Row = dict[str, Any]

#: Styles of the tones in content; the live table maps them to component classes of the same names.
STYLES: dict[Tone, str] = {
    "": "",
    "dim": "$arb-dim",
    "good": "$text-success",
    "bad": "bold $text-error",
    "warn": "$text-warning",
    "accent": "$text-accent",
    "strong": "bold",
}

#: state: glyph, ASCII glyph, word, tone
_STATES: dict[str, tuple[str, str, str, Tone]] = {
    "waiting": ("?", "?", "to approve", "warn"),
    "asked": ("✓", "v", "approved", "accent"),
    "dropped": ("○", "o", "dropped", "dim"),
    "paper": ("◐", "+", "on paper", ""),
    "prepared": ("✓", "v", "prepared", "accent"),
    "submitted": ("↑", "^", "submitted", "accent"),
    "mined": ("●", "*", "mined", "good"),
    "reverted": ("✗", "X", "reverted", "bad"),
    "cancelled": ("⊘", "%", "cancelled", "warn"),
    "expired": ("∅", "-", "expired", "dim"),
    "rejected": ("×", "x", "rejected", "dim"),
    "approved_by_hand": ("✓", "v", "approved", "good"),
    "approved_by_mandate": ("✓", "v", "mandate", "good"),
    "approved_by_all": ("✓", "v", "auto", "good"),
    "expired_seen": ("∅", "-", "expired", "dim"),
    "expired_unseen": ("∅", "-", "unseen", "dim"),
    "stale": ("⊘", "%", "stale", "warn"),
    "closed_foreign": ("◌", "~", "taken", "warn"),
    "closed_ours": ("●", "*", "taken by us", "good"),
    "closed_nobody": ("◌", "~", "gone", "dim"),
    "incident": ("!", "!", "incident", "bad"),
    "unsound": ("✗", "X", "unreconciled", "bad"),
    "command": ("›", ">", "command", "accent"),
}

_PLAIN = str.maketrans(
    {"→": ">", "−": "-", "…": "~", "·": "-", "│": "|", "─": "-", "↓": "v", "≥": ">", "≤": "<", "×": "x",
     "✓": "v", "✗": "X", "●": "*", "○": "o", "⏎": "<", "▲": "^", "▼": "v", "█": "#", "░": ".", "⚠": "!"}
)  # fmt: skip
_BEATS = ("◐◓◑◒", "|/-\\")


@dataclass(frozen=True, slots=True)
class Look:
    """What depends on the terminal and the chain: ASCII or not, the native coin, token names."""

    ascii: bool
    native: str
    tokens: Mapping[str, tuple[str, int]]

    def text(self, text: str) -> str:
        """Our own signs in ASCII where the terminal wants that; foreign characters as `?`."""
        return text.translate(_PLAIN).encode("ascii", "replace").decode() if self.ascii else text

    def state(self, name: str) -> tuple[str, Tone]:
        """Glyph and word, and its tone."""
        glyph, plain, word, tone = _STATES.get(name, ("·", ".", name, ""))
        return f"{plain if self.ascii else glyph} {word}", tone

    @property
    def more(self) -> str:
        """Ends what was clipped."""
        return "~" if self.ascii else "…"

    def beat(self, number: int) -> str:
        return _BEATS[self.ascii][number % 4]

    def signed(self, amount: int, decimals: int = 18, places: int | None = 6) -> str:
        """With its sign always, cut towards minus infinity: "+0.098400"; never scientific."""
        text = format_amount(amount, decimals, places)
        return self.text(f"−{text[1:]}" if text.startswith("-") else f"+{text}")

    def exact(self, amount: int, decimals: int) -> str:
        """Every unit of it, without idle zeros."""
        text = format_amount(amount, decimals)
        return text.rstrip("0").rstrip(".") if "." in text else text

    def token(self, address: str) -> tuple[str, int] | None:
        """Symbol and decimals, where anybody told them."""
        return self.tokens.get(address.lower())

    def symbol(self, address: str) -> str:
        known = self.token(address)
        return self.text(known[0] if known else short(address))

    def amount(self, amount: int, address: str) -> str:
        """The exact amount with its token; of an unknown one in base units, and it says so."""
        known = self.token(address)
        if known is None:
            return self.text(f"{amount:,} units of {short(address)}")
        return self.text(f"{self.exact(amount, known[1])} {known[0]}")

    def path(self, hops: Iterable[Row]) -> str:
        """WETH→DAI→WETH"""
        hops = list(hops)
        if not hops:
            return ""
        return self.text(
            "→".join([*(self.symbol(hop["token_in"]) for hop in hops), self.symbol(hops[-1]["token_out"])])
        )

    def venues(self, hops: Iterable[Row]) -> str:
        """Where it trades, hop by hop."""
        return self.text(" · ".join(str(hop["dex"]) for hop in hops))


def short(text: str, head: int = 6, tail: int = 4) -> str:
    """An address or hash, its middle left out."""
    return text if len(text) <= head + tail + 1 else f"{text[:head]}…{text[-tail:]}"


def fit(text: str, width: int, right: bool = False, more: str = "…") -> str:
    """Exactly `width` cells; what had to be clipped ends in an ellipsis."""
    width = max(0, width)
    size = cell_len(text)
    if size > width:
        return set_cell_size(text, width - 1) + more if width else ""
    return " " * (width - size) + text if right else text + " " * (width - size)


def cut(content: Content, width: int, more: str = "…") -> Content:
    """At most `width` cells; what had to be clipped ends in an ellipsis."""
    if content.cell_length <= width:
        return content
    return content.truncate(max(0, width - 1)) + (more if width > 0 else "")


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells, broken at blanks where there are any."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        candidate = f"{line} {word}" if line else word
        if cell_len(candidate) <= width:
            line = candidate
            continue
        if line:
            lines.append(line)
        while cell_len(word) > width:
            head = set_cell_size(word, width).rstrip()
            lines.append(head)
            word = word[len(head) :]
        line = word
    return [*lines, line]


def paint(*parts: str | tuple[str, Tone]) -> Content:
    """Text with tones. Nothing in it is markup, whatever it says."""
    return Content.assemble(
        *(part if isinstance(part, str) else (part[0], STYLES[part[1]]) if STYLES[part[1]] else part[0]
          for part in parts)
    )  # fmt: skip


def age(seconds: float) -> str:
    """3 s, 2 m, 4 h"""
    whole = max(0, int(seconds))
    if whole < 100:
        return f"{whole}s"
    if whole < 6_000:
        return f"{whole // 60}m{whole % 60:02d}s" if whole < 600 else f"{whole // 60}m"
    return f"{whole // 3600}h" if whole < 360_000 else f"{whole // 86400}d"


def gwei(wei: int) -> str:
    """Three decimals at most, without idle zeros."""
    text = format_amount(wei, 9, 3)
    return text.rstrip("0").rstrip(".")


def ether(wei: int, places: int = 4) -> str:
    return format_amount(wei, 18, places)


def clock_of(iso: str) -> str:
    """HH:MM:SS of a time as the store writes it."""
    return iso[11:19]


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


_COUNTED = frozenset({"bps", "blocks", "s", "faults", "usable", "usable lenders", "tickets", "gas"})


def figure(value: int, unit: str, look: Look, decimals: int | None) -> str:
    """A check's figure in the unit that a person thinks in: wei as native coin, base units as tokens."""
    if unit == "wei":
        return f"{significant(value, 18)} {look.native}"
    if unit == "wei per gas":
        return f"{gwei(value)} gwei"
    if decimals is None or unit in _COUNTED:
        return f"{value:,} {unit}"
    return f"{significant(value, decimals)} {unit.removeprefix('base units of ')}"


def significant(value: int, decimals: int) -> str:
    """Enough decimals that a small amount does not look like nothing, no idle zeros; cut, never rounded up."""
    whole = abs(value) // 10**decimals
    text = format_amount(value, decimals, 2 if whole >= 1_000 else 4 if whole else 8)
    return text.rstrip("0").rstrip(".") if "." in text else text


def compact(value: int, decimals: int, size: int) -> str:
    """At most `size` characters: fewer decimals, then k, M, G, T; what is there but too small to show is `<0.01`."""
    whole = abs(value) // 10**decimals
    for places in range(8, -1, -1):
        text = format_amount(value, decimals, places)
        text = text.rstrip("0").rstrip(".") if "." in text else text
        if len(text) <= size:
            if value > 0 and text == "0":
                return "<0." + "0" * (size - 4) + "1"
            return text
    for unit, scale in (("T", 12), ("G", 9), ("M", 6), ("k", 3)):
        if whole >= 10**scale:
            return compact(value // 10**scale, decimals, size - 1) + unit
    return format_amount(value, decimals, 0)


THEMES = (
    Theme(
        name="arb-dark",
        primary="#4c9be8",
        secondary="#2f5d8a",
        accent="#e0a458",
        warning="#e6c229",
        error="#e5484d",
        success="#46b17b",
        foreground="#d7dde4",
        background="#0e1318",
        surface="#131a21",
        panel="#1c2630",
        variables={"footer-key-foreground": "#e0a458", "arb-dim": "#7f8b97", "arb-cursor": "#24486b"},
    ),
    Theme(
        # Okabe and Ito's colours: told apart with every common colour blindness.
        name="arb-cb",
        primary="#56b4e9",
        secondary="#0072b2",
        accent="#e69f00",
        warning="#f0e442",
        error="#d55e00",
        success="#009e73",
        foreground="#e6e6e6",
        background="#101010",
        surface="#161616",
        panel="#242424",
        variables={"arb-dim": "#9a9a9a", "arb-cursor": "#0f4c75"},
    ),
    Theme(
        name="arb-mono",
        primary="#c8c8c8",
        secondary="#8a8a8a",
        accent="#ffffff",
        warning="#dcdcdc",
        error="#ffffff",
        success="#dcdcdc",
        foreground="#d0d0d0",
        background="#101010",
        surface="#161616",
        panel="#2a2a2a",
        variables={"arb-dim": "#8e8e8e", "arb-cursor": "#4a4a4a"},
    ),
)
