"""What a mined revert said: as a node traced it, as the same bytes ran on the block before, or that nobody knows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from arbtui.abi import encode_call
from arbtui.chain import JsonRpc, Node
from arbtui.domain import Receipt
from arbtui.engine import settling
from arbtui.engine.settling import Settler
from arbtui.errors import MalformedAnswer, NodeError
from arbtui.execution.ports import Plan
from arbtui.units import Wei
from tests import factories as make
from tests.fake_node import FakeNode, Fault, Reply, fake_node
from tests.scripted_chain import WALLET

TX = make.word("tx", 1)
PLAN = Plan(make.EXECUTOR, b"\x01\x02", 400_000, (), Wei(10**16))
REFUSED = "0x" + encode_call("InsufficientProfit(uint256,uint256)", 5, 7).hex()
BLOCK, PARENT = make.block_ref(), make.block_ref(make.HEAD - 1)
RECEIPT = Receipt(TX, BLOCK.number, BLOCK.hash, False, 100_000, Wei(1), Wei(0), ())


def header(number: int, block_hash: str, parent_hash: str) -> dict[str, Any]:
    return {
        "number": hex(number), "hash": block_hash, "parentHash": parent_hash, "timestamp": hex(BLOCK.timestamp),
        "gasUsed": "0x1", "gasLimit": "0x1c9c380", "transactions": [],
    }  # fmt: skip


def no_tracing(fake: FakeNode, status: str = "0x0", told: str = REFUSED) -> None:
    def refuse(_: list[Any]) -> Any:
        raise Fault(-32601, "the method debug_traceTransaction does not exist")

    blocks = {
        BLOCK.hash: header(BLOCK.number, BLOCK.hash, PARENT.hash),
        PARENT.hash: header(PARENT.number, PARENT.hash, make.word("older")),
    }
    error = {} if status == "0x1" else {"error": {"code": 3, "message": "execution reverted", "data": told}}
    fake.answers["debug_traceTransaction"] = refuse
    fake.answers["eth_getBlockByHash"] = lambda asked: blocks.get(asked[0])
    fake.answers["eth_simulateV1"] = lambda _: [
        {
            "calls": [
                {"status": status, "gasUsed": "0x186a0", "returnData": "0x" + "00" * 32, "logs": [], **error}
            ]
        }
    ]


async def why(fake: FakeNode, plan: Plan | None = PLAN) -> str:
    async with JsonRpc(fake.url) as rpc:
        return await Settler(Node(rpc), WALLET, make.EXECUTOR, {}, "ETH").why_reverted(RECEIPT, plan)


async def test_as_it_was_traced_in_its_place() -> None:
    async with fake_node() as fake:
        fake.answers["debug_traceTransaction"] = lambda asked: (
            {"error": "execution reverted", "gasUsed": "0x186a0", "output": REFUSED}
            if asked[0] == TX
            else None
        )
        told = await why(fake)
    assert told.startswith("InsufficientProfit(5, 7): the run earned less than the floor")
    assert "no node traced it" not in told
    assert fake.count("eth_simulateV1") == 0


async def test_where_no_node_traces_the_same_bytes_run_on_the_block_before() -> None:
    async with fake_node() as fake:
        no_tracing(fake)
        told = await why(fake)
    assert told.startswith("InsufficientProfit(5, 7): ")
    assert told.endswith("(as run on the block before: no node traced it)")
    [(_, asked)] = [call for call in fake.calls if call[0] == "eth_simulateV1"]
    assert asked[1] == hex(PARENT.number)
    assert asked[0]["blockStateCalls"][0]["calls"] == [
        {"from": make.WALLET, "to": make.EXECUTOR, "data": "0x0102", "gas": hex(400_000)}
    ]


async def test_what_passes_on_the_block_before_was_overtaken_in_its_own() -> None:
    async with fake_node() as fake:
        no_tracing(fake, status="0x1")
        assert (await why(fake)).startswith("on the block before it would have passed: something came first")


async def test_a_node_that_is_slow_to_trace_keeps_nothing_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def traced(_: Node, __: str) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(settling, "TRACE_S", 0.5)
    monkeypatch.setattr(Node, "traced", traced)
    async with fake_node() as fake:
        no_tracing(fake)
        async with asyncio.timeout(10):
            assert "(as run on the block before: no node traced it)" in await why(fake)


async def test_a_node_that_is_slow_to_run_it_again_keeps_nothing_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def simulate(_: Node, *__: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(settling, "TRACE_S", 0.5)
    monkeypatch.setattr(Node, "simulate", simulate)
    async with fake_node() as fake:
        no_tracing(fake)
        async with asyncio.timeout(10):
            told = await why(fake)
    assert told == "why is unknown: no node traced it, and none runs it again (no answer within 0.5 s)"


async def test_what_was_sent_is_run_again_where_it_was_sent_to() -> None:
    elsewhere = make.address(77)
    async with fake_node() as fake:
        no_tracing(fake)
        await why(fake, replace(PLAN, to=elsewhere))
    [(_, asked)] = [call for call in fake.calls if call[0] == "eth_simulateV1"]
    assert asked[0]["blockStateCalls"][0]["calls"][0]["to"] == elsewhere


@pytest.mark.parametrize("answer", [None, 5, {"gasUsed": "0x1", "error": "reverted", "output": "0xzz"}])
async def test_a_trace_that_is_none_is_not_believed(answer: Any) -> None:
    async with fake_node() as fake:
        no_tracing(fake)
        fake.answers["debug_traceTransaction"] = lambda _: answer
        async with JsonRpc(fake.url) as rpc:
            with pytest.raises(MalformedAnswer):
                await Node(rpc).traced(TX)
        assert "as run on the block before" in await why(fake)


async def test_where_nobody_knows_it_says_so_and_nothing_fails() -> None:
    async with fake_node() as fake:
        no_tracing(fake)
        assert await why(fake, plan=None) == "why is unknown: no node traced it"

        def gone(_: list[Any]) -> Any:
            raise Reply(503, "no")

        fake.answers["eth_simulateV1"] = gone
        assert (await why(fake)).startswith("why is unknown: no node traced it, and none runs it again (")
        async with JsonRpc(fake.url) as rpc:
            with pytest.raises(NodeError, match="does not exist"):
                await Node(rpc).traced(TX)
