"""What came back, taken apart: exceptions, JSON-RPC objects, HTTP bodies and texts become one plain value.

Total: any value in, never an exception. At most 64 KiB of a text are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from arbtui.domain import Delivery
from arbtui.errors import ArbtuiError, MalformedAnswer, NodeError, NodeUnreachable, RateLimited

MAX_TEXT = 64 * 1024
_DEPTH = 6


@dataclass(frozen=True, slots=True)
class Told:
    """What somebody told us. `kind` is the type of a foreign exception, as far as it matters."""

    text: str = ""
    code: int | None = None
    data: bytes | None = None
    status: int = 0
    kind: str = ""
    method: str = ""
    delivery: Delivery | None = None
    retry_after_s: float | None = None
    inner: str = ""


#: Type names of foreign libraries' exceptions (requests, urllib3, aiohttp, httpx, websockets, web3.py), by what they
#: prove: nothing was sent, nothing came back in time, the connection broke, the transaction is unknown.
_NOT_SENT = frozenset(
    {
        "ClientConnectorError",
        "ClientConnectorDNSError",
        "ClientConnectionResetError",
        "ClientConnectorSSLError",
        "ClientConnectorCertificateError",
        "ClientProxyConnectionError",
        "ConnectTimeout",
        "ConnectTimeoutError",
        "ConnectionTimeoutError",
        "ConnectError",
        "NewConnectionError",
        "NameResolutionError",
        "ProviderConnectionError",
        "ConnectionRefusedError",
        "gaierror",
        "InvalidURL",
        "MissingSchema",
        "InvalidHandshake",
    }
) - {"ClientConnectionResetError"}
_TIMEOUTS = frozenset(
    {
        "TimeoutError",
        "Timeout",
        "ReadTimeout",
        "ReadTimeoutError",
        "WriteTimeout",
        "PoolTimeout",
        "ServerTimeoutError",
        "SocketTimeoutError",
        "TimeExhausted",
        "CancelledError",
    }
)
_BROKEN = frozenset(
    {
        "ConnectionError",
        "ConnectionResetError",
        "ConnectionAbortedError",
        "BrokenPipeError",
        "ServerDisconnectedError",
        "ClientConnectionError",
        "ClientConnectionResetError",
        "ClientOSError",
        "ClientPayloadError",
        "ChunkedEncodingError",
        "ProtocolError",
        "RemoteDisconnected",
        "RemoteProtocolError",
        "ReadError",
        "WriteError",
        "IncompleteRead",
        "IncompleteReadError",
        "PersistentConnectionClosedOK",
        "PersistentConnectionError",
        "ConnectionClosed",
        "ConnectionClosedError",
        "ConnectionClosedOK",
        "SSLError",
        "ProxyError",
        "EOFError",
    }
)
_KINDS: tuple[tuple[str, frozenset[str]], ...] = (
    ("not_found", frozenset({"TransactionNotFound", "BlockNotFound"})),
    (
        "reverted",
        frozenset({"ContractLogicError", "ContractCustomError", "ContractPanicError", "TransactionFailed"}),
    ),
    ("unsupported", frozenset({"MethodUnavailable", "MethodNotSupported"})),
    ("syncing", frozenset({"StaleBlockchain"})),
    ("not_sent", _NOT_SENT),
    ("timeout", _TIMEOUTS),
    ("broken", _BROKEN),
)


def kind_of(names: Iterator[str]) -> str:
    """The kind of the first of an exception's type names that is known."""
    for name in names:
        for kind, members in _KINDS:
            if name in members:
                return kind
    return ""


def unwrap(value: object, depth: int = _DEPTH) -> Told:
    """Any value as a `Told`."""
    if isinstance(value, str):
        return _of_text(value[:MAX_TEXT], depth)
    if isinstance(value, Mapping):
        return _of_object(value, depth)
    if isinstance(value, BaseException):
        return _of_exception(value, depth)
    if isinstance(value, bytes | bytearray):
        return _of_text(bytes(value[:MAX_TEXT]).decode("utf-8", "replace"), depth)
    if isinstance(value, list | tuple) and depth:
        for item in value[:64]:
            told = unwrap(item, depth - 1)
            if told.text or told.data is not None or told.code is not None:
                return told
    return Told()


# ---- exceptions


