"""Order opportunities by what they would leave, in one numeraire, before anything is asked of a node.

The numeraire is the native coin in wei: gross profit less an estimate of the loan's fee, at a stored rate, less gas at
the price of the next block. The quotes and the simulation decide afterwards; this only says what is looked at first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from arbtui.domain import ConversionRate, Opportunity
from arbtui.search import Costs
from arbtui.units import PPM, Address, Wei, mul_div_up
from arbtui.validation.checks import GAS_PRIOR_HOP, GAS_PRIOR_RUN, route_gas


@dataclass(frozen=True, slots=True)
class LoanCost:
    """What the cheapest loan of a token cost when it was last quoted: ppm of the amount, and gas over own capital.

    `most` is what the lender with the most of it had then, in base units; None where nobody has told yet.
    """

    fee_ppm: int
    gas: int
    most: int | None = None


#: Before a token was ever quoted a loan is taken to cost nothing: the estimate may then only be too good.
FREE_LOAN = LoanCost(0, 0)


@dataclass(frozen=True, slots=True)
class Ranked:
    """An opportunity in its place.

    `net_wei` is None where no pools lead from its token to the native coin. `rate` is the conversion used, with the
    pools it came from. `behind` is the id of the best-placed opportunity that trades on one of the same pools:
    of the two only one can have that liquidity.
    """

    opportunity: Opportunity
    rate: ConversionRate | None
    loan_fee: int
    gas: int
    net_wei: int | None
    behind: str | None = None


def costs_of(
    rates: Mapping[Address, ConversionRate | None],
    gas_price: Wei,
    loan_cost: Callable[[Address], LoanCost] = lambda _: FREE_LOAN,
) -> dict[Address, Costs | None]:
    """What `rank` subtracts, for the search to keep what is best after it; None where there is no rate."""
    hop_wei = {kind: gas * gas_price for kind, gas in GAS_PRIOR_HOP.items()}
    costs: dict[Address, Costs | None] = {}
    for token, rate in rates.items():
        loan = loan_cost(token)
        run_wei = (GAS_PRIOR_RUN + loan.gas) * gas_price
        costs[token] = (
            None
            if rate is None
            else Costs(loan.fee_ppm, (rate.denominator, rate.numerator), run_wei, hop_wei)
        )
    return costs


def rank(
    opportunities: Iterable[Opportunity],
    rates: Mapping[Address, ConversionRate | None],
    gas_price: Wei,
    loan_cost: Callable[[Address], LoanCost] = lambda _: FREE_LOAN,
) -> tuple[Ranked, ...]:
    """Best net first, those without a rate last; equal ones by id. `rates` has one entry for each base token."""
    priced = []
    for opportunity in opportunities:
        token = opportunity.token.address
        cost = loan_cost(token)
        fee = mul_div_up(opportunity.amount_in, cost.fee_ppm, PPM)
        gas = route_gas(opportunity.path) + cost.gas
        rate = rates.get(token)
        net = None if rate is None else rate.to_wei_down(opportunity.gross_profit - fee) - gas * gas_price
        priced.append((net is None, -(net or 0), opportunity.id, opportunity, rate, fee, gas, net))
    priced.sort(key=lambda item: item[:3])
    first_on: dict[Address, str] = {}
    ranked = []
    place: dict[str, int] = {}
    for _, _, name, opportunity, rate, fee, gas, net in priced:
        pools = opportunity.path.pools
        rivals = {first_on[pool] for pool in pools if pool in first_on}
        behind = min(rivals, key=place.__getitem__, default=None)
        ranked.append(Ranked(opportunity, rate, fee, gas, net, behind))
        place[name] = len(place)
        for pool in pools:
            first_on.setdefault(pool, name)
    return tuple(ranked)
