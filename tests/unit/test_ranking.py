from __future__ import annotations

from arbtui.domain import BlockRef, ConversionRate, Opportunity, Path, Token
from arbtui.market import MarketState, UniswapV2Pool
from arbtui.search import Finder
from arbtui.search.sizing import Size
from arbtui.units import ETHER, GWEI, Address, Ppm, Wei, parse_address
from arbtui.validation import LoanCost, costs_of, rank
from arbtui.validation.checks import route_gas
from tests.factories import DAI, WETH, opportunity, path

PRICE = Wei(10 * GWEI)
ONE_TO_ONE = ConversionRate(WETH, 1, 1, 1, ())


def through(number: int, *, token_in_dai: bool = False, gross: int = ETHER) -> Opportunity:
    """A cycle whose first pool is number `number` and whose second is its own."""
    route = path()
    first, second = route.hops
    pools = (pool(number), pool(1_000 + number))
    hops = tuple(
        type(hop)(address, hop.dex, hop.kind, hop.fee_ppm, hop.token_in, hop.token_out)
        for hop, address in zip((first, second), pools, strict=True)
    )
    changes = {"token": DAI} if token_in_dai else {}
    return opportunity(gross=gross, path=Path(hops), **changes)


def pool(number: int) -> Address:
    return parse_address(f"0x{number:040x}")


def test_the_net_is_gross_less_loan_and_gas_to_the_wei() -> None:
    (one,) = rank(
        [opportunity(12 * ETHER, ETHER // 10)],
        {WETH.address: ONE_TO_ONE},
        PRICE,
        lambda _: LoanCost(501, 40_000),
    )
    gas = route_gas(path()) + 40_000
    fee = -(-12 * ETHER * 501 // 1_000_000)
    assert (one.loan_fee, one.gas) == (fee, gas)
    assert one.net_wei == ETHER // 10 - fee - gas * PRICE


def test_tokens_are_compared_in_wei_at_the_rate_that_is_kept() -> None:
    """A tenth of an ETH beats 200 DAI at 2,500 DAI per ETH, though its number is smaller."""
    rate = ConversionRate(DAI, 2_500, 1, 7, (pool(1), pool(2)))
    in_dai = through(1, token_in_dai=True, gross=200 * ETHER)
    in_eth = through(2, gross=ETHER // 10)
    ranked = rank([in_dai, in_eth], {DAI.address: rate, WETH.address: ONE_TO_ONE}, PRICE)
    assert [one.opportunity for one in ranked] == [in_eth, in_dai]
    assert ranked[1].rate is rate
    assert ranked[1].net_wei == 200 * ETHER // 2_500 - ranked[1].gas * PRICE


def test_gas_decides_between_a_dear_and_a_cheap_loan() -> None:
    costs = {WETH.address: LoanCost(0, 5_000_000), DAI.address: LoanCost(100, 0)}
    rates = {WETH.address: ONE_TO_ONE, DAI.address: ConversionRate(DAI, 1, 1, 1, ())}
    free_but_heavy, dear_but_light = through(1), through(2, token_in_dai=True)
    ranked = rank([free_but_heavy, dear_but_light], rates, PRICE, costs.__getitem__)
    assert ranked[0].opportunity is dear_but_light


def test_what_has_no_rate_comes_last_and_has_no_net() -> None:
    ranked = rank(
        [through(1, token_in_dai=True, gross=10**30), through(2, gross=1)], {WETH.address: ONE_TO_ONE}, PRICE
    )
    assert [one.net_wei is None for one in ranked] == [False, True]


def test_one_that_shares_a_pool_names_the_best_placed_that_has_it() -> None:
    best, lesser = through(1, gross=3 * ETHER), through(2, gross=2 * ETHER)
    first, second = best.path.hops
    crossing = opportunity(gross=ETHER, path=Path((first, lesser.path.hops[1])))
    ranked = rank([crossing, lesser, best], {WETH.address: ONE_TO_ONE}, PRICE)
    assert [one.behind for one in ranked] == [None, None, best.id]
    assert second.pool not in crossing.path.pools


def test_equal_ones_stand_in_the_order_of_their_ids() -> None:
    several = [through(number) for number in range(1, 8)]
    forward = rank(several, {WETH.address: ONE_TO_ONE}, PRICE)
    assert forward == rank(reversed(several), {WETH.address: ONE_TO_ONE}, PRICE)
    assert [one.opportunity.id for one in forward] == sorted(one.id for one in several)


def test_the_search_is_told_the_very_costs_that_the_rank_subtracts() -> None:
    rate = ConversionRate(DAI, 2_500, 3, 7, (pool(1), pool(2)))
    one = through(1, token_in_dai=True, gross=50 * ETHER)
    costs = costs_of({DAI.address: rate, WETH.address: None}, PRICE, lambda _: LoanCost(501, 40_000))
    assert costs[WETH.address] is None
    told = costs[DAI.address]
    assert told is not None
    net = told.net(Size(one.amount_in, one.amount_out), [hop.kind for hop in one.path.hops])
    (ranked,) = rank([one], {DAI.address: rate}, PRICE, lambda _: LoanCost(501, 40_000))
    assert net // rate.numerator == ranked.net_wei
    # Nothing that leaves as much has a gross profit below what the search looks from.
    assert told.least_gross(net) < one.gross_profit


def test_cycles_of_a_large_gross_profit_do_not_hide_those_that_leave_something() -> None:
    base, *tokens = (pool(number) for number in range(1, 60))
    pools = []
    for number, token in enumerate(tokens):
        # The first 50 pairs are deep and little apart: the loan takes more than they bring.
        deep = number < 50
        reserve = 10**25 if deep else 4 * 10**20
        above = reserve * (10_068 if deep else 11_000) // 10_000
        pools += [
            UniswapV2Pool(pool(1_000 + 2 * number), "a", base, token, Ppm(3000), reserve, reserve),
            UniswapV2Pool(pool(1_001 + 2 * number), "b", base, token, Ppm(3000), above, reserve),
        ]
    block = BlockRef(1, "0x01", "0x00", 0, Wei(0), 0, 0)
    known = {address: Token(address, "", 18) for address in (base, *tokens)}
    state = MarketState(block, known, {one.address: one for one in pools})
    rates = {base: ConversionRate(known[base], 1, 1, 1, ())}
    cost = LoanCost(900, 50_000)
    finder = Finder([base], 3, 50, size_all=False)
    found = finder.find(state, None, costs_of(rates, PRICE, lambda _: cost)).opportunities
    ranked = rank(found, rates, PRICE, lambda _: cost)
    assert len(ranked) == 58
    assert sum((one.net_wei or 0) > 0 for one in ranked) == 8
    assert all((one.net_wei or 0) > 0 for one in ranked[:8])
    blind = rank(finder.find(state, []).opportunities, rates, PRICE, lambda _: cost)
    assert not any((one.net_wei or 0) > 0 for one in blind)
