"""The `scan` answer on a file, and the `swap` command, end to end on a small market."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from arbtui.cli.scan_snapshot import snapshot_scan
from arbtui.cli.swap import swap
from arbtui.errors import SnapshotError, UsageError
from arbtui.market import load_snapshot

MARKET = Path(__file__).parents[1] / "data" / "market_small.jsonl"
WETH = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"
USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
UNI, SUSHI, V3 = (f"0x{number:040x}" for number in (0x100, 0x101, 0x102))


def test_scan_answers_as_the_interface_says() -> None:
    answer = snapshot_scan(MARKET, [], 3, None, False)
    assert (answer["block"], answer["pools"], answer["tokens"]) == (18_806_161, 5, 3)
    assert answer["skipped"] == {
        "count": 1, "problems": [{"line": 11, "reason": "reserve0 is out of range (0)"}],
    }  # fmt: skip
    assert set(answer["elapsed_ms"]) == {"load", "index", "screen", "size", "total"}
    assert answer["cycles"] == 12
    best = answer["opportunities"][0]
    assert best["token"] == {"address": WETH, "symbol": "WETH", "decimals": 18}
    gross = int(best["amount_out"]) - int(best["amount_in"])
    assert best["gross_profit"] == str(gross)
    assert gross > 0
    # Hop by hop with the pools themselves.
    pools = load_snapshot(MARKET).state.pools
    amount, token = int(best["amount_in"]), WETH
    for step in best["path"]:
        assert (step["token_in"], step["amount_in"]) == (token, str(amount))
        done = pools[step["pool"]].swap_exact_in(token, amount)
        amount, token = done.amount_out, step["token_out"]
        assert step["amount_out"] == str(amount)
        assert step["kind"] == pools[step["pool"]].kind.value
    assert (token, str(amount)) == (WETH, best["amount_out"])
    assert json.loads(json.dumps(answer)) == answer


def test_scan_takes_bases_hops_and_top() -> None:
    two = snapshot_scan(str(MARKET), ["USDC", WETH.lower()], 2, 1, False)
    assert [found["token"]["symbol"] for found in two["opportunities"]] == ["USDC", "WETH"]
    assert all(len(found["path"]) == 2 for found in two["opportunities"])
    counts = [snapshot_scan(str(MARKET), ["WETH"], hops, None, False)["cycles"] for hops in (2, 3, 4)]
    assert counts == sorted(counts)
    with pytest.raises(UsageError, match="PEPE"):
        snapshot_scan(MARKET, ["PEPE"], 2, None, False)
    with pytest.raises(SnapshotError, match="line 11"):
        snapshot_scan(MARKET, [], 2, None, True)


def test_scan_without_a_wrapped_coin_takes_the_busiest_token(tmp_path: Path) -> None:
    def pool(number: int, token0: int, token1: int) -> str:
        row = {
            "type": "pool", "address": f"0x{number:040x}", "dex": "x", "kind": "uniswap_v2", "fee_ppm": 0,
            "token0": f"0x{token0:040x}", "token1": f"0x{token1:040x}",
            "reserve0": str(1000 * number), "reserve1": "9999",
        }  # fmt: skip
        return json.dumps(row)

    path = tmp_path / "market.jsonl"
    path.write_text("\n".join([pool(9, 1, 2), pool(10, 2, 3), pool(11, 2, 3)]))
    answer = snapshot_scan(path, [], 2, None, False)
    assert answer["opportunities"][0]["token"] == {"address": f"0x{2:040x}", "symbol": "", "decimals": 0}
    path.write_text("")
    assert snapshot_scan(path, [], 2, None, False)["opportunities"] == []


def run(*arguments: str, text: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(swap, ["--snapshot", str(MARKET), *arguments], input=text)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_swap_answers_as_the_interface_says() -> None:
    code, out = run(UNI, "WETH", str(10**18), "--json")
    answer = json.loads(out)
    pool = load_snapshot(MARKET).state.pools[UNI]  # type: ignore[index]
    done = pool.swap_exact_in(WETH, 10**18)  # type: ignore[arg-type]
    assert code == 0
    assert answer == {
        "amount_in": str(10**18),
        "amount_out": str(done.amount_out),
        "fee": str(3 * 10**15),
        "price_impact_bps": done.price_impact_bps,
        "after": {
            "reserve0": str(10**13 - done.amount_out),
            "reserve1": str(5 * 10**21 + 10**18),
        },
    }
    code, out = run("--exact-out", "--json", UNI, WETH, answer["amount_out"])
    assert code == 0
    assert int(json.loads(out)["amount_in"]) <= 10**18
    code, out = run(V3, USDC, "1000000", "--json")
    assert set(json.loads(out)["after"]) == {"sqrt_price_x96", "tick", "liquidity"}


def test_swap_shows_a_person_the_same() -> None:
    code, out = run(UNI, "WETH", str(10**18))
    assert code == 0
    assert "in      1 WETH" in out.replace("1.000000000000000000", "1")
    assert "USDC" in out
    assert "impact" in out


def test_swap_that_would_revert_exits_1() -> None:
    code, out = run(UNI, "WETH", "0", "--json")
    assert (code, json.loads(out)["error"]) == (1, "INSUFFICIENT_INPUT_AMOUNT")
    code, out = run(V3, "USDC", "0")
    assert code == 1
    assert "AS" in out


@pytest.mark.parametrize(
    "arguments",
    [
        (UNI, "WETH"),
        (UNI, "WETH", "1.5"),
        (UNI, "WETH", "1_0"),
        (UNI, "DAI", "1"),
        (UNI, "NONE", "1"),
        (f"0x{0x999:040x}", "WETH", "1"),
        ("pool", "WETH", "1"),
        ("-", "-"),
    ],
)
def test_swap_refuses_bad_usage(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as refused:
        run(*arguments)
    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)


def test_a_stream_of_swaps_carries_the_state_on() -> None:
    amount = str(10**18)
    lines = [
        f"{UNI} WETH {amount}",
        "",
        f"{UNI} WETH {amount}",
        f"{UNI} WETH 0",
        f"{UNI} nonsense",
        f"{UNI} {USDC.lower()} 1000000 exact-out",
        f"{UNI} WETH {amount} exact-in",
        f"{SUSHI} WETH {amount}",
    ]
    code, out = run("-", "--json", text="\n".join(lines))
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert len(answers) == 7
    first, second, third, fourth, fifth, sixth, seventh = answers
    assert int(second["amount_out"]) < int(first["amount_out"])
    assert int(second["after"]["reserve1"]) == 5 * 10**21 + 2 * 10**18
    assert third["error"] == "INSUFFICIENT_INPUT_AMOUNT"
    assert "POOL TOKEN_IN AMOUNT" in fourth["error"]
    assert fifth["amount_out"] == "1000000"
    assert int(fifth["after"]["reserve1"]) == 5 * 10**21 + 2 * 10**18 - 1_000_000
    assert "error" in sixth
    assert "error" not in seventh
