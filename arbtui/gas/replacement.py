"""What a pool asks of a transaction that would replace another: the clients' rules as data, and fees that satisfy them.

Read in each client's sources: geth `core/txpool/legacypool/list.go`, reth `transaction-pool/src/validate`, erigon
`txnprovider/txpool`, besu `TransactionReplacementByFeeMarketRule`, nethermind `CompareReplacedTxByFee`, EDR
`mem_pool`, anvil `eth/pool`, openethereum `miner/src/pool/scoring.rs`. Prices in wei per gas.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from arbtui.units import Wei, div_up, mul_div_up


class Measure(StrEnum):
    BOTH_CAPS = "both_caps"  # max fee and tip, each
    EFFECTIVE = "effective"  # what would be paid at the base fee
    MAX_FEE = "max_fee"  # max fee alone


@dataclass(frozen=True, slots=True)
class Fees:
    """`max_fee` >= `tip`, both in wei per gas."""

    max_fee: int
    tip: int

    def effective(self, base_fee: int) -> int:
        """What is paid per gas at `base_fee`."""
        return min(self.max_fee, base_fee + self.tip)

    def effective_tip(self, base_fee: int) -> int:
        """What the block's producer gets per gas at `base_fee`; negative where it cannot be included."""
        return min(self.tip, self.max_fee - base_fee)


@dataclass(frozen=True, slots=True)
class ReplacementRule:
    """`permille` over the old one, rounded as `up` says; `strictly` more besides."""

    client: str
    measure: Measure
    permille: int
    up: bool = False
    strictly: bool = True
    zero_tip_is_free: bool = False

    def least(self, old: int) -> int:
        grown = old * (1000 + self.permille)
        least = div_up(grown, 1000) if self.up else grown // 1000
        return max(least, old + 1) if self.strictly else least

    def takes(self, old: Fees, new: Fees, base_fee: int) -> bool:
        """Whether the pool of this client, at `base_fee`, lets `new` take the place of `old`."""
        if new.tip > new.max_fee:
            return False
        if self.measure is Measure.MAX_FEE:
            return new.max_fee >= self.least(old.max_fee)
        if self.measure is Measure.EFFECTIVE:
            was, now = old.effective(base_fee), new.effective(base_fee)
            if now >= self.least(was):
                return True
            tip = old.effective_tip(base_fee)
            return (
                self.client == "besu"
                and now == was
                and tip > 0
                and new.effective_tip(base_fee) >= self.least(tip)
            )
        if self.zero_tip_is_free and (old.tip == 0 or new.tip == 0):
            return new.max_fee >= self.least(old.max_fee)
        return new.max_fee >= self.least(old.max_fee) and new.tip >= self.least(old.tip)


_BOTH, _EFFECTIVE = Measure.BOTH_CAPS, Measure.EFFECTIVE
#: By the name a node's web3_clientVersion begins with, in lower case.
RULES: dict[str, ReplacementRule] = {
    rule.client: rule
    for rule in (
        ReplacementRule("geth", _BOTH, 100),
        ReplacementRule("bor", _BOTH, 100),
        ReplacementRule("op-geth", _BOTH, 100),
        ReplacementRule("reth", _BOTH, 100, up=True, strictly=False, zero_tip_is_free=True),
        ReplacementRule("erigon", _BOTH, 100, strictly=False),
        ReplacementRule("besu", _EFFECTIVE, 100, up=True),
        ReplacementRule("nethermind", _EFFECTIVE, 100),
        ReplacementRule("hardhat", _BOTH, 100, up=True, strictly=False),
        ReplacementRule("anvil", Measure.MAX_FEE, 0),
        ReplacementRule("openethereum", _EFFECTIVE, 125, up=True),
    )
}
_ALIASES = {
    "hardhatnetwork": "hardhat",
    "edr": "hardhat",
    "parity-ethereum": "openethereum",
    "parity": "openethereum",
}


def rule_of(client_version: str) -> ReplacementRule | None:
    """The rule of the client that names itself so in web3_clientVersion ("Geth/v1.16…"); None for one not known."""
    name = client_version.partition("/")[0].strip().lower()
    return RULES.get(_ALIASES.get(name, name))


def replacement_floor(old: int) -> Wei:
    """Least fee that replaces `old` wherever both caps count: 10 % more, rounded up, and strictly more.

    Rule FB-1: reth rounds up where geth rounds down, so that a floor-rounded bump fails there by one wei.
    """
    return Wei(max(mul_div_up(old, 110, 100), old + 1))


def bump(old: Fees, base_fee: int, *, by_effective: bool, permille: int = 100) -> Fees:
    """The cheapest fees known to replace `old`.

    Rule FB-1, both caps: enough for geth, reth, erigon, hardhat and anvil. With `by_effective` also FB-2: the price
    paid grows by `permille` at `base_fee` (the next block's) and at every base fee up to one full block later, as
    besu, nethermind and openethereum want it.
    """
    cap, tip = replacement_floor(old.max_fee), replacement_floor(old.tip)
    if not by_effective:
        return Fees(max(cap, tip), tip)
    highest = base_fee + max(1, div_up(base_fee, 8))
    # old's price stops growing where its cap is reached; the worst base fee is one of these.
    saturated = min(max(old.max_fee - old.tip, base_fee), highest)
    needed = 0
    for base in (base_fee, saturated, highest):
        price = old.effective(base)
        target = max(div_up(price * (1000 + permille), 1000), price + 1)
        needed = max(needed, target - base)
        cap = Wei(max(cap, target))
    tip = Wei(max(tip, needed))
    return Fees(max(cap, tip), tip)


def next_fees(
    old: Fees,
    market: Fees,
    base_fee: int,
    ceiling: int,
    *,
    rule: ReplacementRule | None = None,
    refused: bool = False,
) -> Fees | None:
    """Fees of the next try: the market's, and at least what replaces `old`; None where `ceiling` forbids it.

    Rule FB-3: by both caps first; by the effective price where the client counts so, or after one
    `replacement_underpriced` (`refused`), then with OpenEthereum's 12.5 %.
    """
    by_effective = refused or (rule is not None and rule.measure is Measure.EFFECTIVE)
    permille = max(rule.permille if rule is not None else 100, 125 if refused else 100)
    least = bump(old, base_fee, by_effective=by_effective, permille=permille)
    fees = Fees(max(least.max_fee, market.max_fee), max(least.tip, market.tip))
    fees = Fees(max(fees.max_fee, fees.tip), fees.tip)
    return fees if fees.max_fee <= ceiling else None
