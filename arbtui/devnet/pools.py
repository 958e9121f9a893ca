"""A transaction pool as geth or besu keep it, for the proxy: replacement, gas and fee rules with the clients' words.

anvil takes any max fee that is a wei higher, drops what falls under the base fee, and accepts gas limits that can
never run; a real node does none of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from arbtui.abi import keccak
from arbtui.gas.limits import NODE_FEE_CAP_WEI, TX_GAS_CAP, floor_gas, intrinsic_gas
from arbtui.gas.replacement import RULES, Fees
from arbtui.units import Address, format_amount, parse_address


@dataclass(frozen=True, slots=True)
class Refusal:
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Taken:
    """`forward` is False where the node behind must not judge it: a real pool would keep it, anvil would not."""

    tx_hash: str
    forward: bool


@dataclass(frozen=True, slots=True)
class Kept:
    sender: Address
    nonce: int
    fees: Fees
    tx_hash: str
    raw: bytes
    fields: dict[str, Any]


#: What each client says: (code, text) by what is wrong.
_WORDS: dict[str, dict[str, tuple[int, str]]] = {
    "geth": {
        "undecodable": (-32000, "rlp: expected input list for types.LegacyTx"),
        "known": (-32000, "already known"),
        "nonce": (-32000, "nonce too low: next nonce {next}, tx nonce {nonce}"),
        "replacement": (-32000, "replacement transaction underpriced"),
        "funds": (
            -32000,
            "insufficient funds for gas * price + value: balance {have}, tx cost {want}, overshot {over}",
        ),
        "gas": (-32000, "intrinsic gas too low: gas {gas}, minimum needed {least}"),
        "floor": (-32000, "insufficient gas for floor data gas cost: gas {gas}, minimum needed {least}"),
        "cap": (-32000, "transaction gas limit too high (cap: {cap}, tx: {gas})"),
        "tip": (-32000, "max priority fee per gas higher than max fee per gas"),
        "fee": (-32000, "tx fee ({fee} ether) exceeds the configured cap (1.00 ether)"),
    },
    "besu": {
        "undecodable": (-32602, "Invalid transaction params (missing or incorrect)"),
        "known": (-32000, "Known transaction"),
        "nonce": (-32001, "Nonce too low"),
        "replacement": (-32000, "Replacement transaction underpriced"),
        "funds": (-32004, "Upfront cost exceeds account balance"),
        "gas": (-32003, "Intrinsic gas exceeds gas limit"),
        "floor": (-32003, "Intrinsic gas exceeds gas limit"),
        "cap": (-32005, "Transaction gas limit exceeds block gas limit"),
        "tip": (-32000, "Max priority fee per gas exceeds max fee per gas"),
        "fee": (-32000, "Transaction fee cap exceeded"),
    },
}


class Pool:
    """One client's pool; `client` is `geth` or `besu`."""

    def __init__(self, client: str) -> None:
        self._rule = RULES[client]
        self._words = _WORDS[client]
        self._kept: dict[tuple[Address, int], Kept] = {}

    def kept(self) -> list[Kept]:
        return list(self._kept.values())

    def forget(self, tx_hash: str) -> None:
        self._kept = {key: kept for key, kept in self._kept.items() if kept.tx_hash != tx_hash.lower()}

    def pending(self, tx_hash: str) -> dict[str, Any] | None:
        """A pending transaction as eth_getTransactionByHash shows it; None where it is not here."""
        for kept in self._kept.values():
            if kept.tx_hash == tx_hash.lower():
                return kept.fields
        return None

    def sender_of(self, raw: bytes) -> Address | None:
        try:
            return parse_address(str(Account.recover_transaction(raw)))
        except (ValueError, TypeError, AttributeError, AssertionError):
            return None

    def offer(self, raw: bytes, base_fee: int, next_nonce: int, balance: int) -> Refusal | Taken:
        """Judge a signed EIP-1559 transaction as the client would; remember it if it is taken."""
        sender = self.sender_of(raw)
        if sender is None or raw[:1] != b"\x02":
            return self._refusal("undecodable")
        fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
        nonce, gas, value = int(fields["nonce"]), int(fields["gas"]), int(fields["value"])
        fees = Fees(int(fields["maxFeePerGas"]), int(fields["maxPriorityFeePerGas"]))
        calldata = bytes(fields["data"])
        cost = gas * fees.max_fee
        tx_hash = "0x" + keccak(raw).hex()
        old = self._kept.get((sender, nonce))
        if old is not None and old.tx_hash == tx_hash:
            return self._refusal("known")
        if fees.tip > fees.max_fee:
            return self._refusal("tip")
        if gas > TX_GAS_CAP:
            return self._refusal("cap", cap=TX_GAS_CAP, gas=gas)
        if gas < intrinsic_gas(calldata):
            return self._refusal("gas", gas=gas, least=intrinsic_gas(calldata))
        if gas < floor_gas(calldata):
            return self._refusal("floor", gas=gas, least=floor_gas(calldata))
        if cost > NODE_FEE_CAP_WEI:
            return self._refusal("fee", fee=format_amount(cost, 18, 2))
        if nonce < next_nonce:
            return self._refusal("nonce", next=next_nonce, nonce=nonce)
        if balance < cost + value:
            return self._refusal("funds", have=balance, want=cost + value, over=cost + value - balance)
        if old is not None and not self._rule.takes(old.fees, fees, base_fee):
            return self._refusal("replacement")
        shown = {
            "hash": tx_hash,
            "from": sender,
            "nonce": hex(nonce),
            "gas": hex(gas),
            "value": hex(value),
            "input": "0x" + calldata.hex(),
            "maxFeePerGas": hex(fees.max_fee),
            "maxPriorityFeePerGas": hex(fees.tip),
            "type": "0x2",
            "blockHash": None,
            "blockNumber": None,
            "transactionIndex": None,
        }
        self._kept[sender, nonce] = Kept(sender, nonce, fees, tx_hash, raw, shown)
        return Taken(tx_hash, fees.max_fee >= base_fee)

    def _refusal(self, what: str, **values: object) -> Refusal:
        code, text = self._words[what]
        return Refusal(code, text.format(**values))
