"""How much to ask of a node at once: less after a refusal, more again after success."""

from __future__ import annotations

from arbtui.errors import ArbtuiError, MalformedAnswer, NodeError, NodeUnreachable

_MOST_TIMEOUTS = 4
#: What clients and providers say of an answer too large, too slow or too costly (eth_call and eth_getLogs).
_TOO_MUCH = (
    "gas",
    "limit",
    "exceed",
    "too many",
    "too large",
    "too big",
    "too wide",
    "more than",
    "range",
    "size",
    "time",
    "memory",
    "abort",
    "http 413",
)
#: Asking for less does not help with these, whatever else the text says.
_OTHER = (
    "rate limit",
    "http 429",
    "too many requests",
    "not found",
    "unknown block",
    "unauthorized",
    "outofrange",
)
_METHOD_NOT_FOUND = -32601


def too_much(error: ArbtuiError) -> bool:
    """Whether asking the node for less may help: an answer refused as too large, too slow, or out of gas."""
    text = str(error).lower()
    if any(word in text for word in _OTHER):
        return False
    if isinstance(error, NodeUnreachable):
        return error.sent
    if isinstance(error, NodeError):
        text = error.message.lower()
        return error.code != _METHOD_NOT_FOUND and any(word in text for word in _TOO_MUCH)
    return isinstance(error, MalformedAnswer) and ("more than" in text or "http 413" in text)


class Span:
    """A size between 1 and `most` that finds what the node takes.

    It halves on a refusal, closes in on the largest size not refused yet, and tries more again after so many
    answers.
    """

    def __init__(self, most: int, again_after: int = 32) -> None:
        self.most = most
        self.size = most
        self.refusals = 0
        self._again_after = again_after
        self._refused = most + 1
        self._wins = 0
        self._timeouts = 0

    def took(self, asked: int) -> None:
        """`asked` was answered."""
        self._wins += 1
        self._timeouts = 0
        if self._wins % self._again_after == 0:
            self._refused = min(self.most + 1, self._refused * 2)
        if asked >= self.size and self._refused - self.size > max(1, self.size // 8):
            self.size = min(self.most, (self.size + self._refused) // 2)

    def refused(self, asked: int, error: ArbtuiError) -> None:
        """`asked` was refused with `error`, which is raised where less would not help."""
        self._timeouts += isinstance(error, NodeUnreachable)
        if asked <= 1 or not too_much(error) or self._timeouts >= _MOST_TIMEOUTS:
            raise error
        self.refusals += 1
        self._refused = min(self._refused, asked)
        self.size = max(1, min(self.size, asked // 2))