def _of_exception(error: BaseException, depth: int) -> Told:
    if isinstance(error, NodeError):
        told = _of_object({"code": error.code, "message": error.message, "data": error.data}, depth)
        return replace(
            told,
            method=error.method,
            status=told.status or error.status,
            retry_after_s=told.retry_after_s or error.retry_after_s,
        )
    if isinstance(error, RateLimited):
        # Refused at the door, as a rule; but a provider may count after it has passed a send on.
        unsent = Delivery.AMBIGUOUS if error.sent else Delivery.NOT_DELIVERED
        return Told(text=str(error), status=429, delivery=unsent, retry_after_s=error.retry_after)
    if isinstance(error, NodeUnreachable):
        text = str(error)
        if not error.sent:
            return Told(text=text, kind="not_sent", delivery=Delivery.NOT_DELIVERED)
        return Told(
            text=text, kind="broken" if "broke during" in text else "timeout", delivery=Delivery.AMBIGUOUS
        )
    if isinstance(error, MalformedAnswer):
        return Told(
            text=str(error),
            kind="malformed_answer",
            status=error.status or _status(str(error)),
            delivery=Delivery.AMBIGUOUS,
            retry_after_s=error.retry_after_s,
        )
    if isinstance(error, ArbtuiError):
        return Told(text=str(error), kind="ours")
    names = [one.__name__ for one in type(error).__mro__]
    kind = kind_of(iter(names))
    if isinstance(error, TimeoutError):
        kind = kind if kind in ("not_sent", "not_found") else "timeout"
    delivery = Delivery.NOT_DELIVERED if kind == "not_sent" else None
    # web3.py: the whole answer. requests and httpx: the response, whose body may hold a JSON-RPC error.
    answer = getattr(error, "rpc_response", None)
    if isinstance(answer, Mapping) and depth:
        return _known(_of_object(answer, depth - 1), kind)
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(status, int) and not isinstance(status, bool):
        body = getattr(response, "text", "")
        headers = getattr(response, "headers", None)
        retry = _seconds(headers.get("Retry-After")) if isinstance(headers, Mapping) else None
        told = _of_text(body[:MAX_TEXT], depth - 1) if isinstance(body, str) and depth else Told()
        return replace(told, status=told.status or status, retry_after_s=told.retry_after_s or retry)
    status = getattr(error, "status", None)
    text = _spoken(error)
    data = getattr(error, "data", None)
    told = _of_text(text, depth - 1) if depth else Told(text=text)
    told = _known(told, kind)
    found = _bytes(data)
    return replace(
        told,
        status=status if isinstance(status, int) and not isinstance(status, bool) else told.status,
        data=found if found is not None and kind == "reverted" else told.data,
        delivery=told.delivery or delivery,
    )


def _known(told: Told, kind: str) -> Told:
    return replace(told, kind=told.kind or kind)


def _spoken(error: BaseException) -> str:
    """The error's text; its first text argument where the type's own `str` would be a tuple's repr."""
    if len(error.args) > 1 and all(isinstance(item, str) for item in error.args):
        return ": ".join(error.args)[:MAX_TEXT]
    return str(error)[:MAX_TEXT]


# ---- JSON-RPC objects


def _of_object(item: Mapping[Any, Any], depth: int) -> Told:
    inner = item.get("error")
    if isinstance(inner, Mapping | str) and depth and not (isinstance(inner, str) and "message" in item):
        told = unwrap(inner, depth - 1)
        return replace(
            told, status=told.status or _number(item.get("http_status")) or _number(item.get("status"))
        )
    message = item.get("message")
    code = _code(item.get("code"))
    data = item.get("data")
    text = message[:MAX_TEXT] if isinstance(message, str) else ""
    if not text and isinstance(item.get("body"), str) and depth:
        told = _of_text(item["body"][:MAX_TEXT], depth - 1)
    elif isinstance(message, Mapping) and depth:
        told = unwrap(message, depth - 1)
    elif code is not None and depth:
        # The code is the node's own: what stands in the message cannot give another.
        told = replace(_of_text(text, depth - 1), code=code)
    else:
        told = _of_text(text, depth - 1) if depth else Told(text=text)
    found, more = _deep(data)
    exception = item.get("exception")
    kind = kind_of(iter(reversed(re.split(r"[.\s()]+", exception)))) if isinstance(exception, str) else ""
    return Told(
        text=told.text,
        code=code if code is not None else told.code,
        data=found if found is not None else told.data,
        status=_number(item.get("http_status")) or told.status or _number(item.get("status")),
        kind=told.kind or kind,
        method=item["method"] if isinstance(item.get("method"), str) else told.method,
        delivery=told.delivery,
        retry_after_s=_backoff(data) or told.retry_after_s,
        inner=more or told.inner,
    )


def _deep(data: object) -> tuple[bytes | None, str]:
    """Revert bytes and a further text from an error's `data`: hex, "Reverted 0x…", or an object of a gateway."""
    for _ in range(_DEPTH):
        if not isinstance(data, Mapping):
            break
        text = data.get("message") or data.get("reason") or ""
        nested = data.get("data", data.get("originalError", data.get("result")))
        if nested is None:
            return None, text[:MAX_TEXT] if isinstance(text, str) else ""
        if isinstance(nested, str):
            return _bytes(nested), text[:MAX_TEXT] if isinstance(text, str) else ""
        data = nested
    found = _bytes(data)
    if found is None and isinstance(data, str):
        return None, data[:MAX_TEXT]
    return found, ""


