from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest

from arbtui.domain import BlockRef, Hop, Path, Token
from arbtui.errors import UsageError
from arbtui.market import MarketState, Pool, UniswapV2Pool, UniswapV3Pool
from arbtui.market.tick_math import sqrt_ratio_at_tick
from arbtui.search import CycleIndex, Finder, enumerate_cycles, find_opportunities, sharing, size
from arbtui.units import Address, Ppm, Wei, parse_address

BLOCK = BlockRef(1, "0x01", "0x00", 0, Wei(0), 0, 0)


def at(number: int) -> Address:
    return parse_address(f"0x{number:040x}")


A, B, C = at(1), at(2), at(3)


def v2(number: int, token0: Address, token1: Address, reserve0: int, reserve1: int) -> UniswapV2Pool:
    return UniswapV2Pool(at(number), "v2", token0, token1, Ppm(3000), reserve0, reserve1)


def v3(number: int, tick: int, spread: int, rng: random.Random, unit: int) -> UniswapV3Pool:
    nets: dict[int, int] = {}
    here = 0
    for _ in range(12):
        low = tick // 60 - rng.randint(-spread // 2, spread)
        high = low + rng.randint(1, spread)
        liquidity = unit * rng.randint(1, 100)
        nets[low * 60] = nets.get(low * 60, 0) + liquidity
        nets[high * 60] = nets.get(high * 60, 0) - liquidity
        here += liquidity if low * 60 <= tick < high * 60 else 0
    ticks = tuple(sorted(nets.items()))
    return UniswapV3Pool(
        at(number), "v3", A, B, Ppm(3000), 60, sqrt_ratio_at_tick(tick), tick, here, ticks, None
    )


def market(*pools: Pool) -> MarketState:
    return MarketState(
        BLOCK, {token: Token(token, "", 0) for token in (A, B, C)}, {pool.address: pool for pool in pools}
    )


def ways(index: CycleIndex) -> set[tuple[str, ...]]:
    found = [tuple(f"{edge >> 1}{'<' if edge & 1 else '>'}" for edge in cycle) for _, cycle in index]
    assert len(found) == len(set(found)) == index.count
    return set(found)


def test_each_directed_cycle_is_there_once() -> None:
    state = market(v2(10, A, B, 1, 1), v2(11, A, B, 1, 1), v2(12, B, C, 1, 1), v2(13, A, C, 1, 1))
    two = {("0>", "1<"), ("1>", "0<")}
    three = {("0>", "2>", "3<"), ("1>", "2>", "3<"), ("3>", "2<", "0<"), ("3>", "2<", "1<")}
    assert ways(enumerate_cycles(state, [A], 2)) == two
    assert ways(enumerate_cycles(state, [A], 3)) == two | three
    assert enumerate_cycles(state, [A, A], 3).count == 6, "a base asked twice counts once"
    assert enumerate_cycles(state, [A, B, C], 3).count == 6 + 6 + 4
    assert enumerate_cycles(state, [at(77)], 3).count == 0
    for hops in (1, 5):
        with pytest.raises(UsageError, match="max hops"):
            enumerate_cycles(state, [A], hops)


def test_more_cycles_than_memory_holds_are_refused_before_any_is_made() -> None:
    pools = drifting(random.Random(4), 12)
    for hops in (2, 3):
        for bases in ([A], [A, B], [at(77)]):
            count = enumerate_cycles(market(*pools), bases, hops).count
            assert enumerate_cycles(market(*pools), bases, hops, most_cycles=count).count == count
            with pytest.raises(UsageError, match=f"12 pools make {count:,} cycles .* take fewer pools"):
                enumerate_cycles(market(*pools), bases, hops, most_cycles=count - 1)
    many = [v2(10 + number, A, B, 10**9, 10**9) for number in range(30_000)]
    with pytest.raises(UsageError, match="899,970,000 cycles"):
        find_opportunities(market(*many), [A])


