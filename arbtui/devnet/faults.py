"""A JSON-RPC proxy on loopback that misbehaves on request, and a relay that never includes. For tests and drills.

    async with fault_proxy(anvil.rpc_url) as proxy:
        proxy.pool = Pool("geth")                                   # replacement rules and words that anvil lacks
        proxy.inject(accept_then_drop, "eth_sendRawTransaction", times=1)
        proxy.inject(http(429, retry_after=2), probability=0.2)
        ...                                                         # the engine talks to proxy.url

A fault is an async function of the request and a way to forward it. The first rule that fires decides.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web

from arbtui.abi import keccak
from arbtui.devnet.pools import Pool, Refusal
from arbtui.errors import DevnetError

Forward = Callable[[], Awaitable[dict[str, Any]]]
_SEND = "eth_sendRawTransaction"
_HEAD_METHODS = ("eth_blockNumber", "eth_getBlockByNumber")
_TIMEOUT = aiohttp.ClientTimeout(total=30)


class Drop:
    """The connection is broken off without an answer."""


@dataclass(frozen=True, slots=True)
class Http:
    """An answer that is not JSON-RPC."""

    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = ()


Reply = dict[str, Any] | Http | Drop
Fault = Callable[[dict[str, Any], Forward], Awaitable[Reply]]


def answer(asked: dict[str, Any], result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": asked.get("id"), "result": result}


def error(asked: dict[str, Any], code: int, message: str, data: Any = None) -> dict[str, Any]:
    told: dict[str, Any] = {"code": code, "message": message}
    return {"jsonrpc": "2.0", "id": asked.get("id"), "error": told | ({} if data is None else {"data": data})}


# ---- faults


def refuse(code: int, message: str, data: Any = None) -> Fault:
    """A JSON-RPC error; nothing is forwarded."""

    async def fault(asked: dict[str, Any], forward: Forward) -> Reply:  # noqa: ARG001
        return error(asked, code, message, data)

    return fault


def http(status: int, body: str = "<html><body>busy</body></html>", retry_after: int | None = None) -> Fault:
    """An HTTP status with a body that is no JSON; nothing is forwarded."""
    headers = () if retry_after is None else (("Retry-After", str(retry_after)),)

    async def fault(asked: dict[str, Any], forward: Forward) -> Reply:  # noqa: ARG001
        return Http(status, body, headers)

    return fault


def delay(seconds: float) -> Fault:
    """The right answer, late."""

    async def fault(asked: dict[str, Any], forward: Forward) -> Reply:  # noqa: ARG001
        await asyncio.sleep(seconds)
        return await forward()

    return fault


async def accept_then_drop(asked: dict[str, Any], forward: Forward) -> Reply:  # noqa: ARG001
    """The node gets it, the caller never hears of it."""
    await forward()
    return Drop()


async def drop(asked: dict[str, Any], forward: Forward) -> Reply:  # noqa: ARG001
    """The connection breaks before the node gets it."""
    return Drop()


async def duplicate(asked: dict[str, Any], forward: Forward) -> Reply:  # noqa: ARG001
    """Delivered twice; the second answer is the one that comes back."""
    await forward()
    return await forward()


async def null(asked: dict[str, Any], forward: Forward) -> Reply:
    """Forwarded, and answered with null."""
    await forward()
    return answer(asked, None)


async def html(asked: dict[str, Any], forward: Forward) -> Reply:  # noqa: ARG001
    """Forwarded, and answered with a page and HTTP 200."""
    await forward()
    return Http(200, "<html><head><title>Welcome</title></head></html>", (("Content-Type", "text/html"),))


async def wrong_id(asked: dict[str, Any], forward: Forward) -> Reply:
    """The right answer under another request's id."""
    return await forward() | {"id": (asked.get("id") or 0) + 1_000_000}


async def wrong_hash(asked: dict[str, Any], forward: Forward) -> Reply:
    """Forwarded, and answered with the zero hash, as besu can."""
    told = await forward()
    return told if "error" in told else answer(asked, "0x" + "00" * 32)


async def swallow(asked: dict[str, Any], forward: Forward) -> Reply:  # noqa: ARG001
    """Answered with the right hash and never handed on: a private node, geth's local tracker, a full pool."""
    return answer(asked, "0x" + keccak(_raw_of(asked)).hex())


def minus(number: int) -> Fault:
    """A quantity that lags: `eth_blockNumber` or `eth_getTransactionCount` less `number`, not under 0."""

    async def fault(asked: dict[str, Any], forward: Forward) -> Reply:
        told = await forward()
        result = told.get("result")
        return told if not isinstance(result, str) else answer(asked, hex(max(0, int(result, 16) - number)))

    return fault


# ---- the proxy


