"""Each lender paused, frozen, drained, capped and re-feed by its own admin functions, then asked and lent from."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from arbtui.abi import decode, decode_address, encode_call, selector, topic
from arbtui.devnet import Devnet
from arbtui.devnet.artifacts import Artifacts
from arbtui.domain import LenderId
from arbtui.lenders.policy import LenderPolicy, RegistryPolicy
from arbtui.units import Address
from tests.chain import in_hand, running_chain
from tests.lending import BORROW, EVERYTHING, KINDS, Lending, lending

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


@pytest.fixture
async def chain(devnet: Devnet, tmp_path: Path) -> AsyncIterator[Lending]:
    async with in_hand(devnet) as hand, lending(hand, tmp_path) as made:
        yield made


async def address_at(chain: Lending, to: Address, signature: str) -> Address:
    return decode_address(await chain.ask(to, signature), signature)


async def aave(chain: Lending, version: str) -> tuple[Address, Address]:
    """The market's addresses provider and its configurator."""
    pool = chain.hand.book.lenders[f"aave_{version}"]
    provider, configurator = {
        "v3": ("ADDRESSES_PROVIDER()", "getPoolConfigurator()"),
        "v2": ("getAddressesProvider()", "getLendingPoolConfigurator()"),
    }[version]
    at = await address_at(chain, pool, provider)
    return at, await address_at(chain, at, configurator)


# ---- the maximum, one unit more, and nothing


LENT = [
    (LenderId.AAVE_V2, "WBTC"),
    (LenderId.AAVE_V2, "USDT"),
    (LenderId.AAVE_V3, "WETH"),
    (LenderId.AAVE_V3, "USDC"),
    (LenderId.BALANCER_V2, "USDC"),
    (LenderId.MAKER, "DAI"),
    (LenderId.ERC3156, "DAI"),
    (LenderId.UNISWAP_V3, "USDC"),
    (LenderId.UNISWAP_V3, "USDT"),
    (LenderId.UNISWAP_V2, "WETH"),
    (LenderId.UNISWAP_V2, "USDT"),
]


@pytest.mark.parametrize(("lender", "symbol"), LENT)
async def test_the_maximum_is_lent_and_one_unit_more_is_not(
    chain: Lending, lender: LenderId, symbol: str
) -> None:
    # The pool that holds most is the one that lends most, whatever it asks.
    biggest = await chain.quote(lender, symbol, EVERYTHING)
    assert not biggest.usable
    assert biggest.available is not None
    most = await chain.quote(lender, symbol, biggest.available)
    assert most.usable, most.detail
    took = await chain.borrow(most)
    assert isinstance(took, int), took
    assert most.fee is not None
    assert 0 <= most.fee - took <= 1
    more = await chain.quote(lender, symbol, biggest.available + 1)
    assert not more.usable
    assert more.reason == ("ceiling" if KINDS[lender] == 3 else "insufficient_liquidity")
    assert "short by 1" in more.detail
    assert isinstance(await chain.borrow(more), str), "the contract lends what the quote refuses"
    nothing = await chain.quote(lender, symbol, 0)
    assert (nothing.usable, nothing.reason, nothing.available) == (False, "zero_amount", biggest.available)


@pytest.mark.parametrize("amount", [1, 2, 332, 333, 334, 10**6 + 7, 777_777_777_777_777])
async def test_a_flash_swap_costs_what_is_quoted_and_not_a_unit_less(chain: Lending, amount: int) -> None:
    quote = await chain.quote(LenderId.UNISWAP_V2, "WETH", amount)
    assert quote.fee is not None
    assert await chain.borrow(quote) == quote.fee
    assert "UniswapV2: K" in str(await chain.borrow(quote, fee=quote.fee - 1))
    v3 = await chain.quote(LenderId.UNISWAP_V3, "USDC", amount)
    if v3.usable:
        assert await chain.borrow(v3) == v3.fee


