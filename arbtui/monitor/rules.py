"""What an alarm is, which rules there are, and how foreign words are written into a message that nobody can forge."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from arbtui.text import redact, safe_text

#: rule -> what it tells. Urgent ones are never held back by a cool-down.
RULES: dict[str, str] = {
    "ticket_waits": "a ticket that promises more than ticket_above_wei waits for a person",
    "loss": "a trade lost money, or a revert or cancel cost more than loss_above_wei (urgent)",
    "revert": "an execution was mined and reverted",
    "pause": "sending is paused or killed, or a breaker tripped",
    "stopped": "the account is stopped: nothing is signed until somebody acknowledges (urgent)",
    "stuck": "a transaction is in flight for longer than stuck_s",
    "recovery": "recovery is needed or was done: a cancel, an execution taken up after a restart",
    "key": "somebody else signs with our key: a nonce went to a transaction that is not ours (urgent)",
    "node": "a node is down, behind, limited or quarantined, failed a block's work, or nodes do not agree",
    "node_stale": "no new block for stale_blocks",
    "reorg": "the head did not go forward",
    "low_gas": "the wallet holds less than low_gas_wei",
    "lender_vanished": "a lender that lent before lends nothing any more",
    "success_rate": "fewer than min_success_rate succeed",
    "realised": "successes realise less than min_realised_share of what was expected",
    "unreconciled": "receipt and balances differ, or a balance moved that no settlement explains (urgent)",
    "disk_low": "less than disk_free_mb free where the store is",
    "engine_stopped": "no engine holds the store any more (urgent)",
    "send": "a send was refused or its outcome is not known",
    "incident": "anything else the engine wrote down as an incident",
    "summary": "once a day, at summary_hour",
}
URGENT = frozenset({"loss", "key", "stopped", "unreconciled", "engine_stopped"})


class Level(StrEnum):
    """How bad; apprise's words for them are info, warning and failure."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing to tell. (rule, subject) is what it is about; `tells_end`: its end is worth a message too."""

    rule: str
    subject: str
    level: Level
    text: str
    tells_end: bool = True

    @property
    def key(self) -> tuple[str, str]:
        return self.rule, self.subject

    @property
    def urgent(self) -> bool:
        return self.rule in URGENT


#: What makes markup, links or mentions in Slack, Discord, Telegram, HTML or Markdown.
_ACTIVE = str.maketrans(
    {
        **dict.fromkeys("*_`~|#", " "),
        "<": "(", ">": ")", "[": "(", "]": ")", "{": "(", "}": ")", "@": "(at)", "&": "+", "\\": "/",
    }
)  # fmt: skip


def unmarked(value: object, limit: int = 160) -> str:
    """Foreign words as one line that no messenger takes for markup, a link or a mention; addresses of nodes cut."""
    text = safe_text(redact(str(value)), limit).translate(_ACTIVE)
    # Neither scheme nor domain may be left for a messenger to make a link of.
    return text.replace("://", ": ").replace("//", "/").replace("www.", "www ").replace(".", "·")


def own(text: str) -> str:
    """Our own words with figures in them: the last gate, which keeps points of numbers and takes markup alone."""
    return safe_text(text, 1_000).translate(_ACTIVE).replace("://", ": ")
