"""Discovery against real factories on the local chain, and market files written from it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from arbtui.abi import encode_call
from arbtui.bootstrap import diagnose, open_desk
from arbtui.cli import cli
from arbtui.cli.pools import _read_market
from arbtui.config import Config
from arbtui.devnet import Devnet
from arbtui.discovering import discover, known
from arbtui.errors import StoreError
from arbtui.market import UniswapV3Pool, load_snapshot
from arbtui.market.filters import Listing
from arbtui.store import open_market
from arbtui.units import Address, parse_address
from tests.chain import Hand, config_for, in_hand, running_chain, trade_until
from tests.many_pairs import add_pairs

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


def bare(config: Config) -> Config:
    """Without configured pools: the factories must bring them."""
    return config.model_copy(update={"pools": ()})


def shapes(config: Config) -> set[tuple[object, ...]]:
    return {
        (p.address, p.dex, p.kind, p.token0, p.token1, p.fee_ppm, getattr(p, "tick_spacing", None))
        for p in known(config).pools.values()
    }


@pytest.mark.parametrize("listing", ["index", "logs"])
async def test_the_factories_list_exactly_the_configured_pools(
    devnet: Devnet, tmp_path: Path, listing: str
) -> None:
    config = config_for(devnet, tmp_path / "store")
    factories = tuple(
        f.model_copy(update={"listing": Listing(listing)}) if f.kind == "uniswap_v2" else f
        for f in config.discovery.factories
    )
    assert len(factories) == 3
    policy = config.discovery.model_copy(update={"factories": factories, "log_blocks": 7})
    config = bare(config.model_copy(update={"discovery": policy}))
    async with in_hand(devnet) as hand:
        outcome = await discover(config, hand.node)
        assert outcome.dropped == {}
        assert shapes(config) == {
            (p.address, p.dex, p.kind, p.token0, p.token1, p.fee_ppm, p.tick_spacing or None)
            for p in devnet.book.pools
        }
        assert sum(asked.new for asked in outcome.asked) == len(devnet.book.pools)
        again = await discover(config, hand.node)
        assert [asked.new for asked in again.asked] == [0, 0, 0]


async def test_discovered_pools_are_the_market_that_configured_ones_are(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = config_for(devnet, tmp_path / "store")
    async with in_hand(devnet) as hand:
        block = await hand.node.block()
        async with open_desk(config) as desk:
            configured = await desk.market(block)
        await discover(bare(config), hand.node)
        async with open_desk(bare(config)) as desk:
            found = await desk.market(block)
            one = await desk.quotes(10**18, desk.wrapped_native)
    assert dict(found.pools) == dict(configured.pools)
    assert one[2] is not None


async def new_pair(hand: Hand, one: Address, other: Address) -> None:
    factory = next(f for f in hand.book.factories if f.kind == "uniswap_v2")
    await hand.send(hand.book.accounts[0], factory.address, "createPair(address,address)", one, other)


async def test_a_new_pair_is_found_and_one_that_a_reorganisation_took_is_gone(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = bare(config_for(devnet, tmp_path / "store"))
    weth = devnet.book.token("WETH").address
    async with in_hand(devnet) as hand:
        await discover(config, hand.node)
        fork = await hand.rpc.call("evm_snapshot")
        await new_pair(hand, parse_address("0x" + "77" * 20), weth)
        outcome = await discover(config, hand.node)
        assert sum(asked.new for asked in outcome.asked) == 1
        # A token that is no contract has no decimals.
        assert outcome.dropped == {"token_unusable": 1}
        assert await hand.rpc.call("evm_revert", [fork])
        await hand.mine(3)
        again = await discover(config, hand.node)
        assert again.dropped == {}
        assert any("reorganised" in note for asked in again.asked for note in asked.notes)
        assert len(known(config).pools) == len(devnet.book.pools)


def invoke(*arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    answer: dict[str, object] = json.loads(result.stdout.splitlines()[-1])
    return answer


def test_the_commands_discover_list_and_say_what_is_left_out(devnet: Devnet, tmp_path: Path) -> None:
    config_for(devnet, tmp_path / "store")
    path = tmp_path / "store.toml"
    text = path.read_text("utf-8")
    # The first two pools are not configured, and one of those is blocked.
    head, *entries = text.split("[[pools]]")
    gone = [parse_address(entry.split('"')[1]) for entry in entries[:2]]
    path.write_text(
        "[[pools]]".join([head, *entries[2:]]) + f'\n[discovery]\nblock_pools = ["{gone[1]}"]\n', "utf-8"
    )
    before = invoke("pools", "list", "--json", "--config", str(path))
    assert before["block"] is None
    found = invoke("pools", "discover", "--json", "--config", str(path))
    assert (found["kept"], found["filtered"]) == (1, {"pool_blocked": 1})
    listed = invoke("pools", "list", "--json", "--config", str(path))
    rows = listed["pools"]
    assert isinstance(rows, list)
    assert len(rows) == len(devnet.book.pools) - 1
    (mine,) = [row for row in rows if row["source"] == "discovered"]
    assert mine["address"] == gone[0]
    assert int(mine["value_wei"]) > 10**18
    filtered = invoke("pools", "list", "--filtered", "--json", "--config", str(path))["pools"]
    assert isinstance(filtered, list)
    assert [(row["address"], row["reason"]) for row in filtered] == [(gone[1], "pool_blocked")]
    scanned = invoke("scan", "--json", "--config", str(path))
    assert scanned["pools"] == len(rows)


async def test_doctor_says_what_is_discovered(devnet: Devnet, tmp_path: Path) -> None:
    config = config_for(devnet, tmp_path / "store")
    findings = {finding.check: finding for finding in await diagnose(config)}
    assert "nothing yet" in findings["discovery"].detail
    async with in_hand(devnet) as hand:
        await discover(config, hand.node)
    findings = {finding.check: finding for finding in await diagnose(config)}
    assert findings["discovery"].ok
    assert "0 pools kept" in findings["discovery"].detail
    assert sum(check.startswith("discovery.factories") for check in findings) == 3


@pytest.mark.parametrize("name", ["market.jsonl", "market.jsonl.gz"])
def test_a_market_file_reads_back_as_the_chain_is(devnet: Devnet, tmp_path: Path, name: str) -> None:
    config_for(devnet, tmp_path / "store")
    path, file = str(tmp_path / "store.toml"), tmp_path / name
    answer = invoke("pools", "snapshot", str(file), "--whole-ticks", "--json", "--config", path)
    assert answer["pools"] == len(devnet.book.pools)
    snapshot = load_snapshot(file, strict=True)
    assert snapshot.chain_id == devnet.book.chain_id
    concentrated = [p for p in snapshot.state.pools.values() if isinstance(p, UniswapV3Pool)]
    assert concentrated
    assert all(pool.window is None and pool.ticks for pool in concentrated)
    scanned = invoke("scan", "--snapshot", str(file), "--json", "--base", "WETH")
    live = invoke("scan", "--json", "--base", "WETH", "--config", path)
    assert (scanned["block"], scanned["pools"]) == (live["block"], live["pools"])
    assert scanned["opportunities"] == live["opportunities"]


def test_a_market_file_that_cannot_be_written_leaves_nothing(devnet: Devnet, tmp_path: Path) -> None:
    config_for(devnet, tmp_path / "store")
    target = tmp_path / "nowhere" / "market.jsonl"
    result = CliRunner().invoke(
        cli, ["pools", "snapshot", str(target), "--config", str(tmp_path / "store.toml")]
    )
    assert result.exit_code != 0
    assert "cannot be written" in str(result.exception)
    assert not target.parent.exists()


async def test_hundreds_of_pairs_are_discovered_and_read(devnet: Devnet, tmp_path: Path) -> None:
    config = bare(config_for(devnet, tmp_path / "store"))
    async with in_hand(devnet) as hand:
        pairs = await add_pairs(hand, 320)
        outcome = await discover(config, hand.node)
        assert outcome.kept == 320 + len(devnet.book.pools)
        async with open_desk(config) as desk:
            state = await desk.market()
            assert desk.failed == {}
            # A contract that went away is left out with its reason; the rest is read as before.
            await hand.rpc.call("anvil_setCode", [pairs[7], "0x"])
            await hand.mine()
            after = await desk.market()
            assert set(desk.failed) == {pairs[7]}
    assert len(state.pools) == outcome.kept
    assert set(after.pools) == set(state.pools) - {pairs[7]}
    some = state.pools[pairs[6]]
    base = next(t for t in (some.token0, some.token1) if t in devnet_tokens(devnet))
    assert some.depth(base) == 16 * 3_000 * 10**18


def devnet_tokens(devnet: Devnet) -> set[Address]:
    return {token.address for token in devnet.book.tokens}


async def test_killed_by_force_it_goes_on_in_another_process(devnet: Devnet, tmp_path: Path) -> None:
    config = bare(config_for(devnet, tmp_path / "store"))
    path = tmp_path / "bare.toml"
    text = (tmp_path / "store.toml").read_text("utf-8")
    head, *entries = text.split("[[pools]]")
    path.write_text(head + entries[-1].partition("\n\n")[2], "utf-8")
    command = [sys.executable, "-m", "arbtui", "pools", "discover", "--json", "--config", str(path)]
    async with in_hand(devnet) as hand:
        await add_pairs(hand, 1_100)
        kills = 0
        for _ in range(8):
            process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
            )
            before = places(config)
            while kills < 4 and process.returncode is None:
                await asyncio.sleep(0.005)
                if places(config) != before:
                    # It has just committed something.
                    process.kill()
                    kills += 1
                    break
            said, _ = await process.communicate()
            if process.returncode == 0:
                break
        whole = bare(config_for(devnet, tmp_path / "whole"))
        outcome = await discover(whole, hand.node)
    assert kills == 4
    answer = json.loads(said)
    assert (answer["kept"], answer["filtered"]) == (outcome.kept, outcome.dropped)
    assert shapes(config) == shapes(whole)


def places(config: Config) -> list[tuple[int, int]]:
    """How far each factory was asked, and how much is in the store."""
    try:
        opened = open_market(config.store.directory, config.chain.chain_id)
    except StoreError:
        return []
    if opened is None:
        return []
    with opened as reader:
        listed = [(item.cursor.next_index, item.cursor.block) for item in reader.factories()]
        return [*listed, (reader.token_count(), len(reader.holdings()))]


async def test_an_engine_trades_pools_that_nobody_configured(devnet: Devnet, tmp_path: Path) -> None:
    config = bare(config_for(devnet, tmp_path / "store"))
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        tally = await trade_until(hand, config, lambda tally: tally.confirmed > 0)
    assert tally.confirmed > 0
    assert len(known(config).pools) == len(devnet.book.pools)


async def test_a_pool_without_a_price_is_left_out_of_a_market_file(devnet: Devnet, tmp_path: Path) -> None:
    config = config_for(devnet, tmp_path / "store")
    v3 = next(f for f in devnet.book.factories if f.kind == "uniswap_v3")
    dai, weth = (devnet.book.token(symbol).address for symbol in ("DAI", "WETH"))
    async with in_hand(devnet) as hand:
        make = encode_call("createPool(address,address,uint24)", dai, weth, 10_000)
        owner = hand.book.accounts[0]
        call = {"from": owner, "to": v3.address, "data": "0x" + make.hex(), "gas": hex(6_000_000)}
        await hand.rpc.call("eth_sendTransaction", [call])
        await hand.mine()
        assert (await discover(config, hand.node)).dropped == {"thin": 1}
        ((empty, _),) = known(config).dropped
        policy = config.discovery.model_copy(update={"allow_pools": (empty.address,)})
        allowed = config.model_copy(update={"discovery": policy})
        state, left = await _read_market(allowed, whole_ticks=False)
    assert set(state.pools) == {pool.address for pool in devnet.book.pools}
    assert left == {empty.address: "it holds nothing, or was never given a price"}
