from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from arbtui.domain.market import Token
from arbtui.units import Address


class LenderId(StrEnum):
    AAVE_V2 = "aave_v2"
    AAVE_V3 = "aave_v3"
    BALANCER_V2 = "balancer_v2"
    MAKER = "maker"
    OWN = "own"
    MORPHO = "morpho"
    UNISWAP_V3 = "uniswap_v3"
    UNISWAP_V2 = "uniswap_v2"
    SPARK = "spark"
    PRIME = "prime"
    ERC3156 = "erc3156"
    FLASH_SWAP = "flash_swap"


#: The executor contract's codes. 8 and 9 are further pools of Aave v3's interface; 4 is one lender of ERC-3156, which
#: is Maker's where both are meant.
LENDER_CODES: dict[LenderId, int] = {
    LenderId.ERC3156: 4,
    LenderId.OWN: 0,
    LenderId.AAVE_V2: 1,
    LenderId.AAVE_V3: 2,
    LenderId.BALANCER_V2: 3,
    LenderId.MAKER: 4,
    LenderId.MORPHO: 5,
    LenderId.UNISWAP_V3: 6,
    LenderId.UNISWAP_V2: 7,
    LenderId.SPARK: 8,
    LenderId.PRIME: 9,
    LenderId.FLASH_SWAP: 10,
}


#: Lenders whose contract is one of many pools: the calldata must say which.
POOL_LENDERS = frozenset({LenderId.UNISWAP_V3, LenderId.UNISWAP_V2})


@dataclass(frozen=True, slots=True)
class LoanQuote:
    """One lender's answer for one token and amount at one block.

    `available` is a figure whenever the contract answered. `fee`, `gas_cost` and `total_cost` are base units of
    `token`, rounded against us, and None where they cannot be computed. `reason` is a code from
    `arbtui.lenders.base.Reason` where not usable; `detail` a sentence that says what was read. `source` is the contract
    that would lend. Of `executed` own executions through this lender that were mined, `settled` did not revert.
    """

    lender: LenderId
    protocol: str
    version: str
    token: Token
    amount: int
    block: int
    usable: bool
    reason: str | None
    detail: str
    available: int | None
    fee: int | None
    gas_overhead: int
    gas_overhead_source: str
    gas_cost: int | None
    total_cost: int | None
    source: Address | None = None
    settled: int = 0
    executed: int = 0
