from __future__ import annotations

import gzip
import io
import json
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arbtui.errors import SnapshotError
from arbtui.market import (
    FAMILIES,
    SwapReverts,
    UniswapV2Pool,
    UniswapV3Pool,
    load_snapshot,
    write_snapshot,
    write_snapshot_file,
)
from arbtui.market import snapshot as snapshots
from arbtui.market.fields import BadField, checksum_address, parse_row
from arbtui.market.snapshot import MAX_LINE_BYTES
from arbtui.market.tick_math import MAX_SQRT_RATIO, sqrt_ratio_at_tick
from arbtui.search import find_opportunities
from arbtui.units import parse_address

WETH = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"
T1, T2 = "0x" + "11" * 20, "0x" + "22" * 20

V2: dict[str, Any] = {
    "type": "pool",
    "address": "0x" + "01" * 20,
    "dex": "sushi",
    "kind": "uniswap_v2",
    "token0": T1,
    "token1": T2,
    "fee_ppm": 3000,
    "reserve0": "1000",
    "reserve1": "2000",
}
V3: dict[str, Any] = {
    "type": "pool",
    "address": "0x" + "02" * 20,
    "dex": "uniswap",
    "kind": "uniswap_v3",
    "token0": T1,
    "token1": T2,
    "fee_ppm": 500,
    "tick_spacing": 10,
    "sqrt_price_x96": str(2**96),
    "tick": 0,
    "liquidity": "1000",
    "ticks": [[-100, "600"], [-10, "400"], [10, "-400"], [100, "-600"]],
}


def load(*rows: object, strict: bool = False) -> Any:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    return load_snapshot(io.BytesIO("\n".join(lines).encode()), strict)


def test_a_good_file_has_everything() -> None:
    block = {"type": "block", "number": 7, "chain_id": 1, "timestamp": 9, "base_fee_per_gas": "30"}
    token = {"type": "token", "address": WETH.lower(), "symbol": "WETH", "decimals": 18}
    snapshot = load(block, token, V2, V3)
    assert snapshot.problems == ()
    assert snapshot.chain_id == 1
    assert (snapshot.state.block.number, snapshot.state.block.timestamp) == (7, 9)
    assert snapshot.state.block.base_fee_per_gas == 30
    assert snapshot.state.tokens[WETH].symbol == "WETH"
    assert snapshot.state.token(T1).symbol == ""
    assert snapshot.state.label(T1) == T1
    first, second = snapshot.state.pools.values()
    assert isinstance(first, UniswapV2Pool)
    assert (first.reserve0, first.reserve1, first.fee_ppm) == (1000, 2000, 3000)
    assert isinstance(second, UniswapV3Pool)
    assert second.ticks == ((-100, 600), (-10, 400), (10, -400), (100, -600))
    assert second.window is None
    assert (snapshot.counts.pools, snapshot.counts.tokens, snapshot.counts.skipped) == (2, 1, 0)


def without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