def test_a_known_two_hop_cycle() -> None:
    state = market(v2(10, A, B, 10**21, 2 * 10**24), v2(11, A, B, 10**21, 21 * 10**23))
    (found,) = find_opportunities(state, [A]).opportunities
    assert [step.hop.pool for step in found.hops] == [at(11), at(10)]

    # The closed form's optimum, re-derived by trying around it.
    def profit(amount: int) -> int:
        middle = state.pools[at(11)].quote_out(A, amount)
        return state.pools[at(10)].quote_out(B, middle) - amount

    peak = max(range(10**17, 2 * 10**19, 10**16), key=profit)
    assert abs(found.amount_in - peak) < 2 * 10**16
    assert found.gross_profit >= profit(peak)
    assert found.token == state.tokens[A]
    assert found.block == BLOCK
    assert 0 < found.hops[0].impact_bps < 200
    other = find_opportunities(state, [B]).opportunities
    assert [step.hop.pool for step in other[0].hops] == [at(10), at(11)]


def test_the_fee_decides() -> None:
    # 0.6 % apart at 2 * 0.3 % of fees is a loss; a hair more is a gain.
    kept = 0.997**2
    level = v2(10, A, B, 10**30, 10**30)
    loses = v2(11, A, B, 10**30, int(10**30 / kept * 0.999999))
    gains = v2(11, A, B, 10**30, int(10**30 / kept * 1.000001))
    assert find_opportunities(market(level, loses), [A]).opportunities == ()
    assert len(find_opportunities(market(level, gains), [A]).opportunities) == 1


def test_groups_follow_the_bases_and_top_cuts_each() -> None:
    rng = random.Random(5)
    pools = [
        v2(10 + number, *pair, rng.randint(10**9, 10**12), rng.randint(10**9, 10**12))
        for number, pair in enumerate([(A, B), (A, C), (B, C)] * 3)
    ]
    everything = find_opportunities(market(*pools), [B, A], 3)
    bases = [found.path.base for found in everything.opportunities]
    assert bases == sorted(bases, key=[B, A].index)
    for base in (A, B):
        gains = [found.gross_profit for found in everything.opportunities if found.path.base == base]
        assert len(gains) > 5
        assert gains == sorted(gains, reverse=True)
    best = find_opportunities(market(*pools), [B, A], 3, top=2)
    assert best.paying == everything.paying == len(everything.opportunities)
    assert [found.path.base for found in best.opportunities] == [B, B, A, A]
    assert set(best.opportunities) <= set(everything.opportunities)


def test_the_order_of_pools_changes_nothing_but_ties() -> None:
    rng = random.Random(6)
    pools = [
        v2(10 + number, *pair, rng.randint(10**9, 10**12), rng.randint(10**9, 10**12))
        for number, pair in enumerate([(A, B), (A, C), (B, C)] * 3)
    ]
    first = find_opportunities(market(*pools), [A], 3).opportunities
    assert find_opportunities(market(*pools), [A], 3).opportunities == first
    second = find_opportunities(market(*reversed(pools)), [A], 3).opportunities
    assert {found.id for found in first} == {found.id for found in second}


def test_a_finder_sees_new_prices_and_new_pools() -> None:
    ticks: Iterator[int] = count()
    finder = Finder([A], timer=lambda: float(next(ticks)))
    level, other = v2(10, A, B, 10**21, 10**21), v2(11, A, B, 10**21, 10**21)
    first = finder.find(market(level, other))
    assert first.opportunities == ()
    assert first.elapsed == {"index": 1.0, "screen": 1.0, "size": 1.0}
    moved = replace(other, reserve1=12 * 10**20)
    assert len(finder.find(market(level, moved)).opportunities) == 1
    assert finder.find(market(level, other)).opportunities == ()
    third = v2(12, A, B, 10**21, 15 * 10**20)
    with_third = finder.find(market(level, other, third))
    assert with_third.cycles == 6
    assert with_third == replace(
        find_opportunities(market(level, other, third), [A]), elapsed=with_third.elapsed
    )
    assert finder.find(market(other, level)).cycles == 2


def profit_of(state: MarketState, path: Path, amount: int) -> int:
    given = amount
    for hop in path.hops:
        given = state.pools[hop.pool].quote_out(hop.token_in, given)
    return given - amount


