"""The head feed against a node that lies, lags and forks: what the caller has is always what a replay gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbtui.chain import HeadFeed, JsonRpc, LogFilter, Node, Nodes, NodeState, Reset, Step, WsRpc
from arbtui.chain import feed as module
from arbtui.chain.codec import Unfit
from arbtui.errors import MalformedAnswer, NodeError, NodeUnreachable, UnknownBlock
from tests.factories import address, word
from tests.fake_node import FakeChain, FakeNode, Fault, Reply, fake_node
from tests.feeds import Follower, eventually, flat, follow, replay

TOPIC = word("topic")
POOL, OTHER = address(0xABC), address(0xDEF)
WANTED = LogFilter([POOL], {TOPIC})
LOGS = [
    {"address": where.lower(), "topics": [topic], "data": "0x11"}
    for where, topic in ((POOL, TOPIC), (OTHER, TOPIC), (POOL, word("another topic")), (POOL, TOPIC))
]
SLOT = 10.0


class Time:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A fake chain behind a fake node, a feed on it, and a caller who follows; time is the test's."""

    def __init__(self, chain: FakeChain, fake: FakeNode, node: Node) -> None:
        self.chain, self.fake, self.node = chain, fake, node
        self.time = Time()
        self.follower = Follower()
        self.feed = HeadFeed(node, WANTED, poll_s=1, block_time_s=SLOT, monotonic=self.time)

    async def look(self) -> Step | Reset | None:
        step = await self.feed.look()
        if step is not None:
            self.follower.take(step)
        return step

    async def check(self) -> None:
        assert self.follower.began is not None
        fresh = await replay(self.node, self.follower.began.number + 1, await self.node.block(), WANTED)
        assert flat(self.follower.blocks) == flat(fresh)
        assert self.follower.blocks == fresh


@asynccontextmanager
async def bench(height: int = 70) -> AsyncIterator[Bench]:
    """The follower has seen `height` blocks since it began."""
    async with fake_node() as fake, JsonRpc(fake.url) as rpc:
        chain = FakeChain()
        chain.serve(fake)
        made = Bench(chain, fake, Node(rpc))
        await made.look()
        if height:
            chain.extend(height, logs=LOGS)
            await made.look()
        yield made


async def test_the_first_look_is_a_reset_and_a_quiet_chain_gives_nothing() -> None:
    async with bench(0) as it:
        assert it.follower.resets == 1
        assert await it.look() is None
        assert await it.feed.next(0) is None
        it.chain.extend(1, logs=LOGS)
        step = await it.look()
        assert isinstance(step, Step)
        assert [len(item.logs) for item in step.added] == [2]
        assert (step.removed, step.head) == ((), it.feed.head)


async def test_a_look_is_a_look_also_before_it_is_due() -> None:
    async with bench(0) as it:
        assert await it.feed.next(0) is None
        it.chain.extend(1, logs=LOGS)
        assert await it.feed.next(0) is None, "not due yet"
        it.time.now += 0.5
        assert isinstance(await it.look(), Step)
        assert it.feed.looked_at == it.time.now


@pytest.mark.parametrize("depth", [1, 2, 3, 12, 17, 63, 64])
@pytest.mark.parametrize("longer", [0, 1, 5])
async def test_reorganisations_to_the_depth_that_is_kept(depth: int, longer: int) -> None:
    async with bench() as it:
        old = list(it.follower.blocks)
        it.chain.reorg(depth, fork=1, longer=longer, logs=LOGS[:1])
        step = await it.look()
        assert isinstance(step, Step)
        assert [block.number for block in step.removed] == [70 - i for i in range(depth)]
        assert step.ancestor == old[-depth - 1].block
        assert len(step.added) == depth + longer
        await it.check()
        # And back again, to blocks that were left before.
        assert it.feed.counters.deepest == depth


