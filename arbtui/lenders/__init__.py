"""Flash lenders: one file a lender, and the manager that quotes them all and picks the cheapest all-in."""

from arbtui.lenders.aave_v2 import AaveV2
from arbtui.lenders.aave_v3 import AaveV3
from arbtui.lenders.balancer_v2 import BalancerV2
from arbtui.lenders.base import GasView, Lender, Terms
from arbtui.lenders.maker import Maker
from arbtui.lenders.manager import FlashLoanManager, cheapest, why_lost
from arbtui.lenders.own import OwnCapital
from arbtui.lenders.policy import LenderPolicy, LendersPolicy, build_lenders

__all__ = [
    "AaveV2",
    "AaveV3",
    "BalancerV2",
    "FlashLoanManager",
    "GasView",
    "Lender",
    "LenderPolicy",
    "LendersPolicy",
    "Maker",
    "OwnCapital",
    "Terms",
    "build_lenders",
    "cheapest",
    "why_lost",
]
