"""Foreign strings (symbols, node errors, API text) made safe, once, where they enter the model."""

from __future__ import annotations

import re
import unicodedata

REPLACEMENT = "\ufffd"
#: Cc/Cf/Cs/Co/Cn: control, format (bidi overrides), surrogates, private, unassigned; Zl/Zp: line breaks;
#: Mn/Me: marks that stack onto other cells.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Me"})


def safe_text(value: object, limit: int = 32) -> str:
    """One printable line of at most `limit` characters; what could act on a terminal becomes U+FFFD."""
    text = unicodedata.normalize("NFC", str(value))
    out = "".join(
        REPLACEMENT
        if unicodedata.category(ch) in _UNSAFE or (unicodedata.category(ch) == "Zs" and ch != " ")
        else ch
        for ch in text[: limit + 1]
    )
    return out if len(text) <= limit else out[: limit - 1] + "…"


_URL = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?P<rest>\S+)", re.IGNORECASE)


def redact_url(url: str) -> str:
    """Scheme, host and port only: keys sit in the user part, the path and the query."""
    match = _URL.match(url)
    if not match:
        return "<address hidden>"
    authority = re.split(r"[/?#]", match["rest"], maxsplit=1)[0].rpartition("@")[2]
    rest = match["rest"].partition(authority)[2]
    return f"{match['scheme']}{authority}" + ("/…" if rest.strip("/") else "")


def redact(text: str) -> str:
    """`text` with every URL in it cut to scheme, host and port."""
    return _URL.sub(lambda match: redact_url(match.group(0)), text)