BAD = [
    ("{", "not JSON"),
    ("[" * 100_000, "not JSON"),
    ("[1]", "not a JSON object"),
    ("7" * 5000, "not JSON"),
    ({}, "type is missing"),
    ({"type": "poll"}, "unknown type 'poll'"),
    ({"type": ["pool"]}, "type is not a text"),
    (without(V2, "kind"), "kind is missing"),
    (V2 | {"kind": "curve"}, "unknown kind 'curve'"),
    (V2 | {"kind": "x\x1b[31m"}, "unknown kind 'x\ufffd[31m'"),
    (without(V2, "address"), "address is missing"),
    (V2 | {"address": "0x12"}, "address is not an address (0x and 40 hex digits)"),
    (V2 | {"address": 5}, "address is not an address (0x and 40 hex digits)"),
    (V2 | {"address": "0x" + "g" * 40}, "address is not an address (0x and 40 hex digits)"),
    (V2 | {"token1": WETH.replace("aaA", "aAA")}, "token1 has a wrong checksum"),
    (V2 | {"token1": T1}, "a token paired with itself"),
    (V2 | {"token0": T2, "token1": T1}, "token0 and token1 are not in the order of their addresses"),
    (V2 | {"dex": None}, "dex is not a text"),
    (without(V2, "fee_ppm"), "fee_ppm is missing"),
    (V2 | {"fee_ppm": 1_000_000}, "fee_ppm is out of range (1000000)"),
    (V2 | {"fee_ppm": -1}, "fee_ppm is out of range (-1)"),
    (V2 | {"fee_ppm": 3000.0}, "fee_ppm is not a whole number"),
    (V2 | {"fee_ppm": True}, "fee_ppm is not a whole number"),
    (without(V2, "reserve1"), "reserve1 is missing"),
    (V2 | {"reserve0": "0"}, "reserve0 is out of range (0)"),
    (V2 | {"reserve1": "-5"}, "reserve1 is out of range (-5)"),
    (V2 | {"reserve0": " 5"}, "reserve0 is not a whole number"),
    (V2 | {"reserve0": "1_000"}, "reserve0 is not a whole number"),
    (V2 | {"reserve0": "+5"}, "reserve0 is not a whole number"),
    (V2 | {"reserve0": "٣"}, "reserve0 is not a whole number"),
    (V2 | {"reserve0": "1e18"}, "reserve0 is not a whole number"),
    (V2 | {"reserve0": ""}, "reserve0 is not a whole number"),
    (V2 | {"reserve0": None}, "reserve0 is not a whole number"),
    (V2 | {"reserve0": str(2**112)}, "reserve0 is out of range (too large)"),
    (V2 | {"reserve0": 10**300}, "reserve0 is out of range (too large)"),
    ('{"type":"pool","reserve0":NaN}', "NaN is not a number that JSON has"),
    ('{"type":"pool","reserve0":-Infinity}', "-Infinity is not a number that JSON has"),
    ('{"type":"pool","type":"token"}', "'type' is there twice"),
    ('{"type":"pool","a":{"b":1,"b":2}}', "'b' is there twice"),
    (V2 | {"reserve0": 1e400}, "Infinity is not a number that JSON has"),
    ('{"type":"pool","reserve0":1e999}', "kind is missing"),
    ('{"a":' * 10_000, "not JSON"),
    ('{"type":"pool"} x', "not JSON"),
    ("\x00", "not JSON"),
    ('"pool"', "not a JSON object"),
    ("null", "not a JSON object"),
    ({"type": "poo" * 100_000}, "unknown type 'poopoopoopoopoopoopoopoopoopoop…'"),
    (V2 | {"kind": "\ud800"}, "unknown kind '\ufffd'"),
    (V2 | {"fee_ppm": [3000]}, "fee_ppm is not a whole number"),
    (V2 | {"token0": None}, "token0 is not an address (0x and 40 hex digits)"),
    (without(V3, "ticks"), "ticks is missing"),
    (V3 | {"ticks": [[0, "1", 2]]}, "ticks holds an entry that is not a pair"),
    (V3 | {"ticks": [[0.0, "1"]]}, "ticks: an index is not a whole number"),
    (
        V3 | {"ticks": [[-10, "1000"], [-10, "1"], [10, "-1000"]]},
        "ticks are not sorted by index, or one is there twice",
    ),
    (V3 | {"ticks": [["9" * 81, "1"]]}, "ticks: an index is not a whole number"),
    (V3 | {"ticks": []}, "liquidity differs from the sum of liquidity_net up to tick"),
    (V3 | {"sqrt_price_x96": "0"}, "sqrt_price_x96 is out of range (0)"),
    (V3 | {"liquidity": "-1"}, "liquidity is out of range (-1)"),
    (V3 | {"tick_spacing": 16_384}, "tick_spacing is out of range (16384)"),
    (V3 | {"liquidity_gross": ["1"]}, "liquidity_gross does not go with ticks"),
    (V3 | {"liquidity_gross": "600"}, "liquidity_gross is not a list"),
    (V3 | {"liquidity_gross": ["600", "399", "400", "600"]}, "liquidity_gross at -10 is out of range"),
    (V3 | {"window": [[-2560, 2550]], "liquidity": "500"}, "ticks: liquidity below -100 is out of range"),
    (
        V3 | {"window": [[-2560, 2550]], "ticks": [[10, "-1001"]]},
        "ticks: liquidity from 10 on is out of range",
    ),
    (V3 | {"ticks": {}}, "ticks is not a list"),
    (V3 | {"ticks": [[1]]}, "ticks holds an entry that is not a pair"),
    (V3 | {"ticks": [[-10, "1.5"]]}, "ticks: an amount is not a whole number"),
    (V3 | {"ticks": [[-15, "1000"], [10, "-1000"]]}, "ticks: index -15 is not a multiple of tick_spacing 10"),
    (V3 | {"ticks": [[-887_280, "1000"], [10, "-1000"]]}, "ticks: index -887280 is out of range"),
    (
        V3 | {"ticks": [[10, "-1000"], [-10, "1000"]]},
        "ticks are not sorted by index, or one is there twice",
    ),
    (V3 | {"ticks": [[-10, str(2**128)]]}, "ticks: liquidity_net at -10 is out of range"),
    (V3 | {"ticks": [[-10, "-1"], [10, "1"]]}, "ticks: liquidity from -10 on is out of range"),
    (V3 | {"liquidity": "999"}, "liquidity differs from the sum of liquidity_net up to tick"),
    (V3 | {"ticks": [[-10, "1000"], [10, "-999"]]}, "liquidity_net does not sum to zero"),
    (V3 | {"liquidity": str(2**128)}, "liquidity is out of range (too large)"),
    (V3 | {"sqrt_price_x96": str(2**160)}, "sqrt_price_x96 is out of range (too large)"),
    (V3 | {"sqrt_price_x96": "4295128738"}, "sqrt_price_x96 is out of range (4295128738)"),
    (V3 | {"tick": 1}, "sqrt_price_x96 does not lie in tick"),
    (V3 | {"tick": -2}, "sqrt_price_x96 does not lie in tick"),
    (V3 | {"tick": 887_273}, "tick is out of range (887273)"),
    (V3 | {"tick_spacing": 0}, "tick_spacing is out of range (0)"),
    (V3 | {"window": [[-2560, 2560]]}, "window is not whole bitmap words"),
    (V3 | {"window": [[5110, 2560]]}, "window is not one range"),
    (V3 | {"window": [[-2560, -10], [0, 2550]]}, "window is not one range"),
    ({"type": "token", "address": T1, "symbol": "A"}, "decimals is missing"),
    ({"type": "token", "address": T1, "symbol": 5, "decimals": 18}, "symbol is not a text"),
    ({"type": "token", "address": T1, "symbol": "A", "decimals": 37}, "decimals is out of range (37)"),
    ({"type": "token", "address": T1, "symbol": "A", "decimals": 77}, "decimals is out of range (77)"),
    ({"type": "token", "address": T1, "symbol": "A", "decimals": 255}, "decimals is out of range (255)"),
    ({"type": "token", "address": T1, "symbol": "A", "decimals": -1}, "decimals is out of range (-1)"),
    ({"type": "token", "address": T1, "symbol": "A", "decimals": "18.0"}, "decimals is not a whole number"),
    ({"type": "block", "number": -1}, "number is out of range (-1)"),
    ({"type": "block", "number": 1, "chain_id": 0}, "chain_id is out of range (0)"),
    ({"type": "block", "number": 1, "timestamp": 2**64}, "timestamp is out of range (18446744073709551616)"),
    ({"type": "block", "number": 1, "base_fee_per_gas": "1.5"}, "base_fee_per_gas is not a whole number"),
    ({"type": "block"}, "number is missing"),
    ({"type": "block", "number": 1.5}, "number is not a whole number"),
]


