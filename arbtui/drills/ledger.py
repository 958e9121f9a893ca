"""After a drill: journal against chain. Every signed hash has its end, every nonce its owner, every wei its receipt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from arbtui.chain import JsonRpc, Node
from arbtui.chain.rpc import quantity
from arbtui.config import Config
from arbtui.domain import FINAL_STATUSES, AttemptKind, ExecutionStatus, Receipt
from arbtui.errors import StoreError
from arbtui.execution import OpenExecution
from arbtui.store import SqliteJournal, open_store
from arbtui.units import Address

_S = ExecutionStatus
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Audit:
    """`lost`: one line for each transaction that nobody accounts for. `wrong`: what else does not agree."""

    executions: int
    hashes: int
    lost: tuple[str, ...]
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """The chain when the drill began."""

    block: int
    nonce: int
    balance: int


async def start_of(node: Node, wallet: Address) -> Start:
    head = await node.block()
    return Start(head.number, await node.nonce(wallet), await node.balance(wallet))


async def audit(
    config: Config, rpc: JsonRpc, start: Start, foreign: Collection[str] = (), given_wei: int = 0
) -> Audit:
    """Compare, with no engine running. `foreign` are hashes the drill itself sent from the wallet, `given_wei` what
    it put there (negative: took).

    Lost is: an execution without an end; a hash that was mined, or is pending, while its execution says otherwise;
    an execution that says mined while the chain does not have it; a transaction of the wallet that neither journal
    nor drill knows; a nonce signed for beyond what the chain used.
    """
    node, wallet = Node(rpc), config.wallet.address
    with SqliteJournal(config.store.directory, config.chain.chain_id, wallet) as journal:
        known = journal.latest_executions(_MOST)
        highest = journal.highest_nonce(config.chain.chain_id, wallet)
    lost: list[str] = []
    wrong: list[str] = []
    ours: set[str] = set()
    for execution in known:
        receipts = {a.tx_hash: await node.receipt(a.tx_hash) for a in execution.attempts}
        ours |= {tx_hash for tx_hash, receipt in receipts.items() if receipt is not None}
        lost += _ends(execution, receipts)
        if execution.status in FINAL_STATUSES:
            lost += [
                f"{tx_hash}: still pending, while {execution.intent.execution_id} is {execution.status}"
                for tx_hash, receipt in receipts.items()
                if receipt is None and await node.knows(tx_hash)
            ]
    mined = await _of_wallet(rpc, wallet, start.block)
    lost += [f"{h}: mined for the wallet, and unknown" for h in mined if h not in ours and h not in foreign]
    nonce = await node.nonce(wallet)
    if highest is not None and highest >= nonce:
        lost.append(f"nonce {highest} was signed for, and the chain has used {nonce - 1} at most")
    if nonce - start.nonce != len(mined):
        wrong.append(f"{nonce - start.nonce} nonces were used by {len(mined)} transactions")
    spent = sum([await _spent(rpc, tx_hash) for tx_hash in mined])
    if (left := await node.balance(wallet)) != start.balance + given_wei - spent:
        wrong.append(f"the wallet holds {left} wei, not {start.balance + given_wei - spent}")
    wrong += _of_store(config, known)
    return Audit(len(known), sum(len(e.attempts) for e in known), tuple(lost), tuple(wrong))


def _ends(execution: OpenExecution, receipts: dict[str, Receipt | None]) -> list[str]:
    """Where the status of an execution and its receipts contradict each other."""
    name, status = execution.intent.execution_id, execution.status
    if status not in FINAL_STATUSES:
        return [f"{name} is {status}: it has no end"]
    mined = [(a, r) for a in execution.attempts if (r := receipts[a.tx_hash]) is not None]
    if status in (_S.EXPIRED, _S.REJECTED):
        return [f"{a.tx_hash}: mined, while {name} is {status}" for a, _ in mined]
    if not mined:
        return [f"{name} is {status}, and none of its hashes is on the chain"]
    attempt, receipt = mined[0]
    said = (
        _S.CANCELLED if attempt.kind is AttemptKind.CANCEL else (_S.MINED if receipt.success else _S.REVERTED)
    )
    return [] if said is status else [f"{attempt.tx_hash}: {said} on the chain, while {name} is {status}"]


async def _of_wallet(rpc: JsonRpc, wallet: Address, after: int) -> list[str]:
    """Hashes of the wallet's mined transactions, in order."""
    head = quantity(await rpc.call("eth_blockNumber"), "eth_blockNumber")
    out: list[str] = []
    for number in range(after + 1, head + 1):
        block: dict[str, Any] = await rpc.call("eth_getBlockByNumber", [hex(number), True])
        out += [tx["hash"] for tx in block["transactions"] if tx["from"].lower() == wallet.lower()]
    return out


async def _spent(rpc: JsonRpc, tx_hash: str) -> int:
    receipt: dict[str, Any] = await rpc.call("eth_getTransactionReceipt", [tx_hash])
    return quantity(receipt["gasUsed"], "gasUsed") * quantity(
        receipt["effectiveGasPrice"], "effectiveGasPrice"
    )


def _of_store(config: Config, known: list[OpenExecution]) -> list[str]:
    """What the store says otherwise than the journal."""
    wrong = []
    try:
        with open_store(config.store.directory) as reader:
            told = {row["id"]: row["status"] for row in reader.executions()}
            settled = {row["execution_id"]: row for row in reader.settlements()}
    except StoreError as error:
        return [str(error)]
    for execution in known:
        name, status = execution.intent.execution_id, execution.status
        if told.get(name) != status:
            wrong.append(f"{name} is {status} in the journal and {told.get(name, 'absent')} in the store")
        if status in (_S.MINED, _S.REVERTED, _S.CANCELLED):
            if name not in settled:
                wrong.append(f"{name} is {status} and was not settled")
            elif not settled[name]["reconciled"]:
                wrong.append(f"{name} does not reconcile: {settled[name]['difference']}")
    return wrong
