"""Transports and typed reads against a node that lies: every malformed answer is refused and counted, none mis-read."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbtui.chain import IpcRpc, JsonRpc, LogFilter, Node, WsRpc, aggregate
from arbtui.chain.codec import Unfit, fast_logs, parse, quantity, read_logs, result_of
from arbtui.chain.rpc import Transport
from arbtui.chain.stream import QUEUE, Framing
from arbtui.domain import BlockRef, Call
from arbtui.errors import MalformedAnswer, NodeError, NodeUnreachable, RateLimited, UnknownBlock
from tests.factories import address, block_ref, word
from tests.fake_node import FakeChain, FakeNode, Reply, fake_node
from tests.feeds import eventually

TOPIC = word("topic")
POOL, OTHER = address(0xABC), address(0xDEF)


@asynccontextmanager
async def connected(
    kind: str, folder: Path, timeout: float = 5.0, **options: Any
) -> AsyncIterator[tuple[FakeNode, Transport]]:
    async with fake_node(folder / "n.ipc") as node:
        made: JsonRpc | WsRpc | IpcRpc
        if kind == "http":
            made = JsonRpc(node.url, timeout, **options)
        elif kind == "ws":
            made = WsRpc(node.ws_url, timeout, **options)
        else:
            made = IpcRpc(str(folder / "n.ipc"), timeout, **options)
        async with made as rpc:
            yield node, rpc


def sends(node: FakeNode, make: Callable[[dict[str, Any]], str | bytes], status: int = 200) -> None:
    """Have the node answer with these very bytes, on every transport."""

    def body(asked: dict[str, Any]) -> bytes:
        made = make(asked)
        return made if isinstance(made, bytes) else made.encode("utf-8", "surrogateescape")

    node.raw = lambda asked: (status, body(asked))
    node.frame = lambda answer: [body(answer) + b"\n"]


def envelope(**changes: Any) -> Callable[[dict[str, Any]], str]:
    def make(asked: dict[str, Any]) -> str:
        body = {"jsonrpc": "2.0", "id": asked["id"], "result": "0x1"} | changes
        return json.dumps({key: value for key, value in body.items() if value != "GONE"})

    return make


# ── the envelope ────────────────────────────────────────────────────────────────────────────────────────────────

ENVELOPES: dict[str, tuple[str, Callable[[dict[str, Any]], str | bytes]]] = {
    "result missing": ("envelope", envelope(result="GONE")),
    "result and error": ("envelope", envelope(error={"code": 1, "message": "x"})),
    "error no object": ("envelope", envelope(result="GONE", error="a string")),
    "error without code": ("envelope", envelope(result="GONE", error={"message": "x"})),
    "error with text code": ("envelope", envelope(result="GONE", error={"code": "1", "message": "x"})),
    "error with true as code": ("envelope", envelope(result="GONE", error={"code": True, "message": "x"})),
    "nan": ("json", lambda asked: '{"jsonrpc":"2.0","id":%d,"result":NaN}' % asked["id"]),
    "infinity": ("json", lambda asked: '{"jsonrpc":"2.0","id":%d,"result":-Infinity}' % asked["id"]),
    "key twice": ("json", lambda asked: '{"id":%d,"result":"0x1","result":"0x2"}' % asked["id"]),
    "id twice": ("json", lambda asked: '{"id":7,"id":%d,"result":"0x1"}' % asked["id"]),
    "5000 digits": ("json", lambda asked: '{"id":%d,"result":%s}' % (asked["id"], "9" * 5_000)),
    "deep": ("json", lambda asked: '{"id":%d,"result":%s}' % (asked["id"], "[" * 10_000 + "]" * 10_000)),
    "no utf-8": ("json", lambda asked: b'{"id":%d,"result":"\xff"}' % asked["id"]),
}  # fmt: skip


#: Of these it cannot be told which request they answer.
_NOBODYS = ("nan", "infinity", "deep")


@pytest.mark.parametrize("kind", ["http", "ws", "ipc"])
@pytest.mark.parametrize("row", ENVELOPES)
async def test_an_answer_that_is_not_json_rpc_is_refused_and_counted(
    row: str, kind: str, tmp_path: Path
) -> None:
    why, make = ENVELOPES[row]
    # Where messages share a connection, nobody is given what is nobody's: the time runs out.
    lost = kind != "http" and row in _NOBODYS
    async with connected(kind, tmp_path, 0.25 if lost else 5.0) as (node, rpc):
        node.answers["eth_blockNumber"] = lambda _: "0x1"
        sends(node, make)
        with pytest.raises(NodeUnreachable if lost else MalformedAnswer):
            await rpc.call("eth_blockNumber")
        assert len(node.calls) == 1, "nothing is asked twice by itself"
        await eventually(lambda: bool(rpc.meter.refusals))
        assert sum(rpc.meter.refusals.values()) == 1
        assert next(iter(rpc.meter.refusals))[1] == why


@pytest.mark.parametrize("kind", ["http", "ws", "ipc"])
@pytest.mark.parametrize("wrong", [999, "1", None, True, 1.0, -1, 0, "GONE"])
async def test_an_answer_with_another_id_is_never_taken(kind: str, wrong: Any, tmp_path: Path) -> None:
    async with connected(kind, tmp_path) as (node, rpc):
        node.answers["eth_chainId"] = lambda _: "0x1"
        await rpc.call("eth_chainId")
        sends(node, envelope(id=wrong))
        if kind != "http":
            rpc.timeout_s = 0.2  # type: ignore[attr-defined]
        with pytest.raises(MalformedAnswer if kind == "http" else NodeUnreachable):
            await rpc.call("eth_chainId")
        await eventually(lambda: bool(rpc.meter.refusals))
        assert sum(rpc.meter.refusals.values()) == 1


@pytest.mark.parametrize("equal", [True, 1.0])
def test_what_is_merely_equal_to_an_id_is_none(equal: Any) -> None:
    with pytest.raises(Unfit, match="another request"):
        result_of({"id": equal, "result": "0x1"}, 1, "eth_chainId")
    assert result_of({"id": 1, "result": "0x1"}, 1, "eth_chainId") == "0x1"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("<html>busy</html>", 200), ("Bad Gateway", 502), ("", 200), ("[]", 200), ("null", 200), ("3", 200),
        ("[" * 100_000, 200), ('{"a":' * 50_000, 200),
    ],
)  # fmt: skip
async def test_a_body_that_is_none(body: str, status: int) -> None:
    async with fake_node() as node, JsonRpc(node.url) as rpc:
        sends(node, lambda _: body, status)
        with pytest.raises(MalformedAnswer, match=f"HTTP {status}"):
            await rpc.call("eth_blockNumber")


async def test_what_is_packed_to_burst_is_read_no_further_than_the_limit() -> None:
    packed = gzip.compress(b"[" + b" " * 100_000_000)
    reads = 0
    async with fake_node() as node:

        async def bomb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal reads
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
            writer.write(head.encode() + packed)
            reads += 1
            writer.close()

        async with (
            await asyncio.start_server(bomb, "127.0.0.1", 0) as server,
            JsonRpc(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", max_bytes=2**20) as rpc,
        ):
            with pytest.raises(MalformedAnswer, match="more than 1048576 bytes"):
                await rpc.call("eth_getLogs")
            assert rpc.meter.refusals == {("eth_getLogs", "size"): 1}
    assert (node.calls, reads) == ([], 1)


@pytest.mark.parametrize("kind", ["ws", "ipc"])
async def test_a_message_beyond_the_limit_ends_the_connection_and_no_more(kind: str, tmp_path: Path) -> None:
    async with connected(kind, tmp_path, max_bytes=10_000) as (node, rpc):
        node.answers |= {"big": lambda _: "0x" + "11" * 20_000, "small": lambda _: "0x1"}
        with pytest.raises(NodeUnreachable):
            await rpc.call("big")
        assert [kind for _, kind in rpc.meter.refusals] == ["size"]
        assert await rpc.call("small") == "0x1"


# ── values ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "bad",
    [
        "-0x5", 1.5, float("nan"), "12", "0x", "0x0c", "0x01", 18, None, True, "0x" + "f" * 65, "0xzz", [], {},
        " 0x1", "0x1\n", "0X1", "0x1_0", "0x\uff11", "0x" + "f" * 200_000, [[[]]], "\ud800",
    ],
)  # fmt: skip
def test_quantities_are_strict(bad: Any) -> None:
    with pytest.raises(MalformedAnswer, match="gas") as caught:
        quantity(bad, "gas")
    assert len(str(caught.value)) < 200


def test_a_quantity() -> None:
    assert quantity("0x0", "gas") == 0
    assert quantity("0x" + "f" * 64, "gas") == 2**256 - 1
    assert quantity("0xAb", "gas") == 171


HUGE = [
    b'{"id":1,"result":"0x' + b"f" * 200_000 + b'"}',
    b'{"id":1,"result":' + b"9" * 5_000 + b"}",
    b'{"id":1,"result":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    b'{"id":1,"result":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
    b'{"id":1,"x":' + b"[" * 5_000_000,
    b'{"id":1,"result":"' + b'\\"[' * 100_000,
]
_IN_A_PROCESS = """
import eth_account, sys, time
sys.setrecursionlimit(100_000)
sys.path.insert(0, {root!r})
from tests.unit.test_rpc import HUGE, refused
took = [refused(raw) for raw in HUGE]
print(max(took))
"""


def refused(raw: bytes) -> float:
    """Seconds in which every reader of `raw` said no."""
    wanted = LogFilter([POOL], {TOPIC})
    began = time.perf_counter()
    assert fast_logs(raw, 1, {5: word(5)}, wanted) is None
    with pytest.raises((Unfit, MalformedAnswer)):
        quantity(result_of(parse(raw), 1, "eth_blockNumber"), "eth_blockNumber")
    return time.perf_counter() - began


@pytest.mark.parametrize("number", range(len(HUGE)))
def test_what_is_huge_is_refused(number: int) -> None:
    refused(HUGE[number])


def test_what_is_huge_is_refused_where_a_library_has_lifted_the_limit_of_recursion() -> None:
    """In a process of its own: py_ecc lets nested JSON overflow the C stack, which no `except` can catch."""
    code = _IN_A_PROCESS.format(root=str(Path(__file__).parents[2]))
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr[-500:]


# ── blocks, receipts, logs ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def served() -> FakeChain:
    """Five blocks, each with two logs of POOL and one of OTHER."""
    chain = FakeChain()
    chain.extend(5, logs=[raw_log(), raw_log(OTHER), raw_log()])
    return chain


def raw_log(where: str = POOL, *topics: str, payload: str = "0x" + "11" * 64) -> dict[str, Any]:
    return {"address": where.lower(), "topics": [TOPIC, *topics], "data": payload}


@asynccontextmanager
async def behind(chain: FakeChain, clock: Callable[[], float] | None = None) -> AsyncIterator[Node]:
    async with fake_node() as fake, JsonRpc(fake.url) as rpc:
        chain.serve(fake)
        yield Node(rpc, clock=clock)


BAD_BLOCKS: dict[str, dict[str, Any]] = {
    "without hash": {"hash": "GONE"},
    "hash null": {"hash": None},
    "without timestamp": {"timestamp": "GONE"},
    "without parent": {"parentHash": "GONE"},
    "without number": {"number": "GONE"},
    "timestamp 2106": {"timestamp": "0xffffffff"},
    "timestamp far beyond": {"timestamp": "0x" + "f" * 16},
    "timestamp of 1970": {"timestamp": "0x5"},
    "timestamp before Ethereum": {"timestamp": hex(1_438_269_972)},
    "number a word": {"number": "five"},
    "leading zero": {"gasUsed": "0x0c"},
    "base fee negative": {"baseFeePerGas": "-0x5"},
    "hash of 31 bytes": {"hash": "0x" + "11" * 31},
    "bloom no hex": {"logsBloom": "0xzz"},
}


@pytest.mark.parametrize("row", BAD_BLOCKS)
async def test_a_block_that_cannot_be_is_refused_and_counted(row: str, served: FakeChain) -> None:
    head = served.head | BAD_BLOCKS[row]
    served.blocks[-1] = {key: value for key, value in head.items() if value != "GONE"}
    async with behind(served, clock=lambda: float(served.start + 60)) as node:
        with pytest.raises(MalformedAnswer):
            await node.block()
        assert node.refusals == {("eth_getBlockByNumber", "value"): 1}
        # What is asked for by its number or hash must be what comes.
        assert (await node.block(3)).number == 3


async def test_a_block_ahead_of_the_clock_is_taken_where_tests_move_the_clock(served: FakeChain) -> None:
    served.head["timestamp"] = hex(served.start + 10**6)
    async with behind(served) as node:
        assert (await node.block()).timestamp == served.start + 10**6


async def test_another_block_than_asked_for_is_refused(served: FakeChain) -> None:
    async with behind(served) as node:
        asked = served.blocks[2]["hash"]
        served.left[asked] = served.blocks[3]
        with pytest.raises(MalformedAnswer, match="the answer is block"):
            await node.block(asked)
        served.blocks[2] = served.blocks[3]
        with pytest.raises(MalformedAnswer, match="the answer is block 3"):
            await node.block(2)
        with pytest.raises(UnknownBlock):
            await node.block(77)
        assert sum(node.refusals.values()) == 2


def head_of(chain: FakeChain) -> BlockRef:
    raw = chain.head
    return block_ref(int(raw["number"], 16), hash=raw["hash"], parent_hash=raw["parentHash"])


BAD_LOGS: dict[str, dict[str, Any]] = {
    "of another block": {"blockHash": word("else")},
    "of another number": {"blockNumber": "0x4"},
    "removed": {"removed": True},
    "removed a word": {"removed": "false"},
    "five topics": {"topics": [TOPIC] * 5},
    "no topics": {"topics": []},
    "a topic not asked for": {"topics": [word("foreign")]},
    "topics no list": {"topics": TOPIC},
    "a short topic": {"topics": [TOPIC, "0x11"]},
    "a topic of null": {"topics": [TOPIC, None]},
    "out of order": {"logIndex": "0x0"},
    "index with a zero": {"logIndex": "0x02"},
    "index a number": {"logIndex": 2},
    "address short": {"address": "0x12"},
    "address null": {"address": None},
    "half a byte": {"data": "0x123"},
    "data with a blank": {"data": "0x12 34"},
    "data without 0x": {"data": "1234"},
    "data gone": {"data": "GONE"},
    "transaction no hash": {"transactionHash": "0x1"},
    "transaction empty": {"transactionHash": ""},
}


#: Whose topics are nobody's question where addresses are asked for.
_BY_TOPIC = ("a topic not asked for", "no topics")


@pytest.mark.parametrize(
    ("row", "asked"),
    [(row, "topics") for row in BAD_LOGS] + [(row, "addresses") for row in BAD_LOGS if row not in _BY_TOPIC],
)
async def test_a_log_that_cannot_be_is_refused_and_counted(row: str, asked: str, served: FakeChain) -> None:
    logs = served.logs[served.head["hash"]]
    bad = 0 if row == "transaction empty" else 2
    logs[bad] = {key: value for key, value in (logs[bad] | BAD_LOGS[row]).items() if value != "GONE"}
    served.filtering = False
    async with behind(served) as node:
        with pytest.raises(MalformedAnswer):
            await read(node, asked, served)
        assert node.refusals == {("eth_getLogs", "value"): 1}


async def read(node: Node, asked: str, chain: FakeChain) -> Any:
    if asked == "topics":
        return await node.logs_at(head_of(chain), LogFilter([POOL], {TOPIC}))
    return await node.logs(head_of(chain), [POOL, OTHER])


async def test_a_log_of_an_address_that_was_not_asked_for(served: FakeChain) -> None:
    async with behind(served) as node:
        with pytest.raises(MalformedAnswer, match="was not asked for"):
            await node.logs(head_of(served), [POOL])
        # Where topics alone were asked, other contracts' logs come too, and are passed over.
        logs = await node.logs_at(head_of(served), LogFilter([POOL], {TOPIC}))
    assert [(log.address, log.log_index, log.tx_index) for log in logs] == [(POOL, 0, 0), (POOL, 2, 2)]
    assert {log.block_hash for log in logs} == {served.head["hash"]}


RECEIPT_TX = word("my transaction")


@pytest.fixture
def with_receipt(served: FakeChain) -> dict[str, Any]:
    served.head["transactions"] = [word("first"), RECEIPT_TX]
    place = {
        "blockHash": served.head["hash"], "blockNumber": served.head["number"], "transactionIndex": "0x1",
        "from": "0x" + "5" * 40,
        "transactionHash": RECEIPT_TX,
    }  # fmt: skip
    return place | {
        "status": "0x1", "gasUsed": "0x5208", "effectiveGasPrice": "0x3b9aca00",
        "logs": [raw_log() | place | {"logIndex": hex(index), "removed": False} for index in (4, 5)],
    }  # fmt: skip


async def receipt_from(served: FakeChain, answer: Any) -> Any:
    async with fake_node() as fake, JsonRpc(fake.url) as rpc:
        served.serve(fake)
        fake.answers["eth_getTransactionReceipt"] = lambda _: answer
        node = Node(rpc)
        try:
            return await node.receipt(RECEIPT_TX)
        finally:
            assert sum(node.refusals.values()) <= 1


async def test_a_receipt_that_its_block_knows(served: FakeChain, with_receipt: dict[str, Any]) -> None:
    receipt = await receipt_from(served, with_receipt)
    assert (receipt.success, receipt.gas_used, len(receipt.logs)) == (True, 21_000, 2)
    assert await receipt_from(served, None) is None


BAD_RECEIPTS: dict[str, dict[str, Any]] = {
    "of another transaction": {"transactionHash": word("another")},
    "in another place": {"transactionIndex": "0x0"},
    "past the end of its block": {"transactionIndex": "0x7"},
    "another number": {"blockNumber": "0x3"},
    "a block nobody knows": {"blockHash": word("nowhere"), "logs": []},
    "reverted, with logs": {"status": "0x0"},
    "status 2": {"status": "0x2"},
    "more gas than its block": {"gasUsed": "0xffffffff"},
    "without gas": {"gasUsed": "GONE"},
    "logs null": {"logs": None},
    "a log of another transaction": {"logs": "OTHER"},
}


@pytest.mark.parametrize("row", BAD_RECEIPTS)
async def test_a_receipt_that_lies(row: str, served: FakeChain, with_receipt: dict[str, Any]) -> None:
    answer = with_receipt | BAD_RECEIPTS[row]
    if answer["logs"] == "OTHER":
        answer["logs"] = [with_receipt["logs"][0] | {"transactionHash": word("another")}]
    with pytest.raises(MalformedAnswer):
        await receipt_from(served, {key: value for key, value in answer.items() if value != "GONE"})


@pytest.mark.parametrize(
    "words",
    [
        "", "11", "00" * 31, "00" * 32, "ff" * 32, f"{32:064x}", f"{32:064x}{2**255:064x}", f"{2**64:064x}",
        f"{32:064x}{1:064x}{32:064x}{1:064x}{64:064x}{2**200:064x}", f"{32:064x}{1:064x}{'ff' * 32}",
        f"{32:064x}{0:064x}",
    ],
)  # fmt: skip
async def test_contract_data_that_is_short_or_claims_to_be_huge(words: str, served: FakeChain) -> None:
    async with behind(served) as node:
        head = await node.block()
        served.state = "0x" + words
        with pytest.raises(MalformedAnswer, match="aggregate3"):
            await aggregate(node, [Call(POOL, b"", "x")], head)


# ── the fast reader of logs is the strict one, faster ───────────────────────────────────────────────────────────


def log_answer(count: int = 6) -> dict[str, Any]:
    chain = FakeChain()
    chain.extend(7, logs=[raw_log(POOL if i % 2 else OTHER, word(i)) for i in range(count)])
    return {"jsonrpc": "2.0", "id": 9, "result": chain.logs[chain.head["hash"]]}


@pytest.mark.parametrize("changes", [{}, {"blockTimestamp": "0x1"}])
def test_the_fast_reader_takes_what_nodes_send(changes: dict[str, Any]) -> None:
    answer = log_answer()
    answer["result"] = [log | changes for log in answer["result"]]
    raw = json.dumps(answer).encode()
    blocks = {7: answer["result"][0]["blockHash"]}
    wanted = LogFilter([POOL], {TOPIC})
    found = fast_logs(raw, 9, blocks, wanted)
    assert found == read_logs(result_of(parse(raw), 9, ""), blocks, wanted, "")
    assert found is not None
    assert len(found) == 3


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from _paths(value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _paths(item, (*path, index))


_PATHS = [path for path in _paths(log_answer()) if path]
_JUNK = st.one_of(
    st.sampled_from(
        [
            None,
            True,
            1,
            -1,
            1.5,
            "",
            "0x",
            "0x0",
            "0x00",
            "0x1",
            "0x5",
            "0x0c",
            "12",
            "0x" + "00" * 32,
            [],
            {},
        ]
    ),
    st.sampled_from(
        [TOPIC, word(3), POOL, POOL.lower(), POOL.upper(), OTHER, "0xzz", "0x1 2", "é", [TOPIC] * 5]
    ),
)


@given(st.lists(st.tuples(st.sampled_from(_PATHS), _JUNK), min_size=1, max_size=3), st.booleans())
def test_the_fast_reader_never_says_what_the_strict_one_does_not(
    changes: list[tuple[tuple[Any, ...], Any]], everything: bool
) -> None:
    answer = log_answer()
    blocks = {7: answer["result"][0]["blockHash"]}
    for path, junk in changes:
        inner: Any = answer
        try:
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = copy.deepcopy(junk)
        except (TypeError, IndexError, KeyError):
            continue
    raw = json.dumps(answer).encode()
    wanted = LogFilter([POOL, OTHER] if everything else [POOL], {TOPIC}, asked=everything)
    fast = fast_logs(raw, 9, blocks, wanted)
    try:
        strict = read_logs(result_of(parse(raw), 9, ""), blocks, wanted, "")
    except (MalformedAnswer, Unfit):
        # Of logs that nobody wants the fast one looks at no more than where they belong.
        assert fast is None or not everything
    else:
        assert fast is None or fast == strict


@pytest.mark.parametrize(
    "key", ["address", "topics", "data", "removed", "blockHash", "logIndex", "unheardOf"]
)
def test_a_key_twice_in_a_log_is_seen_by_the_fast_reader(key: str) -> None:
    answer = log_answer()
    raw = json.dumps(answer).replace('"removed": false}', f'"removed": false, "{key}": []}}', 1).encode()
    assert fast_logs(raw, 9, {7: answer["result"][0]["blockHash"]}, LogFilter([POOL], {TOPIC})) is None


# ── what all transports have in common ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["http", "ws", "ipc"])
async def test_an_error_object_keeps_code_message_and_data(kind: str, tmp_path: Path) -> None:
    error = {"code": 3, "message": "execution reverted\x1b[31m", "data": "0x4e487b71"}
    async with connected(kind, tmp_path) as (node, rpc):
        node.answers["eth_call"] = lambda _: None
        sends(node, lambda asked: json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": error}), 500)
        with pytest.raises(NodeError) as caught:
            await rpc.call("eth_call")
        assert rpc.meter.refusals == {}
    assert (caught.value.code, caught.value.data) == (3, "0x4e487b71")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("kind", ["http", "ws", "ipc"])
async def test_a_batch_keeps_order_and_items_fail_alone(kind: str, tmp_path: Path) -> None:
    async with connected(kind, tmp_path) as (node, rpc):
        node.answers |= {"eth_chainId": lambda _: "0x7", "eth_getCode": lambda _: "0x"}
        first, second, third = await rpc.batch([("eth_chainId", []), ("eth_call", []), ("eth_getCode", [])])
        assert await rpc.batch([]) == []
    assert (first, third) == ("0x7", "0x")
    assert isinstance(second, NodeError)


async def test_a_batch_whose_answers_are_swapped_or_doubled() -> None:
    def answers(*ids: int) -> str:
        return json.dumps([{"jsonrpc": "2.0", "id": number, "result": hex(number)} for number in ids])

    async with fake_node() as node, JsonRpc(node.url) as rpc:
        requests: list[tuple[str, list[Any]]] = [("a", []), ("b", [])]
        sends(node, lambda asked: answers(asked[1]["id"], asked[0]["id"]))
        assert await rpc.batch(requests) == ["0x1", "0x2"]
        for ids in ((3, 3), (3,), (3, 4, 4), (3, 99)):
            rpc._ids = iter((3, 4))  # type: ignore[assignment]
            sends(node, lambda _, ids=ids: answers(*ids))
            with pytest.raises(MalformedAnswer, match="do not match"):
                await rpc.batch(requests)


@pytest.mark.parametrize("kind", ["ws", "ipc"])
async def test_answers_find_their_requests_in_whatever_order_they_come(kind: str, tmp_path: Path) -> None:
    async with connected(kind, tmp_path) as (node, rpc):
        node.answers["echo"] = lambda params: params[0]
        held: list[bytes] = []

        def frame(answer: dict[str, Any]) -> list[bytes]:
            held.append(json.dumps(answer).encode() + b"\n")
            if len(held) < 5:
                return []
            out = [b"%b" % raw for raw in reversed(held)]
            held.clear()
            return out

        node.frame = frame
        said = await asyncio.gather(*(rpc.call("echo", [hex(number)]) for number in range(10)))
    assert said == [hex(number) for number in range(10)]


@pytest.mark.parametrize("kind", ["ws", "ipc"])
async def test_a_late_answer_is_dropped(kind: str, tmp_path: Path) -> None:
    async with connected(kind, tmp_path, 0.15) as (node, rpc):
        node.answers["echo"] = lambda params: params[0]
        held: list[bytes] = []

        def frame(answer: dict[str, Any]) -> list[bytes]:
            raw = json.dumps(answer).encode() + b"\n"
            if answer["result"] == "late":
                held.append(raw)
                return []
            return [*held, raw]

        node.frame = frame
        with pytest.raises(NodeUnreachable, match="no answer to echo within") as caught:
            await rpc.call("echo", ["late"])
        rpc.timeout_s = 5.0  # type: ignore[attr-defined]
        assert caught.value.sent is True
        assert await rpc.call("echo", ["next"]) == "next"
        assert (rpc.meter.late, rpc.meter.refusals) == (1, {})
        assert node.count("echo") == 2


@pytest.mark.parametrize("kind", ["ws", "ipc"])
async def test_a_connection_that_breaks_fails_what_was_on_its_way_and_is_made_anew(
    kind: str, tmp_path: Path
) -> None:
    async with connected(kind, tmp_path) as (node, rpc):
        node.answers["eth_chainId"] = lambda _: "0x1"
        assert await rpc.call("eth_chainId") == "0x1"
        node.hung = True
        sending = asyncio.create_task(rpc.call("eth_sendRawTransaction", ["0x00"]))
        while node.count("eth_sendRawTransaction") == 0:  # noqa: ASYNC110 - the fake has no event
            await asyncio.sleep(0.01)
        await node.cut()
        with pytest.raises(NodeUnreachable) as caught:
            await sending
        assert caught.value.sent is True
        node.hung = False
        assert await rpc.call("eth_chainId") == "0x1"
        assert node.count("eth_sendRawTransaction") == 1, "a send is never repeated"


async def test_a_dead_node_is_told_apart_from_a_silent_one(tmp_path: Path) -> None:
    async with fake_node() as node:
        url, ws_url = node.url, node.ws_url
    dead = (
        JsonRpc(url + "/v2/SECRETKEY"), WsRpc(ws_url + "/v2/SECRETKEY"), IpcRpc(str(tmp_path / "SECRET" / "x.ipc")),
    )  # fmt: skip
    for made in dead:
        async with made as rpc:
            with pytest.raises(NodeUnreachable) as caught:
                await rpc.call("eth_sendRawTransaction")
        assert caught.value.sent is False
        assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("kind", ["http", "ws", "ipc"])
async def test_a_node_that_does_not_answer_in_time(kind: str, tmp_path: Path) -> None:
    async with connected(kind, tmp_path, 0.2) as (node, rpc):
        node.hung = True
        with pytest.raises(NodeUnreachable, match="no answer to eth_blockNumber within 0.2 s") as caught:
            await rpc.call("eth_blockNumber")
        assert caught.value.sent is True
        assert (rpc.meter.failures, rpc.meter.calls) == (1, 1)


@pytest.mark.parametrize(
    ("header", "rest"),
    [("7", 7.0), (None, None), ("soon", None), ("-3", None), ("99999999", 300.0),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("9" * 5_000, 300.0)],
)  # fmt: skip
async def test_a_refusal_for_the_rate_says_how_long(header: str | None, rest: float | None) -> None:
    async with fake_node() as node, JsonRpc(node.url) as rpc:

        def limit(_: list[Any]) -> Any:
            raise Reply(429, "slow down", {} if header is None else {"Retry-After": header})

        node.answers["eth_chainId"] = limit
        with pytest.raises(RateLimited) as caught:
            await rpc.call("eth_chainId")
    assert caught.value.retry_after == rest


# ── what is pushed ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["ws", "ipc"])
async def test_a_subscription_gets_its_own_and_ends_with_its_connection(kind: str, tmp_path: Path) -> None:
    async with connected(kind, tmp_path) as (node, rpc):
        assert isinstance(rpc, (WsRpc, IpcRpc))
        heads = await rpc.subscribe("newHeads")
        await node.push({"number": "0x1"})
        await node.push({"number": "0x9"}, subscription="0xsomebody's")
        await node.push({"number": "0x2"})
        assert [(await heads.next())["number"] for _ in range(2)] == ["0x1", "0x2"]
        assert rpc.foreign == 1
        await node.push({"number": "0x3"})
        await node.cut()
        assert (await heads.next())["number"] == "0x3"
        with pytest.raises(NodeUnreachable):
            await heads.next()


async def test_notifications_that_nobody_takes_are_bounded_and_counted(tmp_path: Path) -> None:
    async with connected("ws", tmp_path) as (node, rpc):
        assert isinstance(rpc, WsRpc)
        node.answers["eth_chainId"] = lambda _: "0x1"
        heads = await rpc.subscribe("newHeads")
        for number in range(QUEUE + 10):
            await node.push(number)
        await rpc.call("eth_chainId")
        assert (heads.dropped, await heads.next()) == (10, 10)


async def test_a_subscription_that_is_refused_is_an_error(tmp_path: Path) -> None:
    async with connected("ipc", tmp_path) as (node, rpc):
        assert isinstance(rpc, IpcRpc)
        node.refuse_subscriptions = True
        with pytest.raises(NodeError):
            await rpc.subscribe("newHeads")


_VALUES = st.recursive(
    st.one_of(st.text(max_size=8), st.integers(), st.sampled_from(['"', "\\", '\\"', "{", "]", "\n", "}{"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(max_size=3), _VALUES, max_size=3), min_size=1, max_size=4),
    st.sampled_from(["", "\n", "\r\n", " \n\n"]),
    st.sampled_from([None, 2]),
    st.data(),
)
def test_values_are_taken_apart_whatever_pieces_they_come_in(
    values: list[Any], between: str, indent: int | None, data: st.DataObject
) -> None:
    raw = "".join(json.dumps(value, indent=indent, ensure_ascii=False) + between for value in values).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    framing, out = Framing(), []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        out += framing.take(raw[start:end])
    assert [json.loads(piece) for piece in out] == values
    assert len(raw[:0]) == 0


def test_what_is_no_json_is_given_out_by_lines() -> None:
    framing = Framing()
    assert framing.take(b'garbage\n{"id":1}\n') == [b"garbage", b'{"id":1}']
    assert framing.waiting == 0
