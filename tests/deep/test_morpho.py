"""Morpho Blue, compiled from its own sources, as it really lends. Run by `make deep`, which fetches them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from arbtui.abi import encode_call
from arbtui.devnet import Devnet
from arbtui.domain import LenderId
from arbtui.lenders.policy import LenderPolicy
from arbtui.units import ZERO_ADDRESS
from tests.chain import in_hand, running_chain
from tests.lending import EVERYTHING, Lending, lending
from tests.solidity import compiled

pytestmark = pytest.mark.chain

SOURCES = Path(__file__).parent / "node_modules" / "@morpho-org" / "morpho-blue" / "src"
MARKET = "(address,address,address,address,uint256)"


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


@pytest.fixture(scope="module")
def creation_code() -> bytes:
    folders = (SOURCES, SOURCES / "interfaces", SOURCES / "libraries")
    texts = {
        str(file.relative_to(SOURCES)): file.read_text("utf-8")
        for folder in folders
        for file in folder.glob("*.sol")
    }
    # Its own compiler, 0.8.19, is not among the pinned ones; the arithmetic of a loan does not hang on it.
    texts["Morpho.sol"] = texts["Morpho.sol"].replace("pragma solidity 0.8.19;", "pragma solidity ^0.8.19;")
    return compiled(texts, "Morpho", runs=999_999)


@pytest.fixture
async def chain(devnet: Devnet, creation_code: bytes, tmp_path: Path) -> AsyncIterator[Lending]:
    async with in_hand(devnet) as hand, lending(hand, tmp_path) as plain:
        owner = hand.book.accounts[0]
        morpho = await plain.deploy(creation_code + encode_call("(address)", owner)[4:])
        await plain.as_owner(morpho, "enableIrm(address)", ZERO_ADDRESS)
        await plain.as_owner(morpho, "enableLltv(uint256)", 8 * 10**17)
        for symbol, other, amount in (("USDT", "WETH", 7 * 10**12 + 1), ("WETH", "USDC", 123 * 10**18)):
            token = plain.token(symbol).address
            market = (token, plain.token(other).address, ZERO_ADDRESS, ZERO_ADDRESS, 8 * 10**17)
            await plain.as_owner(morpho, f"createMarket({MARKET})", market)
            await plain.as_owner(token, "approve(address,uint256)", morpho, amount)
            await plain.as_owner(
                morpho, f"supply({MARKET},uint256,uint256,address,bytes)", market, amount, 0, owner, b""
            )
        async with lending(hand, tmp_path, morpho=LenderPolicy(address=morpho)) as made:
            yield made


@pytest.mark.parametrize(("symbol", "held"), [("USDT", 7 * 10**12 + 1), ("WETH", 123 * 10**18)])
async def test_morpho_lends_all_it_holds_and_takes_nothing(chain: Lending, symbol: str, held: int) -> None:
    most = await chain.quote(LenderId.MORPHO, symbol, held)
    assert (most.usable, most.available, most.fee) == (True, held, 0)
    assert await chain.borrow(most) == 0
    more = await chain.quote(LenderId.MORPHO, symbol, held + 1)
    assert (more.usable, more.reason) == (False, "insufficient_liquidity")
    assert more.detail.startswith("short by 1;")
    assert isinstance(await chain.borrow(more), str)
    nothing = await chain.quote(LenderId.MORPHO, symbol, 0)
    assert (nothing.usable, nothing.reason) == (False, "zero_amount")
    assert "zero assets" in str(await chain.borrow(nothing))


async def test_morpho_without_the_token_or_without_code(chain: Lending, tmp_path: Path) -> None:
    none = await chain.quote(LenderId.MORPHO, "DAI", EVERYTHING)
    assert (none.usable, none.reason, none.available) == (False, "token_not_accepted", 0)
    wallet = chain.hand.book.wallet
    async with lending(chain.hand, tmp_path, morpho=LenderPolicy(address=wallet)) as other:
        assert (await other.quote(LenderId.MORPHO, "USDT", 1)).reason == "no_code"