@pytest.mark.parametrize("depth", [65, 70])
async def test_a_deeper_one_is_a_reset(depth: int) -> None:
    async with bench() as it:
        it.chain.reorg(depth, fork=1)
        step = await it.look()
        assert isinstance(step, Reset)
        assert "deep reorganisation" in step.reason
        it.chain.extend(2, logs=LOGS)
        await it.look()
        await it.check()


async def test_a_reorganisation_below_where_the_caller_began_is_a_reset() -> None:
    async with bench(3) as it:
        it.feed.start(it.follower.blocks[1].block)
        it.follower.start(it.follower.blocks[1].block)
        it.chain.extend(1)
        await it.look()
        it.chain.reorg(4, fork=1)
        assert isinstance(await it.look(), Reset)


@pytest.mark.parametrize(
    ("gap", "ranges"), [(1, 0), (2, 0), (63, 0), (64, 0), (65, 1), (256, 1), (260, 1), (300, 2), (1_000, 4)]
)
async def test_a_gap_is_filled_exactly(gap: int, ranges: int) -> None:
    async with bench(5) as it:
        for number in range(gap):
            it.chain.extend(1, logs=LOGS if number % 3 else [])
        step = await it.look()
        assert isinstance(step, Step)
        assert len(step.added) == gap
        by_range = [1 for name, params in it.fake.calls if name == "eth_getLogs" and "fromBlock" in params[0]]
        assert len(by_range) == ranges
        await it.check()


async def test_a_gap_that_is_too_wide_is_a_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BLOCKS", 20)
    async with bench(10) as it:
        it.chain.extend(20)
        assert isinstance(await it.look(), Step)
        it.chain.extend(21)
        step = await it.look()
        assert isinstance(step, Reset)
        assert step.reason == "21 blocks were missed"


async def test_a_range_that_is_too_much_is_asked_in_parts() -> None:
    async with bench() as it:
        it.chain.extend(200, logs=LOGS)
        honest = it.fake.answers["eth_getLogs"]

        def limited(params: list[Any]) -> Any:
            found = honest(params)
            if len(found) > 100:
                raise Fault(-32005, "query returned more than 100 results")
            return found

        it.fake.answers["eth_getLogs"] = limited
        await it.look()
        await it.check()


async def test_a_range_that_leaves_logs_out_is_noticed_by_the_bloom() -> None:
    async with bench() as it:
        it.chain.extend(100, logs=LOGS)
        honest = it.fake.answers["eth_getLogs"]
        lost = {hex(number) for number in range(90, 130)}

        def forgetful(params: list[Any]) -> Any:
            found = honest(params)
            return (
                found
                if "blockHash" in params[0]
                else [log for log in found if log["blockNumber"] not in lost]
            )

        it.fake.answers["eth_getLogs"] = forgetful
        await it.look()
        await it.check()