async def test_the_priors_of_the_pools_stand_above_balancers_as_their_loans_do(chain: Lending) -> None:
    owner, used, priors = chain.hand.book.accounts[0], {}, {}
    quotes = await chain.quotes("WETH", 8 * 10**18)
    for lender in (LenderId.BALANCER_V2, LenderId.UNISWAP_V3, LenderId.UNISWAP_V2):
        quote = quotes[lender]
        given = (KINDS[lender], quote.source, quote.token.address, quote.amount, quote.fee)
        for _ in range(2):  # the first one writes what is dearer to write once
            sent = await chain.hand.send(owner, chain.borrower, BORROW, *given)
        receipt = await chain.hand.node.receipt(sent)
        assert receipt is not None
        used[lender], priors[lender] = receipt.gas_used, quote.gas_overhead
    # Of V3's flash the executor's own table tells; of a V2 pair beside the path, this.
    for lender in (LenderId.UNISWAP_V2,):
        above = used[lender] - used[LenderId.BALANCER_V2]
        assert abs(priors[lender] - priors[LenderId.BALANCER_V2] - above) < 1_000, (lender, above)


# ---- two hundred random pairs


class Plain:
    """Every figure again, by plain calls one at a time; nothing of the lenders' modules."""

    def __init__(self, chain: Lending) -> None:
        self.chain = chain
        self.book = chain.hand.book

    async def aave(self, version: str, token: Address, amount: int) -> tuple[int, int] | None:
        pool = self.book.lenders[f"aave_{version}"]
        reserve = await self.chain.ask(pool, "getReserveData(address)", token)
        at = {"v2": 7, "v3": 8}[version]
        atoken = decode_address(reserve[32 * at : 32 * at + 32])
        if int(atoken, 16) == 0:
            return None
        bps = await self.chain.word(pool, "FLASHLOAN_PREMIUM_TOTAL()")
        available = await self.chain.word(token, "balanceOf(address)", atoken)
        if version == "v3":
            available = min(available, await self.chain.word(atoken, "totalSupply()"))
        return available, -(-amount * bps // 10_000)

    async def pools(self, kind: str, token: Address, amount: int) -> tuple[int, int]:
        """Of the pools that hold enough, the least fee, then the most held; else the most held of all."""
        rows = []
        for pool in (p for p in self.book.pools if p.kind == kind and token in (p.token0, p.token1)):
            if kind == "uniswap_v3":
                held = await self.chain.word(token, "balanceOf(address)", pool.address)
                fee = -(-amount * await self.chain.word(pool.address, "fee()") // 10**6)
            else:
                r0, r1, _ = decode(
                    ["uint112", "uint112", "uint32"], await self.chain.ask(pool.address, "getReserves()")
                )
                held = (r0 if token == pool.token0 else r1) - 1
                fee = amount * 1000 // 997 - amount + (amount * 1000 % 997 > 0)
            rows.append((held, fee))
        enough = sorted((fee, -held) for held, fee in rows if held >= amount)
        return (-enough[0][1], enough[0][0]) if enough else max(rows)


async def test_two_hundred_random_quotes_are_what_plain_calls_say(chain: Lending) -> None:
    rng, plain, book = random.Random(5), Plain(chain), chain.hand.book
    seen: set[tuple[LenderId, bool, str | None]] = set()
    for _ in range(200):
        token = chain.token(rng.choice([t.symbol for t in book.tokens]))
        amount = int(10 ** rng.uniform(0, token.decimals + 7.5))
        quotes = await chain.quotes(token.symbol, amount)
        expected: dict[LenderId, tuple[int, int] | None] = {
            LenderId.AAVE_V2: await plain.aave("v2", token.address, amount),
            LenderId.AAVE_V3: await plain.aave("v3", token.address, amount),
            LenderId.UNISWAP_V3: await plain.pools("uniswap_v3", token.address, amount),
            LenderId.UNISWAP_V2: await plain.pools("uniswap_v2", token.address, amount),
        }
        vault = book.lenders["balancer_v2"]
        collector = decode_address(await chain.ask(vault, "getProtocolFeesCollector()"))
        share = await chain.word(collector, "getFlashLoanFeePercentage()")
        held = await chain.word(token.address, "balanceOf(address)", vault)
        expected[LenderId.BALANCER_V2] = (held, -(-amount * share // 10**18)) if held else None
        flash = book.lenders["maker"]
        dai = token.symbol == "DAI"
        ceiling = await chain.word(flash, "maxFlashLoan(address)", token.address)
        expected[LenderId.MAKER] = (
            (ceiling, await chain.word(flash, "flashFee(address,uint256)", token.address, amount))
            if dai
            else None
        )
        block, gas = await chain.desk._now(token)
        for lender, figures in expected.items():
            quote = quotes[lender]
            seen.add((lender, quote.usable, quote.reason))
            assert quote.block == block.number
            if figures is None:
                assert quote.reason in ("not_a_reserve", "token_not_accepted"), (lender, token.symbol)
                continue
            assert (quote.available, quote.fee) == figures, (lender, token.symbol, amount)
            assert quote.usable == (amount <= figures[0])
            assert gas.rate is not None
            cost = -(-quote.gas_overhead * gas.price * gas.rate.numerator // gas.rate.denominator)
            assert (quote.gas_cost, quote.total_cost) == (cost, cost + figures[1])
    for lender in expected:
        assert {usable for who, usable, _ in seen if who == lender} == {True, False}, lender


# ---- Aave v3


async def test_aave_v3_paused_frozen_closed_and_refeed(chain: Lending) -> None:
    _, configurator = await aave(chain, "v3")
    weth = chain.token("WETH").address

    async def asked() -> Any:
        return await chain.quote(LenderId.AAVE_V3, "WETH", 10**18)

    await chain.as_owner(configurator, "setReserveFreeze(address,bool)", weth, True)
    frozen = await asked()
    assert frozen.usable, "a frozen reserve still lends"
    assert await chain.borrow(frozen) == frozen.fee
    await chain.as_owner(configurator, "setReservePause(address,bool)", weth, True)
    paused = await asked()
    assert (paused.usable, paused.reason) == (False, "paused")
    assert paused.available, "figures stay where the contract answers"
    assert isinstance(await chain.borrow(paused), str)
    await chain.as_owner(configurator, "setReservePause(address,bool)", weth, False)
    await chain.as_owner(configurator, "setReserveFlashLoaning(address,bool)", weth, False)
    closed = await asked()
    assert (closed.usable, closed.reason) == (False, "flash_loans_disabled")
    assert isinstance(await chain.borrow(closed), str)
    await chain.as_owner(configurator, "setReserveFlashLoaning(address,bool)", weth, True)
    await chain.as_owner(configurator, "updateFlashloanPremiumTotal(uint128)", 37)
    dearer = await chain.quote(LenderId.AAVE_V3, "WETH", 10**18 + 1)
    assert dearer.fee == 3_700_000_000_000_001
    took = await chain.borrow(dearer)
    assert isinstance(took, int)
    assert 0 <= dearer.fee - took <= 1


async def test_aave_v3_drained_by_its_supplier_and_then_closed(chain: Lending) -> None:
    provider, configurator = await aave(chain, "v3")
    del provider
    pool, book, weth = chain.hand.book.lenders["aave_v3"], chain.hand.book, chain.token("WETH").address
    supplier, borrower, treasury = book.accounts[8], book.accounts[9], book.accounts[0]
    withdraw = "withdraw(address,uint256,address)"
    before = await chain.quote(LenderId.AAVE_V3, "WETH", 10**18)
    await chain.hand.send(supplier, pool, withdraw, weth, 8_000 * 10**18, supplier)
    drained = await chain.quote(LenderId.AAVE_V3, "WETH", before.available or 0)
    assert (drained.usable, drained.reason) == (False, "insufficient_liquidity")
    assert drained.detail.startswith(f"short by {8_000 * 10**18};")
    # Nobody may have a share left before a reserve can be switched off.
    await chain.as_owner(weth, "transfer(address,uint256)", borrower, 1_000 * 10**18)
    await chain.hand.send(
        borrower, pool, "repay(address,uint256,uint256,address)", weth, EVERYTHING, 2, borrower
    )
    usdc = chain.token("USDC").address
    await chain.as_owner(usdc, "mint(address,uint256)", borrower, 10**13)
    await chain.hand.send(
        borrower, pool, "repay(address,uint256,uint256,address)", usdc, EVERYTHING, 2, borrower
    )
    await chain.hand.send(borrower, pool, withdraw, weth, EVERYTHING, borrower)
    await chain.hand.send(supplier, pool, withdraw, weth, EVERYTHING, supplier)
    await chain.as_owner(pool, "mintToTreasury(address[])", [weth])
    await chain.hand.send(treasury, pool, withdraw, weth, EVERYTHING, treasury)
    await chain.as_owner(configurator, "setReserveActive(address,bool)", weth, False)
    inactive = await chain.quote(LenderId.AAVE_V3, "WETH", 10**18)
    assert (inactive.usable, inactive.reason) == (False, "inactive")


# ---- Aave v2


async def test_aave_v2_paused_and_frozen(chain: Lending) -> None:
    _, configurator = await aave(chain, "v2")
    wbtc = chain.token("WBTC").address
    await chain.as_owner(configurator, "freezeReserve(address)", wbtc)
    frozen = await chain.quote(LenderId.AAVE_V2, "WBTC", 10**8)
    assert frozen.usable, "a frozen reserve still lends"
    took = await chain.borrow(frozen)
    assert isinstance(took, int)
    await chain.as_owner(configurator, "setPoolPause(bool)", True)
    paused = await chain.quote(LenderId.AAVE_V2, "USDT", 10**6)
    assert (paused.usable, paused.reason) == (False, "paused")
    assert isinstance(await chain.borrow(paused), str)


# ---- Balancer v2


async def grant(chain: Lending, target: Address, signature: str, authorizer: Address) -> None:
    action = await chain.ask(target, "getActionId(bytes4)", selector(signature))
    await chain.as_owner(authorizer, "grantRole(bytes32,address)", action, chain.hand.book.accounts[0])


async def test_balancer_v2_refeed_and_drained(chain: Lending) -> None:
    vault, owner = chain.hand.book.lenders["balancer_v2"], chain.hand.book.accounts[0]
    authorizer = await address_at(chain, vault, "getAuthorizer()")
    collector = await address_at(chain, vault, "getProtocolFeesCollector()")
    change = "setFlashLoanFeePercentage(uint256)"
    await grant(chain, collector, change, authorizer)
    await chain.as_owner(collector, change, 7 * 10**14)
    dearer = await chain.quote(LenderId.BALANCER_V2, "USDC", 10_000_001)
    assert dearer.fee == 7_001
    assert await chain.borrow(dearer) == 7_001
    logs = await chain.hand.rpc.call(
        "eth_getLogs",
        [{"address": vault, "fromBlock": "0x0", "topics": [topic("PoolRegistered(bytes32,address,uint8)")]}],
    )
    pool_id, pool = (
        bytes.fromhex(logs[0]["topics"][1][2:]),
        decode_address(bytes.fromhex(logs[0]["topics"][2][2:])),
    )
    assets = sorted((chain.token(s).address for s in ("WETH", "USDC")), key=lambda a: int(a, 16))
    shares = await chain.word(pool, "balanceOf(address)", owner)
    # userData: the kind of exit (1: these shares for all tokens), then the shares.
    leave = encode_call("(uint256,uint256)", 1, shares)[4:]
    await chain.as_owner(
        vault,
        "exitPool(bytes32,address,address,(address[],uint256[],bytes,bool))",
        *(pool_id, owner, owner, (assets, [0, 0], leave, False)),
    )
    drained = await chain.quote(LenderId.BALANCER_V2, "USDC", 10_000_000)
    assert (drained.usable, drained.reason) == (False, "insufficient_liquidity")
    assert isinstance(await chain.borrow(drained), str)


async def test_balancer_v2_paused(devnet: Devnet, tmp_path: Path) -> None:
    """A vault of its own: the chain's is past the window in which a vault can be paused, as the public ones are."""
    async with in_hand(devnet) as hand, lending(hand, tmp_path) as chain:
        weth, day = chain.token("WETH").address, 86_400
        authorizer = await address_at(chain, hand.book.lenders["balancer_v2"], "getAuthorizer()")
        code = Artifacts().creation_code("Vault")
        arguments = encode_call("(address,address,uint256,uint256)", authorizer, weth, 90 * day, 30 * day)[4:]
        vault = await chain.deploy(code + arguments)
        await chain.as_owner(weth, "transfer(address,uint256)", vault, 10**19)
        async with lending(hand, tmp_path, balancer_v2=LenderPolicy(address=vault)) as other:
            fine = await other.quote(LenderId.BALANCER_V2, "WETH", 10**18)
            assert fine.usable
            assert await other.borrow(fine) == 0
            await grant(chain, vault, "setPaused(bool)", authorizer)
            await chain.as_owner(vault, "setPaused(bool)", True)
            paused = await other.quote(LenderId.BALANCER_V2, "WETH", 10**18)
            assert (paused.usable, paused.reason, paused.available) == (False, "paused", 10**19)
            assert "BAL#402" in str(await other.borrow(paused))


# ---- the Maker stand-in, and as a plain ERC-3156 lender


async def test_the_maker_stand_in_capped_refeed_and_shut_down(chain: Lending) -> None:
    flash = chain.hand.book.lenders["maker"]

    async def file(what: bytes, value: int) -> None:
        await chain.as_owner(flash, "file(bytes32,uint256)", what.ljust(32, b"\0"), value)

    await file(b"max", 10**20)
    capped = await chain.quotes("DAI", 10**20 + 1)
    for lender in (LenderId.MAKER, LenderId.ERC3156):
        assert (capped[lender].usable, capped[lender].reason) == (False, "ceiling")
        assert isinstance(await chain.borrow(capped[lender]), str)
    await file(b"toll", 3 * 10**14)
    dearer = await chain.quotes("DAI", 10**20)
    for lender in (LenderId.MAKER, LenderId.ERC3156):
        assert dearer[lender].fee == 3 * 10**16
        assert await chain.borrow(dearer[lender]) == 3 * 10**16
    await file(b"live", 0)
    down = await chain.quotes("DAI", 10**18)
    assert (down[LenderId.MAKER].usable, down[LenderId.MAKER].reason) == (False, "not_live")
    # A plain ERC-3156 lender has no live flag: there the ceiling says it.
    assert down[LenderId.ERC3156].reason == "ceiling"
    assert isinstance(await chain.borrow(down[LenderId.MAKER]), str)


# ---- registries


async def test_a_registry_leads_to_the_pool_and_a_wrong_one_says_so(devnet: Devnet, tmp_path: Path) -> None:
    async with in_hand(devnet) as hand, lending(hand, tmp_path) as chain:
        v3, _ = await aave(chain, "v3")
        v2, _ = await aave(chain, "v2")
        changes = {
            "aave_v3": RegistryPolicy(registry=v3),
            "aave_v2": RegistryPolicy(registry=v2),
            "spark": RegistryPolicy(registry=v3),
            "prime": RegistryPolicy(registry=hand.book.wallet),
        }
        async with lending(hand, tmp_path, **changes) as through:
            direct, found = await chain.quotes("WETH", 10**18), await through.quotes("WETH", 10**18)
            for lender in (LenderId.AAVE_V2, LenderId.AAVE_V3):
                assert found[lender] == direct[lender]
                assert found[lender].source == hand.book.lenders[str(lender)]
            assert found[LenderId.SPARK].fee == direct[LenderId.AAVE_V3].fee
            assert found[LenderId.PRIME].reason == "no_code"
            assert hand.book.wallet in found[LenderId.PRIME].detail
