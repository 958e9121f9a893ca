"""Several nodes behind one: fail-over, rest, stale heads, wrong chains, agreement, the one send."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from arbtui.bootstrap import diagnose
from arbtui.chain import ChainPolicy, JsonRpc, Node, Nodes, NodeState, is_local_chain, open_nodes
from arbtui.chain import nodes as module
from arbtui.chain.reader import read
from arbtui.config import Config, load_config
from arbtui.domain import BlockRef, Call
from arbtui.errors import (
    MalformedAnswer,
    NodeError,
    NodesDisagree,
    NodeUnreachable,
    RateLimited,
    TooFewAgree,
    WrongChain,
)
from tests.factories import WETH, address, word
from tests.fake_node import FakeChain, FakeNode, Fault, Reply, fake_node
from tests.feeds import eventually

SLOT = 10.0
HASH = word("sent")
TARGET = address(5)


class Time:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Net:
    nodes: Nodes
    fakes: list[FakeNode]
    chains: list[FakeChain]
    time: Time

    @property
    def states(self) -> list[str]:
        return [str(health.state) for health in self.nodes.health()]

    def counts(self, method: str) -> list[int]:
        return [fake.count(method) for fake in self.fakes]


@asynccontextmanager
async def net(count: int, same: bool = True) -> AsyncIterator[Net]:
    """`count` fakes; the watching task is not started, and time stands still unless the test moves it."""
    clock = Time()
    async with AsyncExitStack() as stack:
        fakes, rpcs, chains = [], [], []
        for _ in range(count):
            fake = await stack.enter_async_context(fake_node())
            chain = chains[0] if same and chains else FakeChain()
            if not chain.blocks[1:]:
                chain.extend(5)
            chain.serve(fake)
            fake.answers["eth_sendRawTransaction"] = lambda _: HASH
            chains.append(chain)
            fakes.append(fake)
            rpcs.append(await stack.enter_async_context(JsonRpc(fake.url, timeout=2)))
        yield Net(
            Nodes(
                [Node(rpc, name=f"node {i}") for i, rpc in enumerate(rpcs, start=1)],
                31_337,
                block_time_s=SLOT,
                monotonic=clock,
                draw=lambda: 0.5,
            ),
            fakes,
            chains,
            clock,
        )


def failing(error: Exception) -> Callable[[Any], Any]:
    def answer(_: Any) -> Any:
        raise error

    return answer


# ── fail-over and rest ──────────────────────────────────────────────────────────────────────────────────────────


async def test_reads_go_to_the_first_node_while_it_is_well() -> None:
    async with net(3) as it:
        for _ in range(3):
            assert (await it.nodes.block()).number == 5
        assert it.counts("eth_getBlockByNumber") == [4, 0, 0], "three heads and the genesis"
        assert it.states == ["ok", "new", "new"]


@pytest.mark.parametrize(
    "error",
    [
        Reply(502, "<html>"),
        Reply(200, "[]"),
        Fault(-32603, "internal error"),
        Fault(-32601, "no such method"),
    ],
)
async def test_where_one_fails_the_next_is_asked(error: Exception) -> None:
    async with net(2) as it:
        it.fakes[0].answers["eth_gasPrice"] = failing(error)
        it.fakes[0].answers["eth_getBalance"] = failing(error)
        it.fakes[1].answers["eth_getBalance"] = lambda _: "0x7"
        assert await it.nodes.balance(TARGET) == 7
        assert it.counts("eth_getBalance") == [1, 1]


async def test_a_revert_is_an_answer_and_no_reason_to_ask_another() -> None:
    async with net(2) as it:
        it.fakes[0].answers["eth_call"] = failing(Fault(3, "execution reverted", "0x1234"))
        with pytest.raises(NodeError) as caught:
            await it.nodes.call_at(TARGET, b"", await it.nodes.block())
        assert (caught.value.data, it.counts("eth_call")) == ("0x1234", [1, 0])
        assert it.states[0] == "ok"


async def test_rest_after_failures_grows_and_ends_by_showing_itself() -> None:
    async with net(2) as it:
        await it.nodes.look()
        it.fakes[0].answers["eth_chainId"] = failing(Reply(502))
        it.fakes[0].answers["eth_getBalance"] = failing(Reply(502))
        it.fakes[1].answers["eth_getBalance"] = lambda _: "0x7"
        rests = []
        for _ in range(4):
            before = it.counts("eth_getBalance")[0] + it.counts("eth_chainId")[0]
            await it.nodes.balance(TARGET)
            await it.nodes.balance(TARGET)
            after = it.counts("eth_getBalance")[0] + it.counts("eth_chainId")[0]
            assert after - before <= 1, "nothing is asked of it while it rests"
            member = it.nodes._members[0]
            rests.append(member.rest_until - it.time.now)
            it.time.now = member.rest_until
            await it.nodes.look()
        assert [rest / rests[0] for rest in rests[:3]] == [1, 2, 4]
        assert it.states == ["down", "ok"]
        it.time.now += 10
        FakeChain.serve(it.chains[0], it.fakes[0])
        it.fakes[0].answers["eth_getBalance"] = lambda _: "0x8"
        assert await it.nodes.balance(TARGET) == 7, "it has to show itself first"
        await it.nodes.look()
        assert it.states == ["ok", "ok"]
        assert await it.nodes.balance(TARGET) == 8


async def test_a_node_that_hangs_gets_company(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEDGE_S", 0.4)
    async with net(2) as it:
        await it.nodes.look()
        it.fakes[0].hung = True
        assert (await it.nodes.one(lambda node: node.block(), 0.1)).number == 5
        assert it.states == ["down", "ok"]
        await it.nodes.look()
        assert it.states == ["down", "ok"]


@pytest.mark.parametrize("stale", [(3,), (3, 9)])
async def test_a_silent_node_gets_no_company_by_a_worse_one(stale: tuple[int, ...]) -> None:
    """Well and stale, or stale and further behind: what such a node says may be of long ago."""
    async with net(2, same=False) as it:
        it.chains[0].extend(stale[-1])
        await it.nodes.look()
        if len(stale) > 1:
            it.time.now += 6 * SLOT
            await it.nodes.look()
        assert it.states == [["ok", "stale"], ["stale", "stale"]][len(stale) - 1]
        for fake, nonce in zip(it.fakes, ("0x64", "0x3"), strict=True):
            fake.answers["eth_getTransactionCount"] = lambda _, nonce=nonce: nonce  # type: ignore[misc]

        async def read(node: Node) -> int:
            await asyncio.sleep(0.2 if node.name == "node 1" else 0)
            return await node.nonce(TARGET)

        before = it.states
        assert await it.nodes.one(read, 0.05) == 100
        assert (it.counts("eth_getTransactionCount"), it.states) == ([1, 0], before)
        it.fakes[0].answers["eth_getTransactionCount"] = failing(Reply(502))
        assert await it.nodes.one(read, 0.05) == 3, "once the better one has failed"


async def test_a_silent_node_is_not_passed_over_for_a_worse_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEDGE_S", 0.1)
    async with net(2, same=False) as it:
        it.chains[0].extend(3)
        await it.nodes.look()
        it.fakes[0].hung = True
        await it.nodes.look()
        with pytest.raises(NodeUnreachable):
            await it.nodes.agreed(lambda node: node.block(), "head")
        assert it.states == ["ok", "stale"]
        it.chains[1].extend(3)
        await it.nodes.look()
        assert it.states == ["ok", "ok"]
        await it.nodes.look()
        assert it.states == ["down", "ok"], "now another is as good"


async def test_a_silent_node_gets_company_by_one_as_good_and_no_further() -> None:
    async with net(3, same=False) as it:
        for chain in it.chains[:2]:
            chain.extend(3)
        await it.nodes.look()
        assert it.states == ["ok", "ok", "stale"]
        asked = []

        async def read(node: Node) -> str:
            asked.append(node.name)
            await asyncio.sleep({"node 1": 0.4, "node 2": 0.2}.get(node.name, 0))
            return node.name

        assert await it.nodes.one(read, 0.05) == "node 2"
        assert asked == ["node 1", "node 2"]


async def test_while_a_better_node_may_answer_a_worse_one_does_not_stand_in_for_another() -> None:
    async with net(3, same=False) as it:
        for chain in it.chains[:2]:
            chain.extend(3)
        await it.nodes.look()
        it.fakes[1].answers["eth_getBalance"] = failing(Reply(502))

        async def read(node: Node) -> str:
            await asyncio.sleep(0.2 if node.name == "node 1" else 0)
            if node.name == "node 2":
                await node.balance(TARGET)
            return node.name

        assert await it.nodes.one(read, 0.05) == "node 1"
        assert it.counts("eth_getBalance") == [0, 1, 0]


async def test_a_dead_node_costs_nothing_but_its_refusal() -> None:
    async with net(2) as it:
        async with fake_node() as gone:
            url = gone.url
        async with JsonRpc(url) as rpc:
            nodes = Nodes([Node(rpc, name="dead"), it.nodes._members[1].node], 31_337, block_time_s=SLOT)
            assert (await nodes.block()).number == 5
            dead, well = nodes.health()
            assert (dead.state, dead.failures, well.state) == (NodeState.DOWN, 1, NodeState.OK)
            assert "no node is listening there" in str(dead)


async def test_with_nobody_left_the_first_ones_error_is_told() -> None:
    async with net(2) as it:
        for fake in it.fakes:
            fake.answers["eth_chainId"] = failing(Reply(503))
        with pytest.raises(MalformedAnswer):
            await it.nodes.block()
        assert it.states == ["down", "down"]
        # A rest is cut short rather than nobody asked: the one that has rested most of it first.
        it.chains[0].serve(it.fakes[1])
        assert (await it.nodes.block()).number == 5


async def test_one_node_alone_is_asked_again_each_time() -> None:
    async with net(1) as it:
        it.fakes[0].answers["eth_getBalance"] = failing(Reply(502))
        for _ in range(3):
            with pytest.raises(MalformedAnswer):
                await it.nodes.balance(TARGET)
        assert it.counts("eth_getBalance") == [3]
        it.fakes[0].answers["eth_getBalance"] = lambda _: "0x7"
        assert await it.nodes.balance(TARGET) == 7
        assert it.nodes.health()[0].detail == ""
        assert it.nodes.health()[0].refusals == {"json": 3}


# ── the rate ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "rest"),
    [
        (Reply(429, "", {"Retry-After": "8"}), 9.0),
        (Reply(429), 1.125),
        (Fault(-32005, "daily request limit exceeded"), 1.125),
        (Fault(429, "Too Many Requests"), 1.125),
    ],
)
async def test_a_node_that_asks_for_rest_is_rested_and_calls_go_elsewhere(
    error: Exception, rest: float
) -> None:
    async with net(2) as it:
        await it.nodes.look()
        it.fakes[0].answers["eth_getBalance"] = failing(error)
        it.fakes[1].answers["eth_getBalance"] = lambda _: "0x7"
        for _ in range(5):
            assert await it.nodes.balance(TARGET) == 7
        assert it.counts("eth_getBalance") == [1, 5]
        assert it.states == ["limited", "ok"]
        assert it.nodes._members[0].rest_until - it.time.now == pytest.approx(rest)
        it.time.now += rest - 0.01
        asked = len(it.fakes[0].calls)
        await it.nodes.look()
        assert len(it.fakes[0].calls) == asked, "not before its time"
        it.time.now += 0.02
        await it.nodes.look()
        assert it.states == ["ok", "ok"]


async def test_the_only_node_is_not_asked_before_its_time() -> None:
    async with net(1) as it:
        await it.nodes.look()
        it.fakes[0].answers["eth_getBalance"] = failing(Reply(429, "", {"Retry-After": "8"}))
        with pytest.raises(RateLimited):
            await it.nodes.balance(TARGET)
        asked = len(it.fakes[0].calls)
        for call in (it.nodes.block, lambda: it.nodes.send_raw(b"\1")):
            with pytest.raises(RateLimited, match=r"not asked for another 9\.0 s") as caught:
                await call()  # type: ignore[operator]
            assert (caught.value.sent, caught.value.retry_after) == (False, 9.0)
        assert len(it.fakes[0].calls) == asked
        it.time.now += 9.1
        assert (await it.nodes.block()).number == 5


# ── stale heads, wrong chains ───────────────────────────────────────────────────────────────────────────────────


async def test_a_node_behind_the_best_is_stale_and_not_used_until_it_has_caught_up() -> None:
    async with net(2, same=False) as it:
        it.chains[0].extend(0)
        await it.nodes.look()
        for height in range(2):
            it.chains[1].extend(1)
            it.time.now += SLOT
            await it.nodes.look()
            assert it.states[0] == "ok", height
        it.time.now += 1
        await it.nodes.look()
        assert it.states == ["stale", "ok"], "behind, and unmoved for more than two slots"
        assert "2 blocks behind" in str(it.nodes.health()[0])
        assert (await it.nodes.block()).number == 7
        it.chains[0].extend(2)
        await it.nodes.look()
        assert it.states == ["ok", "ok"]
        it.chains[1].extend(3)
        await it.nodes.look()
        assert it.states == ["stale", "ok"], "three blocks are too many at once"
        assert it.nodes.health()[0].lag == 3


async def test_where_every_head_stands_still_all_are_stale_and_the_best_is_read() -> None:
    async with net(2, same=False) as it:
        it.chains[1].extend(1)
        await it.nodes.look()
        it.time.now += 6 * SLOT
        await it.nodes.look()
        assert it.states == ["stale", "stale"]
        assert (await it.nodes.block()).number == 6


async def test_a_node_of_another_chain_or_genesis_is_never_used() -> None:
    async with net(3, same=False) as it:
        it.fakes[0].answers["eth_chainId"] = lambda _: "0x1"
        it.chains[2].blocks[0] = it.chains[2].blocks[0] | {"hash": word("another genesis")}
        it.fakes[2].answers["eth_getBalance"] = lambda _: "0x9"
        assert (await it.nodes.block()).number == 5
        await it.nodes.look()
        assert it.states == ["quarantined", "ok", "quarantined"]
        assert "is chain 1, but chain.chain_id says 31337" in it.nodes.health()[0].detail
        assert "has genesis" in it.nodes.health()[2].detail
        before = [len(fake.calls) for fake in it.fakes]
        await it.nodes.look()
        with pytest.raises(NodeError):
            await it.nodes.balance(TARGET)
        assert [len(fake.calls) - b for fake, b in zip(it.fakes, before, strict=True)] == [0, 3, 0]


async def test_a_node_that_becomes_another_chain_is_quarantined_until_it_is_released() -> None:
    async with net(2) as it:
        await it.nodes.look()
        it.fakes[0].answers["eth_chainId"] = lambda _: "0x1"
        await it.nodes.look()
        assert it.states == ["quarantined", "ok"]
        it.chains[0].serve(it.fakes[0])
        it.time.now += 10_000
        await it.nodes.look()
        assert it.states[0] == "quarantined"
        it.nodes.release("node 1")
        await it.nodes.look()
        assert it.states[0] == "ok"


async def test_a_node_is_asked_for_its_chain_anew_after_it_was_gone() -> None:
    async with net(2) as it:
        await it.nodes.look()
        it.fakes[0].answers["eth_getBalance"] = failing(Reply(503))
        it.fakes[1].answers["eth_getBalance"] = lambda _: "0x7"
        await it.nodes.balance(TARGET)
        it.fakes[0].answers["eth_chainId"] = lambda _: "0x1"
        it.time.now += 1
        await it.nodes.look()
        assert it.states == ["quarantined", "ok"]


async def test_with_one_node_of_another_chain_there_is_none() -> None:
    async with net(1) as it:
        it.fakes[0].answers["eth_chainId"] = lambda _: "0x1"
        with pytest.raises(
            WrongChain, match=r"is chain 1, but chain\.chain_id says 31337; correct chain\.rpc_url"
        ):
            await it.nodes.block()
        with pytest.raises(WrongChain, match="no node is left: node 1"):
            await it.nodes.block()


@pytest.mark.parametrize("wrong", [0, 1])
@pytest.mark.parametrize(
    ("other", "error"), [(Reply(503), MalformedAnswer), (Reply(429), RateLimited), (None, NodeUnreachable)]
)
async def test_a_wrong_chain_is_not_told_while_another_node_may_come_back(
    wrong: int, other: Reply | None, error: type[Exception]
) -> None:
    """The engine has patience for a node that is away, and ends at once where none of its chain is left."""
    async with net(2) as it, AsyncExitStack() as stack:
        it.fakes[wrong].answers["eth_chainId"] = lambda _: "0x1"
        nodes = [member.node for member in it.nodes._members]
        if other is None:
            async with fake_node() as gone:
                url = gone.url
            nodes[1 - wrong] = Node(await stack.enter_async_context(JsonRpc(url)), name="gone")
        else:
            it.fakes[1 - wrong].answers["eth_chainId"] = failing(other)

        def fresh() -> Nodes:
            return Nodes(nodes, 31_337, block_time_s=SLOT, monotonic=it.time)

        both = fresh()
        for _ in range(2):
            with pytest.raises(error):
                await both.block()
        assert "quarantined" in {str(health.state) for health in both.health()}
        with pytest.raises(error):
            await fresh().agreed(lambda node: node.block(), "head")


async def test_a_wrong_chain_is_not_told_while_another_node_rests() -> None:
    async with net(2) as it:
        it.fakes[0].answers["eth_chainId"] = lambda _: "0x1"
        it.fakes[1].answers["eth_getBalance"] = failing(Reply(429, "", {"Retry-After": "8"}))
        member = it.nodes._members[1]
        with pytest.raises(RateLimited):
            await it.nodes._ask(member, lambda node: node.balance(TARGET))
        with pytest.raises(RateLimited, match=r"another 9\.0 s"):
            await it.nodes.block()
        it.nodes.release("node 1")
        it.nodes._failed(member, "no answer", gone=True)
        with pytest.raises(NodeUnreachable, match="node 2: no answer"):
            await it.nodes.agreed(lambda node: node.block(), "head")
        it.fakes[1].answers["eth_chainId"] = lambda _: "0x1"
        for _ in range(2):
            with pytest.raises(WrongChain):
                await it.nodes.block()


async def test_the_watch_finds_out_by_itself() -> None:
    async with net(2) as it, it.nodes:
        it.nodes._slot = 0.1
        await eventually(lambda: it.states == ["ok", "ok"])
        it.fakes[1].answers["eth_chainId"] = lambda _: "0x1"
        await eventually(lambda: it.states == ["ok", "quarantined"])


@pytest.mark.parametrize("bad", ["0x", "0x" + f"{32:064x}" + "ff" * 32])
async def test_contract_data_that_does_not_decode_counts_against_its_node(bad: str) -> None:
    async with net(2) as it:
        it.fakes[0].answers["eth_call"] = lambda _: bad
        words = (32, 1, 32, 1, 64, 32, 7)
        it.fakes[1].answers["eth_call"] = lambda _: "0x" + "".join(f"{word:064x}" for word in words)
        block = await it.nodes.block()
        (answer,) = await read(it.nodes, [Call(TARGET, b"", "x")], block, TARGET)
        assert (answer.success, int.from_bytes(answer.data)) == (True, 7)
        assert it.states[0] == "down"
        assert [health.refusals for health in it.nodes.health()] == [{"value": 1}, {}]


async def test_logs_of_a_range_that_were_not_asked_for_count_against_their_node() -> None:
    async with net(2) as it:
        raw = {"address": TARGET.lower(), "topics": [HASH], "data": "0x"}
        it.chains[0].extend(1, logs=[raw])
        it.fakes[0].answers["eth_getLogs"] = lambda _: it.chains[0].logs[it.chains[0].head["hash"]] * 2
        assert len(await it.nodes.logs_of(TARGET, HASH, 6, 6)) == 1
        assert [health.refusals for health in it.nodes.health()] == [{"value": 1}, {}]


# ── agreement ───────────────────────────────────────────────────────────────────────────────────────────────────


async def call(nodes: Nodes, block: BlockRef) -> Any:
    return await nodes.agreed(lambda node: node.call_at(TARGET, b"", block), "reserves")


async def test_two_that_say_the_same_agree() -> None:
    async with net(3) as it:
        said = await call(it.nodes, await it.nodes.block())
        assert (str(said), said.by) == ("agreed by 2 of 3", ("node 1", "node 2"))
        assert it.counts("eth_call") == [1, 1, 0]


async def test_one_alone_agrees_with_itself_and_says_so() -> None:
    async with net(1) as it:
        block = await it.nodes.block()
        assert str(await call(it.nodes, block)) == "agreed by 1 of 1"
        lone = it.nodes._members[0].node
        assert (
            str(await lone.agreed(lambda node: node.call_at(TARGET, b"", block), "x")) == "agreed by 1 of 1"
        )


async def test_of_two_that_differ_neither_is_believed() -> None:
    async with net(2) as it:
        it.fakes[1].answers["eth_call"] = lambda _: "0x" + "99" * 32
        block = await it.nodes.block()
        with pytest.raises(NodesDisagree, match="reserves: node 1 and node 2 say different things"):
            await call(it.nodes, block)
        assert [health.disagreements for health in it.nodes.health()] == [1, 1]


async def test_of_three_the_odd_one_is_flagged() -> None:
    async with net(3) as it:
        it.fakes[0].answers["eth_call"] = lambda _: "0x" + "99" * 32
        said = await call(it.nodes, await it.nodes.block())
        assert (said.by, said.of) == (("node 2", "node 3"), 3)
        assert said.value != bytes.fromhex("99" * 32)
        assert [health.disagreements for health in it.nodes.health()] == [1, 0, 0]


async def test_a_revert_is_something_to_agree_on() -> None:
    async with net(2) as it:
        block = await it.nodes.block()
        it.fakes[0].answers["eth_call"] = failing(Fault(3, "execution reverted", "0x01"))
        with pytest.raises(NodesDisagree):
            await call(it.nodes, block)
        it.fakes[1].answers["eth_call"] = failing(Fault(3, "execution reverted: no", "0x01"))
        with pytest.raises(NodeError, match="execution reverted"):
            await call(it.nodes, block)


async def test_a_second_node_that_learns_of_the_block_in_time_agrees() -> None:
    async with net(2, same=False) as it:
        it.nodes._monotonic = asyncio.get_running_loop().time
        await it.nodes.look()
        it.chains[0].extend(1)
        block = await it.nodes.block()

        async def later() -> None:
            await asyncio.sleep(0.2)
            it.chains[1].extend(1)

        said, _ = await asyncio.gather(call(it.nodes, block), later())
        assert str(said) == "agreed by 2 of 2"


async def test_a_second_node_without_the_block_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGREE_WAIT_S", 0.0)
    async with net(2, same=False) as it:
        it.nodes._monotonic = asyncio.get_running_loop().time
        await it.nodes.look()
        it.chains[1].reorg(2, fork=1)
        it.chains[1].left.clear()
        with pytest.raises(
            TooFewAgree, match=r"only node 1 of 2 nodes answered, 2 have to agree; .* node 2: "
        ):
            await call(it.nodes, await it.nodes.block())
        assert it.nodes.health()[1].unknown_blocks >= 1
        it.nodes._agree_least = 1
        assert str(await call(it.nodes, await it.nodes.block())) == "agreed by 1 of 2"
        it.fakes[0].answers["eth_call"] = failing(Reply(502))
        with pytest.raises(MalformedAnswer):
            await call(it.nodes, await it.nodes.block())


async def test_one_that_claims_to_be_ahead_does_not_decide_alone() -> None:
    async with net(2, same=False) as it:
        it.chains[1].extend(3)
        await it.nodes.look()
        assert it.states == ["stale", "ok"]
        ahead = it.nodes._members[1].node
        shared, claimed = await ahead.block(5), await ahead.block(8)
        said = await call(it.nodes, shared)
        assert said.by == ("node 2", "node 1")
        # Blocks that nobody else has are not waited for, and not agreed.
        with pytest.raises(TooFewAgree, match="only node 2 of 2 nodes answered"):
            await call(it.nodes, claimed)
        it.fakes[1].answers["eth_call"] = lambda _: "0x" + "99" * 32
        with pytest.raises(NodesDisagree):
            await call(it.nodes, shared)


@pytest.mark.parametrize("liar", [0, 2])
async def test_a_head_that_nobody_else_has_wins_no_reads(liar: int) -> None:
    async with net(3, same=False) as it:
        it.chains[liar].extend(9)
        await it.nodes.look()
        honest = ["ok"] * 2
        honest.insert(liar, "stale (its head is 9 blocks ahead of all others)")
        assert [f"{h.state} ({h.detail})" if h.detail else str(h.state) for h in it.nodes.health()] == honest
        assert (await it.nodes.block()).number == 5
        assert [health.lag for health in it.nodes.health()] == [0, 0, 0]
        # Confirmed by one of the others, it is the head, and the third one is behind.
        other = 1
        it.chains[other].extend(8)
        await it.nodes.look()
        assert it.states == ["stale" if place == 2 - liar else "ok" for place in range(3)]
        assert (await it.nodes.block()).number >= 13


async def test_where_the_others_do_not_stand_together_the_head_furthest_on_is_believed() -> None:
    async with net(3, same=False) as it:
        it.chains[1].extend(10)
        it.chains[2].extend(5)
        await it.nodes.look()
        assert it.states == ["stale", "ok", "stale"]


@pytest.mark.parametrize("mover", [0, 2])
async def test_two_that_stand_still_together_do_not_hold_back_the_one_that_moves(mover: int) -> None:
    async with net(3, same=False) as it:
        await it.nodes.look()
        for _ in range(module.STILL_SLOTS + 2):
            it.time.now += SLOT
            it.chains[mover].extend(1)
            await it.nodes.look()
        assert [place for place, state in enumerate(it.states) if state == "ok"] == [mover]
        assert (await it.nodes.block()).number == 5 + module.STILL_SLOTS + 2
        lag = [health.lag for health in it.nodes.health()]
        assert lag == [0 if place == mover else module.STILL_SLOTS + 2 for place in range(3)]


async def test_among_stale_nodes_a_claim_that_nobody_shares_is_no_merit() -> None:
    async with net(3, same=False) as it:
        it.chains[2].extend(9)
        await it.nodes.look()
        it.time.now += (module.STILL_SLOTS + 1) * SLOT
        await it.nodes.look()
        assert it.states == ["stale", "stale", "stale"]
        assert (await it.nodes.block()).number == 5


async def test_where_too_few_answer_it_is_told_who_is_silent_and_reads_go_on() -> None:
    async with net(3) as it:
        await it.nodes.look()
        block = await it.nodes.block()
        for fake in it.fakes[1:]:
            fake.answers["eth_call"] = failing(Reply(503))
        with pytest.raises(TooFewAgree) as caught:
            await call(it.nodes, block)
        told = str(caught.value)
        assert told.startswith(
            "reserves: only node 1 of 3 nodes answered, 2 have to agree; nothing of it is used"
        )
        assert re.search(r"Silent: node 2: .*503.*; node 3: .*503.*chain\.agree_least$", told)
        assert "\n" not in told
        assert (caught.value.agreed, caught.value.least) == (1, 2)
        # At rest they are not asked, but named.
        with pytest.raises(TooFewAgree, match=r"Silent: node 2: .*503"):
            await call(it.nodes, block)
        assert (it.states, it.counts("eth_call")) == (["ok", "down", "down"], [2, 1, 1])
        assert (await it.nodes.block()).number == 5
        assert [health.disagreements for health in it.nodes.health()] == [0, 0, 0]
        # Whoever asks may make do with one, for what is not sent.
        assert str(await it.nodes.agreed(lambda node: node.call_at(TARGET, b"", block), "x", 1)) == (
            "agreed by 1 of 3"
        )


async def test_a_revert_that_too_few_tell_is_no_answer() -> None:
    async with net(2) as it:
        block = await it.nodes.block()
        it.fakes[0].answers["eth_call"] = failing(Fault(3, "execution reverted", "0x01"))
        it.fakes[1].answers["eth_call"] = failing(Reply(503))
        with pytest.raises(TooFewAgree):
            await call(it.nodes, block)


async def test_more_than_two_may_have_to_agree() -> None:
    async with net(4) as it:
        await it.nodes.look()
        block = await it.nodes.block()
        it.nodes._agree_least = 3
        said = await call(it.nodes, block)
        assert (said.by, said.least, it.counts("eth_call")) == (
            ("node 1", "node 2", "node 3"),
            3,
            [1, 1, 1, 0],
        )
        it.fakes[1].answers["eth_call"] = lambda _: "0x" + "99" * 32
        said = await call(it.nodes, block)
        assert said.by == ("node 1", "node 3", "node 4")
        assert [health.disagreements for health in it.nodes.health()] == [0, 1, 0, 0]
        it.nodes._agree_least = 4
        with pytest.raises(NodesDisagree, match="node 1 and node 2 and node 3 and node 4 say different"):
            await call(it.nodes, block)


@pytest.mark.parametrize(("count", "least"), [(1, 1), (2, 2), (3, 2)])
async def test_two_have_to_agree_where_there_are_two(count: int, least: int) -> None:
    async with net(count) as it:
        assert (await call(it.nodes, await it.nodes.block())).least == least
        assert it.nodes.opinions == count


async def test_lying_receipts_are_found_by_a_second_node() -> None:
    async with net(2) as it:
        head = it.chains[0].head
        head["transactions"] = [HASH]
        honest = {
            "transactionHash": HASH, "transactionIndex": "0x0", "blockHash": head["hash"], "logs": [],
            "from": "0x" + "5" * 40,
            "blockNumber": head["number"], "status": "0x0", "gasUsed": "0x5208", "effectiveGasPrice": "0x1",
        }  # fmt: skip
        it.fakes[0].answers["eth_getTransactionReceipt"] = lambda _: honest | {"status": "0x1"}
        it.fakes[1].answers["eth_getTransactionReceipt"] = lambda _: honest
        with pytest.raises(NodesDisagree, match="receipt"):
            await it.nodes.agreed(lambda node: node.receipt(HASH), f"receipt of {HASH}")


# ── the one send ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_send_goes_to_one_node_once() -> None:
    async with net(2) as it:
        await it.nodes.look()
        assert await it.nodes.send_raw(b"\1") == HASH
        assert (it.counts("eth_sendRawTransaction"), it.nodes.sent_to) == ([1, 0], "node 1")


@pytest.mark.parametrize("error", [Reply(502), Reply(429), Fault(-32603, "internal error"), Reply(200, "[]")])
async def test_a_send_that_fails_is_not_tried_elsewhere(error: Exception) -> None:
    async with net(2) as it:
        await it.nodes.look()
        it.fakes[0].answers["eth_sendRawTransaction"] = failing(error)
        with pytest.raises((NodeError, NodeUnreachable, MalformedAnswer)):
            await it.nodes.send_raw(b"\1")
        assert it.counts("eth_sendRawTransaction") == [1, 0]


@pytest.mark.parametrize(
    "error",
    [
        Fault(-32000, "txpool is full"),
        Fault(-32000, "node is syncing"),
        Fault(-32601, "the method does not exist"),
        Reply(401),
        Reply(200, "[]"),
    ],
)
async def test_after_a_refusal_another_node_is_sent_to(error: Exception) -> None:
    async with net(3) as it:
        await it.nodes.look()
        it.fakes[0].answers["eth_sendRawTransaction"] = failing(error)
        with pytest.raises((NodeError, MalformedAnswer)):
            await it.nodes.send_raw(b"\1")
        for _ in range(2):
            # Recovery waits a block, or half a minute; meanwhile the node is well for all that is read.
            it.time.now += 2 * SLOT
            await it.nodes.look()
            assert it.states == ["ok", "ok", "ok"]
            assert await it.nodes.send_raw(b"\1") == HASH
        assert await it.nodes.send_raw(b"\2") == HASH, "a cancel is other bytes"
        assert (it.counts("eth_sendRawTransaction"), it.nodes.sent_to) == ([1, 3, 0], "node 2")
        it.time.now += module.LEAST_ASIDE_S
        with pytest.raises((NodeError, MalformedAnswer)):
            await it.nodes.send_raw(b"\1")
        assert it.counts("eth_sendRawTransaction") == [2, 3, 0], "not for ever"


async def test_where_all_refuse_they_take_turns() -> None:
    async with net(3) as it:
        await it.nodes.look()
        order = []
        for fake in it.fakes:
            fake.answers["eth_sendRawTransaction"] = failing(Fault(-32000, "txpool is full"))
        for _ in range(6):
            with pytest.raises(NodeError):
                await it.nodes.send_raw(b"\1")
            order.append(it.nodes.sent_to[-1])
            it.time.now += SLOT
        assert "".join(order) == "123123"


async def test_a_send_goes_to_a_node_that_refused_before_it_goes_to_a_worse_one() -> None:
    async with net(2, same=False) as it:
        it.chains[0].extend(3)
        await it.nodes.look()
        assert it.states == ["ok", "stale"]
        it.fakes[0].answers["eth_sendRawTransaction"] = failing(Fault(-32000, "txpool is full"))
        for _ in range(2):
            with pytest.raises(NodeError):
                await it.nodes.send_raw(b"\1")
        assert it.counts("eth_sendRawTransaction") == [2, 0]


async def test_a_send_that_found_nobody_was_not_sent() -> None:
    async with net(2) as it:
        for fake in it.fakes:
            fake.answers["eth_chainId"] = failing(Reply(503))
        with pytest.raises(NodeUnreachable) as caught:
            await it.nodes.send_raw(b"\1")
        assert caught.value.sent is False
        assert it.counts("eth_sendRawTransaction") == [0, 0]
        it.chains[0].serve(it.fakes[1])
        assert await it.nodes.send_raw(b"\1") == HASH
        assert it.nodes.sent_to == "node 2"


# ── the configuration ───────────────────────────────────────────────────────────────────────────────────────────


def test_no_more_nodes_have_to_agree_than_there_are() -> None:
    url = "http://127.0.0.1:2"
    assert policy(fallback_urls=[url], agree_least=2).agree_least == 2
    with pytest.raises(
        ValidationError, match=r"agree_least is 3, but there are 2 nodes: nothing would ever be"
    ):
        policy(fallback_urls=[url], agree_least=3)
    with pytest.raises(ValidationError, match="agree_least"):
        policy(agree_least=0)


def policy(**changes: Any) -> ChainPolicy:
    fields = {
        "name": "t",
        "chain_id": 31_337,
        "rpc_url": "http://127.0.0.1:1/a",
        "wrapped_native": WETH.address,
    }
    return ChainPolicy(**(fields | changes))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("http://127.0.0.1:1/a", "http://127.0.0.1:1/a"),
        ("http://127.0.0.1:1/a", "http://127.0.0.1:1/a/"),
        ("http://127.0.0.1:1/a", "http://me:secret@127.0.0.1:1/a?key=secret"),
        ("https://Node.example/x", "https://node.example:443/x"),
        ("https://node.example/x", "https://node.example./x"),
    ],
)
def test_the_same_node_twice_is_refused(first: str, second: str) -> None:
    with pytest.raises(ValidationError, match=r"fallback_urls\.1 is the same node as rpc_url") as caught:
        policy(rpc_url=first, fallback_urls=["http://127.0.0.1:9", second])
    assert "secret" not in str(caught.value.errors(include_input=False, include_context=False))


@pytest.mark.parametrize(
    "url", ["ws://127.0.0.1:1", "file:///x", "", "http://", "http://h:99999", "http://h\n"]
)
def test_a_fallback_that_is_no_http(url: str) -> None:
    with pytest.raises(ValidationError, match="must start with|is no address"):
        policy(fallback_urls=[url])


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "geth.ipc", "", "ws://", "/x\n", "~/geth.ipc"])
def test_what_cannot_push(url: str) -> None:
    with pytest.raises(ValidationError, match="must start with|is no address"):
        policy(push_url=url)


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1/key", "wss://node.example/key", "/var/lib/geth/geth.ipc"])
def test_what_can_push_is_a_secret_too(url: str) -> None:
    made = policy(push_url=url, fallback_urls=["http://127.0.0.1:2/SECRET"])
    assert made.push_url == SecretStr(url)
    assert "key" not in repr(made) + made.model_dump_json()
    assert "SECRET" not in repr(made) + made.model_dump_json()


async def test_what_is_local_must_be_so_of_every_node(tmp_path: Path) -> None:
    socket = tmp_path / "push.ipc"
    async with fake_node() as one, fake_node(socket) as two:
        for fake in (one, two):
            FakeChain().serve(fake)
            fake.answers["anvil_getAutomine"] = lambda _: True

        async def local(**changes: Any) -> bool:
            made = policy(rpc_url=one.url, **changes)
            urls = [*made.node_urls(), *([made.push_url.get_secret_value()] if made.push_url else [])]
            async with open_nodes(made) as nodes:
                return await is_local_chain(nodes, urls, made.chain_id)

        assert await local()
        assert await local(fallback_urls=[two.url], push_url=str(socket))
        assert await local(push_url=two.ws_url)
        assert not await local(fallback_urls=["http://node.example"])
        assert not await local(push_url="ws://node.example")
        two.answers["eth_chainId"] = lambda _: "0x7a6a"
        assert not await local(fallback_urls=[two.url])
        assert not await local(push_url=str(socket))
        FakeChain().serve(two)
        del two.answers["anvil_getAutomine"]
        assert not await local(fallback_urls=[two.url])
        assert not await local(push_url=two.ws_url)


async def test_open_nodes_names_them_without_their_secrets() -> None:
    async with fake_node() as one, fake_node() as two:
        FakeChain().serve(one)
        FakeChain().serve(two)
        made = policy(rpc_url=one.url + "/SECRET", fallback_urls=[two.url + "/?key=SECRET"])
        async with open_nodes(made) as nodes:
            await nodes.look()
            shown = "\n".join(f"{health.name}: {health}" for health in nodes.health())
    assert "node 1 (127.0.0.1): ok; block 0" in shown
    assert "node 2 (127.0.0.1): ok; block 0" in shown
    assert "SECRET" not in shown


# ── the doctor ──────────────────────────────────────────────────────────────────────────────────────────────────


def config_of(folder: Path, one: FakeNode, other: str, push: str) -> Config:
    token = f'[[tokens]]\naddress = "{WETH.address}"\nsymbol = "WETH"\ndecimals = 18\n'
    path = folder / "c.toml"
    path.write_text(
        f'[chain]\nname = "test"\nchain_id = 31337\nrpc_url = "{one.url}/SECRET"\n'
        f'fallback_urls = ["{other}/SECRET"]\npush_url = "{push}/SECRET"\nwrapped_native = "{WETH.address}"\n'
        f'[wallet]\naddress = "{TARGET}"\nexecutor = "{TARGET}"\ntreasury = "{TARGET}"\n'
        f'[store]\ndirectory = "store"\n[search]\nbase_tokens = ["WETH"]\n{token}',
        "utf-8",
    )
    return load_config(str(path))


async def test_the_doctor_shows_every_node_and_who_rings(tmp_path: Path) -> None:
    async with fake_node() as one, fake_node() as two:
        for fake in (one, two):
            FakeChain().serve(fake)
        found = {f.check: f for f in await diagnose(config_of(tmp_path, one, two.url, one.ws_url))}
        assert all(found[name].ok for name in ("node 1 (127.0.0.1)", "node 2 (127.0.0.1)", "push"))
        two.answers["eth_chainId"] = lambda _: "0x1"
        one.refuse_subscriptions = True
        found = {f.check: f for f in await diagnose(config_of(tmp_path, one, two.url, one.ws_url))}
        assert [found[name].ok for name in ("node 1 (127.0.0.1)", "node 2 (127.0.0.1)", "push")] == [
            True,
            False,
            False,
        ]
        assert "is chain 1" in found["node 2 (127.0.0.1)"].detail
        one.answers["eth_chainId"] = lambda _: "0x1"
        findings = await diagnose(config_of(tmp_path, one, two.url, one.ws_url))
        assert [f.check for f in findings if not f.ok] == ["node 1 (127.0.0.1)", "node 2 (127.0.0.1)", "node"]
        assert not any("SECRET" in f.detail for f in findings)
