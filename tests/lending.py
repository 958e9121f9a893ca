"""Quotes on a chain in hand, and loans taken for real by a contract that pays back at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arbtui.abi import decode_uint, encode_call
from arbtui.bootstrap import Desk, open_desk
from arbtui.chain.rpc import data
from arbtui.domain import LenderId, LoanQuote, Token
from arbtui.errors import NodeError
from arbtui.lenders import FlashLoanManager, build_lenders
from arbtui.lenders.policy import LenderPolicy, UniswapPolicy
from arbtui.units import UINT256_MAX, Address, parse_address
from tests.chain import Hand, config_for
from tests.solidity import borrower

KINDS = {
    LenderId.AAVE_V2: 0,
    LenderId.AAVE_V3: 1,
    LenderId.BALANCER_V2: 2,
    LenderId.MAKER: 3,
    LenderId.ERC3156: 3,
    LenderId.UNISWAP_V3: 4,
    LenderId.UNISWAP_V2: 5,
    LenderId.MORPHO: 6,
}
BORROW = "borrow(uint8,address,address,uint256,uint256)"


@dataclass
class Lending:
    """Every lender of the local chain, the ones that are pools and the stand-in as plain ERC-3156 included."""

    hand: Hand
    desk: Desk
    manager: FlashLoanManager
    borrower: Address

    def token(self, symbol: str) -> Token:
        return self.desk.tokens[self.hand.book.token(symbol).address]

    async def quotes(self, symbol: str, amount: int) -> dict[LenderId, LoanQuote]:
        token = self.token(symbol)
        block, gas = await self.desk._now(token)
        return {q.lender: q for q in await self.manager.quote_all(amount, token, block, gas)}

    async def quote(self, lender: LenderId, symbol: str, amount: int) -> LoanQuote:
        return (await self.quotes(symbol, amount))[lender]

    async def borrow(self, quote: LoanQuote, amount: int | None = None, fee: int | None = None) -> int | str:
        """Take the quoted loan in a call: the fee that the lender took, or its revert."""
        wanted = quote.amount if amount is None else amount
        given = (quote.fee or 0) if fee is None else fee
        try:
            answer = await self.ask(
                self.borrower, BORROW, KINDS[quote.lender], quote.source, quote.token.address, wanted, given
            )
        except NodeError as error:
            return error.message
        return decode_uint(answer)

    async def ask(self, to: Address, signature: str, *args: Any) -> bytes:
        call = {"to": to, "data": "0x" + encode_call(signature, *args).hex()}
        return data(await self.hand.rpc.call("eth_call", [call, "latest"]), signature)

    async def word(self, to: Address, signature: str, *args: Any) -> int:
        return decode_uint(await self.ask(to, signature, *args), signature)

    async def as_owner(self, to: Address, signature: str, *args: Any) -> None:
        await self.hand.send(self.hand.book.accounts[0], to, signature, *args)

    async def deploy(self, code: bytes) -> Address:
        return await deployed(self.hand, code)


async def deployed(hand: Hand, code: bytes) -> Address:
    """Create a contract as the chain's owner."""
    call = {"from": hand.book.accounts[0], "data": "0x" + code.hex(), "gas": hex(16_000_000)}
    tx_hash = await hand.rpc.call("eth_sendTransaction", [call])
    await hand.mine()
    receipt = await hand.rpc.call("eth_getTransactionReceipt", [tx_hash])
    assert receipt["status"] == "0x1"
    return parse_address(receipt["contractAddress"])


@asynccontextmanager
async def lending(hand: Hand, folder: Path, **changes: Any) -> AsyncIterator[Lending]:
    """`changes` are lenders beyond those of the chain's own configuration."""
    config = config_for(hand.devnet, folder / "store")
    more = {
        "uniswap_v3": UniswapPolicy(),
        "erc3156": LenderPolicy(address=hand.book.lenders["maker"]),
        **changes,
    }
    config = config.model_copy(update={"lenders": config.lenders.model_copy(update=more)})
    async with open_desk(config) as desk:
        lenders = build_lenders(config.lenders, config.wallet.executor, desk.pools_of, desk.pools.get)
        manager = FlashLoanManager(lenders, desk.read, desk._now, executor_has=set(LenderId))
        contract = await deployed(hand, borrower())
        made = Lending(hand, desk, manager, contract)
        for token in hand.book.tokens:
            # Enough to pay any fee on any loan there is; the loans themselves come from the lenders.
            if token.symbol == "WETH":
                await made.as_owner(token.address, "transfer(address,uint256)", contract, 10_000 * 10**18)
            else:
                await made.as_owner(
                    token.address, "mint(address,uint256)", contract, 10 ** (token.decimals + 8)
                )
        yield made


EVERYTHING = UINT256_MAX