def ternary(state: MarketState, path: Path, high: int) -> int:
    """The best profit that a plain ternary search over integers finds."""
    low = 1
    while high - low > 3:
        third = (high - low) // 3
        if profit_of(state, path, low + third) < profit_of(state, path, high - third):
            low += third
        else:
            high -= third
    return max(profit_of(state, path, amount) for amount in range(low, high + 1))


@pytest.mark.parametrize("seed", range(12))
def test_sizing_across_many_ticks_is_no_worse_than_a_search(seed: int) -> None:
    rng = random.Random(seed)
    unit = 10 ** rng.choice([4, 9, 16])
    first, second = v3(10, rng.randint(-300, 300), 20, rng, unit), v3(11, 5000, 60, rng, unit)
    if seed % 2:
        rate = 10**9
        first = v2(10, A, B, unit * rate, unit * rate)  # type: ignore[assignment]
    state = market(first, second)
    (found,) = find_opportunities(state, [A]).opportunities
    capacity = sum(stretch.capacity for stretch in state.pools[found.hops[0].hop.pool].stretches(A))
    searched = ternary(state, found.path, min(capacity, 10**40))
    # Each step to a tick or word boundary rounds by a unit or two: neighbouring inputs differ by that much.
    assert found.gross_profit >= searched - 6
    assert found.gross_profit == profit_of(state, found.path, found.amount_in)
    moved = state.pools[at(11)].swap_exact_in(A, found.amount_in).after
    assert isinstance(moved, UniswapV3Pool)
    assert sum(1 for index, _ in second.ticks if moved.tick < index <= second.tick) >= 2, "ticks were crossed"
    assert size(found.path, state) == found


def test_a_path_with_a_pool_that_is_gone_is_bad_usage() -> None:
    hop = Hop(at(10), "v2", v2(10, A, B, 1, 1).kind, Ppm(3000), A, B)
    with pytest.raises(UsageError, match=at(10)):
        size(Path((hop,)), market())


def test_a_gain_that_lies_beyond_where_the_real_curve_runs_dry() -> None:
    # Six A become two whole B, of which the last pool takes all; in real numbers they are 2.9 and more than it takes.
    def pool(
        number: int, tokens: tuple[Address, Address], fee: int, tick: int, ticks: list[tuple[int, int]]
    ) -> Pool:
        here = sum(net for index, net in ticks if index <= tick)
        price = sqrt_ratio_at_tick(tick)
        return UniswapV3Pool(at(number), "v3", *tokens, Ppm(fee), 100, price, tick, here, tuple(ticks), None)

    state = market(
        UniswapV2Pool(at(10), "v2", A, C, Ppm(0), 20, 1),
        pool(11, (A, B), 0, 600, [(-2600, 33), (600, -31), (700, -2)]),
        pool(12, (B, C), 500, 100, [(-900, 23), (100, -23)]),
    )
    (found,) = find_opportunities(state, [A], 3).opportunities
    assert (found.amount_in, found.gross_profit) == (6, 4)
    assert max(profit_of(state, found.path, amount) for amount in range(1, 100)) == 4


def test_a_gain_of_one_unit_between_coarse_amounts_is_found() -> None:
    # Real reserves (2020): the last pool counts in hundreds, and no neighbour of the real optimum pays.
    state = market(
        v2(10, A, B, 10_402_789_008_362_827_353_987, 4_206_016_782_210_151_392_981),
        v2(11, B, C, 2_526_401_794_501_312_225_984, 1_831_703_099_854_822_839_857),
        v2(12, A, C, 1927, 523),
    )
    (found,) = find_opportunities(state, [A], 3).opportunities
    assert (found.amount_in, found.amount_out) == (35, 36)
    assert max(profit_of(state, found.path, amount) for amount in range(1, 500)) == 1


