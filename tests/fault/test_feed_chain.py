"""The head feed on a real anvil: reorganisations, cuts of the pushing connection, nodes that go and come back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from arbtui.chain import HeadFeed, IpcRpc, JsonRpc, LogFilter, Node, Nodes, NodeState, WsRpc
from arbtui.chain.feed import bloom_mask
from arbtui.devnet.anvil import find_anvil, start_anvil
from arbtui.domain import BlockRef
from arbtui.errors import NodeError, TooFewAgree
from tests.factories import address, word
from tests.feeds import Follower, eventually, flat, follow, replay, wire

pytestmark = pytest.mark.chain

TOPIC, OTHER_TOPIC = word("topic"), word("other topic")
WATCHED, UNWATCHED, ELSE = address(0xAAAA), address(0xBBBB), address(0xCCCC)
WANTED = LogFilter([WATCHED], {TOPIC})
SLOT = 0.5


def logger_code(topic: str) -> str:
    """A contract that logs its calldata under `topic`."""
    return "0x366000600037" + "7f" + topic[2:] + "366000a100"


@dataclass
class Chain:
    rpc: JsonRpc
    node: Node
    port: int
    ipc: str
    sender: str
    pid: int

    async def emit(self, blocks: int = 1, per_block: int = 2) -> None:
        """Blocks with logs: watched ones, such of another address, and such of another topic."""
        for _ in range(blocks):
            for _ in range(per_block):
                for target in (WATCHED, UNWATCHED, ELSE):
                    call = {"from": self.sender, "to": target, "data": "0x" + "11" * 64, "gas": hex(200_000)}
                    await self.rpc.call("eth_sendTransaction", [call])
            await self.mine()

    async def mine(self, blocks: int = 1) -> BlockRef:
        await self.rpc.call("anvil_mine", [hex(blocks)])
        return await self.node.block()

    async def reorg(self, depth: int) -> BlockRef:
        """`depth` blocks are replaced; a few of the new ones have logs of their own."""
        call = {"from": self.sender, "to": WATCHED, "data": "0x" + "22" * 32, "gas": hex(200_000)}
        await self.rpc.call("anvil_reorg", [depth, [[call, 0], [call, depth - 1]]])
        return await self.node.block()


@asynccontextmanager
async def a_chain(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Chain]:
    monkeypatch.setenv("ARBTUI_STATE", str(folder / "state"))
    ipc = folder / "a.ipc"
    anvil = await start_anvil(find_anvil(), extra=("--no-mining", "--ipc", str(ipc)))
    try:
        async with JsonRpc(anvil.rpc_url, timeout=20) as rpc:
            for where, topic in ((WATCHED, TOPIC), (UNWATCHED, TOPIC), (ELSE, OTHER_TOPIC)):
                await rpc.call("anvil_setCode", [where, logger_code(topic)])
            sender = (await rpc.call("eth_accounts"))[0]
            yield Chain(rpc, Node(rpc), anvil.port, str(ipc), sender, anvil.pid)
    finally:
        await anvil.stop()


@pytest.fixture
async def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Chain]:
    async with a_chain(tmp_path, monkeypatch) as made:
        yield made


def feed_of(node: Node, push: Any = None) -> HeadFeed:
    return HeadFeed(node, WANTED, poll_s=0.05, block_time_s=SLOT, push=push, chain_id=31_337)


async def same_as_a_replay(chain: Chain, follower: Follower) -> None:
    assert follower.began is not None
    fresh = await replay(chain.node, follower.began.number + 1, await chain.node.block(), WANTED)
    assert flat(follower.blocks) == flat(fresh)
    assert follower.blocks == fresh


@pytest.mark.parametrize("depth", [1, 3, 12, 64])
async def test_a_reorganisation_goes_back_to_the_common_ancestor(chain: Chain, depth: int) -> None:
    await chain.mine(3)
    follower = Follower()
    async with feed_of(chain.node) as feed:
        await follow(feed, follower, (await chain.node.block()).hash)
        await chain.emit(4)
        await chain.mine(64)
        await chain.emit(2)
        await follow(feed, follower, (await chain.node.block()).hash)
        before = follower.head
        head = await chain.reorg(depth)
        assert head.hash != before.hash
        await follow(feed, follower, head.hash)
        await chain.emit()
        await follow(feed, follower, (await chain.node.block()).hash)
        assert (feed.counters.reorgs, feed.counters.deepest, follower.resets) == (1, depth, 1)
    await same_as_a_replay(chain, follower)
    assert follower.logs


@pytest.mark.parametrize("depth", [65, 80])
async def test_deeper_than_what_is_kept_is_a_reset(chain: Chain, depth: int) -> None:
    follower = Follower()
    async with feed_of(chain.node) as feed:
        await follow(feed, follower, (await chain.node.block()).hash)
        head = await chain.mine(90)
        await follow(feed, follower, head.hash)
        head = await chain.reorg(depth)
        found = await feed.next(5)
        follower.take(found)
        assert (follower.resets, follower.began) == (2, head)
        await chain.emit(3)
        await follow(feed, follower, (await chain.node.block()).hash)
    await same_as_a_replay(chain, follower)


async def test_several_blocks_are_one_step_and_a_reorganisation_that_grows_too(chain: Chain) -> None:
    follower = Follower()
    async with feed_of(chain.node) as feed:
        await follow(feed, follower, (await chain.node.block()).hash)
        await chain.emit(5)
        follower.take(await feed.next(5))
        assert (follower.steps, len(follower.blocks)) == (1, 5)
        await chain.reorg(3)
        await chain.emit(4)
        follower.take(await feed.next(5))
        assert (follower.steps, len(follower.blocks)) == (2, 9)
    await same_as_a_replay(chain, follower)


async def test_a_chain_that_becomes_shorter_is_believed_after_a_while(chain: Chain) -> None:
    await chain.emit(6)
    follower = Follower()
    async with feed_of(chain.node) as feed:
        await follow(feed, follower, (await chain.node.block()).hash)
        await chain.emit(6)
        await follow(feed, follower, (await chain.node.block()).hash)
        await chain.rpc.call("anvil_rollback", [3])
        head = await chain.node.block()
        await follow(feed, follower, head.hash)
        assert feed.counters.backwards > 1
        await chain.emit(2)
        await follow(feed, follower, (await chain.node.block()).hash)
    assert follower.resets == 1
    await same_as_a_replay(chain, follower)


@pytest.mark.parametrize("blocks", [1, 100, 1_000])
async def test_a_cut_of_the_pushing_connection_is_filled_exactly(chain: Chain, blocks: int) -> None:
    follower = Follower()
    async with (
        wire(chain.port) as cable,
        WsRpc(f"ws://127.0.0.1:{cable.port}") as push,
        feed_of(chain.node, push) as feed,
    ):
        await follow(feed, follower, (await chain.node.block()).hash)
        await chain.emit(2)
        await follow(feed, follower, (await chain.node.block()).hash)
        await eventually(lambda: feed.push_state.endswith("rings"))
        cable.refusing = True
        cable.cut()
        # Nobody looks while it is cut, as with a machine that sleeps: the gap is as wide as it can be.
        for _ in range(3):
            await chain.emit(min(1, blocks // 3))
            await chain.mine(max(1, blocks // 3))
        await follow(feed, follower, (await chain.node.block()).hash)
        assert feed.counters.push_failures >= 1
        cable.refusing = False
        rings = feed.counters.rings
        await eventually(lambda: feed.push_state.endswith("rings"))
        await chain.emit(1)
        await follow(feed, follower, (await chain.node.block()).hash)
        assert feed.counters.rings > rings
        assert (follower.resets, cable.accepted) == (1, 2)
    assert follower.head.number >= blocks
    await same_as_a_replay(chain, follower)


async def test_with_the_pushing_connection_gone_polling_goes_on(chain: Chain) -> None:
    follower = Follower()
    async with wire(chain.port) as cable:
        cable.refusing = True
        async with (
            WsRpc(f"ws://127.0.0.1:{cable.port}", timeout=1) as push,
            feed_of(chain.node, push) as feed,
        ):
            await follow(feed, follower, (await chain.node.block()).hash)
            await chain.emit(3)
            await follow(feed, follower, (await chain.node.block()).hash)
            assert feed.counters.push_failures >= 1
            assert feed.push_state.startswith("ws://127.0.0.1")
    await same_as_a_replay(chain, follower)


async def test_a_unix_socket_rings_too(chain: Chain) -> None:
    follower = Follower()
    # A pace of polling at which nothing would be found in time.
    async with (
        IpcRpc(chain.ipc) as push,
        HeadFeed(chain.node, WANTED, poll_s=30, block_time_s=30, push=push, chain_id=31_337) as feed,
    ):
        await follow(feed, follower, (await chain.node.block()).hash)
        await eventually(lambda: feed.push_state.endswith("rings"))
        for _ in range(3):
            await chain.emit(1)
            await follow(feed, follower, (await chain.node.block()).hash, timeout_s=5)
        assert feed.counters.rings >= 4
    await same_as_a_replay(chain, follower)


async def test_the_bloom_of_a_block_tells_which_topics_it_may_hold(chain: Chain) -> None:
    mask, other = bloom_mask(TOPIC), bloom_mask(word("of nothing"))
    await chain.emit(1)
    full = await chain.node.header()
    await chain.mine()
    empty = await chain.node.header()
    assert [int.from_bytes(header.bloom, "big") & mask == mask for header in (full, empty)] == [True, False]
    assert int.from_bytes(full.bloom, "big") & other != other


async def test_the_transports_say_the_same(chain: Chain) -> None:
    await chain.emit(2)
    head = await chain.node.block()
    async with WsRpc(f"ws://127.0.0.1:{chain.port}") as ws, IpcRpc(chain.ipc) as ipc:
        for rpc in (ws, ipc):
            node = Node(rpc)
            assert await node.block() == head
            assert await node.logs_at(head, WANTED) == await chain.node.logs_at(head, WANTED)
            answers = await rpc.batch([("eth_chainId", []), ("eth_nonsense", []), ("eth_blockNumber", [])])
            assert (answers[0], answers[2]) == ("0x7a69", hex(head.number))
            assert isinstance(answers[1], NodeError)
            receipts = [await node.receipt(log.tx_hash) for log in await node.logs_at(head, WANTED)]
            assert [r.logs[0].block_hash for r in receipts if r] == [head.hash, head.hash]


async def test_two_nodes_on_different_forks_do_not_agree(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    async with a_chain(tmp_path / "other", monkeypatch) as other:
        # The same genesis is two anvils' by their fixed timestamp; what they mine is not.
        await chain.emit(2)
        await other.mine(3)
        async with Nodes(
            [Node(chain.rpc, name="node 1"), Node(other.rpc, name="node 2")], 31_337, block_time_s=SLOT
        ) as nodes:
            head = await nodes.block()
            with pytest.raises(TooFewAgree, match="only node 1 of 2 nodes answered"):
                await nodes.agreed(lambda node: node.call_at(WATCHED, b"", head), "a call")
            assert {h.name: h.unknown_blocks > 0 for h in nodes.health()} == {"node 1": False, "node 2": True}


async def test_fail_over_and_back_on_a_node_that_dies_and_returns(chain: Chain) -> None:
    async with wire(chain.port) as first, wire(chain.port) as second:
        async with (
            JsonRpc(f"http://127.0.0.1:{first.port}", timeout=2) as one,
            JsonRpc(f"http://127.0.0.1:{second.port}", timeout=2) as two,
            Nodes([Node(one, name="node 1"), Node(two, name="node 2")], 31_337, block_time_s=SLOT) as nodes,
            feed_of(nodes) as feed,
        ):
            follower = Follower()
            await follow(feed, follower, (await chain.node.block()).hash)
            await chain.emit(1)
            await follow(feed, follower, (await chain.node.block()).hash)
            first.refusing = True
            first.cut()
            await chain.emit(2)
            await follow(feed, follower, (await chain.node.block()).hash)
            assert nodes.health()[0].state is NodeState.DOWN
            first.refusing = False
            await eventually(lambda: nodes.health()[0].state is NodeState.OK)
            second.cut()
            second.refusing = True
            await chain.emit(2)
            await follow(feed, follower, (await chain.node.block()).hash)
        await same_as_a_replay(chain, follower)
        assert follower.resets == 1
