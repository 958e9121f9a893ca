"""Transports that stay open and can push: websocket, and the unix socket of a node on this machine (IPC).

One connection carries many requests; answers are told apart by their ids. It is made at the first request and anew at
the next one after it broke. What was on its way then fails; nothing is sent again by itself.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from arbtui.chain.codec import Unfit, guard_depth, head_of, parse
from arbtui.chain.rpc import DEFAULT_TIMEOUT_S, MAX_ANSWER_BYTES, Reply, Wire
from arbtui.errors import ArbtuiError, MalformedAnswer, NodeError, NodeUnreachable
from arbtui.text import redact_url

PING_S = 10.0
#: Notifications that wait to be taken; the oldest gives way, and is counted.
QUEUE = 64
_NOTICE = "eth_subscription"
_CHUNK = 2**18
_MARK = re.compile(rb"[\"\[\]{}\n]")


class Subscription:
    """What a node pushes. `dropped` counts notifications that nobody took in time."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Any] = asyncio.Queue(QUEUE)
        self._over = asyncio.Event()
        self.dropped = 0

    async def next(self) -> Any:
        """The next notification's `result`. Raises NodeUnreachable once the connection is gone and all is taken."""
        if self._waiting.empty() and not self._over.is_set():
            taking = asyncio.ensure_future(self._waiting.get())
            over = asyncio.ensure_future(self._over.wait())
            try:
                await asyncio.wait((taking, over), return_when=asyncio.FIRST_COMPLETED)
                if taking.done():
                    return taking.result()
            finally:
                over.cancel()
                taking.cancel()
        if self._waiting.empty():
            raise NodeUnreachable("the subscription ended with its connection")
        return self._waiting.get_nowait()

    def put(self, item: Any) -> None:
        if self._waiting.full():
            self._waiting.get_nowait()
            self.dropped += 1
        self._waiting.put_nowait(item)

    def end(self) -> None:
        self._over.set()


