"""A JSON-RPC node on loopback whose answers a test decides; for what a real node would not do on request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Answer = Callable[[list[Any]], Any]


class Fault(Exception):
    """Raise in an answer to bring a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.body = {"code": code, "message": message} | ({} if data is None else {"data": data})


class FakeNode:
    """`answers` by method; `raw` makes the whole HTTP body instead. `calls` counts what arrived."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.raw: Callable[[Any], tuple[int, str]] | None = None
        self.calls: list[tuple[str, list[Any]]] = []
        self.url = ""

    async def _handle(self, request: web.Request) -> web.Response:
        asked = json.loads(await request.text())
        for item in asked if isinstance(asked, list) else [asked]:
            self.calls.append((item["method"], item["params"]))
        if self.raw is not None:
            status, body = self.raw(asked)
            return web.Response(status=status, text=body)
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": asked["id"]}
        try:
            answer["result"] = self.answers[asked["method"]](asked["params"])
        except Fault as fault:
            answer["error"] = fault.body
        return web.Response(text=json.dumps(answer))

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.calls)


@asynccontextmanager
async def fake_node() -> AsyncIterator[FakeNode]:
    node = FakeNode()
    app = web.Application()
    app.router.add_post("/{tail:.*}", node._handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    node.url = f"http://127.0.0.1:{port}"
    try:
        yield node
    finally:
        await runner.cleanup()
        # Connections that were cut are let go by the loop's next turns.
        for _ in range(3):
            await asyncio.sleep(0)
