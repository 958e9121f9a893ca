"""Foreign strings (symbols, node errors, API text) made safe, once, where they enter the model."""

from __future__ import annotations

import re
import sys
import unicodedata

REPLACEMENT = "\ufffd"
#: Cc/Cf/Cs/Co/Cn: control, format (bidi overrides), surrogates, private, unassigned; Zl/Zp: line breaks;
#: Mn/Me: marks that stack onto other cells.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Me"})
#: NFC makes one character of at most so many.
_MOST_COMPOSED = 4


def safe_text(value: object, limit: int = 32) -> str:
    """One printable line of at most `limit` characters; what could act on a terminal becomes U+FFFD."""
    whole = str(value)
    # Marks without end take a time that grows with their square to bring in order: cut before, and after.
    text = unicodedata.normalize("NFC", whole[: _MOST_COMPOSED * (limit + 1)])
    out = "".join(
        REPLACEMENT
        if unicodedata.category(ch) in _UNSAFE or (unicodedata.category(ch) == "Zs" and ch != " ")
        else ch
        for ch in text[: limit + 1]
    )
    return out if len(text) <= limit else out[: limit - 1] + "…"


#: JSON nested deeper than this is nobody's; json and msgspec stop by themselves while the limit is as Python has it.
_MOST_DEPTH = 512
#: eth_account's py_ecc raises Python's limit to 100,000: then nested JSON overflows the C stack before it is reached.
_SAFE_LIMIT = 5_000
#: A string that is never closed matches to the end: no place of it is looked at twice.
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def nested_too_deep(foreign: str | bytes) -> bool:
    """Whether reading this JSON could overflow the C stack, which no `except` catches."""
    if sys.getrecursionlimit() <= _SAFE_LIMIT:
        return False
    raw = foreign.encode(errors="replace") if isinstance(foreign, str) else foreign
    if raw.count(b"[") + raw.count(b"{") <= _MOST_DEPTH:
        return False
    depth = 0
    for piece in _STRUCTURE.finditer(raw):
        first = piece[0][0]
        if first in b"[{":
            depth += 1
            if depth > _MOST_DEPTH:
                return True
        elif first in b"]}":
            depth -= 1
    return False


_URL = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?P<rest>\S*[^\s:,;.])", re.IGNORECASE)


def redact_url(url: str) -> str:
    """Scheme, host and port only: keys sit in the user part, the path and the query."""
    scheme, _, rest = url.partition("://")
    # Whatever a key is made of: nothing but what stands after the last @ and before the first / ? # is shown.
    head = re.split(r"[/?#]", rest, maxsplit=1)[0]
    authority = head.rpartition("@")[2]
    if not re.fullmatch(r"[\w.:\[\]-]+", authority):
        return "<address hidden>"
    return f"{scheme}://{authority}" + ("/…" if rest[len(head) :].strip("/") else "")


def redact(text: str) -> str:
    """`text` with every URL in it cut to scheme, host and port."""
    return _URL.sub(lambda match: redact_url(match.group(0)), text)
