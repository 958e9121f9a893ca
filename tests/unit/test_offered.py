"""What is sized for a loan's fee must not be dropped for its gas where a cheaper loan would pay for both."""

from __future__ import annotations

from typing import Any

import pytest

from arbtui.domain import ConversionRate, Opportunity
from arbtui.engine.deciding import Decider, Fees
from arbtui.search import size
from arbtui.units import Wei
from arbtui.validation import LoanCost, OpportunityValidator, rank
from arbtui.validation.policy import ValidationPolicy
from tests.property.test_search_after_fee import two_pools

STATE, PATH = two_pools(6)
GROSS = size(PATH, STATE)
assert GROSS is not None
BASE = GROSS.token
RATE = ConversionRate(BASE, 1, 1, 0, ())


@pytest.fixture
def decider() -> Decider:
    made = Decider.__new__(Decider)
    parts: dict[str, Any] = {
        "_wrapped_native": BASE, "_validator": OpportunityValidator(ValidationPolicy(min_net_profit_wei=0)),
        "_wall_clock": lambda: 0.0, "_loan_costs": {BASE.address: LoanCost(500, 0)},
    }  # fmt: skip
    for name, part in parts.items():
        setattr(made, name, part)
    return made


def dropped_for_gas(decider: Decider, one: Opportunity, fees: Fees) -> bool:
    (ranked,) = rank([one], {BASE.address: RATE}, fees.price)
    return decider.pays_at_all(ranked, STATE, fees) is not None


def test_it_is_as_large_as_the_fee_lets_it_unless_gas_takes_that(decider: Decider) -> None:
    assert GROSS is not None
    fitted = decider.fitted(GROSS, STATE)
    assert 0 < fitted.gross_profit < 0.35 * GROSS.gross_profit
    (ranked,) = rank([GROSS], {BASE.address: RATE}, Wei(1))
    cheap = Fees(Wei(fitted.gross_profit // (2 * ranked.gas)), Wei(0))
    assert decider.offered(GROSS, STATE, cheap, RATE) == fitted
    # Between the two: what was fitted does not pay its gas, and all of it with a loan that costs nothing does.
    dear = Fees(Wei(GROSS.gross_profit // (2 * ranked.gas)), Wei(0))
    assert dropped_for_gas(decider, fitted, dear)
    offered = decider.offered(GROSS, STATE, dear, RATE)
    assert offered is GROSS
    assert not dropped_for_gas(decider, offered, dear)
    # Without a rate nothing can be said of gas.
    assert decider.offered(GROSS, STATE, cheap, None) is GROSS
    decider._loan_costs.clear()
    assert decider.offered(GROSS, STATE, cheap, RATE) is GROSS
