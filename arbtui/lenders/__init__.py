"""Flash lenders: one file a lender, and the manager that quotes them all and picks the cheapest all-in."""

from arbtui.lenders.aave_v2 import AaveV2
from arbtui.lenders.aave_v3 import AaveV3
from arbtui.lenders.balancer_v2 import BalancerV2
from arbtui.lenders.base import GasView, Lender, Terms, Track
from arbtui.lenders.erc3156 import Erc3156
from arbtui.lenders.maker import Maker
from arbtui.lenders.manager import FlashLoanManager, cheapest, reliability, why_lost
from arbtui.lenders.morpho import Morpho
from arbtui.lenders.own import OwnCapital
from arbtui.lenders.policy import LenderPolicy, LendersPolicy, build_lenders
from arbtui.lenders.uniswap_v2 import UniswapV2
from arbtui.lenders.uniswap_v3 import UniswapV3

__all__ = [
    "AaveV2",
    "AaveV3",
    "BalancerV2",
    "Erc3156",
    "FlashLoanManager",
    "GasView",
    "Lender",
    "LenderPolicy",
    "LendersPolicy",
    "Maker",
    "Morpho",
    "OwnCapital",
    "Terms",
    "Track",
    "UniswapV2",
    "UniswapV3",
    "build_lenders",
    "cheapest",
    "reliability",
    "why_lost",
]
