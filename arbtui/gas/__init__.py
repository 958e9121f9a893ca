"""Fee estimates, strategies, ladders and replacement rules: pure integer arithmetic on wei per gas."""

from arbtui.gas.dynamic import Choice, InclusionRecord, Situation, choose_strategy
from arbtui.gas.fees import FeeSample, next_base_fee, observed_share, suggested_tip
from arbtui.gas.ladder import CANCEL_GAS, build_ladder
from arbtui.gas.limits import TX_GAS_CAP, GasLimit, ceiling_of, floor_gas, gas_limit_for, intrinsic_gas
from arbtui.gas.policy import DYNAMIC, GasPolicy, GasStrategy
from arbtui.gas.replacement import Fees, ReplacementRule, bump, next_fees, replacement_floor, rule_of

__all__ = [
    "CANCEL_GAS",
    "DYNAMIC",
    "TX_GAS_CAP",
    "Choice",
    "FeeSample",
    "Fees",
    "GasLimit",
    "GasPolicy",
    "GasStrategy",
    "InclusionRecord",
    "ReplacementRule",
    "Situation",
    "build_ladder",
    "bump",
    "ceiling_of",
    "choose_strategy",
    "floor_gas",
    "gas_limit_for",
    "intrinsic_gas",
    "next_base_fee",
    "next_fees",
    "observed_share",
    "replacement_floor",
    "rule_of",
    "suggested_tip",
]
