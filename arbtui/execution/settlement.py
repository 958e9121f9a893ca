"""What a receipt says happened, as exact deltas; and the check of it against balances. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from arbtui.abi import decode, topic
from arbtui.domain import NATIVE, ConversionRate, Delta, Log, Receipt, Settlement
from arbtui.units import Address, parse_address

TRANSFER = topic("Transfer(address,address,uint256)")
EXECUTED = topic("Executed(uint64,uint256,uint256)")

Holdings = Mapping[tuple[Address, Address], int]
"""(account, token) -> base units; token NATIVE counts in wei."""


def transfer_deltas(logs: Iterable[Log], accounts: Sequence[Address]) -> dict[tuple[Address, Address], int]:
    """Net ERC-20 transfers into (+) and out of (-) `accounts`, by (account, token)."""
    ours = set(accounts)
    deltas: defaultdict[tuple[Address, Address], int] = defaultdict(int)
    for log in logs:
        if len(log.topics) != 3 or log.topics[0] != TRANSFER or len(log.data) != 32:
            continue
        amount = int.from_bytes(log.data, "big")
        source, target = (parse_address("0x" + word[-40:]) for word in log.topics[1:])
        if source in ours:
            deltas[source, log.address] -= amount
        if target in ours:
            deltas[target, log.address] += amount
    return dict(deltas)


def loan_fee_of(logs: Iterable[Log], executor: Address) -> int | None:
    """The loan fee the executor's Executed event tells, in base units of the asset; None without the event."""
    for log in logs:
        if log.address == executor and log.topics[:1] == (EXECUTED,):
            values = decode(["uint256", "uint256"], log.data, "Executed")
            return int(values[0])
    return None


def settle(
    execution_id: str,
    receipt: Receipt,
    *,
    executor: Address,
    wallet: Address,
    treasury: Address,
    asset: Address,
    rate: ConversionRate,
    sent_wei: int = 0,
) -> Settlement:
    """The settlement of one mined transaction of ours, from its receipt alone.

    `net_wei` is the asset's delta over the three accounts at `rate` (rounded down) less gas and L1 fee; `sent_wei`
    is value that left the wallet to others (0 for every transaction the executor takes).
    """
    deltas = transfer_deltas(receipt.logs, (executor, wallet, treasury))
    paid = receipt.gas_cost + receipt.l1_fee
    deltas[wallet, NATIVE] = deltas.get((wallet, NATIVE), 0) - paid - sent_wei
    earned = sum(amount for (_, token), amount in deltas.items() if token == asset)
    return Settlement(
        execution_id=execution_id,
        tx_hash=receipt.tx_hash,
        block_number=receipt.block_number,
        block_hash=receipt.block_hash,
        success=receipt.success,
        gas_used=receipt.gas_used,
        effective_gas_price=receipt.effective_gas_price,
        gas_cost=receipt.gas_cost,
        l1_fee=receipt.l1_fee,
        loan_fee=loan_fee_of(receipt.logs, executor),
        deltas=tuple(
            Delta(account, token, amount) for (account, token), amount in sorted(deltas.items()) if amount
        ),
        net_wei=rate.to_wei_down(earned) - paid - sent_wei,
    )


def differences(settlements: Sequence[Settlement], before: Holdings, after: Holdings) -> list[str]:
    """Where the balances' change over one block is not what the settlements in that block add up to.

    An empty list means reconciled, to the last unit. Every (account, token) of either side is looked at.
    """
    told: defaultdict[tuple[Address, Address], int] = defaultdict(int)
    for settlement in settlements:
        for delta in settlement.deltas:
            told[delta.account, delta.token] += delta.amount
    found = []
    for key in sorted(set(told) | set(before) | set(after)):
        if key not in before or key not in after:
            found.append(f"{key[0]} {key[1]}: a delta of {told[key]} but no balance was read")
            continue
        seen = after[key] - before[key]
        if seen != told[key]:
            found.append(f"{key[0]} {key[1]}: balance changed by {seen}, the receipt says {told[key]}")
    return found
