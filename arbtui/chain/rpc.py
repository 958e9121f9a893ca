"""Transports of strict JSON-RPC 2.0: what all of them share, and HTTP.

A transport refuses what web3.py lets pass (a wrong id, both result and error, a key twice) and never sends a request
twice by itself: whether to repeat is decided by who knows what the request does.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, NoReturn, Protocol, Self
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from arbtui.chain.codec import Unfit, data, field, hash32, parse, quantity, result_of
from arbtui.errors import MalformedAnswer, NodeError, NodeUnreachable, RateLimited
from arbtui.text import redact_url

__all__ = ["JsonRpc", "Meter", "Reply", "Transport", "data", "field", "hash32", "quantity"]

MAX_ANSWER_BYTES = 10 * 2**20
DEFAULT_TIMEOUT_S = 10.0
#: A connection idle for longer is not used again: a server that closes it just then would take a request with it,
#: and of a send nobody could say whether it arrived.
IDLE_S = 4.0
_LONGEST_REST_S = 300.0


class Meter:
    """What one connection has seen: counts by method, and how long the last answers took."""

    def __init__(self) -> None:
        self.calls = 0
        self.failures = 0
        #: Answers that came after their request had timed out, and were dropped.
        self.late = 0
        #: (method, kind) -> answers refused; kind is json, envelope, size or value.
        self.refusals: Counter[tuple[str, str]] = Counter()
        self.last_refusal = ""
        self._took: deque[float] = deque(maxlen=64)

    def took(self, seconds: float) -> None:
        self._took.append(seconds)

    @property
    def latency_ms(self) -> float | None:
        """Median of the last answers; None before the first."""
        return statistics.median(self._took) * 1000 if self._took else None

    def refused(self, method: str, kind: str, what: str) -> None:
        self.refusals[method, kind] += 1
        self.last_refusal = what


class Transport(Protocol):
    """A connection to one node. `where` is its address without what may be secret."""

    where: str
    meter: Meter

    async def ask(self, method: str, params: Sequence[Any] = ()) -> Reply:
        """The answer as it came, for readers of their own.

        Raises NodeUnreachable where nothing came back in time; the request may have arrived all the same.
        """
        ...

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """One request, one answer.

        Raises NodeError for a JSON-RPC error object, NodeUnreachable where nothing came back, MalformedAnswer
        for everything that is not JSON-RPC.
        """
        ...

    async def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Several requests at once; each item is a result or a NodeError value, in order."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer's bytes, and which request it has to belong to."""

    raw: bytes
    request_id: int
    method: str
    wire: Wire
    #: HTTP's status; 0 where the transport has none.
    status: int = 0

    def result(self) -> Any:
        """Strictly read; raises NodeError or MalformedAnswer."""
        try:
            return result_of(parse(self.raw), self.request_id, self.method)
        except NodeError as error:
            error.status = self.status
            raise
        except Unfit as error:
            self.wire.refuse(self.method, error.kind, str(error), error, self.status)


class Wire:
    """What every transport has: ids, the meter, and the refusal of an answer."""

    def __init__(self, where: str, timeout: float, max_bytes: int) -> None:
        self.where = where
        self.meter = Meter()
        self.timeout_s = timeout
        self.max_bytes = max_bytes
        self._ids = itertools.count(1)

    def _request(self, method: str, params: Sequence[Any]) -> tuple[int, dict[str, Any]]:
        number = next(self._ids)
        return number, {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}

    def refuse(
        self, method: str, kind: str, what: str, cause: Exception | None = None, status: int = 0
    ) -> NoReturn:
        """Count an answer that is not believed, and raise MalformedAnswer; `status` is HTTP's, 0 for none."""
        message = f"{self.where}: {method} brought {what}" + (f" (HTTP {status})" if status else "")
        self.meter.refused(method, kind, message)
        raise MalformedAnswer(message, status=status) from cause


