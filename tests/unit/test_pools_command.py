"""`arbtui pools` without a node, and how progress is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from arbtui.cli import cli
from arbtui.discovering import Pace, Step, discover, progress_lines
from arbtui.errors import ConfigError, StoreError
from arbtui.store import MarketStore
from tests.fake_market import MULTICALL, address, fake_market, text, token, words
from tests.unit.test_discovery import USD, WETH, config_of, market_of_pairs


def file_of(folder: Path, factory: str, more: str = "") -> Path:
    """A configuration file like `config_of`'s, with one V2 factory."""
    other = address("somebody")
    path = folder / "arbtui.toml"
    path.write_text(
        f"""
[chain]
name = "test"
chain_id = 31337
rpc_url = "http://127.0.0.1:1"
wrapped_native = "{WETH}"
multicall = "{MULTICALL}"
[wallet]
address = "{other}"
executor = "{other}"
treasury = "{other}"
[store]
directory = "store"
[search]
base_tokens = ["WETH", "USD"]
[[tokens]]
address = "{WETH}"
symbol = "WETH"
decimals = 18
[[tokens]]
address = "{USD}"
symbol = "USD"
decimals = 18
[discovery]
{more}
"""
        + (
            f'[[discovery.factories]]\ndex = "dex"\nkind = "uniswap_v2"\naddress = "{factory}"\nfee_ppm = 3000\n'
            if factory
            else ""
        ),
        "utf-8",
    )
    return path


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["pools", *arguments], catch_exceptions=False)
    return result.stdout


def test_without_factories_there_is_nothing_to_ask(tmp_path: Path) -> None:
    path = file_of(tmp_path, "")
    result = CliRunner().invoke(cli, ["pools", "discover", "--config", str(path)])
    assert isinstance(result.exception, ConfigError)
    assert result.exception.exit_code == 2
    assert json.loads(invoke("list", "--json", "--config", str(path))) == {
        "block": None,
        "pools": [],
        "filtered": {},
    }


async def test_the_list_needs_no_node_and_shows_hostile_names_inert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "220")
    async with fake_market() as (market, node):
        factory = market_of_pairs(market, 1)
        for i, (name, decimals) in enumerate(
            [("[/red]", 18), ("'); DROP TABLE pool;--", 18), ("USD", 18), ("BIG", 77), ("\x1b]0;x\x07", 18)]
        ):
            where = address("hostile", i)
            market.put(where, token(text(name), words(decimals)))
            factory.pair(WETH, where)
            factory.pair(USD, where)
        await discover(config_of(tmp_path, factory), node)
    path = str(file_of(tmp_path, factory.address, f"min_liquidity_wei = {10**18}"))
    answer = json.loads(invoke("list", "--json", "--config", path))
    assert len(answer["pools"]) == 9
    assert answer["filtered"] == {"look_alike": 2, "token_unusable": 2}
    assert {row["source"] for row in answer["pools"]} == {"discovered"}
    assert all(int(row["value_wei"]) == 10**21 for row in answer["pools"])
    left = json.loads(invoke("list", "--filtered", "--json", "--config", path))["pools"]
    assert {(row["reason"], row["detail"]) for row in left} == {
        ("look_alike", ""),
        ("token_unusable", "77 decimals, more than 36"),
    }
    fake = address("hostile", 2)
    symbols = {row[side]["address"]: row[side]["symbol"] for row in left for side in ("token0", "token1")}
    assert symbols[fake] == f"USD?{fake[2:8]}"
    for shown in (invoke("list", "--config", path), invoke("list", "--filtered", "--config", path)):
        assert "\x1b" not in shown
        assert "\x07" not in shown
    assert "[/red]" in invoke("list", "--config", path)
    assert "'); DRO…?" in invoke("list", "--config", path)


def test_a_store_of_another_chain_is_named(tmp_path: Path) -> None:
    path = file_of(tmp_path, address("factory"))
    MarketStore.open(tmp_path / "store", 1, "0x00").close()
    result = CliRunner().invoke(cli, ["pools", "list", "--config", str(path)])
    assert isinstance(result.exception, StoreError)
    assert "was discovered on chain 1" in str(result.exception)


@pytest.mark.parametrize("damage", [b"not a database at all" * 100, b""])
def test_a_damaged_market_file_is_one_line(tmp_path: Path, damage: bytes) -> None:
    path = file_of(tmp_path, address("factory"))
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "market.sqlite").write_bytes(damage)
    result = CliRunner().invoke(cli, ["pools", "list", "--config", str(path)])
    assert isinstance(result.exception, StoreError)
    assert len(str(result.exception).splitlines()) == 1


def test_the_pace_counts_from_where_it_began() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    assert pace.line(Step("dex", 5_000, 10_000, "pairs", 0)) == "dex: 5,000 of 10,000 pairs, 0 found"
    now[0] = 2.0
    line = pace.line(Step("dex", 6_000, 10_000, "pairs", 900))
    assert line == "dex: 6,000 of 10,000 pairs, 900 found, 500 pairs/s, 8 s left"
    now[0] = 3.0
    assert pace.line(Step("tokens", 10, 10, "tokens", 10)) == "tokens: 10 of 10 tokens, 10 found"


def test_lines_come_now_and_then() -> None:
    now = [0.0]
    said: list[str] = []
    tell = progress_lines(said.append, 5.0, lambda: now[0])
    for second in range(13):
        now[0] = float(second)
        tell(Step("dex", second, 12, "blocks", 0))
    assert [line.split(",")[0] for line in said] == [
        "discovery: dex: 5 of 12 blocks",
        "discovery: dex: 10 of 12 blocks",
    ]
