from __future__ import annotations

from dataclasses import dataclass

from arbtui.units import Address, Wei

NATIVE = Address("0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE")
"""Stands for the native coin where a token address is expected (the convention of most routers)."""


@dataclass(frozen=True, slots=True)
class Delta:
    """Exact change of one account's holding of one token, in base units; NATIVE counts in wei."""

    account: Address
    token: Address
    amount: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """What the receipt says happened. `deltas` cover executor, wallet and treasury, gas included.

    `net_wei` is derived: the asset's delta over the three accounts at the ticket's stored rate, less gas.
    """

    execution_id: str
    tx_hash: str
    block_number: int
    block_hash: str
    success: bool
    gas_used: int
    effective_gas_price: Wei
    gas_cost: Wei
    l1_fee: Wei
    loan_fee: int | None
    deltas: tuple[Delta, ...]
    net_wei: int
    reconciled: bool | None = None
    difference: str = ""
    #: What the balances have over the deltas, where they differ.
    unexplained: tuple[Delta, ...] = ()
