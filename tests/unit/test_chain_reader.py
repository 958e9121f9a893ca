"""Reads at one block in chunks: what a node refuses is asked in smaller parts, what fails is a value."""

from __future__ import annotations

import asyncio

import pytest
from eth_abi.abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from arbtui.abi import encode_call, selector
from arbtui.chain.multicall import decode_aggregate3, encode_aggregate3
from arbtui.chain.reader import CHUNK, read, read_pools
from arbtui.chain.span import Span, too_much
from arbtui.domain import Call, CallResult
from arbtui.errors import ArbtuiError, MalformedAnswer, NodeError, NodeUnreachable
from arbtui.market import UniswapV2Pool
from arbtui.units import Address, Ppm, parse_address
from tests.fake_market import MULTICALL, FakeMarket, address, contract, fake_market, words
from tests.fake_node import Fault

calls = st.builds(
    Call,
    st.binary(min_size=20, max_size=20).map(lambda b: parse_address("0x" + b.hex())),
    st.binary(max_size=80),
    st.just(""),
)


@given(st.lists(calls, max_size=12))
def test_calldata_is_what_the_general_coder_makes(some: list[Call]) -> None:
    plain = [(call.target, True, call.data) for call in some]
    signature = "aggregate3((address,bool,bytes)[])"
    assert encode_aggregate3(some) == encode_call(signature, plain)
    (back,) = decode(["(address,bool,bytes)[]"], encode_aggregate3(some)[4:])
    assert [row[2] for row in back] == [call.data for call in some]


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=100)), max_size=12))
def test_results_are_what_the_general_coder_made(rows: list[tuple[bool, bytes]]) -> None:
    data = encode(["(bool,bytes)[]"], [rows])
    assert decode_aggregate3(data, len(rows)) == [CallResult(ok, out) for ok, out in rows]
    with pytest.raises(MalformedAnswer, match="results for"):
        decode_aggregate3(data, len(rows) + 1)


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=40)), min_size=1, max_size=4), st.data())
def test_damaged_results_are_refused_or_read_within_the_answer(
    rows: list[tuple[bool, bytes]], draw: st.DataObject
) -> None:
    data = bytearray(encode(["(bool,bytes)[]"], [rows]))
    at = draw.draw(st.integers(0, len(data) // 32 - 1)) * 32
    data[at : at + 32] = draw.draw(st.sampled_from([2**255, 2**64, len(data), 5])).to_bytes(32)
    del data[draw.draw(st.integers(0, len(data))) :]
    try:
        found = decode_aggregate3(bytes(data), len(rows))
    except MalformedAnswer:
        return
    assert all(result.data in bytes(data) for result in found)


def pair(number: int) -> UniswapV2Pool:
    return UniswapV2Pool(
        address("pool", number),
        "dex",
        Address("0x" + "00" * 19 + "01"),
        Address("0x" + "00" * 19 + "02"),
        Ppm(3_000),
        0,
        0,
    )


def many(market: FakeMarket, count: int) -> dict[Address, UniswapV2Pool]:
    pools = {pair(i).address: pair(i) for i in range(count)}
    for i, where in enumerate(pools):
        market.put(where, contract(getReserves=words(i + 1, 2 * i + 1, 0)))
    return pools


async def test_pools_come_back_in_order_with_progress_and_the_silent_one_is_a_value() -> None:
    async with fake_market() as (market, node):
        pools = many(market, 1_203)
        market.put(pair(700).address, lambda _: None)
        market.put(pair(701).address, contract(getReserves=words(1, 2)))
        told: list[tuple[int, int]] = []
        block = await node.block()
        found = await read_pools(node, pools, block, MULTICALL, progress=lambda a, b: told.append((a, b)))
        assert list(found.pools) == [a for a in pools if a not in found.failed]
        assert set(found.failed) == {pair(700).address, pair(701).address}
        assert "three words" in found.failed[pair(700).address]
        some = found.pools[pair(42).address]
        assert isinstance(some, UniswapV2Pool)
        assert (some.reserve0, some.reserve1) == (43, 85)
        assert told[-1] == (1_203, 1_203)
        assert sorted(market.asked_calls, reverse=True)[:3] == [CHUNK, CHUNK, 203]
        with pytest.raises(MalformedAnswer, match=pair(700).address):
            await read_pools(node, pools, block, MULTICALL, strict=True)


async def test_a_refused_chunk_is_asked_in_halves_and_all_answers_stay_in_place() -> None:
    async with fake_market() as (market, node):
        pools = many(market, 1_000)
        market.most_calls = 130
        found = await read_pools(node, pools, await node.block(), MULTICALL)
        assert not found.failed
        assert [p.reserve0 for p in found.pools.values() if isinstance(p, UniswapV2Pool)] == list(
            range(1, 1_001)
        )
        # It learns: after the first refusals the sizes asked for are near what the node takes.
        refused = [size for size in market.asked_calls if size > 130]
        assert len(refused) <= 20
        assert len(market.asked_calls) <= 45


async def test_one_call_that_can_never_be_answered_is_a_failed_result() -> None:
    async with fake_market() as (market, node):
        pools = many(market, 40)
        answer = market.fake.answers["eth_call"]
        poison = pair(17).address.lower()[2:]

        def refuse(params: list[object]) -> object:
            if poison in str(params[0]):
                raise Fault(-32000, "out of gas")
            return answer(params)

        market.fake.answers["eth_call"] = refuse
        found = await read_pools(node, pools, await node.block(), MULTICALL)
        assert set(found.failed) == {pair(17).address}
        assert len(found.pools) == 39


async def test_a_gas_bomb_takes_only_itself() -> None:
    async with fake_market() as (market, node):
        pools = many(market, 30)
        market.bombs = {pair(5).address.lower(), pair(20).address.lower()}
        found = await read_pools(node, pools, await node.block(), MULTICALL)
        assert set(found.failed) == {pair(5).address, pair(20).address}


async def test_an_error_that_less_would_not_mend_is_raised_at_once() -> None:
    async with fake_market() as (market, node):
        pools = many(market, 600)
        block = await node.block()
        market.reorganise(1)
        with pytest.raises(NodeError, match="header not found"):
            await read_pools(node, pools, block, MULTICALL)
        assert market.fake.count("eth_call") <= 4


async def test_a_chain_without_multicall_is_named() -> None:
    async with fake_market() as (_, node):
        call = Call(address("x"), selector("f()"), "f")
        with pytest.raises(MalformedAnswer, match=r"nothing is deployed at .* correct chain\.multicall"):
            await read(node, [call], await node.block(), address("nowhere"))


async def test_no_lane_is_left_running_after_a_failure() -> None:
    async with fake_market() as (market, node):
        pools = many(market, 3_000)
        market.fake.answers["eth_call"] = lambda _: "0x" + "00" * 64
        with pytest.raises(MalformedAnswer):
            await read_pools(node, pools, await node.block(), MULTICALL)
        names = [getattr(task.get_coro(), "__name__", "") for task in asyncio.all_tasks()]
        assert "lane" not in names
        assert any(name.startswith("test_no_lane") for name in names)


@pytest.mark.parametrize(
    ("error", "less_helps"),
    [
        (NodeError(-32005, "query returned more than 10000 results"), True),
        (NodeError(-32602, "block range is too wide"), True),
        (NodeError(-32603, "EVM error OutOfGas"), True),
        (NodeError(-32000, "execution aborted (timeout = 5s)"), True),
        (NodeError(-32000, "header not found"), False),
        (NodeError(-32005, "rate limit exceeded"), False),
        (NodeError(-32601, "the method does not exist within limits"), False),
        (NodeUnreachable("no answer within 5 s"), True),
        (NodeUnreachable("eth_call was refused for its rate (HTTP 429)"), False),
        (NodeUnreachable("no node is listening there", sent=False), False),
        (MalformedAnswer("eth_call brought more than 67108864 bytes"), True),
        (MalformedAnswer("the answer is not UTF-8"), False),
    ],
)
def test_what_asking_for_less_may_mend(error: ArbtuiError, less_helps: bool) -> None:
    assert too_much(error) is less_helps


@given(st.integers(1, 5_000), st.integers(1, 5_000))
def test_a_span_finds_what_is_taken_and_wastes_little(most: int, limit: int) -> None:
    span = Span(most)
    refused = asked = 0
    while asked < 200:
        asked += 1
        size = span.size
        assert 1 <= size <= most
        if size > limit:
            refused += 1
            span.refused(size, NodeError(-32005, "limit exceeded"))
        else:
            span.took(size)
    assert refused <= 40
    if limit >= most:
        assert refused == 0
        assert span.size == most


def test_a_span_grows_again_when_the_node_takes_more() -> None:
    span = Span(1_000)
    for limit in (50, 10_000):
        for _ in range(300):
            if span.size > limit:
                span.refused(span.size, NodeError(-32005, "limit exceeded"))
            else:
                span.took(span.size)
    assert span.size > 850


def test_timeouts_without_an_answer_end_it() -> None:
    span = Span(10_000)
    for _ in range(3):
        span.refused(span.size, NodeUnreachable("no answer within 5 s"))
    with pytest.raises(NodeUnreachable):
        span.refused(span.size, NodeUnreachable("no answer within 5 s"))


def test_results_that_lie_on_top_of_each_other_are_refused() -> None:
    data = bytearray(encode(["(bool,bytes)[]"], [[(True, bytes(2_000)), (True, b"")]]))
    data[96:128] = data[64:96]
    with pytest.raises(MalformedAnswer, match="more than the answer holds"):
        decode_aggregate3(bytes(data), 2)