@pytest.mark.parametrize(("row", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_a_bad_line_is_reported_and_stops_nothing(row: object, reason: str) -> None:
    good = V2 | {"address": "0x" + "0a" * 20}
    snapshot = load(good, "", row, V2 | {"address": "0x" + "0b" * 20})
    assert [(problem.line, problem.reason) for problem in snapshot.problems] == [(3, reason)]
    assert len(snapshot.state.pools) == 2
    assert snapshot.counts.skipped == 1
    with pytest.raises(SnapshotError) as refused:
        load(good, "", row, strict=True)
    assert f"line 3: {reason}" in str(refused.value)
    assert refused.value.exit_code == 2


def test_duplicates_are_reported_and_the_first_stays() -> None:
    token = {"type": "token", "address": T1, "symbol": "A", "decimals": 18}
    block = {"type": "block", "number": 1}
    snapshot = load(block, block | {"number": 2}, token, token | {"symbol": "B"}, V2, V2 | {"reserve0": "5"})
    assert [(problem.line, problem.reason) for problem in snapshot.problems] == [
        (2, "a second block line"),
        (4, f"duplicate token {T1}"),
        (6, f"duplicate pool {V2['address']}"),
    ]
    assert snapshot.state.block.number == 1
    assert snapshot.state.tokens[T1].symbol == "A"
    assert next(iter(snapshot.state.pools.values())).reserve0 == 1000


@pytest.mark.parametrize(
    ("symbol", "shown"),
    [
        ("[@click=app.quit]x[/foo]", "[@click=app.quit]x[/foo]"),
        ("\x1b]0;t\x07\x9b31mA", "\ufffd]0;t\ufffd\ufffd31mA"),
        ("\u202eCDSU\u2066\u200b", "\ufffdCDSU\ufffd\ufffd"),
        ("a" + "\u0301" * 200, "\u00e1" + "\ufffd" * 30 + "\u2026"),
        ("'); DROP TABLE--\x00\ud800", "'); DROP TABLE--\ufffd\ufffd"),
        ("\u2028\u00a0\tx\r\n", "\ufffd\ufffd\ufffdx\ufffd\ufffd"),
        ("x" * 1_000_000, "x" * 31 + "\u2026"),
        ("", ""),
    ],
)
def test_a_symbol_is_one_short_line_that_acts_on_nothing(symbol: str, shown: str) -> None:
    snapshot = load({"type": "token", "address": T1, "symbol": symbol, "decimals": 0}, V2 | {"dex": symbol})
    assert snapshot.problems == ()
    assert snapshot.state.tokens[T1].symbol == shown
    assert next(iter(snapshot.state.pools.values())).dex == shown
    out = io.StringIO()
    write_snapshot(snapshot.state, out)
    again = load_snapshot(io.BytesIO(out.getvalue().encode()), strict=True)
    assert again.state.tokens == snapshot.state.tokens
    assert again.state.pools == snapshot.state.pools


@pytest.mark.parametrize(
    "row",
    [
        V2 | {"reserve0": "1", "reserve1": "1"},
        V2 | {"reserve0": "1", "reserve1": str(2**112 - 1)},
        V2 | {"reserve0": str(2**112 - 1), "reserve1": str(2**112 - 1)},
        V2 | {"fee_ppm": 999_999},
        V3 | {"liquidity": "0", "ticks": []},
        V3 | {"sqrt_price_x96": "4295128739", "tick": -887_272, "liquidity": "0", "ticks": []},
        V3 | {"sqrt_price_x96": str(MAX_SQRT_RATIO - 1), "tick": 887_271, "liquidity": "0", "ticks": []},
        V3 | {"fee_ppm": 0, "liquidity": "0", "ticks": [[100, "1"], [200, "-1"]]},
    ],
)
def test_pools_at_the_ends_of_what_can_be_neither_crash_nor_pay(row: dict[str, Any]) -> None:
    """B53-B58 of the hostile inputs: whatever is asked of them is answered."""
    other = V2 | {"address": "0x" + "0c" * 20, "reserve0": "1000000", "reserve1": "1000000"}
    state = load(row, other, strict=True).state
    pool = state.pools[parse_address(row["address"])]
    for token in (T1, T2):
        for amount in (0, 1, 10**6, 2**112, 2**255 - 1, 2**256):
            assert 0 <= pool.quote_out(token, amount) < 2**112
            pool.least_in(token, amount)
            try:
                done = pool.swap_exact_in(token, amount)
            except SwapReverts:
                continue
            assert done.amount_in <= amount
        pool.depth(token)
        pool.capacity_in(token)
        assert len(list(pool.stretches(token))) <= 3
    assert state.conversion(state.token(T2), state.token(T1)) is not None
    if pool.virtual_reserves(T1)[0] <= 1:
        found = find_opportunities(state, [parse_address(T1)], 2)
        assert all(one.amount_out > one.amount_in for one in found.opportunities)


def test_a_pool_without_a_state_is_left_out_and_counted(tmp_path: Path) -> None:
    """What cannot be a line: 0/0, 0/x, a price of 0. Everything else is written, and read back the same."""
    first = load(V2, V3).state
    one, two = first.pools.values()
    dead = [
        replace(one, address=parse_address("0x" + "aa" * 20), reserve0=0, reserve1=0),
        replace(one, address=parse_address("0x" + "ab" * 20), reserve1=0),
        FAMILIES[two.kind].unread(replace(two, address=parse_address("0x" + "ac" * 20))),
    ]
    for pool in dead:
        assert pool.quote_out(T1, 10) == pool.least_in(T1, 1) == 0
        assert not list(pool.stretches(T2))
    state = replace(first, pools={**first.pools, **{pool.address: pool for pool in dead}})
    file = tmp_path / "market.jsonl"
    assert write_snapshot_file(file, state, 1) == 3
    assert load_snapshot(file, strict=True).state.pools == first.pools


def test_a_pool_that_was_refused_does_not_take_the_address() -> None:
    snapshot = load(V2 | {"reserve0": "0"}, V2)
    assert len(snapshot.problems) == 1
    assert len(snapshot.state.pools) == 1


def test_no_block_line_is_block_zero_and_foreign_text_is_made_safe() -> None:
    token = {"type": "token", "address": T1, "symbol": "US\x1b[2JDC" + "x" * 40, "decimals": 6}
    snapshot = load("\ufeff" + json.dumps(token), V2 | {"dex": "a\nb"})
    assert snapshot.problems == ()
    assert snapshot.state.block.number == 0
    symbol = snapshot.state.tokens[T1].symbol
    assert symbol.startswith("US\ufffd[2JDC")
    assert len(symbol) == 32
    assert next(iter(snapshot.state.pools.values())).dex == "a\ufffdb"


def test_a_price_on_the_upper_edge_is_what_a_swap_down_leaves() -> None:
    row = V3 | {"sqrt_price_x96": str(sqrt_ratio_at_tick(-10)), "tick": -11, "liquidity": "600"}
    assert load(row).problems == ()


def test_bytes_that_are_not_text_and_a_line_too_long() -> None:
    raw = b'\xff\xfe{"type":1}\n' + b" " * (MAX_LINE_BYTES + 10) + b"\n" + json.dumps(V2).encode()
    snapshot = load_snapshot(io.BytesIO(raw))
    assert [(p.line, p.reason) for p in snapshot.problems] == [
        (1, "not UTF-8"),
        (2, f"longer than {MAX_LINE_BYTES} bytes"),
    ]
    assert len(snapshot.state.pools) == 1


def test_gzip_is_known_by_its_content_and_may_be_cut(tmp_path: Path) -> None:
    rows = [V2 | {"address": f"0x{number:040x}"} for number in range(1, 2000)]
    packed = gzip.compress("\n".join(json.dumps(row) for row in rows).encode())
    whole = tmp_path / "whole.jsonl"
    whole.write_bytes(packed)
    assert len(load_snapshot(whole).state.pools) == 1999
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(packed[: len(packed) // 2])
    snapshot = load_snapshot(str(cut))
    assert snapshot.problems[-1].reason == "the compressed file is damaged or ends early"
    damaged = tmp_path / "damaged.jsonl.gz"
    damaged.write_bytes(packed[:30] + b"\xff" * 40 + packed[70:])
    assert "damaged" in load_snapshot(damaged).problems[-1].reason
    with pytest.raises(SnapshotError, match="ends early"):
        load_snapshot(cut, strict=True)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(SnapshotError) as refused:
            load_snapshot(path)
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)


def test_what_is_written_is_read_back() -> None:
    block = {"type": "block", "number": 7, "chain_id": 10, "timestamp": 9, "base_fee_per_gas": "30"}
    token = {"type": "token", "address": WETH, "symbol": "WETH", "decimals": 18}
    windowed = V3 | {
        "address": "0x" + "03" * 20,
        "window": [[-2560, 2550]],
        "ticks": [[-10, "5"]],
    }
    first = load(block, token, V2, V3, windowed)
    assert first.problems == ()
    out = io.StringIO()
    write_snapshot(first.state, out, first.chain_id)
    second = load_snapshot(io.BytesIO(out.getvalue().encode()), strict=True)
    assert second.state.pools == first.state.pools
    assert second.state.tokens == first.state.tokens
    assert second.state.block == first.state.block
    assert second.chain_id == 10


@pytest.mark.parametrize("name", ["market.jsonl", "market.jsonl.gz"])
def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path, name: str) -> None:
    state = load(V2, V3).state
    file = tmp_path / name
    assert write_snapshot_file(file, state, 5) == 0
    once = file.read_bytes()
    assert (once[:2] == b"\x1f\x8b") == name.endswith(".gz")
    snapshot = load_snapshot(file, strict=True)
    assert snapshot.state.pools == state.pools
    assert snapshot.chain_id == 5
    write_snapshot_file(str(file), state, 5)
    assert file.read_bytes() == once, "the same market makes the same file"

    class Broken(dict[Any, Any]):
        def values(self) -> Any:
            yield next(iter(state.pools.values()))
            raise OSError(28, "No space left on device")

    with pytest.raises(SnapshotError, match="cannot be written: No space left on device"):
        write_snapshot_file(file, replace(state, pools=Broken()), 5)
    assert file.read_bytes() == once
    assert list(tmp_path.iterdir()) == [file], "no half file stays behind"
    with pytest.raises(SnapshotError, match="cannot be written"):
        write_snapshot_file(tmp_path / "none" / name, state)


def test_gross_liquidity_and_an_unknown_one_survive_the_file() -> None:
    known = V3 | {"liquidity_gross": ["600", "400", "400", "700"]}
    away = V3 | {
        "address": "0x" + "03" * 20,
        "window": [[2560, 5110]],
        "ticks": [[2600, "7"]],
    }
    state = load(known, away, V3 | {"address": "0x" + "04" * 20}, strict=True).state
    first, second, third = state.pools.values()
    assert isinstance(first, UniswapV3Pool)
    assert first.gross == (600, 400, 400, 700)
    assert isinstance(third, UniswapV3Pool)
    assert third.gross is None
    assert second.quote_out(T1, 5) == second.quote_out(T2, 5) == 0, "its price is outside the ticks known"
    out = io.StringIO()
    assert write_snapshot(state, out) == 0
    assert load_snapshot(io.BytesIO(out.getvalue().encode()), strict=True).state.pools == state.pools


def test_what_a_small_file_unpacks_to_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MAX_FILE_BYTES", 24 << 20)
    monkeypatch.setattr(snapshots, "MAX_LINES", 5_000)
    good = json.dumps(V2).encode() + b"\n"
    for name, body in (("one line", b"x" * (40 << 20)), ("many lines", b"x\n" * (20 << 20))):
        file = tmp_path / "bomb.gz"
        file.write_bytes(gzip.compress(good + body, 1))
        assert file.stat().st_size < 1 << 20
        tracemalloc.start()
        snapshot = load_snapshot(file)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 24 << 20, name
        assert len(snapshot.state.pools) == 1
        assert len(snapshot.problems) <= snapshots.PROBLEMS_KEPT
        if name == "one line":
            assert snapshot.problems[-1].reason == "the file is longer than 24 MiB: the rest is not read"
        else:
            assert snapshot.counts.skipped == 5_000
        with pytest.raises(SnapshotError, match="snapshot .*: line 2: .*"):
            load_snapshot(file, strict=True)


def test_the_number_of_pools_and_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MAX_POOLS", 2)
    monkeypatch.setattr(snapshots, "MAX_TOKENS", 1)
    tokens = [{"type": "token", "address": f"0x{n:040x}", "decimals": 1} for n in (1, 2)]
    snapshot = load(*tokens, *(V2 | {"address": f"0x{number:040x}"} for number in range(1, 5)))
    assert [problem.reason for problem in snapshot.problems] == [
        "more than 1 tokens",
        "more than 2 pools",
        "more than 2 pools",
    ]


@pytest.mark.parametrize(
    "number", [0, 1, 0xDEADBEEF << 100, 2**160 - 1, 0xC02AAA39B223FE8D0A0E5C4F27EAD9083C756CC2]
)
def test_our_quick_checksum_is_the_checksum(number: int) -> None:
    text = f"0x{number:040x}"
    right = parse_address(text)
    assert checksum_address(text, "x") == right
    assert checksum_address(right, "x") == right
    assert checksum_address("0x" + text[2:].upper(), "x") == right
    if right[2:] not in (text[2:], text[2:].upper()):
        with pytest.raises(BadField, match="wrong checksum"):
            checksum_address("0x" + right[2:].swapcase(), "x")


def test_a_line_of_many_names_costs_no_more_than_reading_it() -> None:
    names = ",".join(f'"{number:x}":0' for number in range(40_000))
    before = time.process_time()
    with pytest.raises(BadField, match="'zz' is there twice"):
        parse_row(f'{{{names},"zz":0,"zz":0}}')
    assert time.process_time() - before < 3, "with the square of the names it is 13 s"


def test_a_deeply_nested_line_is_reported_where_a_library_has_lifted_the_limit_of_recursion() -> None:
    """Without the look at its depth first it overflows the C stack, and Python is gone."""
    as_it_was = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        snapshot = load("[" * 100_000 + "]" * 100_000, '{"a":"' + "[" * 2_000 + '"}')
    finally:
        sys.setrecursionlimit(as_it_was)
    assert [(problem.line, problem.reason) for problem in snapshot.problems] == [
        (1, "not JSON"),
        (2, "type is missing"),
    ]
