"""What an error means: total and pure.

1  the type of an exception, the HTTP status
2  revert data and a revert's marks: what follows them was written by a contract and decides nothing else
3  the phrases of `phrases.py`, in their order
4  numbers beside "nonce", the status, the code
5  unknown, which is never repeated blindly
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from arbtui.domain import Delivery
from arbtui.errors import ArbtuiError
from arbtui.recovery.classes import MEANINGS, PRICE_CLASSES, Action, ErrorClass
from arbtui.recovery.phrases import MARKS, RULES, WHOLE, WORDS, ZKSYNC, squeeze
from arbtui.recovery.reverts import Errors, Revert, decode_reason, decode_revert, known_reason
from arbtui.recovery.unwrap import Told, unwrap
from arbtui.text import redact, safe_text

__all__ = ["PRICE_CLASSES", "Classified", "ErrorClass", "classify", "classify_send", "merge"]

_SHOWN = 240
_MATCHED = 8_192


@dataclass(frozen=True, slots=True)
class Classified:
    """The answer of `classify`.

    `delivery` is what it proves of a send's bytes; `rule` is the evidence; `figures` are numbers the message names
    (wei, gas, nonces); `retry_after_s` is the wait a provider asked for; `told` is the message, safe and without
    addresses of nodes.
    """

    error_class: ErrorClass
    delivery: Delivery
    action: Action
    retryable: bool
    title: str
    explain: str
    revert: Revert | None
    rule: str
    told: str
    figures: Mapping[str, int]
    retry_after_s: float | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "class": str(self.error_class),
            "action": str(self.action),
            "retryable": self.retryable,
            "title": self.title,
            "explain": self.explain,
            "revert": None if self.revert is None else self.revert.as_json(),
            "delivery": str(self.delivery),
            "figures": {name: str(value) for name, value in self.figures.items()},
            "retry_after_s": self.retry_after_s,
            "rule": self.rule,
        }


def classify(
    error: object, *, method: str = "", protocol: str | None = None, own: Errors | None = None
) -> Classified:
    """An exception, a text, a JSON-RPC object or revert data as one class. Total: never raises.

    `method` is the JSON-RPC method that was called, where it is known; `protocol` decides between protocols that
    revert with the same words; `own` are the errors of our executor.
    """
    told = unwrap(error)
    method = method or told.method
    name, rule, revert = _class_of(told, method, protocol, own)
    meaning = MEANINGS[name]
    delivery = _delivery(name, told, rule, meaning.delivery)
    explain = meaning.explain
    if revert is not None:
        explain = f"{_sentence(revert)} {revert.advice}"
    return Classified(
        error_class=name,
        delivery=delivery,
        action=_action(name, meaning.action, revert),
        retryable=meaning.retryable,
        title=meaning.title,
        explain=explain,
        revert=revert,
        rule=rule,
        told=safe_text(redact(told.text), _SHOWN),
        figures=_figures(name, told.text),
        retry_after_s=told.retry_after_s,
    )


def classify_send(error: ArbtuiError) -> tuple[ErrorClass, Delivery]:
    """Class of a failed send, and what it proves about where the bytes are. Total: never raises."""
    known = classify(error, method="eth_sendRawTransaction")
    return known.error_class, known.delivery


#: What several endpoints said of one send: the strongest wins, so that one node's verdict never ends a transaction
#: that another one took.
_STRENGTH = {
    Delivery.DELIVERED: 3,
    Delivery.AMBIGUOUS: 2,
    Delivery.NOT_DELIVERED: 1,
    Delivery.REJECTED: 0,
    Delivery.UNSENT: -1,
}


def merge(answers: Iterable[Classified]) -> Classified | None:
    """Of several endpoints' answers to one send, the one that decides; None where there is none.

    Delivered before ambiguous before what may be tried again before a refusal for good.
    """
    return max(answers, key=lambda known: (_STRENGTH[known.delivery], known.retryable), default=None)


def _class_of(
    told: Told, method: str, protocol: str | None, own: Errors | None
) -> tuple[ErrorClass, str, Revert | None]:
    text, squeezed = told.text, squeeze(told.text[:_MATCHED])
    if told.kind == "not_sent":
        return ErrorClass.CONNECTION, "type: nothing was sent", None
    if told.kind == "ours":
        return ErrorClass.UNKNOWN, "type: not an answer of a node", None
    if _is_revert(told, squeezed, method):
        revert = _revert(told, protocol, own)
        return ErrorClass.EXECUTION_REVERTED, "revert", revert
    if told.kind in ("timeout", "broken") and told.delivery is not None:
        name = ErrorClass.TIMEOUT if told.kind == "timeout" else ErrorClass.CONNECTION
        return name, f"type: {told.kind}", None
    if told.kind == "malformed_answer":
        words = text.partition("no error object: ")[2]
        found = _by_phrase(words, squeeze(words)) if words else None
        if found is not None:
            return *found, None
        return _by_status(told.status) or (ErrorClass.UNKNOWN, "type: not a JSON-RPC answer", None)
    if not squeezed and not told.inner:
        return _without_words(told)
    found = _by_numbers(text) or _by_phrase(text, squeezed)
    if told.inner and (found is None or found[0] is ErrorClass.UNKNOWN):
        found = _by_phrase(told.inner, squeeze(told.inner)) or found
    # A status that stands in the text outweighs a word of an HTML page, not a node's own sentence.
    status = _by_status(told.status)
    if status is not None and (found is None or found[0] in _VAGUE):
        return status
    if found is not None:
        return *found, None
    if told.kind:
        by_kind = _BY_KIND.get(told.kind)
        if by_kind is not None:
            return by_kind, f"type: {told.kind}", None
    if known_reason(text):
        return ErrorClass.EXECUTION_REVERTED, "a protocol's words", decode_reason(text, protocol=protocol)
    if told.code in _BY_CODE:
        return _BY_CODE[told.code], f"code {told.code}", None
    return ErrorClass.UNKNOWN, "nothing matched", None


_VAGUE = frozenset(
    {
        ErrorClass.CONNECTION,
        ErrorClass.NOT_FOUND,
        ErrorClass.UNKNOWN,
        ErrorClass.MALFORMED,
        ErrorClass.UNSUPPORTED,
    }
)
_BY_KIND = {
    "timeout": ErrorClass.TIMEOUT,
    "broken": ErrorClass.CONNECTION,
    "not_found": ErrorClass.NOT_FOUND,
    "unsupported": ErrorClass.UNSUPPORTED,
    "syncing": ErrorClass.NODE_SYNCING,
}
#: Only where no word says more: codes alone tell nothing (-32000 covers two dozen classes).
_BY_CODE = {
    -32601: ErrorClass.UNSUPPORTED,
    -32004: ErrorClass.UNSUPPORTED,
    -32700: ErrorClass.MALFORMED,
    -32600: ErrorClass.MALFORMED,
    -32602: ErrorClass.MALFORMED,
    429: ErrorClass.RATE_LIMITED,
    4: ErrorClass.TIMEOUT,
}
_BY_STATUS = {
    401: ErrorClass.AUTH,
    402: ErrorClass.AUTH,
    403: ErrorClass.AUTH,
    407: ErrorClass.AUTH,
    408: ErrorClass.TIMEOUT,
    413: ErrorClass.OVERSIZED_DATA,
    429: ErrorClass.RATE_LIMITED,
    504: ErrorClass.TIMEOUT,
    524: ErrorClass.TIMEOUT,
}


def _by_status(status: int) -> tuple[ErrorClass, str, None] | None:
    name = _BY_STATUS.get(status) or (ErrorClass.CONNECTION if 500 <= status <= 599 else None)
    return None if name is None else (name, f"HTTP {status}", None)


def _without_words(told: Told) -> tuple[ErrorClass, str, None]:
    """An empty message: by type, status or code. asyncio's and aiohttp's timeouts have none."""
    by_kind = _BY_KIND.get(told.kind)
    if by_kind is not None:
        return by_kind, f"type: {told.kind}", None
    status = _by_status(told.status)
    if status is not None:
        return status
    if told.code is not None:
        return _BY_CODE.get(told.code, ErrorClass.UNKNOWN), f"code {told.code}", None
    return ErrorClass.TIMEOUT, "no words at all, as timeouts have", None


# ---- phrases

_KEY = 4


def _index() -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    """Rules by the first characters of their first part, so that one pass over a message finds its candidates."""
    keyed: dict[str, list[int]] = {}
    short: list[int] = []
    for number, (first, *_rest) in enumerate(RULES):
        if len(first) < _KEY:
            short.append(number)
        else:
            keyed.setdefault(first[:_KEY], []).append(number)
    return {key: tuple(numbers) for key, numbers in keyed.items()}, tuple(short)


_KEYED, _SHORT = _index()


def _by_phrase(text: str, squeezed: str) -> tuple[ErrorClass, str] | None:
    name = WHOLE.get(squeezed) or WHOLE.get(squeezed.rstrip(".!"))
    if name is not None:
        return name, f"whole: {squeezed}"
    best = len(RULES)
    keyed = _KEYED
    for at in range(len(squeezed) - _KEY + 1):
        numbers = keyed.get(squeezed[at : at + _KEY])
        if numbers is not None:
            for number in numbers:
                if number >= best:
                    break
                if squeezed.startswith(RULES[number][0], at) and _holds(number, squeezed):
                    best = number
                    break
    for number in _SHORT:
        if number < best and RULES[number][0] in squeezed and _holds(number, squeezed):
            best = number
            break
    if best < len(RULES):
        return RULES[best][3], RULES[best][4]
    tail = squeeze(text.rpartition(": ")[2][:200]).rstrip(".!")
    name = WHOLE.get(tail)
    if name is not None:
        return name, f"tail: {tail}"
    for pattern, name in WORDS:
        if pattern.search(text, 0, _MATCHED):
            return name, f"word: {pattern.pattern}"
    return None


def _holds(number: int, squeezed: str) -> bool:
    _, needs, bans, _, _ = RULES[number]
    return all(part in squeezed for part in needs) and not any(part in squeezed for part in bans)


_EXPECTED = re.compile(
    r"expected(?: nonce)?(?: to be)?(?: at least)?:? (\d{1,18})\b.{0,12}?(?:got|actual|was|received):? (\d{1,18})\b"
    r"|has nonce of:? (\d{1,18})\b.{0,4}tx has nonce of:? (\d{1,18})\b"
    r"|current nonce:? (\d{1,18})\b.{0,24}?tx:? (\d{1,18})\b",
    re.IGNORECASE | re.DOTALL,
)


def _by_numbers(text: str) -> tuple[ErrorClass, str] | None:
    """ "Expected 5, but got 7" beside "nonce" or "sequence" says which way it is wrong."""
    lower = text[:2_000].lower()
    if "nonce" not in lower and "sequence" not in lower:
        return None
    match = _EXPECTED.search(lower)
    if match is None:
        return None
    expected, got = (int(group) for group in match.groups() if group is not None)
    if got == expected:
        return None
    name = ErrorClass.NONCE_TOO_LOW if got < expected else ErrorClass.NONCE_TOO_HIGH
    return name, f"numbers: expected {expected}, got {got}"


# ---- reverts

#: A word of these may be followed by anything at all.
_PANIC_KEY = re.compile(r"'[0-9a-fA-F]{2}'")
_LONG_HEX = re.compile(r"0x((?:[0-9a-fA-F]{2}){4,})(?:: ([0-9a-fA-F]{64,}))?")
_REASON = re.compile(
    r"reverted with reason string ['\"](?P<quoted>.*)['\"]"
    r"|reverted with the following reason:\s*(?P<viem>[^\n]+)"
    r"|(?:execution reverted|transaction: revert|transaction reverted)(?:: | with reason: |,? reason: | )(?P<rest>.+)",
    re.IGNORECASE | re.DOTALL,
)
_PANIC_CODE = re.compile(r"panic(?: code|:)?[^()0-9]{0,60}\(?0x([0-9a-f]{1,64})\b", re.IGNORECASE)


def _is_revert(told: Told, squeezed: str, method: str) -> bool:
    if told.kind in ("reverted", "data"):
        return True
    if squeezed.startswith(ZKSYNC):
        return False
    if any(mark in squeezed for mark in MARKS):
        return True
    if told.inner and any(mark in squeeze(told.inner) for mark in MARKS):
        return True
    if _PANIC_KEY.fullmatch(told.text):
        return True
    data = told.data
    if data is None or len(data) < 4 or len(data) == 32:
        return False
    # A call's answer with data is a revert whatever its text says; a send's is one only if the data says so itself.
    if len(data) % 32 == 4:
        return not method or method != "eth_sendRawTransaction" or told.code == 3
    return False


def _revert(told: Told, protocol: str | None, own: Errors | None) -> Revert:
    """From the bytes where there are some, else from the words."""
    if told.data:
        decoded = decode_revert(told.data, protocol=protocol, own=own)
        # Where the data was cut short on its way, the words beside it say more.
        if not decoded.malformed or not _REASON.search(told.text):
            return decoded
    words = told.text or told.inner
    for text in (told.inner, words):
        if not text:
            continue
        match = _REASON.search(text)
        if match is not None and match["quoted"] is not None:
            return decode_reason(match["quoted"][:2_000], protocol=protocol)
        panic = _PANIC_CODE.search(text)
        if panic is not None and len(panic[1]) <= 64:
            return decode_revert(_PANIC_HEAD + int(panic[1], 16).to_bytes(32, "big"))
        if match is None:
            continue
        rest = (match["viem"] or match["rest"] or "").strip()
        found = _LONG_HEX.search(rest)
        if found is not None:
            return decode_revert(
                bytes.fromhex(found[1]) + bytes.fromhex((found[2] or "")[: len(found[2] or "") // 2 * 2]),
                protocol=protocol,
                own=own,
            )
        if rest == "no data" or not rest:
            return decode_revert(b"")
        if rest.lower() in _PANIC_WORDS:
            return decode_revert(_PANIC_HEAD + _PANIC_WORDS[rest.lower()].to_bytes(32, "big"))
        return decode_reason(rest[:2_000].removeprefix("revert: "), protocol=protocol)
    found = _LONG_HEX.search(words)
    if found is not None and len(found[1]) % 64 == 8:
        return decode_revert(bytes.fromhex(found[1]), protocol=protocol, own=own)
    if _PANIC_KEY.fullmatch(told.text):
        return decode_revert(_PANIC_HEAD + int(told.text[1:-1], 16).to_bytes(32, "big"))
    return decode_revert(b"")


_PANIC_HEAD = bytes.fromhex("4e487b71")
#: geth's own words for panics (accounts/abi), where the bytes are missing.
_PANIC_WORDS = {
    "generic panic": 0x00,
    "assert(false)": 0x01,
    "arithmetic underflow or overflow": 0x11,
    "division or modulo by zero": 0x12,
    "enum overflow": 0x21,
    "invalid encoded storage byte array accessed": 0x22,
    "out-of-bounds array access; popping on an empty array": 0x31,
    "out-of-bounds access of an array or bytesn": 0x32,
    "out of memory": 0x41,
    "uninitialized function": 0x51,
}


def _sentence(revert: Revert) -> str:
    who = f"{revert.protocol}: " if revert.protocol and revert.protocol not in revert.meaning else ""
    words = " ".join(revert.args)
    said = f"{revert.name}({', '.join(revert.args)})" if revert.kind == "custom" and revert.name else words
    said = f"“{said}”, " if said else ""
    return f"{who}{said}{revert.meaning}.".replace("..", ".")


_REVERT_ACTION = {"funds": Action.STOP_ACCOUNT, "auth": Action.STOP_ACCOUNT}


def _action(name: ErrorClass, default: Action, revert: Revert | None) -> Action:
    if name is ErrorClass.EXECUTION_REVERTED and revert is not None:
        return _REVERT_ACTION.get(revert.arb_class, default)
    return default


# ---- what it proves of a send


def _delivery(name: ErrorClass, told: Told, rule: str, default: Delivery) -> Delivery:
    if told.delivery is not None:
        return told.delivery
    if name is ErrorClass.TIMEOUT and (told.code == 4 or _POOLED.search(told.text)):
        return Delivery.DELIVERED
    # Another transaction of ours may hold the nonce: only the hash can tell.
    if "own nonce already used" in rule:
        return Delivery.AMBIGUOUS
    # A gateway's refusal by status says nothing of what stands behind it, except that the body was too large.
    if rule.startswith("HTTP") and name is not ErrorClass.OVERSIZED_DATA:
        return Delivery.AMBIGUOUS
    return default


_POOLED = re.compile(r"was added to the (?:mem|transaction )pool", re.IGNORECASE)

_N = r"(\d{1,40})"
_FIGURES: dict[ErrorClass, tuple[tuple[str, re.Pattern[str]], ...]] = {
    name: tuple((key, re.compile(pattern, re.IGNORECASE)) for key, pattern in patterns)
    for name, patterns in {
        ErrorClass.NONCE_TOO_LOW: (
            (
                "next_nonce",
                rf"(?:next nonce|state:|current nonce:?|expected(?: nonce to be)?(?: at least)?) \(?{_N}",
            ),
        ),
        ErrorClass.NONCE_TOO_HIGH: (
            ("next_nonce", rf"(?:gapped nonce|state:|expected nonce:?|expected(?: nonce to be)?) {_N}"),
        ),
        ErrorClass.INSUFFICIENT_FUNDS: (
            ("have", rf"(?:have|balance(?: is)?:?|got:) {_N}"),
            ("want", rf"(?:want|tx cost|required|cost is:|cumulative cost:|value \+ gas) {_N}"),
            ("overshot", rf"overshot {_N}"),
        ),
        ErrorClass.UNDERPRICED: (
            ("minimum", rf"(?:minimum needed|minimal:|minimum of|tx\.gasPrice =|higher than) {_N}"),
            ("got", rf"(?:gas tip cap|got:|gas price is) {_N}"),
        ),
        ErrorClass.FEE_CAP_BELOW_BASE_FEE: (
            ("base_fee", rf"base_?fee(?:PerGas)?(?: of)?:? {_N}"),
            ("max_fee", rf"(?:maxFeePerGas|gasPrice|gas_price):? \(?{_N}"),
        ),
        ErrorClass.REPLACEMENT_UNDERPRICED: (
            ("pending", rf"(?:<=?|with gas price:?) {_N}"),
            ("minimum", rf"at least {_N} is necessary"),
        ),
        ErrorClass.INTRINSIC_GAS_TOO_LOW: (
            ("minimum", rf"(?:minimum needed|minimal:|want|required '|at least) ?{_N}"),
            ("gas", rf"(?:gas|have|got:) {_N}"),
        ),
        ErrorClass.EXCEEDS_BLOCK_GAS_LIMIT: (
            ("cap", rf"(?:cap:?|limit(?: of|:| is)|than the cap \() ?{_N}"),
        ),
        ErrorClass.OUT_OF_GAS: (("allowance", rf"(?:allowance:? \(?|exceeds: ){_N}"),),
        ErrorClass.OVERSIZED_DATA: (("limit", rf"(?:limit|>|max:) ?{_N}"),),
        ErrorClass.RATE_LIMITED: (("retry_in_s", rf"(?:retry|try again) (?:in|after) {_N}"),),
    }.items()
}


def _figures(name: ErrorClass, text: str) -> dict[str, int]:
    patterns = _FIGURES.get(name)
    if patterns is None or len(text) > 2_000:
        return {}
    return {key: int(match[1]) for key, pattern in patterns if (match := pattern.search(text))}
