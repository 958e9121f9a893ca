"""Signs with the development keys that anvil publishes. They are worth nothing, and this is for nothing else."""

from __future__ import annotations

import sys
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from arbtui.errors import RefusedError
from arbtui.execution.ports import SignedTx, UnsignedTx
from arbtui.units import Address

# py_ecc, which eth_account brings, raises the limit so far that nested JSON overflows the C stack.
sys.setrecursionlimit(min(sys.getrecursionlimit(), 3_000))

_MNEMONIC = "test test test test test test test test test test test junk"
_ACCOUNTS = 10


class DevSigner:
    """One of the development accounts; made only where the chain was proven local."""

    def __init__(self, wallet: Address, chain_id: int, *, local: bool) -> None:
        """Raises RefusedError on a chain that is not local, and for a wallet that is no development account."""
        if not local:
            raise RefusedError("the development keys sign for a local chain alone")
        self._chain_id = chain_id
        self._account = _development_account(wallet)

    @property
    def address(self) -> Address:
        return Address(str(self._account.address))

    async def sign(self, transaction: UnsignedTx, ticket_id: str) -> SignedTx:  # noqa: ARG002 - policies read it
        if transaction.chain_id != self._chain_id:
            raise RefusedError(
                f"asked to sign for chain {transaction.chain_id}, unlocked for {self._chain_id}"
            )
        fields: dict[str, Any] = {
            "type": 2,
            "chainId": transaction.chain_id,
            "nonce": transaction.nonce,
            "to": transaction.to,
            "value": transaction.value,
            "data": transaction.data,
            "gas": transaction.gas,
            "maxFeePerGas": transaction.max_fee_per_gas,
            "maxPriorityFeePerGas": transaction.max_priority_fee_per_gas,
        }
        signed = self._account.sign_transaction(fields)
        return SignedTx(bytes(signed.raw_transaction), "0x" + bytes(signed.hash).hex())


def _development_account(wallet: Address) -> LocalAccount:
    Account.enable_unaudited_hdwallet_features()
    for index in range(_ACCOUNTS):
        account: LocalAccount = Account.from_mnemonic(_MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
        if str(account.address) == str(wallet):
            return account
    raise RefusedError(f"wallet.address {wallet} is none of the local chain's development accounts")
