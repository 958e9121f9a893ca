"""A thin strict JSON-RPC 2.0 codec over HTTP.

It refuses what web3.py lets pass (a wrong id, both result and error, non-hex quantities) and never sends a request
twice by itself: whether to repeat is decided by who knows what the request does.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, Self

import aiohttp

from arbtui.errors import MalformedAnswer, NodeError, NodeUnreachable
from arbtui.text import redact_url, safe_text
from arbtui.units import UINT256_MAX

MAX_ANSWER_BYTES = 64 * 2**20
DEFAULT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class _Reply:
    """What HTTP says beside the body."""

    status: int
    retry_after_s: float | None


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, at most a day; a date or nonsense is None."""
    if value is None or not re.fullmatch(r"\d{1,6}", value.strip()):
        return None
    return float(min(int(value), 86_400)) or None


class JsonRpc:
    """One node's HTTP endpoint. Use as an async context manager; `timeout` in seconds is for a whole request."""

    def __init__(self, url: str, timeout: float = DEFAULT_TIMEOUT_S) -> None:
        self._url = url
        self.where = redact_url(url)
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, 3.0))
        self._ids = itertools.count(1)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout, raise_for_status=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """One request, one answer.

        Raises NodeError for a JSON-RPC error object, NodeUnreachable where nothing came back, MalformedAnswer
        for everything that is not JSON-RPC.
        """
        request_id = next(self._ids)
        body = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": list(params)}
        reply, text = await self._post(json.dumps(body), method)
        return self._unwrap(self._parse(text, method, reply), request_id, method, reply)

    async def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Several requests in one round trip; each item is a result or a NodeError value, in order."""
        if not requests:
            return []
        ids = [next(self._ids) for _ in requests]
        body = [
            {"jsonrpc": "2.0", "id": i, "method": method, "params": list(params)}
            for i, (method, params) in zip(ids, requests, strict=True)
        ]
        name = f"a batch of {len(requests)}"
        reply, text = await self._post(json.dumps(body), name)
        answers = self._parse(text, name, reply)
        if not isinstance(answers, list):
            # A refusal of the whole batch is one error object: its words are worth more than its shape.
            if isinstance(answers, dict) and isinstance(answers.get("error"), dict):
                self._unwrap(answers, ids[0], name, reply)
            self._malformed(name, "no list of answers", reply)
        by_id = {a.get("id"): a for a in answers if isinstance(a, dict)}
        if len(answers) != len(ids) or set(by_id) != set(ids):
            self._malformed(name, "answers that do not match the requests", reply)
        out: list[Any] = []
        for i, (method, _) in zip(ids, requests, strict=True):
            try:
                out.append(self._unwrap(by_id[i], i, method, reply))
            except NodeError as error:
                out.append(error)
        return out

    async def _post(self, body: str, method: str) -> tuple[_Reply, str]:
        if self._session is None:
            raise RuntimeError("JsonRpc is used outside its context")
        try:
            async with self._session.post(
                self._url, data=body, headers={"Content-Type": "application/json"}, allow_redirects=False
            ) as response:
                reply = _Reply(response.status, retry_after(response.headers.get("Retry-After")))
                raw = await response.content.read(MAX_ANSWER_BYTES + 1)
                while len(raw) <= MAX_ANSWER_BYTES and (
                    more := await response.content.read(MAX_ANSWER_BYTES)
                ):
                    raw += more
                if len(raw) > MAX_ANSWER_BYTES:
                    self._malformed(method, f"more than {MAX_ANSWER_BYTES} bytes", reply)
                return reply, raw.decode("utf-8", "strict")
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise NodeUnreachable(
                f"{self.where}: no node is listening there; start it or correct chain.rpc_url", sent=False
            ) from error
        except TimeoutError as error:
            raise NodeUnreachable(
                f"{self.where}: no answer to {method} within {self._timeout.total:g} s"
            ) from error
        except UnicodeDecodeError as error:
            raise MalformedAnswer(f"{self.where}: the answer to {method} is not UTF-8") from error
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise NodeUnreachable(
                f"{self.where}: the connection broke during {method} ({type(error).__name__})"
            ) from error

    def _parse(self, text: str, method: str, reply: _Reply) -> Any:
        try:
            return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
        except (ValueError, RecursionError) as error:
            raise MalformedAnswer(
                f"{self.where}: the answer to {method} (HTTP {reply.status}) is not JSON: {safe_text(text, 80)}",
                status=reply.status,
                retry_after_s=reply.retry_after_s,
            ) from error

    def _unwrap(self, answer: Any, request_id: int, method: str, reply: _Reply) -> Any:
        if not isinstance(answer, dict):
            self._malformed(method, "no JSON-RPC object", reply)
        error = answer.get("error")
        if error is not None:
            if not isinstance(error, dict) or answer.get("result") is not None:
                self._malformed(method, f"an error that is no error object: {safe_text(error, 200)}", reply)
            code, message = error.get("code"), error.get("message")
            if not isinstance(code, int) or isinstance(code, bool) or not isinstance(message, str):
                self._malformed(method, "an error without code or message", reply)
            raise NodeError(
                code,
                safe_text(message, 2000),
                error.get("data"),
                method=method,
                status=reply.status,
                retry_after_s=reply.retry_after_s,
            )
        if answer.get("id") != request_id or isinstance(answer.get("id"), bool):
            self._malformed(method, "the answer to another request", reply)
        if "result" not in answer:
            self._malformed(method, "neither result nor error", reply)
        return answer["result"]

    def _malformed(self, method: str, what: str, reply: _Reply) -> NoReturn:
        raise MalformedAnswer(
            f"{self.where}: {method} brought {what} (HTTP {reply.status})",
            status=reply.status,
            retry_after_s=reply.retry_after_s,
        )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key twice in one object")
    return out


_QUANTITY = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]{0,63})")
_DATA = re.compile(r"0x([0-9a-fA-F]{2})*")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")


def quantity(value: Any, what: str) -> int:
    """A hex quantity (0x, no leading zero, at most 256 bits) as int; raises MalformedAnswer."""
    if isinstance(value, str) and _QUANTITY.fullmatch(value) and (number := int(value, 16)) <= UINT256_MAX:
        return number
    raise MalformedAnswer(f"{what}: {safe_text(value)!r} is not a hex quantity")


def data(value: Any, what: str) -> bytes:
    """Hex data (0x and whole bytes); raises MalformedAnswer."""
    if isinstance(value, str) and _DATA.fullmatch(value):
        return bytes.fromhex(value[2:])
    raise MalformedAnswer(f"{what}: {safe_text(value)!r} is not hex data")


def hash32(value: Any, what: str) -> str:
    """A 32-byte hash as lower-case 0x text; raises MalformedAnswer."""
    if isinstance(value, str) and _HASH.fullmatch(value):
        return value.lower()
    raise MalformedAnswer(f"{what}: {safe_text(value)!r} is not a 32-byte hash")


def field(item: Any, key: str, what: str) -> Any:
    """`item[key]` of an answer; raises MalformedAnswer where it is missing."""
    if not isinstance(item, dict) or key not in item:
        raise MalformedAnswer(f"{what}: {key} is missing")
    return item[key]
