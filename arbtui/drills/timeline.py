"""What a drill shows and answers: moments in order, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from arbtui.text import redact, safe_text

#: Longest detail of one moment, in characters.
_DETAIL = 240


@dataclass(frozen=True, slots=True)
class Moment:
    """`at_s` in seconds from the drill's start. `what` is who speaks: chain, injected, healed, engine (a line of
    its log), or what it wrote: ticket, decision, attempt, execution, incident, recovery, settled; at the end:
    verified, or lost and wrong.
    """

    at_s: float
    what: str
    detail: str

    def to_json(self) -> dict[str, Any]:
        return {"at_s": round(self.at_s, 3), "what": self.what, "detail": self.detail}


@dataclass(slots=True)
class Timeline:
    """Moments as they come; each is told to `show` at once."""

    show: Callable[[Moment], None] = lambda _: None
    moments: list[Moment] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def __call__(self, what: str, detail: str) -> None:
        moment = Moment(self.seconds(), what, safe_text(redact(detail), _DETAIL))
        self.moments.append(moment)
        self.show(moment)

    def seconds(self) -> float:
        return time.monotonic() - self.began


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a drill's script found. `detected`: the engine wrote what names the fault; `recovered`: it ended as
    docs/recovery.md says. `why` says what was missing, or how it ended.
    """

    detected: bool
    recovered: bool
    why: str


@dataclass(frozen=True, slots=True)
class DrillResult:
    """`lost_transactions` counts signed hashes, and transactions of the wallet, that nobody accounts for.

    `store` is the folder that was kept to be looked at, None where all went well.
    """

    drill: str
    injected: str
    detected: bool
    recovered: bool
    seconds: float
    timeline: tuple[Moment, ...]
    lost_transactions: int
    why: str
    store: str | None = None

    @property
    def passed(self) -> bool:
        """Recovered with nothing lost: what the exit code tells."""
        return self.recovered and self.lost_transactions == 0

    def to_json(self) -> dict[str, Any]:
        return {
            "drill": self.drill,
            "injected": self.injected,
            "detected": self.detected,
            "recovered": self.recovered,
            "seconds": round(self.seconds, 3),
            "timeline": [moment.to_json() for moment in self.timeline],
            "lost_transactions": self.lost_transactions,
            "why": self.why,
            "store": self.store,
        }