def _backoff(data: object) -> float | None:
    """Infura's wait, in seconds: data.backoff_seconds, or the same under data.rate."""
    if not isinstance(data, Mapping):
        return None
    rate = data.get("rate")
    return _seconds(data.get("backoff_seconds")) or (
        _seconds(rate.get("backoff_seconds")) if isinstance(rate, Mapping) else None
    )


def _seconds(value: object) -> float | None:
    """A number of seconds in (0, one day], or None."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,6}(\.\d{1,6})?", value.strip()):
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 86_400:
        return float(value)
    return None


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599 else 0


def _code(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if abs(value) < 10**9 else None
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value):
        return int(value)
    return None


_HEX = re.compile(r"(?:[Rr]everted )?(0x(?:[0-9a-fA-F]{2})*)")


def _bytes(data: object) -> bytes | None:
    """`0x…` or parity's "Reverted 0x…" as bytes."""
    if isinstance(data, bytes):
        return data[:MAX_TEXT]
    if isinstance(data, str) and len(data) <= MAX_TEXT:
        match = _HEX.fullmatch(data.strip())
        if match:
            return bytes.fromhex(match[1][2:])
    return None


# ---- texts

_STATUS = re.compile(
    r"(?:^|call failed: |\bhttp[/ ](?:1\.[01] )?|status(?: code)?[:= ]{1,2}|\(http |error[: ]|code )"
    r"([45]\d\d)\b(?! ?(?:wei|gas|blocks?|gwei))",
    re.IGNORECASE,
)
_TITLE = re.compile(r"<(?:title|h1)>\s*(?:error )?([45]\d\d)\b", re.IGNORECASE)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,10}://[^\s'\"<>)]*", re.IGNORECASE)
_REQUEST_ID = re.compile(r"\[request id: [0-9a-f-]{8,40}\] ?", re.IGNORECASE)
_REPR = re.compile(r"['\"](?:message|error)['\"]\s*:\s*(['\"])(.{0,4000}?)\1\s*[,}]")
_REPR_CODE = re.compile(r"['\"]code['\"]\s*:\s*(-?\d{1,6})\b")


def _pair(text: str) -> tuple[str, bytes | None] | None:
    """("message", data) of a repr of two: how str() shows web3.py's errors of contracts."""
    if text[1:2] not in ("'", '"') or text[-1] != ")":
        return None
    first, found, second = text[1:-1].rpartition(f"{text[1]}, ")
    second = second.strip("'\"")
    data = _bytes(second)
    if not found or (data is None and second not in ("no data", "None")):
        return None
    return first[1:], data


def _status(text: str) -> int:
    match = _STATUS.search(text, 0, 400) or _TITLE.search(text, 0, 400)
    return int(match[1]) if match else 0


def _of_text(text: str, depth: int) -> Told:
    text = text.strip()
    head = text[:1]
    if head and head in "{[" and depth:
        told = _parsed(text, depth)
        if told is not None:
            return told
    elif text[:2] in ("0x", "0X", "Re", "re"):
        data = _bytes(text)
        if data is not None:
            return Told(data=data, kind="data")
    elif head == "(" and depth:
        pair = _pair(text)
        if pair is not None:
            return replace(_of_text(pair[0], depth - 1), data=pair[1])
    if "://" in text:
        text = _URL.sub("…", text)
    if "[" in text and "equest" in text:
        text = _REQUEST_ID.sub("", text)
    at = text.find("{")
    inner = ""
    if at >= 0 and depth:
        told = _parsed(text[at:], depth)
        if told is not None and told.text:
            return replace(told, status=told.status or _status(text[:at]), inner=told.inner or text[:at])
        match = _REPR.search(text, at)
        if match:
            code = _REPR_CODE.search(text, at)
            inner = match[2]
            return Told(
                text=inner,
                code=int(code[1]) if code else None,
                status=_status(text[:at]),
                inner=text[:at],
            )
    return Told(text=text, status=_status(text))


#: More brackets than any answer of a node has; a process whose recursion limit somebody raised must not find out.
_MAX_BRACKETS = 1_000


def _parsed(text: str, depth: int) -> Told | None:
    if text.count("[") + text.count("{") > _MAX_BRACKETS:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict | list):
        told = unwrap(value, depth - 1)
        if told.text or told.data is not None or told.code is not None or told.status:
            return told
    return None
