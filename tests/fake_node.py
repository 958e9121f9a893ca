"""A JSON-RPC node on loopback whose answers a test decides; for what a real node would not do on request.

HTTP, websocket and unix socket speak the same answers. `FakeChain` is a chain for it: blocks with logs, forks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from arbtui.chain.feed import bloom_mask
from tests.factories import word

Answer = Callable[[list[Any]], Any]


class Fault(Exception):
    """Raise in an answer to bring a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.body = {"code": code, "message": message} | ({} if data is None else {"data": data})


class Reply(Exception):
    """Raise in an answer to bring another HTTP status, with headers."""

    def __init__(self, status: int, text: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.response = (status, text, headers or {})


class FakeNode:
    """`answers` by method; `raw` makes the whole HTTP body instead. `calls` counts what arrived.

    `hung`: takes requests and says nothing. `frame` makes the bytes of each message on websocket and socket, given
    the answer; what it returns is sent as it is (a list: one message each).
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.raw: Callable[[Any], tuple[int, str | bytes]] | None = None
        self.frame: Callable[[dict[str, Any]], list[bytes]] | None = None
        self.calls: list[tuple[str, list[Any]]] = []
        self.url = ""
        self.ws_url = ""
        self.hung = False
        self.refuse_subscriptions = False
        self._open: set[Callable[[bytes], Any]] = set()
        self._cuts: set[Callable[[], Any]] = set()

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.calls)

    @property
    def listeners(self) -> int:
        """Connections with a subscription."""
        return len(self._open)

    async def push(self, result: Any, subscription: str = "0x1") -> None:
        """A notification to everyone who is subscribed."""
        message = {
            "jsonrpc": "2.0",
            "method": "eth_subscription",
            "params": {"subscription": subscription, "result": result},
        }
        for send in list(self._open):
            await send(json.dumps(message).encode())

    async def cut(self) -> None:
        """End every open connection."""
        for cut in list(self._cuts):
            await cut()

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": asked["id"]}
        try:
            answer["result"] = self.answers[asked["method"]](asked["params"])
        except Fault as fault:
            answer["error"] = fault.body
        except KeyError:
            answer["error"] = {"code": -32601, "message": "the method does not exist"}
        return answer

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._websocket(request)
        asked = json.loads(await request.text())
        for item in asked if isinstance(asked, list) else [asked]:
            self.calls.append((item["method"], item["params"]))
        if self.hung:
            await asyncio.sleep(30)
        if self.raw is not None:
            status, body = self.raw(asked)
            body = body if isinstance(body, bytes) else body.encode("utf-8", "surrogateescape")
            return web.Response(status=status, body=body)
        try:
            answer: Any = (
                [self._answer(item) for item in asked] if isinstance(asked, list) else self._answer(asked)
            )
        except Reply as reply:
            status, text, headers = reply.response
            return web.Response(status=status, text=text, headers=headers)
        return web.Response(text=json.dumps(answer))

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)

        async def send(raw: bytes) -> None:
            with suppress(ConnectionError):
                try:
                    await socket.send_str(raw.decode())
                except UnicodeDecodeError:
                    await socket.send_bytes(raw)

        async def cut() -> None:
            if request.transport is not None:
                request.transport.abort()

        self._cuts.add(cut)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._streamed(json.loads(message.data), send)
        finally:
            self._open.discard(send)
            self._cuts.discard(cut)
        return socket

    async def _socket(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def send(raw: bytes) -> None:
            with suppress(ConnectionError):
                writer.write(raw + (b"" if self.frame else b"\n"))
                await writer.drain()

        async def cut() -> None:
            writer.transport.abort()

        self._cuts.add(cut)
        try:
            while line := await reader.readline():
                await self._streamed(json.loads(line), send)
        except ConnectionError:
            pass
        finally:
            self._open.discard(send)
            self._cuts.discard(cut)
            writer.close()

    async def _streamed(self, asked: dict[str, Any], send: Callable[[bytes], Any]) -> None:
        self.calls.append((asked["method"], asked["params"]))
        if self.hung:
            return
        if asked["method"] == "eth_subscribe" and "eth_subscribe" not in self.answers:
            if self.refuse_subscriptions:
                answer = {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "no"}}
            else:
                self._open.add(send)
                answer = {"jsonrpc": "2.0", "id": asked["id"], "result": "0x1"}
        else:
            answer = self._answer(asked)
        for raw in [json.dumps(answer).encode()] if self.frame is None else self.frame(answer):
            await send(raw)


@asynccontextmanager
async def fake_node(socket: Path | None = None, port: int = 0) -> AsyncIterator[FakeNode]:
    """A node on a port of its own (or `port`), with a unix socket at `socket`."""
    node = FakeNode()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", node._handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    node.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    node.ws_url = node.url.replace("http://", "ws://")
    server = None if socket is None else await asyncio.start_unix_server(node._socket, str(socket))
    try:
        yield node
    finally:
        await node.cut()
        if server is not None:
            server.close()
            await server.wait_closed()
        await runner.cleanup()
        # Connections that were cut are let go by the loop's next turns.
        for _ in range(3):
            await asyncio.sleep(0)


@dataclass
class FakeChain:
    """Blocks with logs that a test extends, forks and hides; `serve` puts it behind a node.

    Hashes follow from number and fork, so that two nodes with the same chain say the same.
    """

    chain_id: int = 31_337
    blocks: list[dict[str, Any]] = field(default_factory=list)
    #: Logs by block hash. What is here is answered, whatever block it names.
    logs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    #: Blocks that were left, still known by their hash.
    left: dict[str, dict[str, Any]] = field(default_factory=dict)
    start: int = 1_783_166_400
    #: Whether logs are held against the topics that are asked for.
    filtering: bool = True
    #: What eth_call answers, if not a value that follows from the block.
    state: str = ""

    def __post_init__(self) -> None:
        if not self.blocks:
            self.extend(1)

    @property
    def head(self) -> dict[str, Any]:
        return self.blocks[-1]

    def extend(self, count: int, fork: int = 0, logs: Iterable[dict[str, Any]] = ()) -> None:
        """`count` blocks on top; each has `logs`, placed in it."""
        for _ in range(count):
            number = len(self.blocks)
            parent = self.blocks[-1]["hash"] if self.blocks else "0x" + "00" * 32
            block_hash = word("block", number, fork, parent) if number else word("genesis", self.chain_id)
            placed = [
                log
                | {
                    "blockHash": block_hash,
                    "blockNumber": hex(number),
                    "transactionHash": word("tx", block_hash, index),
                    "transactionIndex": hex(index),
                    "logIndex": hex(index),
                    "removed": False,
                }
                for index, log in enumerate(logs)
            ]
            bloom = 0
            for log in placed:
                for topic in log["topics"]:
                    bloom |= bloom_mask(topic)
            self.blocks.append(
                {
                    "number": hex(number),
                    "hash": block_hash,
                    "parentHash": parent,
                    "timestamp": hex(self.start + 12 * number),
                    "baseFeePerGas": "0x4a817c800",
                    "gasUsed": "0xe4e1c0",
                    "gasLimit": "0x1c9c380",
                    "logsBloom": f"0x{bloom:0512x}",
                    "transactions": [log["transactionHash"] for log in placed],
                }
            )
            self.logs[block_hash] = placed

    def reorg(self, depth: int, fork: int, longer: int = 0, logs: Iterable[dict[str, Any]] = ()) -> None:
        """Leave the last `depth` blocks for as many and `longer` others."""
        self.shrink(depth)
        self.extend(depth + longer, fork, tuple(logs))

    def shrink(self, count: int) -> None:
        for block in self.blocks[len(self.blocks) - count :]:
            self.left[block["hash"]] = block
        del self.blocks[len(self.blocks) - count :]

    def serve(self, node: FakeNode) -> None:
        node.answers |= {
            "eth_chainId": lambda _: hex(self.chain_id),
            "eth_getBlockByNumber": self._by_number,
            "eth_getBlockByHash": self._by_hash,
            "eth_getLogs": self._logs,
            "eth_call": self._call,
        }

    def _by_number(self, params: list[Any]) -> Any:
        if params[0] == "latest":
            return self.head
        number = int(params[0], 16)
        return self.blocks[number] if number < len(self.blocks) else None

    def _by_hash(self, params: list[Any]) -> Any:
        known = {block["hash"]: block for block in self.blocks} | self.left
        return known.get(params[0])

    def _logs(self, params: list[Any]) -> Any:
        asked = params[0]
        if "blockHash" in asked:
            if asked["blockHash"] not in self.logs:
                raise Fault(-32000, "unknown block")
            blocks = [asked["blockHash"]]
        else:
            first, last = int(asked["fromBlock"], 16), int(asked["toBlock"], 16)
            blocks = [block["hash"] for block in self.blocks[first : last + 1]]
        topics = asked.get("topics", [None])[0]
        if not self.filtering:
            topics = None
        return [
            log
            for block in blocks
            for log in self.logs[block]
            if topics is None or log["topics"][0] in topics
        ]

    def _call(self, params: list[Any]) -> Any:
        """A value that follows from the block it is read at."""
        block_hash = params[1]["blockHash"]
        if self._by_hash([block_hash]) is None:
            raise Fault(-32000, "header not found")
        return self.state or word("state", block_hash)
