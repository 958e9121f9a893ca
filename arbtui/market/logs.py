"""Reading a pool's logs: words of the right number, or a typed refusal."""

from __future__ import annotations

import re

from arbtui.domain import Log
from arbtui.errors import ArbtuiError
from arbtui.units import Address

_WORD = re.compile("0x[0-9a-fA-F]{64}")


class LogRefused(ArbtuiError):
    """A log that cannot be right for the pool as it is kept: the log, or what is kept, is wrong. `reason` says why."""

    def __init__(self, reason: str, pool: Address) -> None:
        super().__init__(f"pool {pool}: {reason}")
        self.reason = reason
        self.pool = pool


def words_of(log: Log, name: str, topics: int, words: int) -> list[int]:
    """The data of `log` as unsigned words.

    `topics` counts the event's own topic too. Raises LogRefused where either number is another one.
    """
    data = log.data
    if len(log.topics) != topics or len(data) != 32 * words:
        raise LogRefused(
            f"a {name} of {len(log.topics)} topics and {len(data)} bytes, not {topics} and {32 * words}",
            log.address,
        )
    if words == 2:
        return [int.from_bytes(data[:32]), int.from_bytes(data[32:])]
    return [int.from_bytes(data[at : at + 32]) for at in range(0, 32 * words, 32)]


def topic_word(log: Log, at: int) -> int:
    """Indexed value number `at` (1 is the first) as an unsigned word. Raises LogRefused where it is none."""
    text = log.topics[at]
    if not _WORD.fullmatch(text):
        raise LogRefused(f"topic {at} is not 0x and 64 hex digits", log.address)
    return int(text, 16)


def signed(word: int, bits: int) -> int:
    """An ABI word as the int of `bits` bits in it. Raises ValueError where the word is not one."""
    value = word - (1 << 256) if word >> 255 else word
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise ValueError(f"a word that is no int{bits}")
    return value
