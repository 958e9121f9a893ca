"""Factories asked by number and by logs: what is new alone, whatever was killed, reorganised, refused or lied about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from arbtui.chain import Node
from arbtui.chain.discovery import symbol_in
from arbtui.config import Config
from arbtui.discovering import Outcome, Step, discover, known
from arbtui.errors import LockHeld, MalformedAnswer, NodeError, StoreError
from arbtui.market.filters import Dropped
from arbtui.store import MarketLock, MarketStore, open_market
from arbtui.units import ETHER, ZERO_ADDRESS, Address
from tests.fake_market import (
    MULTICALL,
    FakeMarket,
    V2Factory,
    V3Factory,
    address,
    contract,
    fake_market,
    ordinary,
    text,
    token,
    words,
)
from tests.fake_node import Fault

WETH, USD = address("token", "WETH"), address("token", "USD")


def config_of(folder: Path, *factories: V2Factory | V3Factory, **policy: Any) -> Config:
    """A configuration with two base tokens and these factories."""
    kinds = {V2Factory: "uniswap_v2", V3Factory: "uniswap_v3"}
    listing = policy.pop("listing", None)
    entries = [
        {"dex": "dex", "kind": kinds[type(f)], "address": f.address}
        | ({"fee_ppm": 3_000} if isinstance(f, V2Factory) else {})
        | ({"listing": listing} if listing and isinstance(f, V2Factory) else {})
        for f in factories
    ]
    other = address("somebody")
    return Config(
        chain={
            "name": "test",
            "chain_id": 31_337,
            "rpc_url": "http://127.0.0.1:1",
            "wrapped_native": WETH,
            "multicall": MULTICALL,
        },
        wallet={"address": other, "executor": other, "treasury": other},
        store={"directory": folder / "store"},
        search={"base_tokens": ["WETH", "USD"]},
        tokens=[
            {"address": WETH, "symbol": "WETH", "decimals": 18},
            {"address": USD, "symbol": "USD", "decimals": 18},
        ],
        discovery={"factories": entries, "min_liquidity_wei": ETHER, **policy},
    )


def market_of_pairs(market: FakeMarket, count: int = 3) -> V2Factory:
    """WETH/USD, and `count` tokens each with a pair to both base tokens."""
    list(ordinary(market, "WETH USD"))
    factory = V2Factory(market)
    factory.pair(WETH, USD)
    more(market, factory, "T", count)
    return factory


def more(market: FakeMarket, factory: V2Factory, name: str, count: int) -> None:
    for other in ordinary(market, " ".join(f"{name}{i}" for i in range(count))):
        factory.pair(WETH, other)
        factory.pair(USD, other)


def listed(config: Config) -> dict[Address, str]:
    """Every pool in the store with its fault, in the order of the lists."""
    opened = open_market(config.store.directory, 31_337)
    assert opened is not None
    with opened as reader:
        return {p.address: p.fault for p in reader.pools([f.address for f in config.discovery.factories])}


async def test_a_list_is_read_once_and_a_restart_asks_for_what_is_new_alone(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        factory = market_of_pairs(market, 400)
        config = config_of(tmp_path, factory)
        first = await discover(config, node)
        assert first.asked[0].new == first.asked[0].pools == first.kept == 801
        assert list(known(config).pools) != []
        assert list(listed(config)) == factory.pairs

        def calls() -> int:
            return sum(market.asked_calls)

        market.asked_calls.clear()
        market.fake.calls.clear()
        again = await discover(config, node)
        assert (again.asked[0].new, again.read, again.kept) == (0, 0, 801)
        # The length alone; and of blocks: 0, newest and anchor.
        assert calls() == 1
        assert len(market.fake.calls) == 4

        market.mine()
        more(market, factory, "N", 2)
        market.asked_calls.clear()
        third = await discover(config, node)
        assert (third.asked[0].new, third.read, third.kept) == (4, 4, 805)
        # length, 4 numbers, 3 answers of each pair, 2 of each token, reserves of each pair
        assert calls() == 1 + 4 + 12 + 4 + 4


@pytest.mark.parametrize("listing", ["index", "logs"])
async def test_killed_after_any_slice_it_goes_on_where_it_was(tmp_path: Path, listing: str) -> None:
    class Killed(Exception):
        pass

    async with fake_market() as (market, node):
        factory = market_of_pairs(market, 0)
        for i in range(12):
            market.mine(10)
            more(market, factory, f"K{i}-", 55)
        config = config_of(tmp_path, factory, listing=listing, log_blocks=20)
        seen: list[Step] = []
        kills = 0
        while True:
            steps = 0

            def tell(step: Step) -> None:
                nonlocal steps
                seen.append(step)
                steps += 1
                if steps == 2:
                    raise Killed

            try:
                outcome = await discover(config, node, tell)
                break
            except Killed:
                kills += 1
        assert kills >= 4
        assert list(listed(config)) == factory.pairs
        assert outcome.kept == len(factory.pairs)
        numbers = [step.done for step in seen if step.what.startswith("dex")]
        # Never asked from the start again: what is done only grows.
        assert numbers == sorted(numbers)
        whole = config_of(tmp_path / "whole", factory, listing=listing)
        assert (await discover(whole, node)).kept == outcome.kept
        assert list(known(whole).pools) == list(known(config).pools)


@pytest.mark.parametrize("listing", ["index", "logs"])
async def test_a_look_that_lasts_moves_on_with_the_chain(tmp_path: Path, listing: str) -> None:
    async with fake_market() as (market, node):
        factory = market_of_pairs(market, 600)
        market.mine(100)
        config = config_of(tmp_path, factory, listing=listing, log_blocks=50)
        answer = market.fake.answers["eth_call"]

        def and_a_block_passes(params: list[Any]) -> Any:
            # Each request takes a block's time, and state is kept for 12 blocks.
            market.mine()
            if market.hashes.index(params[1]["blockHash"]) < market.head - 12:
                raise Fault(-32000, "missing trie node: header not found")
            return answer(params)

        market.fake.answers["eth_call"] = and_a_block_passes
        outcome = await discover(config, node, tip_life_s=0)
        assert outcome.kept == 1_201
        assert list(listed(config)) == factory.pairs
        assert outcome.asked[0].notes == ()


async def test_a_failure_between_any_two_requests_loses_nothing(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        factory, v3 = market_of_pairs(market, 5), V3Factory(market)
        v3.pool(WETH, USD)
        config = config_of(tmp_path, factory, v3, log_blocks=40)
        answers = dict(market.fake.answers)
        attempts = 0
        while True:
            attempts += 1
            left = attempts

            def gate(method: str) -> Any:
                def answer(params: list[Any]) -> Any:
                    nonlocal left
                    left -= 1
                    if left < 0:
                        raise Fault(-32000, "the node goes down")
                    return answers[method](params)

                return answer

            market.fake.answers |= {method: gate(method) for method in answers}
            try:
                await discover(config, node)
                break
            except NodeError as error:
                went_down = error
        assert "goes down" in str(went_down)
        assert 8 < attempts < 60
        market.fake.answers |= answers
        assert len(listed(config)) == 12
        assert len(known(config).pools) == 12


async def test_v3_pools_come_by_logs_with_their_fee_and_spacing(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        list(ordinary(market, "WETH USD"))
        factory = V3Factory(market)
        one = factory.pool(WETH, USD, 500, 10)
        market.mine(3)
        two = factory.pool(WETH, USD, 3_000, 60)
        config = config_of(tmp_path, factory)
        outcome = await discover(config, node)
        assert outcome.kept == 2
        pools = known(config).pools
        assert {(p.address, p.fee_ppm, getattr(p, "tick_spacing", 0)) for p in pools.values()} == {
            (one, 500, 10),
            (two, 3_000, 60),
        }
        market.asked_ranges.clear()
        market.mine(5)
        await discover(config, node)
        assert market.asked_ranges == [(market.head - 4, market.head)]
        market.asked_ranges.clear()
        await discover(config, node)
        assert market.asked_ranges == []


async def test_ranges_shrink_where_results_are_dense_and_grow_where_they_are_not(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        list(ordinary(market, "WETH USD"))
        factory = V3Factory(market)
        market.mine(1_900)
        for _ in range(40):
            market.mine()
            factory.pool(WETH, USD)
        market.mine(5_000)
        market.most_results, market.most_blocks = 10, 1_000
        outcome = await discover(config_of(tmp_path, factory, log_blocks=4_000), node)
        assert outcome.asked[0].pools == 40
        done = [(a, b) for a, b in market.asked_ranges if b - a + 1 <= 1_000]
        assert max(b - a + 1 for a, b in done) > 500
        assert min(b - a + 1 for a, b in done) <= 10
        assert max(b - a + 1 for a, b in done[-3:]) > 100
        assert len(market.asked_ranges) < 80


async def test_a_range_that_is_refused_for_good_is_an_error(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        market.most_blocks = 0
        with pytest.raises(NodeError, match="range is too wide"):
            await discover(config_of(tmp_path, V3Factory(market)), node)


@pytest.mark.parametrize("depth", [1, 12, 63])
async def test_a_reorganisation_at_the_tip_reads_the_newest_64_blocks_again(
    tmp_path: Path, depth: int
) -> None:
    async with fake_market() as (market, node):
        list(ordinary(market, "WETH USD"))
        factory = V3Factory(market)
        stays = factory.pool(WETH, USD, 100, 1)
        market.mine(100)
        goes = factory.pool(WETH, USD, 500, 10)
        config = config_of(tmp_path, factory)
        await discover(config, node)
        assert set(listed(config)) == {stays, goes}
        head = market.head
        market.reorganise(depth)
        comes = factory.pool(WETH, USD, 3_000, 60)
        market.mine(2, fork=1)
        market.asked_ranges.clear()
        outcome = await discover(config, node)
        assert set(listed(config)) == set(known(config).pools) == {stays, comes}
        assert market.asked_ranges == [(head - 63, market.head)]
        assert "reorganised" in outcome.asked[0].notes[0]


async def test_a_deeper_reorganisation_reads_the_list_anew(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        list(ordinary(market, "WETH USD"))
        factory = V3Factory(market)
        market.mine(100)
        factory.pool(WETH, USD)
        config = config_of(tmp_path, factory)
        await discover(config, node)
        market.reorganise(90)
        comes = factory.pool(WETH, USD, 500, 10)
        market.asked_ranges.clear()
        outcome = await discover(config, node)
        assert list(listed(config)) == [comes]
        assert market.asked_ranges == [(0, market.head)]
        assert "deeper than 64" in outcome.asked[0].notes[0]


async def test_a_numbered_list_is_read_again_from_where_it_differs(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        factory = market_of_pairs(market, 600)
        config = config_of(tmp_path, factory)
        await discover(config, node)
        kept = factory.pairs[:1_190]
        market.reorganise(3)
        del factory.pairs[1_190:]
        more(market, factory, "R", 3)
        market.asked_calls.clear()
        outcome = await discover(config, node)
        assert list(listed(config)) == factory.pairs
        assert factory.pairs[:1_190] == kept
        assert outcome.asked[0].new == 6
        assert "reorganised" in outcome.asked[0].notes[0]
        # The last chunk that differs and one that agrees were looked at, not the whole list.
        assert sum(market.asked_calls) < 1_196 + 100


async def test_a_reorganisation_during_the_look_leaves_the_tip_for_the_next(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        list(ordinary(market, "WETH USD"))
        factory = V3Factory(market)
        old = factory.pool(WETH, USD, 100, 1)
        market.mine(100)
        factory.pool(WETH, USD, 500, 10)
        logs = market.fake.answers["eth_getLogs"]

        def and_then_others(params: list[Any]) -> Any:
            found = logs(params)
            market.reorganise(2)
            factory.pool(WETH, USD, 3_000, 60)
            market.fake.answers["eth_getLogs"] = logs
            # The state that was asked for by hash is still there on the node for a while.
            market.hashes.append(market.hashes[-1])
            market.hashes.pop()
            return found

        market.fake.answers["eth_getLogs"] = and_then_others
        config = config_of(tmp_path, factory)
        with pytest.raises(NodeError, match="header not found"):
            await discover(config, node)
        outcome = await discover(config, node)
        assert old in listed(config)
        assert set(listed(config).values()) == {""}
        assert len(listed(config)) == 2
        assert outcome.kept == 2


async def test_a_node_behind_what_is_known_changes_nothing(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        factory = market_of_pairs(market)
        market.mine(10)
        config = config_of(tmp_path, factory)
        await discover(config, node)
        del market.hashes[-2:]
        outcome = await discover(config, node)
        assert outcome.asked[0].new == 0
        assert len(known(config).pools) == 7


async def test_a_factory_that_lies_is_believed_in_nothing(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        factory = market_of_pairs(market)
        honest = set(factory.pairs)
        other, third = address("token", "T0"), address("token", "T1")
        twice = factory.pairs[0]
        low, high = sorted((other, third), key=lambda t: int(t, 16))
        wrong_order, same, odd, foreign = (address("odd", i) for i in range(4))
        answers = {"factory": words(factory.address), "getReserves": words(10**21, 10**21, 0)}
        market.put(wrong_order, contract(token0=words(high), token1=words(low), **answers))
        market.put(same, contract(token0=words(low), token1=words(low), **answers))
        market.put(odd, contract(token0=b"\xff" * 32, token1=words(low), **answers))
        market.put(
            foreign, contract(token0=words(low), token1=words(high), **answers | {"factory": words(WETH)})
        )
        nothing = address("nobody there")
        lies = [twice, wrong_order, same, odd, foreign, nothing, ZERO_ADDRESS]
        factory.pairs += lies
        config = config_of(tmp_path, factory)
        outcome = await discover(config, node)
        assert set(known(config).pools) == honest
        assert outcome.dropped == {"faulty": 6, "listed_twice": 1}
        faults = listed(config)
        assert "order" in faults[Address(wrong_order)]
        assert "itself" in faults[Address(same)]
        assert "no pool" in faults[Address(odd)]
        assert "another factory" in faults[Address(foreign)]
        assert "no pool" in faults[Address(nothing)]
        assert "zero address" in faults[ZERO_ADDRESS]


async def test_events_that_pools_contradict_are_faults(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        list(ordinary(market, "WETH USD"))
        factory = V3Factory(market)
        good = factory.pool(WETH, USD)
        other = factory.pool(WETH, USD, 500, 10)
        answers = {
            "factory": words(factory.address),
            "token0": words(min(WETH, USD, key=lambda t: int(t, 16))),
        }
        market.put(
            other, contract(token1=words(address("x")), fee=words(500), tickSpacing=words(10), **answers)
        )
        cheap = factory.pool(WETH, USD, 100, 1)
        inner = market.contracts[cheap.lower()]
        market.put(cheap, lambda data: words(7) if data[:4] == bytes.fromhex("ddca3f43") else inner(data))
        factory.pool(WETH, USD, 2_000_000, 10)
        factory.pool(WETH, USD, 500, -10)
        config = config_of(tmp_path, factory)
        assert (await discover(config, node)).dropped == {"faulty": 4}
        assert set(known(config).pools) == {good}
        faults = list(listed(config).values())
        assert "tokens are not those" in faults[1]
        assert "fee or tick spacing" in faults[2]
        assert "no pool can have" in faults[3]
        assert "no pool can have" in faults[4]


async def test_a_log_that_was_not_asked_for_is_refused(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        list(ordinary(market, "WETH USD"))
        factory = V3Factory(market)
        factory.pool(WETH, USD)
        honest = list(market.logs)
        for change in (
            {"address": address("other").lower()},
            {"topics": [*honest[0]["topics"][:1][::-1], *honest[0]["topics"][1:3]]},
            {"blockNumber": hex(10**6)},
            {"data": "0x" + "00" * 32},
        ):
            lie = honest[0] | change
            market.fake.answers["eth_getLogs"] = lambda _, lie=lie: [lie]
            with pytest.raises(MalformedAnswer):
                await discover(config_of(tmp_path / str(len(change)) / str(hash(str(change))), factory), node)
        market.fake.answers["eth_getLogs"] = lambda _: [honest[0], honest[0]]
        with pytest.raises(MalformedAnswer, match="twice"):
            await discover(config_of(tmp_path, factory), node)


HOSTILE_SYMBOLS: list[tuple[bytes | None, str]] = [
    (text("USDC"), "USDC"),
    (b"MKR".ljust(32, b"\0"), "MKR"),
    (b"\xff\xfe".ljust(32, b"\0"), "\ufffd\ufffd"),
    (b"", ""),
    (b"\x01", ""),
    (words(32, 2**255), ""),
    (words(32, 10**6) + b"A" * 1_000_000, "A" * 31 + "…"),
    (text("\x1b]0;owned\x07\x1b[2J"), "\ufffd]0;owned\ufffd\ufffd[2J"),
    (text("\u202eCDSU\u200b"), "\ufffdCDSU\ufffd"),
    (text("'); DROP TABLE pool--"), "'); DROP TABLE pool--"),
    (text("A\0B"), "A\ufffdB"),
    (text("[/foo]"), "[/foo]"),
    (words(64, 4) + b"USDC".ljust(32, b"\0"), ""),
]


@pytest.mark.parametrize(("answer", "symbol"), HOSTILE_SYMBOLS)
def test_a_symbol_is_made_safe_whatever_it_is(answer: bytes, symbol: str) -> None:
    assert symbol_in(answer) == symbol


async def test_hostile_tokens_are_kept_with_a_reason_and_their_pools_left_out(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        factory = market_of_pairs(market, 1)
        cases = {
            "none": token(text("NONE"), None),
            "short": token(text("SHORT"), b"\x12"),
            "77": token(text("BIG"), words(77)),
            "255": token(text("BIGGER"), words(255)),
            "huge": token(text("HUGE"), words(2**256 - 1)),
        }
        fine = {
            "zero": token(text("ZERO"), words(0)),
            "36": token(text("MOST"), words(36)),
            "unnamed": token(None, words(18)),
            "bytes": token(b"MKR".ljust(32, b"\0"), words(18)),
        }
        for name, what in (cases | fine).items():
            where = address("hostile", name)
            market.put(where, what)
            factory.pair(WETH, where)
            factory.pair(USD, where)
        bomb = address("hostile", "bomb")
        market.bombs = {bomb.lower()}
        factory.pair(WETH, bomb)
        factory.pair(USD, bomb)
        config = config_of(tmp_path, factory)
        outcome = await discover(config, node)
        assert outcome.dropped == {"token_unusable": 2 * (len(cases) + 1)}
        seen = known(config)
        assert len(seen.pools) == 3 + 2 * len(fine)
        assert seen.found[address("hostile", "255")].fault == "255 decimals, more than 36"
        assert seen.found[address("hostile", "huge")].fault.startswith("a million or more")
        assert "no number" in seen.found[bomb].fault
        assert seen.tokens[address("hostile", "bytes")].symbol == "MKR"
        assert seen.tokens[address("hostile", "unnamed")].symbol == ""
        assert seen.tokens[address("hostile", "36")].decimals == 36


async def test_a_token_that_borrows_a_known_symbol_is_never_taken_for_it(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        factory = market_of_pairs(market, 1)
        fakes = ["USD", "usd", " USD", "U\u0405D", "\uff35\uff33\uff24", "USD\u200b"]
        for i, name in enumerate(fakes):
            where = address("fake", i)
            market.put(where, token(text(name), words(18)))
            factory.pair(WETH, where)
            factory.pair(USD, where)
        honest = address("fake", "honest")
        market.put(honest, token(text("Éther"), words(18)))
        factory.pair(WETH, honest)
        factory.pair(USD, honest)
        config = config_of(tmp_path, factory)
        outcome = await discover(config, node)
        assert outcome.dropped == {"look_alike": 2 * len(fakes)}
        # Not plain ASCII: shown, with the start of its address.
        assert known(config).tokens[honest].symbol == f"Éther?{honest[2:8]}"
        allowed = config_of(tmp_path, factory, allow_tokens=[address("fake", 0)])
        # Nothing has been read of its pools yet.
        assert known(allowed).counts()["unreadable"] == 2
        assert (await discover(allowed, node)).read == 2
        seen = known(allowed)
        assert len(seen.pools) == 5 + 2
        assert seen.tokens[address("fake", 0)].symbol == f"USD?{address('fake', 0)[2:8]}"


async def test_changed_filters_are_applied_to_what_is_stored_without_a_node(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        factory = market_of_pairs(market)
        await discover(config_of(tmp_path, factory), node)
    blocked = config_of(tmp_path, factory, block_tokens=[address("token", "T0")])
    assert len(known(blocked).pools) == 5
    assert known(blocked).counts() == {Dropped.TOKEN_BLOCKED.value: 2}
    assert len(known(config_of(tmp_path, factory)).pools) == 7
    assert known(config_of(tmp_path / "elsewhere", factory)).block is None


async def test_what_a_pool_holds_is_looked_up_again_when_it_is_old(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        factory = market_of_pairs(market)
        config = config_of(tmp_path, factory, refresh_blocks=50)
        await discover(config, node)
        market.mine(50)
        assert (await discover(config, node)).read == 0
        market.mine(1)
        drained = factory.pairs[1]
        inner = market.contracts[drained.lower()]
        reserves = bytes.fromhex("0902f1ac")
        market.put(drained, lambda data: words(5, 5, 0) if data[:4] == reserves else inner(data))
        outcome = await discover(config, node)
        assert outcome.read == 7
        # Its token is left with one pool: a dead end.
        assert outcome.dropped == {"thin": 1, "dead_end": 1}


async def test_one_discovery_at_a_time_and_of_one_chain(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        factory = market_of_pairs(market)
        config = config_of(tmp_path, factory)
        with MarketLock(config.store.directory), pytest.raises(LockHeld, match="another discovery"):
            await discover(config, node)
        await discover(config, node)
        market.hashes[0] = "0x" + "11" * 32
        with pytest.raises(StoreError, match="another block 0"):
            await discover(config, node)
        with pytest.raises(StoreError, match="chain 31337"):
            MarketStore.open(config.store.directory, 1, "0x00")
        with pytest.raises(StoreError, match="chain 31337"):
            open_market(config.store.directory, 1)


async def test_a_factory_listed_another_way_or_from_earlier_starts_over(tmp_path: Path) -> None:
    async with fake_market() as (market, node):
        factory = market_of_pairs(market)
        by_index: Outcome = await discover(config_of(tmp_path, factory), node)
        by_logs = await discover(config_of(tmp_path, factory, listing="logs"), node)
        assert by_index.asked[0].pools == by_logs.asked[0].new == by_logs.asked[0].pools == 7


async def test_what_is_no_factory_is_named(
    tmp_path: Path,
) -> None:
    async with fake_market() as (market, node):
        factory = market_of_pairs(market)
        market.put(factory.address, lambda _: b"")
        with pytest.raises(MalformedAnswer, match="is it a Uniswap V2 factory"):
            await discover(config_of(tmp_path, factory), node)
        assert isinstance(node, Node)