@dataclass
class Rule:
    """`fault` for these methods (none: all), `times` firings (None: for ever) after `skip` requests that fitted."""

    fault: Fault
    methods: frozenset[str]
    times: int | None
    skip: int
    probability: float
    fired: int = 0

    def fires(self, method: str, draw: random.Random) -> bool:
        if self.methods and method not in self.methods:
            return False
        if self.times is not None and self.fired >= self.times:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.probability < 1 and draw.random() >= self.probability:
            return False
        self.fired += 1
        return True


@dataclass
class FaultProxy:
    """Between a client and the node at `upstream`.

    `calls` are the requests that came, in order; `raws` every raw transaction that was *forwarded*. `head_lag` holds
    the head so many blocks back for every method that names one; it may change under way (a head that recedes).
    `pool`, if set, judges transactions before the node does, and keeps what the node would forget.
    """

    upstream: str
    seed: int = 0
    pool: Pool | None = None
    head_lag: int = 0
    calls: list[tuple[str, list[Any]]] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)
    #: Filled in by `fault_proxy`: where clients connect.
    url: str = ""
    ws_url: str = ""

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)
        self._rules: list[Rule] = []
        self._session: aiohttp.ClientSession | None = None
        self._sockets: set[web.WebSocketResponse] = set()

    # -- switching

    def inject(
        self, fault: Fault, *methods: str, times: int | None = None, skip: int = 0, probability: float = 1.0
    ) -> Rule:
        """Add a rule; the returned one counts its firings."""
        rule = Rule(fault, frozenset(methods), times, skip, probability)
        self._rules.append(rule)
        return rule

    def heal(self) -> None:
        """No rule and no lag any more. The pool stays."""
        self._rules.clear()
        self.head_lag = 0

    async def evict(self, tx_hash: str) -> None:
        """Lose a pending transaction without a word, here and at the node (anvil)."""
        if self.pool is not None:
            self.pool.forget(tx_hash)
        await self._ask("anvil_dropTransaction", [tx_hash])

    async def cut_websockets(self) -> int:
        """Break every open websocket off; how many there were."""
        sockets = list(self._sockets)
        for socket in sockets:
            await socket.close(code=1011, message=b"cut")
        return len(sockets)

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.calls)

    # -- HTTP

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._websocket(request)
        try:
            asked = json.loads(await request.text())
        except ValueError:
            return web.json_response(error({}, -32700, "parse error"))
        many = asked if isinstance(asked, list) else [asked]
        replies: list[dict[str, Any]] = []
        for item in many:
            reply = await self.reply(item)
            if isinstance(reply, Drop):
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            if isinstance(reply, Http):
                return web.Response(status=reply.status, text=reply.body, headers=dict(reply.headers))
            replies.append(reply)
        return web.json_response(replies if isinstance(asked, list) else replies[0])

    async def reply(self, asked: dict[str, Any]) -> Reply:
        """What a request gets: the first rule that fires, else the pool, else the node."""
        method, params = str(asked.get("method", "")), list(asked.get("params") or [])
        self.calls.append((method, params))
        for rule in self._rules:
            if rule.fires(method, self._draw):
                return await rule.fault(asked, lambda: self._forward(asked))
        return await self._forward(asked)

    async def _forward(self, asked: dict[str, Any]) -> dict[str, Any]:
        method, params = str(asked.get("method", "")), list(asked.get("params") or [])
        if self.pool is not None:
            if method in _HEAD_METHODS:
                await self._offer_again(self.pool)
            elif method == _SEND:
                return await self._judged(asked, self.pool)
            elif method == "eth_getTransactionByHash" and params:
                told = await self._upstream(asked)
                kept = self.pool.pending(str(params[0]))
                return answer(asked, kept) if told.get("result") is None and kept is not None else told
        if self.head_lag:
            then = hex(max(0, await self._quantity("eth_blockNumber", []) - self.head_lag))
            if method == "eth_blockNumber":
                return answer(asked, then)
            # Another head is another state: every question about "latest" is asked of that block.
            asked = asked | {"params": [then if param == "latest" else param for param in params]}
        if method == _SEND:
            self.raws.append(_raw_of(asked))
        return await self._upstream(asked)

    async def _judged(self, asked: dict[str, Any], pool: Pool) -> dict[str, Any]:
        raw = _raw_of(asked)
        block = (await self._ask("eth_getBlockByNumber", ["latest", False])) or {}
        sender = pool.sender_of(raw)
        nonce = balance = 0
        if sender is not None:
            nonce = await self._quantity("eth_getTransactionCount", [sender, "latest"])
            balance = await self._quantity("eth_getBalance", [sender, "latest"])
        verdict = pool.offer(raw, int(block.get("baseFeePerGas", "0x0"), 16), nonce, balance)
        if isinstance(verdict, Refusal):
            return error(asked, verdict.code, verdict.message)
        self.raws.append(raw)
        told = await self._upstream(asked)
        # What anvil refuses for the base fee, and takes for a duplicate, a real pool keeps.
        return told if verdict.forward and "error" not in told else answer(asked, verdict.tx_hash)

    async def _offer_again(self, pool: Pool) -> None:
        """Hand the node again what it has forgotten: anvil drops what falls under the base fee, geth does not."""
        for kept in pool.kept():
            latest = await self._quantity("eth_getTransactionCount", [kept.sender, "latest"])
            if latest > kept.nonce:
                pool.forget(kept.tx_hash)
            elif await self._ask("eth_getTransactionByHash", [kept.tx_hash]) is None:
                await self._ask(_SEND, ["0x" + kept.raw.hex()])

    async def _quantity(self, method: str, params: list[Any]) -> int:
        return int(await self._ask(method, params) or "0x0", 16)

    async def _ask(self, method: str, params: list[Any]) -> Any:
        told = await self._upstream({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return told.get("result")

    async def _upstream(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self._session is not None  # noqa: S101 - `fault_proxy` opened it
        async with self._session.post(self.upstream, json=asked) as response:
            told: dict[str, Any] = json.loads(await response.text())
        return told

    # -- websocket

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Both ways, as it is; only `cut_websockets` disturbs it."""
        assert self._session is not None  # noqa: S101 - `fault_proxy` opened it
        here = web.WebSocketResponse()
        await here.prepare(request)
        self._sockets.add(here)
        try:
            async with self._session.ws_connect(
                self.upstream.replace("http", "ws", 1), max_msg_size=0
            ) as there:

                async def back() -> None:
                    async for message in there:
                        if message.type is WSMsgType.TEXT:
                            await here.send_str(message.data)
                    await here.close()

                returning = asyncio.create_task(back())
                try:
                    async for message in here:
                        if message.type is WSMsgType.TEXT:
                            await there.send_str(message.data)
                finally:
                    returning.cancel()
        finally:
            self._sockets.discard(here)
        return here


@asynccontextmanager
async def fault_proxy(upstream: str, seed: int = 0) -> AsyncIterator[FaultProxy]:
    """A proxy on a free port of loopback; any path and any token in it will do."""
    require_loopback(upstream)
    proxy = FaultProxy(upstream, seed)
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        proxy._session = session
        async with _served(proxy.handle) as address:
            proxy.url, proxy.ws_url = f"http://{address}", f"ws://{address}/ws"
            yield proxy


@asynccontextmanager
async def _served(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _raw_of(asked: dict[str, Any]) -> bytes:
    params = asked.get("params") or [""]
    raw = params[0].get("tx", "") if isinstance(params[0], dict) else params[0]
    try:
        return bytes.fromhex(str(raw).removeprefix("0x"))
    except ValueError:
        return b""


# ---- a relay


@dataclass
class FakeRelay:
    """Takes private transactions and bundles, says yes, and never includes any.

    `raws` are all signed transactions it saw; `cancelled` the hashes that were called back. `refusal` (code and
    message), if set, is answered instead of a yes.
    """

    raws: list[bytes] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    refusal: tuple[int, str] | None = None
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        asked = json.loads(await request.text())
        self.signatures.append(request.headers.get("X-Flashbots-Signature", ""))
        return web.json_response(self.reply(asked))

    def reply(self, asked: dict[str, Any]) -> dict[str, Any]:
        method, params = asked.get("method"), asked.get("params") or [{}]
        if self.refusal is not None:
            return error(asked, *self.refusal)
        if method in ("eth_sendPrivateTransaction", "eth_sendPrivateRawTransaction", _SEND):
            raw = _raw_of(asked)
            self.raws.append(raw)
            return answer(asked, "0x" + keccak(raw).hex())
        if method in ("eth_sendBundle", "mev_sendBundle"):
            raws = [bytes.fromhex(tx.removeprefix("0x")) for tx in _bundled(params[0])]
            self.raws += raws
            return answer(asked, {"bundleHash": "0x" + keccak(b"".join(keccak(raw) for raw in raws)).hex()})
        if method == "eth_cancelPrivateTransaction":
            self.cancelled.append(str(params[0].get("txHash", "")))
            return answer(asked, True)
        return error(asked, -32601, f"the method {method} does not exist/is not available")


def _bundled(bundle: dict[str, Any]) -> Sequence[str]:
    if "txs" in bundle:
        return [str(tx) for tx in bundle["txs"]]
    return [str(item["tx"]) for item in bundle.get("body", []) if "tx" in item]


@asynccontextmanager
async def fake_relay() -> AsyncIterator[FakeRelay]:
    """A relay on a free port of loopback."""
    relay = FakeRelay()
    async with _served(relay.handle) as address:
        relay.url = f"http://{address}"
        yield relay


def require_loopback(url: str) -> None:
    """Raise DevnetError for a node that is not on loopback: faults are for local chains alone."""
    if not url.startswith(("http://127.0.0.1:", "http://localhost:")):
        raise DevnetError("faults are injected between a client and a local chain alone")
