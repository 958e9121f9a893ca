from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from arbtui.chain import JsonRpc, Node
from arbtui.chain.rpc import quantity
from arbtui.errors import MalformedAnswer, NodeError, NodeUnreachable
from tests.fake_node import fake_node


def envelope(**changes: Any) -> Any:
    def make(asked: dict[str, Any]) -> tuple[int, str]:
        body = {"jsonrpc": "2.0", "id": asked["id"], "result": "0x1"} | changes
        return 200, json.dumps({key: value for key, value in body.items() if value != "GONE"})

    return make


@pytest.mark.parametrize(
    "raw",
    [
        envelope(id=999),
        envelope(id="1"),
        envelope(id=None),
        envelope(result="GONE"),
        envelope(error={"code": 1, "message": "x"}),
        envelope(result="GONE", error="a string"),
        envelope(result="GONE", error={"message": "no code"}),
        envelope(result="GONE", error={"code": "1", "message": "x"}),
        lambda asked: (200, "<html>busy</html>"),
        lambda asked: (502, "Bad Gateway"),
        lambda asked: (200, ""),
        lambda asked: (200, "[]"),
        lambda asked: (200, "null"),
        lambda asked: (200, '{"jsonrpc":"2.0","id":%d,"result":NaN}' % asked["id"]),
        lambda asked: (200, '{"jsonrpc":"2.0","id":%d,"result":"0x1","result":"0x2"}' % asked["id"]),
        lambda asked: (200, "[" * 100_000),
    ],
)
async def test_what_is_not_json_rpc_is_refused(raw: Any) -> None:
    async with fake_node() as node, JsonRpc(node.url) as rpc:
        node.raw = raw
        with pytest.raises(MalformedAnswer):
            await rpc.call("eth_blockNumber")
        assert len(node.calls) == 1, "nothing is asked twice by itself"


@pytest.mark.parametrize(
    "bad", ["12", "0x", "0x01", "-0x5", 1.5, 18, None, True, "0x" + "f" * 65, "0xzz", [], {}]
)
def test_quantities_are_strict(bad: Any) -> None:
    with pytest.raises(MalformedAnswer, match="gas"):
        quantity(bad, "gas")


def test_a_quantity() -> None:
    assert quantity("0x0", "gas") == 0
    assert quantity("0x" + "f" * 64, "gas") == 2**256 - 1


async def test_an_error_object_keeps_code_message_and_data() -> None:
    def fail(asked: dict[str, Any]) -> tuple[int, str]:
        error = {"code": 3, "message": "execution reverted\x1b[31m", "data": "0x4e487b71"}
        return 500, json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": error})

    async with fake_node() as node, JsonRpc(node.url) as rpc:
        node.raw = fail
        with pytest.raises(NodeError) as caught:
            await rpc.call("eth_call")
    assert (caught.value.code, caught.value.data) == (3, "0x4e487b71")
    assert "\x1b" not in str(caught.value)


async def test_a_dead_node_is_told_apart_from_a_silent_one() -> None:
    async with fake_node() as node:
        url = node.url
    async with JsonRpc(url + "/v2/SECRETKEY") as rpc:
        with pytest.raises(NodeUnreachable) as caught:
            await rpc.call("eth_sendRawTransaction")
    assert caught.value.sent is False
    assert "SECRETKEY" not in str(caught.value)


async def test_a_node_that_does_not_answer_in_time() -> None:
    over = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with JsonRpc(f"http://127.0.0.1:{port}", timeout=0.2) as rpc:
            with pytest.raises(NodeUnreachable, match="no answer to eth_blockNumber within 0.2 s") as caught:
                await rpc.call("eth_blockNumber")
        assert caught.value.sent is True
        over.set()
        await asyncio.sleep(0.05)


async def test_a_receipt_of_another_transaction_is_refused() -> None:
    async with fake_node() as node, JsonRpc(node.url) as rpc:
        node.answers["eth_getTransactionReceipt"] = lambda _: {"transactionHash": "0x" + "22" * 32}
        with pytest.raises(MalformedAnswer, match="another transaction"):
            await Node(rpc).receipt("0x" + "11" * 32)


async def test_a_batch_keeps_order_and_items_fail_alone() -> None:
    def swapped(asked: Any) -> tuple[int, str]:
        return 200, json.dumps(
            [
                {"jsonrpc": "2.0", "id": asked[1]["id"], "error": {"code": -1, "message": "no"}},
                {"jsonrpc": "2.0", "id": asked[0]["id"], "result": "0x7"},
            ]
        )

    async with fake_node() as node, JsonRpc(node.url) as rpc:
        node.raw = swapped
        first, second = await rpc.batch([("eth_chainId", []), ("eth_call", [])])
    assert first == "0x7"
    assert isinstance(second, NodeError)