def test_a_gain_far_from_the_real_optimum_of_a_coarse_v3_pool_is_found() -> None:
    # Of the hundreds of whole units that could pay only few do, and none is a neighbour of the real optimum.
    edges = ((-488_460, 10**12), (-248_460, -(10**12)))
    price = 792_281_625_142_643_375_935
    first = UniswapV3Pool(at(10), "v3", A, B, Ppm(500), 60, price, -368_433, 10**12, edges)
    rest = [
        UniswapV2Pool(at(11), "v2", B, C, Ppm(500), 10_000, 10_236),
        UniswapV2Pool(at(12), "v2", A, C, Ppm(500), 10**20, 10_000),
    ]
    (found,) = find_opportunities(market(first, *rest), [A], 3).opportunities
    assert [step.amount_out for step in found.hops[:2]] == [59, 60]
    assert (found.amount_in, found.gross_profit) == (593_798_559_072_313_544, 2_326_479_073_923_472)
    as_v2 = UniswapV2Pool(at(10), "v2", A, B, Ppm(500), 10**20, 10_000)
    (same,) = find_opportunities(market(as_v2, *rest), [A], 3).opportunities
    assert same.gross_profit == found.gross_profit


def drifting(rng: random.Random, count: int = 9) -> list[UniswapV2Pool]:
    pairs = [(A, B), (A, C), (B, C)]
    return [
        v2(10 + number, *pairs[number % 3], rng.randint(10**15, 10**16), rng.randint(10**15, 10**16))
        for number in range(count)
    ]


def test_only_what_touches_a_change_is_screened_again() -> None:
    rng = random.Random(7)
    pools = drifting(rng)
    finder = Finder([A], 3)
    everything = finder.find(market(*pools))
    assert everything.screened == everything.cycles
    assert finder.find(market(*pools), []).screened == 0
    pools[2] = replace(pools[2], reserve0=10**16)
    result = finder.find(market(*pools), [pools[2].address])
    through = [cycle for _, cycle in enumerate_cycles(market(*pools), [A], 3) if 2 in {e >> 1 for e in cycle}]
    assert result.screened == len(through) < result.cycles
    assert result.opportunities == find_opportunities(market(*pools), [A], 3).opportunities
    assert result.complete


def test_what_is_not_named_is_kept_as_it_was_until_a_check_names_it() -> None:
    level, other = v2(10, A, B, 10**21, 10**21), v2(11, A, B, 10**21, 10**21)
    moved = replace(other, reserve1=12 * 10**20)
    finder = Finder([A], check_every=2)
    finder.find(market(level, other))
    blind = finder.find(market(level, moved), [])
    assert (blind.opportunities, blind.mismatch) == ((), None)
    checked = finder.find(market(level, moved), [])
    assert checked.mismatch is not None
    assert checked.mismatch.pools == (moved.address,)
    assert checked.mismatch.cycles >= 1
    assert checked.opportunities == find_opportunities(market(level, moved), [A]).opportunities
    assert set(checked.elapsed) == {"index", "screen", "size", "check"}
    for _ in range(4):
        assert finder.find(market(level, moved), []).mismatch is None


def test_a_check_sees_that_the_set_of_pools_is_another() -> None:
    level, other = v2(10, A, B, 10**21, 10**21), v2(11, A, B, 10**21, 12 * 10**20)
    finder = Finder([A], check_every=1)
    finder.find(market(level, other))
    stranger = replace(other, address=at(12))
    result = finder.find(market(level, stranger), [])
    assert result.mismatch is not None
    assert set(result.mismatch.pools) == {other.address, stranger.address}
    assert stranger.address in result.opportunities[0].path.pools


def test_an_unknown_or_a_further_pool_makes_a_full_pass() -> None:
    level, other = v2(10, A, B, 10**21, 10**21), v2(11, A, B, 10**21, 12 * 10**20)
    finder = Finder([A])
    finder.find(market(level))
    assert len(finder.find(market(level, other), [other.address]).opportunities) == 1
    assert finder.find(market(level), []).opportunities == ()


