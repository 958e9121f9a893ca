"""Paths that fail their simulation block after block do not hold the places of others."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from arbtui.domain import BlockRef, Hop, Path, Token
from arbtui.engine.deciding import Dropped
from arbtui.engine.engine import Engine
from arbtui.market import MarketState, Pool, UniswapV2Pool
from arbtui.search import Finder, Setbacks
from arbtui.search.setbacks import BLOCKS
from arbtui.units import Address, Ppm, Wei, parse_address
from arbtui.validation import Ranked
from tests.factories import opportunity


def at(number: int) -> Address:
    return parse_address(f"0x{number:040x}")


def pool(number: int) -> UniswapV2Pool:
    return UniswapV2Pool(at(number), "v2", at(1), at(2), Ppm(3000), 1_000, 1_000)


def market(block: int, *pools: Pool) -> MarketState:
    tokens = {token: Token(token, "", 0) for token in (at(1), at(2))}
    head = BlockRef(block, hex(block), "0x00", 0, Wei(0), 0, 0)
    return MarketState(head, tokens, {one.address: one for one in pools})


def path(first: UniswapV2Pool, second: UniswapV2Pool) -> Path:
    return Path(
        (
            Hop(first.address, "v2", first.kind, first.fee_ppm, at(1), at(2)),
            Hop(second.address, "v2", second.kind, second.fee_ppm, at(2), at(1)),
        )
    )


FIRST, SECOND, OTHER = pool(10), pool(11), pool(12)
ROUTE = path(FIRST, SECOND)
MOVED = replace(FIRST, reserve0=1_001)


def test_a_path_that_failed_is_behind_until_a_pool_of_it_moves_or_a_while_has_passed() -> None:
    setbacks = Setbacks()
    state = market(5, FIRST, SECOND, OTHER)
    assert not setbacks.behind(ROUTE, state)
    setbacks.failed(ROUTE, state)
    assert setbacks.behind(ROUTE, state)
    assert not setbacks.behind(path(FIRST, OTHER), state)
    assert setbacks.behind(ROUTE, market(6, FIRST, SECOND, replace(OTHER, reserve0=7)))
    assert not setbacks.behind(ROUTE, market(6, MOVED, SECOND))
    assert not setbacks.behind(ROUTE, market(5 + BLOCKS, FIRST, SECOND))
    setbacks.held(ROUTE)
    assert not setbacks.behind(ROUTE, state)


def test_a_path_that_failed_again_and_again_is_behind_even_where_its_pools_move() -> None:
    setbacks = Setbacks()
    for block in (5, 6, 7):
        assert not setbacks.behind(ROUTE, market(block, MOVED, SECOND))
        setbacks.failed(ROUTE, market(block, FIRST, SECOND))
    assert setbacks.behind(ROUTE, market(8, MOVED, SECOND))
    assert setbacks.behind(ROUTE, market(6 + BLOCKS, MOVED, SECOND))
    assert not setbacks.behind(ROUTE, market(7 + BLOCKS, MOVED, SECOND))


def test_no_more_failures_are_remembered_than_asked() -> None:
    setbacks = Setbacks(most=2)
    state = market(5, FIRST, SECOND, OTHER)
    routes = [path(FIRST, SECOND), path(SECOND, OTHER), path(OTHER, FIRST)]
    for route in (routes[0], routes[1], routes[0], routes[2]):
        setbacks.failed(route, state)
    assert len(setbacks) == 2
    assert [setbacks.behind(route, state) for route in routes] == [2, 0, 1]


def test_phantoms_hold_the_places_of_one_block_only() -> None:
    """Two of the best net fail in every simulation; with two places a block the third is looked at in the next."""
    pools = [pool(20 + number) for number in range(6)]
    routes = [path(pools[2 * number], pools[2 * number + 1]) for number in range(3)]
    ranked = [
        Ranked(opportunity(path=route), None, 0, 0, 100 - number) for number, route in enumerate(routes)
    ]
    looked: list[str] = []

    async def decide(found: Any, *_: Any) -> Dropped:
        looked.append(found.path.id)
        return Dropped(found, (), (), "simulation")

    engine: Any = SimpleNamespace(
        _finder=Finder([at(1)]),
        _lifetime=lambda: 2,
        _search=SimpleNamespace(top=2),
        _decider=SimpleNamespace(decide=decide),
        _new_id=lambda: "id",
    )
    seen = []
    for block in (1, 2, 3):
        worth = list(enumerate(ranked, 1))
        drops = asyncio.run(
            Engine._tickets_of(engine, worth, set(), market(block, *pools), None)  # type: ignore[arg-type]
        )
        assert sorted(place for place, _ in drops) == [1, 2, 3], "each is told, in its place by net"
        seen.append([routes.index(route) for name in looked for route in routes if route.id == name])
        looked.clear()
    assert seen == [[0, 1], [2, 0], [1, 2]]
