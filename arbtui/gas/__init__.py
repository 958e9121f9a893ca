"""Fee estimates, strategies and ladders: pure integer arithmetic on wei per gas."""

from arbtui.gas.fees import next_base_fee, suggested_tip
from arbtui.gas.ladder import CANCEL_GAS, build_ladder, replacement_floor
from arbtui.gas.policy import GasPolicy, GasStrategy

__all__ = [
    "CANCEL_GAS",
    "GasPolicy",
    "GasStrategy",
    "build_ladder",
    "next_base_fee",
    "replacement_floor",
    "suggested_tip",
]
