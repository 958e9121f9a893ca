from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from arbtui.errors import SnapshotError
from arbtui.market import UniswapV2Pool, UniswapV3Pool, load_snapshot, write_snapshot
from arbtui.market.fields import BadField, checksum_address
from arbtui.market.snapshot import MAX_LINE_BYTES
from arbtui.market.tick_math import sqrt_ratio_at_tick
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
    (without(V3, "ticks"), "ticks is missing"),
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
    ({"type": "token", "address": T1, "symbol": "A", "decimals": 256}, "decimals is out of range (256)"),
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
