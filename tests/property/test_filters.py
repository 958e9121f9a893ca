"""The filters as properties: what is kept can be in a cycle, what could be is kept, and everything has one reason."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from arbtui.domain import PoolKind, Token
from arbtui.market.discovered import FoundPool, FoundToken, Holding
from arbtui.market.filters import (
    DiscoveryPolicy,
    Dropped,
    FactoryPolicy,
    Surroundings,
    choose,
    label,
    skeleton,
)
from arbtui.text import safe_text
from arbtui.units import ETHER, Address, parse_address
from tests.fake_market import address

FACTORY = address("factory")
TOKENS = sorted((address("token", i) for i in range(8)), key=lambda a: int(a, 16))
BASES = (address("token", 0), address("token", 1))
OTHERS = [token for token in TOKENS if token not in BASES]
KNOWN = {base: Token(base, f"BASE{i}", 18) for i, base in enumerate(BASES)}
FOUND = {token: FoundToken(token, f"T{i}", 18) for i, token in enumerate(TOKENS)}
AROUND = Surroundings(BASES, BASES[0], KNOWN)


def pool(number: int, one: Address, other: Address) -> FoundPool:
    token0, token1 = sorted((one, other), key=lambda a: int(a, 16))
    kind = PoolKind.UNISWAP_V2
    return FoundPool(FACTORY, number, address("pool", number), kind, token0, token1, None, 0, 1)


def holding(amount: int) -> Holding:
    return Holding(amount, amount, amount, amount, 1)


edges = st.tuples(st.sampled_from(TOKENS), st.sampled_from(TOKENS)).filter(lambda e: e[0] != e[1])
markets = st.lists(st.tuples(edges, st.integers(0, 4 * ETHER)), max_size=16)


def made(rows: list[tuple[tuple[Address, Address], int]]) -> tuple[list[FoundPool], dict[Address, Holding]]:
    pools = [pool(i, *edge) for i, (edge, _) in enumerate(rows)]
    return pools, {p.address: holding(amount) for p, (_, amount) in zip(pools, rows, strict=True)}


def policy(**changes: object) -> DiscoveryPolicy:
    return DiscoveryPolicy.model_validate({"min_liquidity_wei": ETHER, **changes})


def cycles(pools: list[FoundPool], hops: int) -> list[tuple[FoundPool, ...]]:
    """Every 2- or 3-hop cycle of distinct pools that starts and ends in a base token, by brute force."""
    found = []
    for way in permutations(pools, hops):
        for base in BASES:
            here, seen = base, {base}
            for i, step in enumerate(way):
                if here not in (step.token0, step.token1):
                    break
                here = step.token1 if here == step.token0 else step.token0
                if i < hops - 1 and here in seen:
                    break
                seen.add(here)
            else:
                if here == base:
                    found.append(way)
    return found


@given(markets)
def test_every_cycle_of_pools_deep_enough_survives(rows: list[tuple[tuple[Address, Address], int]]) -> None:
    # Deep enough by construction: every pool holds a lot at one price, and one prices the other base token.
    pools, holdings = made([((BASES[0], BASES[1]), 0), *rows])
    rich = dict.fromkeys(holdings, holding(100 * ETHER))
    kept = {p.address for p in choose(pools, FOUND, rich, policy(), AROUND).kept}
    in_cycles = {p.address for hops in (2, 3) for way in cycles(pools, hops) for p in way}
    assert in_cycles <= kept


@given(markets, st.integers(1, 16))
def test_what_is_kept_may_be_in_a_cycle_and_every_other_pool_has_one_reason(
    rows: list[tuple[tuple[Address, Address], int]], most: int
) -> None:
    pools, holdings = made(rows)
    choice = choose(pools, FOUND, holdings, policy(max_pools=most), AROUND)
    kept = [p.address for p in choice.kept]
    left = [p.address for p, _ in choice.dropped]
    assert sorted(kept + left) == sorted(p.address for p in pools)
    assert len(kept) <= most
    assert sum(choice.counts().values()) == len(left)
    values = [choice.value[a] for a in kept]
    assert values == sorted(values, reverse=True)
    assert all(value >= ETHER for value in values)
    near = set(BASES)
    degree: Counter[Address] = Counter()
    for p in choice.kept:
        degree.update((p.token0, p.token1))
        if {p.token0, p.token1} & set(BASES):
            near |= {p.token0, p.token1}
    for p in choice.kept:
        assert {p.token0, p.token1} <= near
        assert all(degree[token] > 1 or token in BASES for token in (p.token0, p.token1))
    # The same again, whatever the order in which the pools come.
    again = choose(list(reversed(pools)), FOUND, holdings, policy(max_pools=most), AROUND)
    assert [p.address for p in again.kept] == kept


@given(markets, st.data())
def test_blocked_is_never_kept_and_allowed_always(
    rows: list[tuple[tuple[Address, Address], int]], draw: st.DataObject
) -> None:
    pools, holdings = made(rows)
    if not pools:
        return
    one = draw.draw(st.sampled_from(pools))
    token = draw.draw(st.sampled_from(OTHERS))
    blocked = choose(pools, FOUND, holdings, policy(block_tokens=[token]), AROUND)
    assert all(token not in (p.token0, p.token1) for p in blocked.kept)
    without = choose(pools, FOUND, holdings, policy(block_pools=[one.address]), AROUND)
    assert one not in without.kept
    assert (one, Dropped.POOL_BLOCKED) in without.dropped
    allowed = choose(pools, FOUND, holdings, policy(allow_pools=[one.address], max_pools=1), AROUND)
    assert one in allowed.kept
    only = choose(pools, FOUND, holdings, policy(only_allowed=True, allow_tokens=[token]), AROUND)
    assert all({p.token0, p.token1} <= {*BASES, token} for p in only.kept)


@given(markets)
def test_before_anything_is_read_it_says_what_decides(
    rows: list[tuple[tuple[Address, Address], int]],
) -> None:
    pools, holdings = made(rows)
    first = choose(pools, FOUND, {}, policy(), AROUND)
    second = choose(pools, FOUND, holdings, policy(), AROUND)
    assert first.kept == ()
    assert first.asked == second.asked
    asked = {p.address for p in first.asked}
    assert choose(pools, FOUND, {a: h for a, h in holdings.items() if a in asked}, policy(), AROUND) == second


@given(markets, st.integers(0, 15))
def test_a_configured_pool_is_in_neither_list_and_counts_as_a_way(
    rows: list[tuple[tuple[Address, Address], int]], which: int
) -> None:
    pools, holdings = made(rows)
    if not pools:
        return
    mine = pools[which % len(pools)]
    around = Surroundings(BASES, BASES[0], KNOWN, ((mine.address, mine.token0, mine.token1),))
    choice = choose(pools, FOUND, holdings, policy(), around)
    assert mine not in choice.kept
    assert mine not in [p for p, _ in choice.dropped]
    before = choose(pools, FOUND, holdings, policy(), AROUND)
    assert {p.address for p in before.kept} - {mine.address} <= {p.address for p in choice.kept}


def test_a_pool_is_worth_its_thinner_side_in_wei_by_the_deepest_price() -> None:
    weth, usd = BASES
    other = OTHERS[-1]
    # 1 ETH = 2,000 USD in the deep pool; a shallow one lies.
    deep, lie, cheap = pool(0, weth, usd), pool(1, weth, usd), pool(2, usd, other)

    def at(p: FoundPool, token: Address, one: int, two: int) -> Holding:
        a, b = (one, two) if p.token0 == token else (two, one)
        return Holding(a, b, a, b, 1)

    holdings = {
        deep.address: at(deep, weth, 1_000 * ETHER, 2_000_000 * ETHER),
        lie.address: at(lie, weth, 10 * ETHER, 10 * ETHER),
        cheap.address: at(cheap, usd, 3_000 * ETHER, 7),
        pool(3, usd, other).address: at(pool(3, usd, other), usd, 1_999 * ETHER, 10**30),
    }
    choice = choose([deep, lie, cheap, pool(3, usd, other)], FOUND, holdings, policy(), AROUND)
    reasons = {p.address: reason for p, reason in choice.dropped}
    assert choice.value[deep.address] == 1_000 * ETHER
    # Of two base tokens the thinner side counts: 10 USD here.
    assert reasons[lie.address] is Dropped.THIN
    assert reasons[pool(3, usd, other).address] is Dropped.THIN
    assert reasons[cheap.address] is Dropped.DEAD_END
    two = choose(
        [deep, lie, cheap, pool(3, usd, other)], FOUND, holdings, policy(min_liquidity_wei=10**17), AROUND
    )
    assert two.value[cheap.address] == 3_000 * ETHER // 2_000


def test_a_pool_between_two_others_is_priced_by_their_base_pools() -> None:
    weth, a, b = BASES[0], OTHERS[-1], OTHERS[-2]
    pools = [pool(0, weth, a), pool(1, weth, b), pool(2, a, b)]
    holdings = {p.address: holding(5 * ETHER) for p in pools}
    assert len(choose(pools, FOUND, holdings, policy(), AROUND).kept) == 3
    # One side nearly empty: however much stands on the other, it is thin.
    holdings[pools[2].address] = Holding(ETHER // 2, 10**30, ETHER // 2, 10**30, 1)
    dropped = {p.address: r for p, r in choose(pools, FOUND, holdings, policy(), AROUND).dropped}
    assert dropped[pools[2].address] is Dropped.THIN
    assert set(dropped.values()) == {Dropped.THIN, Dropped.DEAD_END}


def test_a_pool_off_the_market_price_is_worth_its_base_side() -> None:
    weth, other = BASES[0], OTHERS[-1]
    pools = [pool(0, weth, other), pool(1, weth, other)]

    def at(p: FoundPool, base_side: int, other_side: int) -> Holding:
        a, b = (base_side, other_side) if p.token0 == weth else (other_side, base_side)
        return Holding(a, b, a, b, 1)

    # The deep one says 1:1. The other holds next to nothing of the token: that is a trade, not a reason to leave it.
    holdings = {
        pools[0].address: at(pools[0], 9 * ETHER, 9 * ETHER),
        pools[1].address: at(pools[1], 2 * ETHER, 7),
    }
    assert choose(pools, FOUND, holdings, policy(), AROUND).value[pools[1].address] == 2 * ETHER


def test_an_unreadable_pool_and_an_unpriced_base_are_left_out_with_a_reason() -> None:
    weth, usd = BASES
    pools = [pool(0, weth, usd), pool(1, weth, usd)]
    holdings = {pools[0].address: holding(5 * ETHER), pools[1].address: Holding(0, 0, 0, 0, 1, "no answer")}
    choice = choose(pools, FOUND, holdings, policy(), AROUND)
    assert choice.dropped == ((pools[1], Dropped.UNREADABLE),)
    # The other base token is priced by nothing here.
    lonely = [pool(2, usd, OTHERS[-1]), pool(3, usd, OTHERS[-1])]
    choice = choose(lonely, FOUND, {p.address: holding(10**30) for p in lonely}, policy(), AROUND)
    assert {reason for _, reason in choice.dropped} == {Dropped.UNPRICED}


@given(st.text(max_size=40))
def test_a_label_is_safe_short_and_never_a_known_symbol(symbol: str) -> None:
    token = FoundToken(OTHERS[-1], safe_text(symbol), 18)
    shown = label(token, KNOWN).symbol
    assert shown == safe_text(shown, 16)
    assert all(skeleton(shown) != skeleton(known.symbol) for known in KNOWN.values())
    assert label(FoundToken(BASES[0], "whatever", 3), KNOWN) == KNOWN[BASES[0]]


@pytest.mark.parametrize(
    "symbol", ["BASE0", "base0", "B ASE0", "\uff22ASE0", "\u0412ASE0", "BA\u200bSE0", "BÁSE0"]
)
def test_look_alikes(symbol: str) -> None:
    token = FoundToken(OTHERS[-1], symbol, 18)
    assert label(token, KNOWN).symbol.endswith(f"?{token.address[2:8]}")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"kind": "uniswap_v2"}, "needs fee_ppm"),
        ({"kind": "uniswap_v3", "fee_ppm": 3_000}, "carries its own fee"),
        ({"kind": "uniswap_v3", "listing": "index"}, "no numbered list"),
    ],
)
def test_a_factory_that_makes_no_sense_is_refused(entry: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        FactoryPolicy.model_validate({"dex": "x", "address": FACTORY, **entry})


def test_lists_that_contradict_each_other_are_refused() -> None:
    entry = {"dex": "x", "kind": "uniswap_v3", "address": FACTORY}
    with pytest.raises(ValidationError, match="twice"):
        policy(factories=[entry, entry])
    with pytest.raises(ValidationError, match="both name"):
        policy(allow_tokens=[TOKENS[0]], block_tokens=[TOKENS[0]])
    with pytest.raises(ValidationError, match="both name"):
        policy(allow_pools=[TOKENS[0]], block_pools=[parse_address(TOKENS[0].lower())])
