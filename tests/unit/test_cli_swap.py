"""`arbtui swap` on lines: state carries on from line to line, and a line that cannot be done changes nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from arbtui.cli.swap import swap, swap_lines
from arbtui.market import load_snapshot
from arbtui.market import snapshot as snapshots

T1, T2 = "0x" + "11" * 20, "0x" + "22" * 20
PAIR, DEEP = "0x" + "01" * 20, "0x" + "02" * 20
ROWS: list[dict[str, Any]] = [
    {"type": "token", "address": T1, "symbol": "AA", "decimals": 3},
    {
        "type": "pool",
        "address": PAIR,
        "dex": "sushi",
        "kind": "uniswap_v2",
        "token0": T1,
        "token1": T2,
        "fee_ppm": 3000,
        "reserve0": "10000",
        "reserve1": "20000",
    },
    {
        "type": "pool",
        "address": DEEP,
        "dex": "uniswap",
        "kind": "uniswap_v3",
        "token0": T1,
        "token1": T2,
        "fee_ppm": 500,
        "tick_spacing": 10,
        "sqrt_price_x96": str(2**96),
        "tick": 0,
        "liquidity": "1000000",
        "ticks": [[-100, "1000000"], [100, "-1000000"]],
    },
]
BODY = "\n".join(json.dumps(row) for row in ROWS)


def answers(*lines: str, exact_out: bool = False) -> list[dict[str, Any]]:
    return list(swap_lines(load_snapshot(io.BytesIO(BODY.encode())).state, lines, exact_out))


def test_each_line_starts_where_the_one_before_ended() -> None:
    first, second, third = answers(f"{PAIR} AA 1000", f"{PAIR} {T2} 500 exact-out", f"{DEEP} AA 1000")
    # 1000 * 0.997 * 20000 / (10000 + 997), rounded down.
    assert (first["amount_in"], first["amount_out"], first["fee"]) == ("1000", "1813", "3")
    assert first["after"] == {"reserve0": "11000", "reserve1": "18187"}
    # 18187 * 500 / ((11000 - 500) * 0.997), rounded down, and 1.
    assert (second["amount_in"], second["amount_out"]) == ("869", "500")
    assert second["after"] == {"reserve0": "10500", "reserve1": "19056"}
    assert list(third["after"]) == ["sqrt_price_x96", "tick", "liquidity"]
    assert (third["after"]["tick"], third["after"]["liquidity"]) == (-20, "1000000")


def test_a_line_that_cannot_be_done_says_why_and_changes_nothing() -> None:
    done = answers(
        f"{PAIR} AA 0",
        f"{PAIR} AA 20000 exact-out",
        f"{PAIR} AA {2**112}",
        f"{DEEP} AA {2**255}",
        f"{PAIR} AA -1",
        f"{PAIR} AA 1_000",
        f"{PAIR} BB 1",
        f"{'0x' + '09' * 20} AA 1",
        "what is this line",
        "   ",
        f"{PAIR} AA 1000",
    )
    assert [row.get("error") for row in done[:4]] == [
        "INSUFFICIENT_INPUT_AMOUNT",
        "INSUFFICIENT_LIQUIDITY",
        "OVERFLOW",
        "the amount does not fit int256",
    ]
    assert all("error" in row for row in done[4:9])
    assert done[9]["amount_out"] == "1813"
    assert len(done) == 10


def test_a_v3_pool_that_runs_dry_takes_what_it_can() -> None:
    all_of_it, nothing_left = answers(f"{DEEP} AA {10**12}", f"{DEEP} AA 5")
    assert int(all_of_it["amount_in"]) < 10_000
    assert all_of_it["after"]["liquidity"] == "0"
    assert nothing_left["error"] == "SPL"


def test_exact_out_for_all_lines() -> None:
    (row,) = answers(f"{PAIR} AA 1813", exact_out=True)
    assert (row["amount_in"], row["amount_out"]) == ("1000", "1813")


def test_the_command_counts_every_line_it_skips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "PROBLEMS_KEPT", 2)
    file = tmp_path / "market.jsonl"
    file.write_text(BODY + "\nx\ny\nz\n", "utf-8")
    ran = CliRunner().invoke(swap, ["--snapshot", str(file), "-"], input=f"{PAIR} AA 1000\n{PAIR} AA 0\n")
    assert ran.exit_code == 0
    assert "3 lines of the snapshot skipped; line 4: not JSON" in ran.stderr
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    assert rows[0]["amount_out"] == "1813"
    assert rows[1] == {"error": "INSUFFICIENT_INPUT_AMOUNT", "pool": load_address(PAIR)}


def load_address(text: str) -> str:
    return next(pool for pool in load_snapshot(io.BytesIO(BODY.encode())).state.pools if pool.lower() == text)