@pytest.mark.parametrize("empty", [1, 2, 9])
async def test_logs_that_lag_behind_their_block_are_asked_for_again(
    empty: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOGS_AGAIN_S", 0.0)
    async with bench() as it:
        it.chain.extend(1, logs=LOGS)
        honest = it.fake.answers["eth_getLogs"]
        asked = 0

        def lagging(params: list[Any]) -> Any:
            nonlocal asked
            asked += 1
            return honest(params) if asked > empty else []

        it.fake.answers["eth_getLogs"] = lagging
        step = await it.look()
        assert isinstance(step, Step)
        # With one node the second word is the last: a bloom that is wrong does not hold the feed up.
        assert (len(step.added[0].logs), asked) == (2 if empty == 1 else 0, 2)


async def test_what_a_block_s_bloom_does_not_hold_is_asked_for_once() -> None:
    async with bench() as it:
        asked = it.fake.count("eth_getLogs")
        it.chain.extend(1, logs=[LOGS[2]])
        assert isinstance(await it.look(), Step)
        # Logs of the topic, but of no pool that is watched: the node has them.
        it.chain.extend(1, logs=[LOGS[1]])
        assert isinstance(await it.look(), Step)
        assert it.fake.count("eth_getLogs") == asked + 2


@pytest.mark.parametrize("gap", [1, 100])
@pytest.mark.parametrize("other", ["has them", "has none", "fails"])
async def test_logs_a_node_does_not_have_are_asked_of_another(
    gap: int, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOGS_AGAIN_S", 0.0)
    async with fake_node() as one, fake_node() as two, JsonRpc(one.url) as rpc_1, JsonRpc(two.url) as rpc_2:
        chain = FakeChain()
        for fake in (one, two):
            chain.serve(fake)
        nodes = Nodes([Node(rpc_1, name="node 1"), Node(rpc_2, name="node 2")], 31_337, block_time_s=SLOT)
        feed = HeadFeed(nodes, WANTED, poll_s=1, block_time_s=SLOT)
        await feed.look()
        chain.extend(gap, logs=LOGS)
        one.answers["eth_getLogs"] = lambda _: []
        if other == "has none":
            two.answers["eth_getLogs"] = lambda _: []
        elif other == "fails":
            del two.answers["eth_getLogs"]
        step = await feed.look()
        assert isinstance(step, Step)
        assert {len(item.logs) for item in step.added} == {2 if other == "has them" else 0}
        assert two.count("eth_getLogs") == gap


async def test_a_chain_that_moves_while_a_range_is_read_is_not_mixed() -> None:
    async with bench() as it:
        it.chain.extend(100, logs=LOGS)
        honest = it.fake.answers["eth_getLogs"]
        head = it.feed.head

        def moving(params: list[Any]) -> Any:
            if "fromBlock" in params[0] and len(it.chain.left) == 0:
                it.chain.reorg(30, fork=1)
                # What is left has no logs: nothing that is answered names a wrong block.
                return [log for log in honest(params) if int(log["blockNumber"], 16) <= 140]
            return honest(params)

        it.fake.answers["eth_getLogs"] = moving
        with pytest.raises(UnknownBlock, match="the chain moved"):
            await it.look()
        assert it.feed.head == head, "nothing has changed"
        await it.look()
        await it.check()


async def test_a_chain_that_moves_while_headers_are_read_is_followed_by_their_hashes() -> None:
    async with bench(5) as it:
        it.chain.extend(12, logs=LOGS)
        honest, head = it.fake.answers["eth_getBlockByNumber"], it.chain.head["hash"]

        def moving(params: list[Any]) -> Any:
            if params[0] != "latest" and not it.chain.left:
                it.chain.reorg(8, fork=1, logs=LOGS[:1])
            return honest(params)

        it.fake.answers["eth_getBlockByNumber"] = moving
        await it.look()
        assert it.follower.head.hash == head, "the head that was seen, by its own ancestors"
        await it.look()
        assert it.feed.counters.deepest == 8
        await it.check()


BAD_HEADS: dict[str, dict[str, Any]] = {
    "without hash": {"hash": None},
    "without timestamp": {"timestamp": None},
    "of 1970": {"timestamp": "0x1"},
    "older than its parent": {"timestamp": hex(1_783_166_400 + 12 * 60)},
    "no child of its parent by number": {"number": hex(99)},
    "of a parent nobody knows": {"parentHash": word("nobody")},
}


@pytest.mark.parametrize("row", BAD_HEADS)
async def test_a_head_that_cannot_be_is_refused_and_the_head_is_not_advanced(row: str) -> None:
    async with bench() as it:
        head = it.feed.head
        it.chain.extend(1)
        honest = it.chain.blocks[-1]
        it.chain.blocks[-1] = honest | BAD_HEADS[row]
        with pytest.raises(MalformedAnswer):
            await it.look()
        assert it.feed.head == head
        it.chain.blocks[-1] = honest
        await it.look()
        await it.check()


@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_getBlockByHash", "eth_getLogs"])
@pytest.mark.parametrize("error", [Fault(-32000, "header not found"), Reply(502), Reply(200, "{}")])
async def test_an_error_at_any_step_changes_nothing_and_the_next_look_does_it_all(
    method: str, error: Exception
) -> None:
    async with bench() as it:
        it.chain.reorg(5, fork=1, longer=3, logs=LOGS)
        honest, head = it.fake.answers[method], it.feed.head
        for fail_at in range(1, 40):
            asked = 0

            def flaky(params: list[Any]) -> Any:
                nonlocal asked
                asked += 1
                if asked == fail_at:  # noqa: B023 - called within this turn
                    raise error
                return honest(params)

            it.fake.answers[method] = flaky
            try:
                await it.look()
            except (NodeError, MalformedAnswer, NodeUnreachable):
                assert it.feed.head == head
            else:
                break
        else:
            pytest.fail("it never went through")
        it.fake.answers[method] = honest
        assert it.follower.steps == 2
        await it.check()


# ── heads that go back ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_balancer_that_answers_with_older_heads_makes_no_reorganisation() -> None:
    async with bench() as it:
        blocks = list(it.chain.blocks)
        for lag in (1, 0, 3, 0, 1, 0, 69, 0):
            it.fake.answers["eth_getBlockByNumber"] = lambda params, lag=lag: (
                blocks[len(blocks) - 1 - lag] if params[0] == "latest" else blocks[int(params[0], 16)]
            )
            assert await it.look() is None
            it.time.now += SLOT
        assert (it.feed.counters.reorgs, it.feed.counters.backwards) == (0, 4)


async def test_an_older_head_that_stays_is_not_believed_while_the_newest_block_is_there() -> None:
    async with bench() as it:
        blocks = list(it.chain.blocks)
        it.fake.answers["eth_getBlockByNumber"] = lambda params: (
            blocks[-3] if params[0] == "latest" else blocks[int(params[0], 16)]
        )
        for _ in range(10):
            assert await it.look() is None
            it.time.now += SLOT


async def test_a_chain_that_stays_shorter_is_believed() -> None:
    async with bench() as it:
        it.chain.shrink(4)
        assert await it.look() is None
        it.time.now += 2 * SLOT
        step = await it.look()
        assert isinstance(step, Step)
        assert (len(step.removed), step.added) == (4, ())
        await it.check()


async def test_a_chain_shorter_than_what_is_kept_is_a_reset() -> None:
    async with bench(200) as it:
        it.chain.shrink(100)
        assert await it.look() is None
        it.time.now += 2 * SLOT
        assert isinstance(await it.look(), Reset)


# ── the doorbell ────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def ringing(**options: Any) -> AsyncIterator[tuple[FakeChain, FakeNode, HeadFeed, Follower]]:
    """A feed that would look by itself every ten minutes only."""
    options = {"poll_s": 600, "block_time_s": 600, "chain_id": 31_337, "draw": lambda: 0.0} | options
    async with fake_node() as fake, JsonRpc(fake.url) as rpc, WsRpc(fake.ws_url, 5.0) as push:
        chain = FakeChain()
        chain.serve(fake)
        async with HeadFeed(Node(rpc), WANTED, push=push, **options) as feed:
            await eventually(lambda: fake.listeners == 1)
            follower = Follower()
            await follow(feed, follower, chain.head["hash"])
            yield chain, fake, feed, follower


async def test_a_ring_is_answered_with_one_step_for_all_that_is_new() -> None:
    async with ringing() as (chain, fake, feed, follower):
        chain.extend(3, logs=LOGS)
        for block in chain.blocks[-3:]:
            await fake.push(block)
        await eventually(lambda: feed.counters.rings == 4)
        await follow(feed, follower, chain.head["hash"])
        assert (follower.steps, len(follower.blocks)) == (1, 3)
        assert feed.counters.coalesced >= 2


async def test_doubled_disordered_removed_and_foreign_notifications_change_nothing() -> None:
    async with ringing() as (chain, fake, feed, follower):
        chain.extend(4, logs=LOGS)
        old = chain.blocks[-2:]
        chain.reorg(2, fork=1, longer=1, logs=LOGS[:1])
        told = [*old, *chain.blocks[-3:]]
        for message in (
            *told,
            *reversed(told),
            *(block | {"removed": True} for block in old),
            None,
            5,
            "0x",
            [],
            {},
        ):
            await fake.push(message)
        await fake.push(chain.head, subscription="0xelse")
        await follow(feed, follower, chain.head["hash"])
        async with asyncio.timeout(5):
            while feed.counters.looks < 3 and await feed.next(0.05) is not None:
                pass
        assert feed._push is not None
        fresh = await replay(feed._node, 1, await feed._node.block(), WANTED)
        assert follower.blocks == fresh
        assert feed.counters.reorgs == 0, "it had not seen what was left"


async def test_a_lost_connection_is_made_anew_and_what_was_missed_is_seen_at_once() -> None:
    async with ringing() as (chain, fake, feed, follower):
        for _ in range(3):
            await fake.cut()
            chain.extend(2, logs=LOGS)
            await follow(feed, follower, chain.head["hash"])
            await eventually(lambda: fake.listeners == 1)
        assert (feed.counters.push_failures, len(follower.blocks)) == (3, 6)
        assert feed.push_state.endswith("rings")


async def test_a_subscription_that_is_refused_leaves_polling() -> None:
    async with fake_node() as fake, JsonRpc(fake.url) as rpc, WsRpc(fake.ws_url, 1.0) as push:
        chain = FakeChain()
        chain.serve(fake)
        fake.refuse_subscriptions = True
        async with HeadFeed(Node(rpc), WANTED, push=push, poll_s=0.02, block_time_s=600) as feed:
            follower = Follower()
            for _ in range(3):
                chain.extend(1, logs=LOGS)
                await follow(feed, follower, chain.head["hash"])
            assert feed.counters.push_failures >= 1
            assert "is down" in feed.push_state


async def test_a_ringer_of_another_chain_is_not_listened_to() -> None:
    async with (
        fake_node() as fake,
        fake_node() as other,
        JsonRpc(fake.url) as rpc,
        WsRpc(other.ws_url) as push,
    ):
        FakeChain().serve(fake)
        FakeChain(chain_id=1).serve(other)
        async with HeadFeed(
            Node(rpc), WANTED, push=push, poll_s=0.02, block_time_s=1, chain_id=31_337
        ) as feed:
            await eventually(lambda: "another chain" in feed.push_state)
            assert isinstance(await feed.next(1), Reset)
        assert other.listeners == 0


async def test_a_ring_before_the_node_has_the_block_is_followed_by_looks() -> None:
    async with ringing(poll_s=0.02) as (chain, fake, feed, follower):
        await fake.push({"number": "0x1"})
        async with asyncio.timeout(5):
            while feed.counters.looks < 5:
                assert await feed.next(0.1) is None, "not once a slot, but each poll_s"
        chain.extend(1, logs=LOGS)
        await follow(feed, follower, chain.head["hash"])


async def test_while_it_rings_the_node_is_asked_once_a_slot() -> None:
    clock = Time()
    async with fake_node() as fake, JsonRpc(fake.url) as rpc:
        chain = FakeChain()
        chain.serve(fake)
        feed = HeadFeed(Node(rpc), WANTED, poll_s=1, block_time_s=SLOT, monotonic=clock)
        await feed.next(0)
        assert feed._due() == clock.now + 1, "nothing rings: each poll_s"
        feed._rang_at = clock.now
        assert feed._due() == clock.now + SLOT
        feed._rung()
        assert feed._due() == clock.now + 1, "a block is owed"
        clock.now += 1.5 * SLOT
        assert feed._due() == clock.now - 1.5 * SLOT + 1, "quiet for too long"


# ── any history ─────────────────────────────────────────────────────────────────────────────────────────────────

_MOVES = st.one_of(
    st.tuples(st.just("extend"), st.integers(1, 20), st.booleans()),
    st.tuples(st.just("reorg"), st.integers(1, 20), st.booleans()),
    st.tuples(st.just("back"), st.integers(1, 5), st.booleans()),
    st.tuples(st.just("error"), st.integers(1, 9), st.booleans()),
    st.tuples(st.just("look"), st.just(0), st.just(False)),
)


@given(st.lists(_MOVES, max_size=14))
def test_after_any_history_the_caller_has_what_a_replay_gives(moves: list[tuple[str, int, bool]]) -> None:
    asyncio.run(_history(moves))


async def _history(moves: list[tuple[str, int, bool]]) -> None:
    async with bench(20) as it:
        fork = 0
        honest = dict(it.fake.answers)
        for kind, number, with_logs in moves:
            logs = LOGS if with_logs else []
            it.fake.answers |= honest
            if kind == "extend":
                it.chain.extend(number, fork, logs)
            elif kind == "reorg":
                fork += 1
                it.chain.reorg(min(number, len(it.chain.blocks) - 2), fork, int(with_logs), logs)
            elif kind == "back":
                older = it.chain.blocks[max(-1 - number, -len(it.chain.blocks))]
                it.fake.answers["eth_getBlockByNumber"] = lambda params, older=older: (
                    older if params[0] == "latest" else honest["eth_getBlockByNumber"](params)
                )
            elif kind == "error":
                it.chain.extend(1, fork, logs)
                left = [number]

                def flaky(method: str) -> Any:
                    def answer(params: list[Any]) -> Any:
                        left[0] -= 1  # noqa: B023
                        if left[0] == 0:  # noqa: B023
                            raise Fault(-32000, "header not found")
                        return honest[method](params)

                    return answer

                it.fake.answers |= {name: flaky(name) for name in ("eth_getBlockByHash", "eth_getLogs")}
            try:
                await it.look()
            except (NodeError, MalformedAnswer, Unfit):
                assert kind == "error"
        it.fake.answers |= honest
        it.chain.extend(1, fork, LOGS)
        await it.look()
        await it.check()


# ── over several nodes ──────────────────────────────────────────────────────────────────────────────────────────


async def test_the_feed_goes_on_over_another_node_and_its_fork() -> None:
    async with (
        fake_node() as one,
        fake_node() as two,
        JsonRpc(one.url) as rpc_one,
        JsonRpc(two.url) as rpc_two,
    ):
        chains = FakeChain(), FakeChain()
        for chain, fake in zip(chains, (one, two), strict=True):
            chain.extend(10, logs=LOGS)
            chain.serve(fake)
        nodes = Nodes([Node(rpc_one, name="node 1"), Node(rpc_two, name="node 2")], 31_337, block_time_s=SLOT)
        feed = HeadFeed(nodes, WANTED, poll_s=1, block_time_s=SLOT)
        follower = Follower()
        follower.take(await feed.look() or pytest.fail("no step"))
        for chain, fork in zip(chains, (1, 2), strict=True):
            chain.extend(3, fork, LOGS)
        follower.take(await feed.look() or pytest.fail("no step"))
        one.answers["eth_getBlockByNumber"] = lambda _: "not a block"
        follower.take(await feed.look() or pytest.fail("no step"))
        assert nodes.health()[0].state is NodeState.DOWN
        assert feed.counters.reorgs == 1
        assert follower.head.hash == chains[1].head["hash"]
        assert follower.blocks == await replay(Node(rpc_two), 11, follower.head, WANTED)


async def test_with_a_socket_the_fake_rings_too(tmp_path: Path) -> None:
    from arbtui.chain import IpcRpc

    async with (
        fake_node(tmp_path / "n.ipc") as fake,
        JsonRpc(fake.url) as rpc,
        IpcRpc(str(tmp_path / "n.ipc")) as push,
    ):
        chain = FakeChain()
        chain.serve(fake)
        async with HeadFeed(Node(rpc), WANTED, push=push, poll_s=600, block_time_s=600) as feed:
            await eventually(lambda: fake.listeners == 1)
            follower = Follower()
            await follow(feed, follower, chain.head["hash"])
            chain.extend(1)
            await fake.push(chain.head)
            await follow(feed, follower, chain.head["hash"])