class JsonRpc(Wire):
    """One node's HTTP endpoint. Use as an async context manager; `timeout` in seconds is for a whole request."""

    def __init__(
        self, url: str, timeout: float = DEFAULT_TIMEOUT_S, max_bytes: int = MAX_ANSWER_BYTES
    ) -> None:
        super().__init__(redact_url(url), timeout, max_bytes)
        self._url = url
        self._secrets = _secrets_of(url)
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, 3.0))
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(keepalive_timeout=IDLE_S),
            timeout=self._timeout,
            raise_for_status=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(self, method: str, params: Sequence[Any] = ()) -> Reply:
        number, body = self._request(method, params)
        status, raw = await self._post(json.dumps(body), method)
        return Reply(raw, number, method, self, status)

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        return (await self.ask(method, params)).result()

    async def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        if not requests:
            return []
        asked = [self._request(method, params) for method, params in requests]
        name = f"a batch of {len(requests)}"
        status, raw = await self._post(json.dumps([body for _, body in asked]), name)
        try:
            answers = parse(raw)
            if not isinstance(answers, list):
                raise Unfit("envelope", "no list of answers")
            by_id = {a["id"]: a for a in answers if isinstance(a, dict) and type(a.get("id")) is int}
            if len(answers) != len(asked) or set(by_id) != {number for number, _ in asked}:
                raise Unfit("envelope", "answers that do not match the requests")
            out: list[Any] = []
            for number, body in asked:
                try:
                    out.append(result_of(by_id[number], number, body["method"]))
                except NodeError as error:
                    out.append(error)
        except Unfit as error:
            self.refuse(name, error.kind, str(error), error, status)
        return out

    async def _post(self, body: str, method: str) -> tuple[int, bytes]:
        if self._session is None:
            raise RuntimeError("JsonRpc is used outside its context")
        self.meter.calls += 1
        began = time.perf_counter()
        try:
            async with self._session.post(
                self._url, data=body, headers={"Content-Type": "application/json"}, allow_redirects=False
            ) as response:
                if response.status == 429:
                    raise self._limited(method, response.headers)
                raw = await self._read(response, method)
        except NodeUnreachable:
            self.meter.failures += 1
            raise
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            self.meter.failures += 1
            raise NodeUnreachable(
                f"{self.where}: no node is listening there; start it or correct chain.rpc_url", sent=False
            ) from error
        except TimeoutError as error:
            self.meter.failures += 1
            raise NodeUnreachable(
                f"{self.where}: no answer to {method} within {self.timeout_s:g} s"
            ) from error
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            self.meter.failures += 1
            raise NodeUnreachable(
                f"{self.where}: the connection broke during {method} ({type(error).__name__})"
            ) from error
        self.meter.took(time.perf_counter() - began)
        for secret in self._secrets:
            # A gateway's error page may quote the address it was asked at, key and all.
            if secret in raw:
                raw = raw.replace(secret, b"***")
        return response.status, raw

    async def _read(self, response: aiohttp.ClientResponse, method: str) -> bytes:
        """The body, unpacked, of `max_bytes` at most: what is packed to burst is left where it is."""
        pieces, size = [], 0
        while piece := await response.content.read(2**18):
            pieces.append(piece)
            size += len(piece)
            if size > self.max_bytes:
                response.close()
                self.refuse(method, "size", f"more than {self.max_bytes} bytes", None, response.status)
        return b"".join(pieces)

    def _limited(self, method: str, headers: Mapping[str, str]) -> RateLimited:
        rest = _retry_after(headers.get("Retry-After", ""))
        when = "" if rest is None else f"; it asks for {rest:g} s of rest"
        return RateLimited(f"{self.where}: {method} was refused for its rate (HTTP 429){when}", rest)


def _secrets_of(url: str) -> tuple[bytes, ...]:
    """What may be a key in an address: user part, pieces of the path, values of the query, from eight characters on."""
    parts = urlsplit(url)
    pieces = [parts.username or "", parts.password or "", *parts.path.split("/")]
    pieces += [value for _, value in parse_qsl(parts.query)]
    return tuple({piece.encode() for piece in pieces if len(piece) >= 8})


def _retry_after(text: str) -> float | None:
    """Seconds of a Retry-After header (a number or a date); None where it says nothing that can be used."""
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_REST_S)
    try:
        until = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if until.tzinfo is None:
        return None
    return min(max((until - datetime.now(UTC)).total_seconds(), 0.0), _LONGEST_REST_S)
