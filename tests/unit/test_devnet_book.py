"""The address book's two forms, the plan, and how a run is recognised."""

from __future__ import annotations

import json
import os
import tomllib
from fractions import Fraction
from pathlib import Path

import pytest

from arbtui.devnet import plan, runs
from arbtui.devnet.anvil import find_anvil, state_root
from arbtui.devnet.artifacts import Artifacts
from arbtui.devnet.book import LENDERS, AddressBook, BookFactory, BookPool, BookToken
from arbtui.devnet.deploy import treasury_address
from arbtui.devnet.runs import ProcessId, Run
from arbtui.errors import DevnetError
from arbtui.units import Address, parse_address


def address(number: int) -> Address:
    return parse_address(f"0x{number:040x}")


@pytest.fixture
def book() -> AddressBook:
    return AddressBook(
        accounts=(address(1), address(2)),
        tokens=(BookToken(address(3), "WETH", 18), BookToken(address(4), "USDC", 6)),
        pools=(
            BookPool(address(5), "sushiswap", "uniswap_v2", address(3), address(4), 3000),
            BookPool(address(6), "uniswap", "uniswap_v3", address(3), address(4), 500, 10),
        ),
        lenders={name: address(10 + number) for number, name in enumerate(LENDERS)},
        executor=address(20),
        wallet=address(2),
        treasury=treasury_address(),
        multicall=address(21),
        trader=address(22),
        traders=(address(23),),
        seed=7,
        transactions=306,
        factories=(
            BookFactory(address(30), "sushiswap", "uniswap_v2", 3000),
            BookFactory(address(31), "uniswap", "uniswap_v3"),
        ),
    ).at("http://127.0.0.1:8545", os.getpid(), Path("/tmp/x/arbtui.toml"))  # noqa: S108


def test_the_json_has_what_other_programs_rely_on(book: AddressBook) -> None:
    shown = book.to_json()
    assert shown.keys() >= {
        *("rpc_url", "ws_url", "chain_id", "pid", "config", "accounts", "tokens", "pools", "lenders"),
        *("executor", "wallet", "treasury"),
    }
    assert shown["ws_url"] == "ws://127.0.0.1:8545"
    assert shown["tokens"]["USDC"] == {"address": address(4), "decimals": 6}
    assert shown["pools"][0].keys() == {"address", "dex", "kind", "token0", "token1", "fee_ppm"}
    assert shown["lenders"].keys() == set(LENDERS)
    assert AddressBook.from_json(json.loads(json.dumps(shown))) == book


def test_a_book_that_lacks_something_is_refused(book: AddressBook) -> None:
    shown = book.to_json()
    del shown["lenders"]["maker"]
    with pytest.raises(DevnetError, match="maker"):
        AddressBook.from_json(shown)
    for nonsense in (None, [], {"accounts": 3}, "x"):
        with pytest.raises(DevnetError):
            AddressBook.from_json(nonsense)


def test_the_configuration_is_toml_with_the_agreed_layout(book: AddressBook) -> None:
    config = tomllib.loads(book.to_toml(Path('/tmp/a "quoted" folder')))  # noqa: S108
    assert config["chain"] == {
        "name": "local",
        "chain_id": 31337,
        "rpc_url": "http://127.0.0.1:8545",
        "push_url": "ws://127.0.0.1:8545",
        "native_symbol": "ETH",
        "wrapped_native": address(3),
        "multicall": address(21),
        "local": True,
        "block_time_s": 1,
    }
    assert config["wallet"] == {"address": book.wallet, "executor": book.executor, "treasury": book.treasury}
    assert config["store"]["directory"] == '/tmp/a "quoted" folder'  # noqa: S108
    assert config["search"]["base_tokens"] == ["WETH", "USDC", "DAI", "WBTC", "USDT"]
    assert [token["symbol"] for token in config["tokens"]] == ["WETH", "USDC"]
    assert config["pools"][1]["tick_spacing"] == 10
    assert "tick_spacing" not in config["pools"][0]
    assert config["lenders"]["maker"]["stand_in"] is True
    assert "stand_in" not in config["lenders"]["aave_v3"]


def test_liquidity_follows_the_seed_and_nothing_else() -> None:
    assert plan.pools(7) == plan.pools(7)
    assert plan.pools(7) != plan.pools(1)
    for here, there in zip(plan.pools(7), plan.pools(1), strict=True):
        assert (here.a, here.b, here.kind, here.fee_ppm) == (there.a, there.b, there.kind, there.fee_ppm)


def test_every_token_has_a_way_to_weth_over_two_pools_at_most() -> None:
    pairs = {frozenset({pool.a, pool.b}) for pool in plan.pools(1)}
    beside = {symbol for pair in pairs if "WETH" in pair for symbol in pair}
    for token in plan.TOKENS:
        assert token.symbol in beside or any(token.symbol in pair and pair & beside for pair in pairs)


def test_first_prices() -> None:
    assert plan.raw_price("WETH", "USDC") == Fraction(2_500 * 10**6, 10**18)
    assert plan.sqrt_price_x96(Fraction(4)) == 2 * 2**96
    assert plan.tick_at(Fraction(1)) == 0
    assert plan.worth("WETH", 5_000) == 2 * 10**18


def test_the_treasury_is_nobodys_account() -> None:
    assert treasury_address() == "0x18c11Ab6c16c0003168E8Fa079ec611D4320e5c5"


def test_missing_artifacts_say_how_to_mend_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBTUI_NODE_MODULES", str(tmp_path))
    with pytest.raises(DevnetError, match="make setup") as caught:
        Artifacts()
    assert "\n" not in str(caught.value)


def test_a_missing_anvil_says_how_to_mend_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBTUI_ANVIL", str(tmp_path / "anvil"))
    with pytest.raises(DevnetError, match="ARBTUI_ANVIL"):
        find_anvil()
    monkeypatch.delenv("ARBTUI_ANVIL")
    monkeypatch.setenv("ARBTUI_NODE_MODULES", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DevnetError, match="make setup"):
        find_anvil()


def test_a_process_is_known_by_when_it_started_too() -> None:
    me = ProcessId.of(os.getpid())
    assert me.alive()
    assert me.looks_like("python") or me.looks_like("pytest")
    assert not ProcessId(os.getpid(), "1").alive()
    assert not ProcessId(os.getpid(), "").alive()


def test_only_a_local_chain_is_ever_ended(
    book: AddressBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARBTUI_STATE", str(tmp_path))
    me = ProcessId.of(os.getpid())
    (state_root() / "8545").mkdir(parents=True)
    runs.record(Run(8545, me, me, book, traffic=True, block_time=2))
    found = runs.find(None)
    assert found is not None
    assert found.book == book
    with pytest.raises(DevnetError, match="left alone"):
        runs.end(found)
    (state_root() / "8545" / "devnet.json").write_text("{")
    assert runs.find(8545) is None


def test_several_chains_are_told_apart(
    book: AddressBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARBTUI_STATE", str(tmp_path))
    me = ProcessId.of(os.getpid())
    for port in (9001, 9002):
        (state_root() / str(port)).mkdir(parents=True)
        runs.record(Run(port, me, me, book, traffic=True, block_time=2))
    with pytest.raises(DevnetError, match="9001, 9002"):
        runs.find(None)
    named = runs.find(9002)
    assert named is not None
    assert named.port == 9002