def test_the_best_alone_are_those_of_all() -> None:
    rng = random.Random(8)
    pools = drifting(rng, 30)
    best = Finder([A, B], 3, 5, size_all=False)
    for _ in range(5):
        state = market(*pools)
        result = best.find(state)
        everything = find_opportunities(state, [A, B], 3, top=5)
        assert result.opportunities == everything.opportunities
        assert not result.complete
        assert result.paying >= everything.paying
        number = rng.randrange(30)
        pools[number] = drifting(rng, 30)[number]
    with pytest.raises(UsageError, match="top"):
        Finder([A], size_all=False)


def test_opportunities_are_made_when_they_are_looked_at() -> None:
    pools = drifting(random.Random(9))
    state = market(*pools)
    found = find_opportunities(state, [A], 3).opportunities
    assert len(found) > 3
    assert found[0] is found[0]
    assert found[:2] == (found[0], found[1])
    assert found[-1] == list(found)[-1]
    assert tuple(found) == found
    assert found != ()
    assert hash(found) == hash(tuple(found))
    assert repr(found) == f"<{len(found)} opportunities at block 1>"
    with pytest.raises(IndexError):
        found[len(found)]


def test_opportunities_that_share_a_pool_are_marked() -> None:
    state = market(
        v2(10, A, B, 10**21, 10**21), v2(11, A, B, 10**21, 11 * 10**20), v2(12, A, B, 10**21, 12 * 10**20),
        v2(13, A, C, 10**21, 10**21), v2(14, A, C, 10**21, 11 * 10**20),
    )  # fmt: skip
    found = sorted(find_opportunities(state, [A]).opportunities, key=lambda best: -best.gross_profit)
    marked = sharing(found)
    assert list(marked) == [best.id for best in found]
    for number, best in enumerate(found):
        assert marked[best.id] == tuple(
            rival.id for rival in found[:number] if rival.path.pools & best.path.pools
        )
    assert marked[found[0].id] == ()
    apart = next(best for best in found if at(13) in best.path.pools)
    assert marked[apart.id] == ()
    assert max(len(rivals) for rivals in marked.values()) == 2


def test_the_core_of_four_hops_is_the_deepest_pools_and_is_bounded() -> None:
    tokens = [at(number) for number in range(1, 8)]
    pools = []
    for first in range(7):
        for second in range(first + 1, 7):
            depth = 10 ** (20 - first - second)
            pools.append(v2(100 + 10 * first + second, tokens[first], tokens[second], depth, depth))
    state = MarketState(BLOCK, {}, {pool.address: pool for pool in pools})

    def four(**bounds: int) -> list[tuple[int, ...]]:
        index = enumerate_cycles(state, [tokens[0]], 4, **bounds)
        return [cycle for _, cycle in index if len(cycle) == 4]

    # Six other tokens, three of them between: 6 * 5 * 4 ways.
    everything = four()
    assert len(everything) == 120
    ten = four(core_pools=10)
    assert 0 < len(ten) < 120
    assert set(ten) < set(everything)
    depths = sorted((pool.depth(pool.token0) for pool in pools), reverse=True)
    used = {edge >> 1 for cycle in ten for edge in cycle}
    assert min(pools[number].depth(pools[number].token0) for number in used) >= depths[9]
    for most in (0, 1, 5, 30, 119):
        assert len(four(core_cycles=most)) <= most
    assert len(four(core_cycles=10_000)) == 120
    assert (
        enumerate_cycles(state, [tokens[0]], 3).count
        == enumerate_cycles(state, [tokens[0]], 4, core_pools=0).count
    )


def test_a_stretch_that_holds_less_than_a_unit_is_left_in_time() -> None:
    # One unit of liquidity up to the next tick takes 0.005 B, rounded up to a whole one; beyond it there are 36.
    ticks = ((600, 1), (700, 35), (900, -1), (2800, -35))
    price = sqrt_ratio_at_tick(600)
    thin = UniswapV3Pool(at(11), "v3", A, B, Ppm(0), 100, price, 600, 1, ticks, None)
    state = market(UniswapV2Pool(at(10), "v2", A, B, Ppm(0), 6, 24), thin)
    (found,) = find_opportunities(state, [A]).opportunities
    assert (found.amount_in, found.amount_out) == (2, 3)