class StreamRpc(Wire, ABC):
    """Requests and subscriptions over one open connection; a subclass knows how bytes come and go."""

    def __init__(
        self, where: str, timeout: float = DEFAULT_TIMEOUT_S, max_bytes: int = MAX_ANSWER_BYTES
    ) -> None:
        super().__init__(where, timeout, max_bytes)
        self._pending: dict[int, asyncio.Future[bytes]] = {}
        #: Subscriptions that were asked for, by request; they are put in place before the next message is read.
        self._wished: dict[int, Subscription] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._connecting = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None
        self._issued = 0
        #: Notifications of no subscription of ours.
        self.foreign = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection; the next request makes a new one."""
        async with self._connecting:
            await self._drop()

    @property
    def connected(self) -> bool:
        return self._reader is not None and not self._reader.done()

    async def ask(self, method: str, params: Sequence[Any] = ()) -> Reply:
        return await self._ask(method, params, None)

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        return (await self.ask(method, params)).result()

    async def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        async def one(method: str, params: Sequence[Any]) -> Any:
            try:
                return await self.call(method, params)
            except NodeError as error:
                return error

        return list(await asyncio.gather(*(one(method, params) for method, params in requests)))

    async def subscribe(self, *params: Any) -> Subscription:
        """`eth_subscribe`, such as `subscribe("newHeads")`; it lives as long as the connection."""
        wished = Subscription()
        (await self._ask("eth_subscribe", params, wished)).result()
        return wished

    # ---- one exchange

    async def _ask(self, method: str, params: Sequence[Any], wished: Subscription | None) -> Reply:
        self.meter.calls += 1
        began = time.perf_counter()
        number, body = self._request(method, params)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        sending = False
        try:
            async with asyncio.timeout(self.timeout_s):
                await self._connect()
                self._issued = max(self._issued, number)
                self._pending[number] = answer
                if wished is not None:
                    self._wished[number] = wished
                sending = True
                await self._send(json.dumps(body).encode())
                raw = await answer
        except TimeoutError as error:
            self.meter.failures += 1
            raise NodeUnreachable(
                f"{self.where}: no answer to {method} within {self.timeout_s:g} s", sent=sending
            ) from error
        except NodeUnreachable:
            self.meter.failures += 1
            raise
        except (aiohttp.ClientError, OSError) as error:
            self.meter.failures += 1
            what = "the connection broke during" if sending else "no node is listening there for"
            raise NodeUnreachable(
                f"{self.where}: {what} {method} ({type(error).__name__})", sent=sending
            ) from error
        finally:
            self._pending.pop(number, None)
            self._wished.pop(number, None)
            answer.cancel()
        self.meter.took(time.perf_counter() - began)
        return Reply(raw, number, method, self)

    async def _connect(self) -> None:
        async with self._connecting:
            if self.connected:
                return
            await self._drop()
            await self._open()
            self._reader = asyncio.create_task(self._read())

    async def _drop(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
            self._reader = None
        await self._close()

    # ---- what comes in

    async def _read(self) -> None:
        why = "the node closed the connection"
        try:
            async for raw in self._messages():
                self._take(raw)
        except (aiohttp.ClientError, OSError, MalformedAnswer) as error:
            why = f"the connection broke ({type(error).__name__})"
        finally:
            for answer in self._pending.values():
                if not answer.done():
                    answer.set_exception(NodeUnreachable(f"{self.where}: {why}"))
            for subscription in self._subscriptions.values():
                subscription.end()
            self._subscriptions.clear()

    def _take(self, raw: bytes) -> None:
        """Hand a message to whom it belongs; one that belongs to nobody is counted and changes nothing."""
        try:
            head = head_of(raw)
            if head.method is not None:
                self._notice(raw, head.method)
            elif head.id in self._pending:
                if head.id in self._wished:
                    self._subscribed(raw, head.id)
                answer = self._pending.pop(head.id)
                if not answer.done():
                    answer.set_result(raw)
            elif head.id is not None and 0 < head.id <= self._issued:
                self.meter.late += 1
            else:
                raise Unfit("envelope", "the answer to no request of ours")
        except Unfit as error:
            self.meter.refused("a message", error.kind, f"{self.where}: a message was {error}")

    def _subscribed(self, raw: bytes, number: int) -> None:
        with suppress(ArbtuiError):
            name = Reply(raw, number, "eth_subscribe", self).result()
            if not isinstance(name, str):
                self.refuse("eth_subscribe", "value", "no name of a subscription")
            self._subscriptions[name] = self._wished[number]

    def _notice(self, raw: bytes, method: str) -> None:
        message = parse(raw)
        params = message.get("params")
        if method != _NOTICE or not isinstance(params, dict) or "result" not in params:
            raise Unfit("envelope", "no notification of a subscription")
        name = params.get("subscription")
        subscription = self._subscriptions.get(name) if isinstance(name, str) else None
        if subscription is None:
            self.foreign += 1
        else:
            subscription.put(params["result"])

    # ---- of the subclass

    @abstractmethod
    async def _open(self) -> None: ...

    @abstractmethod
    async def _close(self) -> None: ...

    @abstractmethod
    async def _send(self, raw: bytes) -> None: ...

    @abstractmethod
    def _messages(self) -> AsyncIterator[bytes]: ...


class WsRpc(StreamRpc):
    """A websocket (ws:// or wss://), pinged every PING_S; a message beyond `max_bytes` ends the connection."""

    def __init__(
        self, url: str, timeout: float = DEFAULT_TIMEOUT_S, max_bytes: int = MAX_ANSWER_BYTES
    ) -> None:
        super().__init__(redact_url(url), timeout, max_bytes)
        self._url = url
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(
            self._url,
            heartbeat=PING_S,
            max_msg_size=self.max_bytes,
            timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
        )

    async def _close(self) -> None:
        session, self._session, socket, self._socket = self._session, None, self._socket, None
        if socket is not None:
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                await asyncio.wait_for(socket.close(), 1.0)
        if session is not None:
            await session.close()

    async def _send(self, raw: bytes) -> None:
        if self._socket is None:
            raise ConnectionResetError("closed")
        await self._socket.send_str(raw.decode())

    async def _messages(self) -> AsyncIterator[bytes]:
        socket = self._socket
        while socket is not None:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                yield message.data.encode()
            elif message.type is aiohttp.WSMsgType.BINARY:
                yield message.data
            elif message.type is aiohttp.WSMsgType.ERROR:
                if isinstance(message.data, aiohttp.WebSocketError):
                    self.refuse("a message", "size", "what is no message of a websocket, or too long a one")
                return
            elif message.type in (
                aiohttp.WSMsgType.CLOSE,
                aiohttp.WSMsgType.CLOSING,
                aiohttp.WSMsgType.CLOSED,
            ):
                return


class IpcRpc(StreamRpc):
    """The unix socket of a node on this machine, such as geth.ipc: JSON values one after another.

    geth and anvil end each value with a line feed; values that merely follow each other are taken apart too.
    """

    def __init__(
        self, path: str, timeout: float = DEFAULT_TIMEOUT_S, max_bytes: int = MAX_ANSWER_BYTES
    ) -> None:
        super().__init__(f"ipc:…/{Path(path).name}", timeout, max_bytes)
        self._path = path
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def _open(self) -> None:
        self._streams = await asyncio.open_unix_connection(self._path)

    async def _close(self) -> None:
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with suppress(OSError):
                await streams[1].wait_closed()

    async def _send(self, raw: bytes) -> None:
        if self._streams is None:
            raise ConnectionResetError("closed")
        self._streams[1].write(raw + b"\n")
        await self._streams[1].drain()

    async def _messages(self) -> AsyncIterator[bytes]:
        if self._streams is None:
            return
        framing = Framing()
        while chunk := await self._streams[0].read(_CHUNK):
            values = framing.take(chunk)
            if max([framing.waiting, *map(len, values)]) > self.max_bytes:
                self.refuse("a message", "size", f"more than {self.max_bytes} bytes")
            for raw in values:
                yield raw


class Framing:
    """Takes a stream of JSON values apart, whatever pieces it comes in: a value ends where its brackets close."""

    def __init__(self) -> None:
        self._rest = bytearray()
        #: Where the look for structure goes on, how deep it is there, and whether in a string.
        self._at = 0
        self._depth = 0
        self._quoted = False

    @property
    def waiting(self) -> int:
        """Bytes of a value that has not ended yet."""
        return len(self._rest)

    def take(self, chunk: bytes) -> list[bytes]:
        """The values that are whole now. What stands between values and is none is given out up to its line's end."""
        self._rest += chunk
        out = []
        while (end := self._line() or self._end()) is not None:
            value = bytes(self._rest[:end]).strip()
            del self._rest[:end]
            self._at, self._depth, self._quoted = 0, 0, False
            if value:
                out.append(value)
        return out

    def _line(self) -> int | None:
        """Where the first line ends, if it is one whole value: the usual case, decided at C's speed."""
        if self._at or (end := self._rest.find(b"\n") + 1) == 0:
            return None
        line = bytes(self._rest[:end])
        try:
            guard_depth(line)
            msgspec.json.decode(line, type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError, Unfit):
            return None
        return end

    def _end(self) -> int | None:
        rest = self._rest
        # A value whose end has not come yet is not worth a look.
        if not rest.endswith((b"}", b"]", b"\n")) and b"\n" not in rest[self._at :]:
            return None
        while True:
            if self._quoted:
                close = rest.find(b'"', self._at)
                if close < 0:
                    self._at = len(rest)
                    return None
                # Closed, unless an odd number of backslashes stands before it.
                escapes = 0
                while close - escapes > 0 and rest[close - escapes - 1] == 0x5C:
                    escapes += 1
                self._quoted = escapes % 2 == 1
                self._at = close + 1
                continue
            found = _MARK.search(rest, self._at)
            if found is None:
                self._at = len(rest)
                return None
            self._at = found.end()
            mark = found[0]
            if mark == b'"':
                self._quoted = True
            elif mark in b"[{":
                self._depth += 1
            elif mark in b"]}":
                self._depth -= 1
                if self._depth <= 0:
                    return self._at
            elif self._depth == 0:
                return self._at
