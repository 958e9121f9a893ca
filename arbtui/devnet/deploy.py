"""The deployment: the same transactions in the same order for the same seed, each confirmed before the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isqrt
from typing import Any

from arbtui.abi import decode, encode_call, keccak
from arbtui.chain import MULTICALL3
from arbtui.chain.rpc import JsonRpc, data, quantity
from arbtui.devnet import plan
from arbtui.devnet.artifacts import Artifacts
from arbtui.devnet.book import AddressBook, BookFactory, BookPool, BookToken
from arbtui.devnet.plan import Listing, PoolPlan
from arbtui.domain import LENDER_CODES, LenderId
from arbtui.errors import DevnetError, NodeError
from arbtui.text import safe_text
from arbtui.units import ETHER, GWEI, UINT256_MAX, ZERO_ADDRESS, Address, parse_address

#: Under EIP-7825's cap of 2^24 for one transaction.
_GAS = 16_000_000
_BLOCK_INTERVAL_S = 12
_RAY = 10**27
_DAY_S = 86_400
#: Aave v3: market units are dollars with 8 decimals. Aave v2: wei of ETH.
_USD = 10**8

#: IExecutor.Setup: owner, operator, treasury, lenders by their code, exchanges of both families, assets with floors.
LENDER_SLOTS = 11
EXECUTOR_SETUP = (
    f"((address,address,address,address[{LENDER_SLOTS}],"
    "(address,bytes32,uint24)[],(address,bytes32)[],(address,uint256)[]))"
)

Progress = Callable[[str], None]


def treasury_address() -> Address:
    """An address that is a hash of a text, so that nobody has its key."""
    return parse_address("0x" + keccak(b"arbtui devnet treasury")[-20:].hex())


class _Deployer:
    """Sends as any of the node's accounts, one transaction at a time."""

    def __init__(self, rpc: JsonRpc, artifacts: Artifacts, accounts: Sequence[Address]) -> None:
        self._rpc = rpc
        self._artifacts = artifacts
        self.accounts = tuple(accounts)
        self._nonces: dict[int, int] = {}
        self.transactions = 0

    async def create(
        self, name: str, signature: str = "()", *args: Any, libraries: Mapping[str, Address] | None = None
    ) -> Address:
        """Deploy a contract as the owner; `signature` holds the constructor's argument types."""
        payload = self._artifacts.creation_code(name, libraries) + encode_call(signature, *args)[4:]
        receipt = await self._transact(plan.OWNER, None, payload, 0, f"deploying {name}")
        return parse_address(str(receipt["contractAddress"]))

    async def send(
        self, to: Address, signature: str, *args: Any, sender: int = plan.OWNER, value: int = 0
    ) -> None:
        """Call a contract; raises DevnetError where it reverts."""
        await self._transact(sender, to, encode_call(signature, *args), value, signature)

    async def ask(self, to: Address, signature: str, returns: Sequence[str], *args: Any) -> tuple[Any, ...]:
        """Read from a contract."""
        call = {
            "from": self.accounts[plan.OWNER],
            "to": to,
            "data": "0x" + encode_call(signature, *args).hex(),
        }
        answer = data(await self._rpc.call("eth_call", [call, "latest"]), signature)
        return decode(returns, answer, signature)

    async def ask_address(self, to: Address, signature: str, *args: Any) -> Address:
        (answer,) = await self.ask(to, signature, ["address"], *args)
        return parse_address(str(answer))

    async def make(self, to: Address, signature: str, *args: Any) -> Address:
        """Call a factory; the address it answers."""
        made = await self.ask_address(to, signature, *args)
        await self.send(to, signature, *args)
        return made

    async def _transact(
        self, sender: int, to: Address | None, payload: bytes, value: int, what: str
    ) -> dict[str, Any]:
        account = self.accounts[sender]
        if sender not in self._nonces:
            answer = await self._rpc.call("eth_getTransactionCount", [account, "latest"])
            self._nonces[sender] = quantity(answer, "eth_getTransactionCount")
        transaction = {
            "from": account,
            "nonce": hex(self._nonces[sender]),
            "gas": hex(_GAS),
            "value": hex(value),
            "data": "0x" + payload.hex(),
            "maxFeePerGas": hex(100 * GWEI),
            "maxPriorityFeePerGas": hex(GWEI),
        }
        if to is not None:
            transaction["to"] = to
        try:
            receipt = await self._rpc.call("eth_sendTransactionSync", [transaction])
            if quantity(receipt["status"], what) != 1:
                await self._rpc.call("eth_call", [transaction | {"nonce": None}, "latest"])
                raise DevnetError(f"{what}: it reverted without a reason; this is a defect of the deployment")
        except NodeError as error:
            raise DevnetError(
                f"{what}: {safe_text(error.message, 120)}; this is a defect of the deployment"
            ) from error
        self._nonces[sender] += 1
        self.transactions += 1
        return dict(receipt)


async def deploy(
    rpc: JsonRpc, artifacts: Artifacts, seed: int, progress: Progress = lambda _: None
) -> AddressBook:
    """Deploy everything on a fresh anvil that mines by itself. Raises DevnetError at the first failure."""
    accounts = [parse_address(str(item)) for item in await rpc.call("eth_accounts")]
    await rpc.call("anvil_setBlockTimestampInterval", [_BLOCK_INTERVAL_S])
    await rpc.call("anvil_setBalance", [accounts[plan.OWNER], hex(10 * plan.MILLION * ETHER)])
    deployer = _Deployer(rpc, artifacts, accounts)
    build = _Build(deployer, seed)
    progress("tokens")
    await build.tokens()
    progress("Uniswap V2 (two exchanges) and V3")
    await build.exchanges()
    progress("Aave v3")
    aave_v3 = await build.aave_v3()
    progress("Aave v2")
    aave_v2 = await build.aave_v2()
    progress("Balancer v2")
    balancer = await build.balancer()
    progress("the Maker stand-in, the executor and the traders")
    maker = await build.maker()
    await rpc.call("anvil_setCode", [MULTICALL3, "0x" + artifacts.runtime_code("Multicall3Lite").hex()])
    lenders = {"aave_v2": aave_v2, "aave_v3": aave_v3, "balancer_v2": balancer, "maker": maker}
    executor = await build.executor(lenders)
    await build.traders()
    await build.warm_up()
    await rpc.call("anvil_removeBlockTimestampInterval")
    return AddressBook(
        accounts=tuple(accounts),
        tokens=tuple(BookToken(build.at[t.symbol], t.symbol, t.decimals) for t in plan.TOKENS),
        pools=tuple(build.pools),
        lenders=lenders,
        executor=executor,
        wallet=accounts[plan.WALLET],
        treasury=treasury_address(),
        multicall=MULTICALL3,
        trader=build.trader,
        traders=tuple(accounts[i] for i in plan.TRADERS),
        seed=seed,
        transactions=deployer.transactions,
        factories=tuple(build.listed),
    )


class _Build:
    """The parts of one deployment, in the order of `deploy`."""

    def __init__(self, deployer: _Deployer, seed: int) -> None:
        self.d = deployer
        self.plans = plan.pools(seed)
        self.at: dict[str, Address] = {}
        self.pools: list[BookPool] = []
        #: The factories that pools are proven by, by (dex, kind).
        self.factories: dict[tuple[str, str], Address] = {}
        self.listed: list[BookFactory] = []
        self.trader = ZERO_ADDRESS
        self.owner = deployer.accounts[plan.OWNER]

    async def tokens(self) -> None:
        for token in plan.TOKENS:
            if token.symbol == plan.WETH:
                self.at[token.symbol] = await self.d.create(token.contract)
                await self.d.send(self.at[token.symbol], "deposit()", value=2 * plan.MILLION * ETHER)
                continue
            self.at[token.symbol] = await self.d.create(
                token.contract, "(string,string,uint8)", token.name, token.symbol, token.decimals
            )
        self.trader = await self.d.create("DevTrader")
        for token in plan.TOKENS:
            if token.symbol != plan.WETH:
                await self._give(token.symbol, plan.OWNER, plan.worth(token.symbol, 400 * plan.MILLION))
            await self._approve(token.symbol, self.trader, plan.OWNER)

    async def exchanges(self) -> None:
        self.factories = {
            ("uniswap", "uniswap_v2"): await self.d.create("UniswapV2Factory", "(address)", self.owner),
            ("sushiswap", "uniswap_v2"): await self.d.create("UniswapV2Factory", "(address)", self.owner),
            ("uniswap", "uniswap_v3"): await self.d.create("UniswapV3Factory"),
        }
        v3 = self.factories["uniswap", "uniswap_v3"]
        await self.d.send(v3, "enableFeeAmount(uint24,int24)", 100, plan.TICK_SPACINGS[100])
        fees = {(pool.dex, pool.kind): pool.fee_ppm for pool in self.plans if pool.kind == "uniswap_v2"}
        self.listed = [
            BookFactory(address, dex, kind, fees.get((dex, kind), 0))
            for (dex, kind), address in self.factories.items()
        ]
        for pool in self.plans:
            factory = self.factories[pool.dex, pool.kind]
            if pool.kind == "uniswap_v2":
                await self._v2_pool(factory, pool)
            else:
                await self._v3_pool(factory, pool)

    async def _v2_pool(self, factory: Address, pool: PoolPlan) -> None:
        pair = await self.d.make(factory, "createPair(address,address)", self.at[pool.a], self.at[pool.b])
        for symbol in (pool.a, pool.b):
            amount = plan.worth(symbol, pool.ranges[0].usd)
            await self.d.send(self.at[symbol], "transfer(address,uint256)", pair, amount)
        await self.d.send(pair, "mint(address)", self.owner)
        self._enter(pair, pool)

    async def _v3_pool(self, factory: Address, pool: PoolPlan) -> None:
        address = await self.d.make(
            factory, "createPool(address,address,uint24)", self.at[pool.a], self.at[pool.b], pool.fee_ppm
        )
        entry = self._enter(address, pool)
        symbol0, symbol1 = self._symbols(pool)
        price = plan.raw_price(symbol0, symbol1)
        await self.d.send(address, "initialize(uint160)", plan.sqrt_price_x96(price))
        tick, spacing = plan.tick_at(price), entry.tick_spacing
        for part in pool.ranges:
            lower, upper = ((tick + side * part.width) // spacing * spacing for side in (-1, 1))
            depth = isqrt(plan.worth(symbol0, part.usd) * plan.worth(symbol1, part.usd))
            await self.d.send(
                self.trader, "mintV3(address,int24,int24,uint128)", address, lower, upper, depth
            )

    def _symbols(self, pool: PoolPlan) -> tuple[str, str]:
        first, second = sorted((pool.a, pool.b), key=lambda symbol: int(self.at[symbol], 16))
        return first, second

    def _enter(self, address: Address, pool: PoolPlan) -> BookPool:
        token0, token1 = (self.at[symbol] for symbol in self._symbols(pool))
        entry = BookPool(address, pool.dex, pool.kind, token0, token1, pool.fee_ppm, pool.tick_spacing)
        self.pools.append(entry)
        return entry

    async def aave_v3(self) -> Address:
        d = self.d
        provider = await d.create("v3.PoolAddressesProvider", "(string,address)", "ARBTUI local", self.owner)
        logic = {
            name: await d.create(f"v3.{name}")
            for name in (
                "BorrowLogic",
                "BridgeLogic",
                "ConfiguratorLogic",
                "EModeLogic",
                "LiquidationLogic",
                "PoolLogic",
                "SupplyLogic",
            )
        }
        logic["FlashLoanLogic"] = await d.create("v3.FlashLoanLogic", libraries=logic)
        pool_code = await d.create("v3.Pool", "(address)", provider, libraries=logic)
        configurator_code = await d.create("v3.PoolConfigurator", libraries=logic)
        await d.send(provider, "setACLAdmin(address)", self.owner)
        roles = await d.create("v3.ACLManager", "(address)", provider)
        await d.send(provider, "setACLManager(address)", roles)
        for role in ("PoolAdmin", "EmergencyAdmin", "RiskAdmin", "AssetListingAdmin"):
            await d.send(roles, f"add{role}(address)", self.owner)

        symbols = [listing.token for listing in plan.AAVE_V3]
        assets = [self.at[symbol] for symbol in symbols]
        feeds = [
            await d.create("v3.MockAggregator", "(int256)", plan.token(symbol).usd * _USD)
            for symbol in symbols
        ]
        oracle = await d.create(
            "v3.AaveOracle",
            "(address,address[],address[],address,address,uint256)",
            *(provider, assets, feeds, ZERO_ADDRESS, ZERO_ADDRESS, _USD),
        )
        await d.send(provider, "setPriceOracle(address)", oracle)
        reader = await d.create("v3.AaveProtocolDataProvider", "(address)", provider)
        await d.send(provider, "setPoolDataProvider(address)", reader)
        await d.send(provider, "setPoolImpl(address)", pool_code)
        await d.send(provider, "setPoolConfiguratorImpl(address)", configurator_code)
        pool = await d.ask_address(provider, "getPool()")
        configurator = await d.ask_address(provider, "getPoolConfigurator()")

        a_token = await d.create("v3.AToken", "(address)", pool)
        stable_debt = await d.create("v3.StableDebtToken", "(address)", pool)
        variable_debt = await d.create("v3.VariableDebtToken", "(address)", pool)
        rates = await d.create(
            "v3.DefaultReserveInterestRateStrategy",
            "(address" + ",uint256" * 9 + ")",
            provider,
            *(_RAY * percent // 1000 for percent in (800, 0, 40, 750, 5, 750, 10, 80, 200)),
        )
        inputs = [
            (
                *(a_token, stable_debt, variable_debt, plan.token(symbol).decimals, rates, self.at[symbol]),
                *(self.owner, ZERO_ADDRESS, f"Aave {symbol}", f"a{symbol}"),
                *(f"Aave variable debt {symbol}", f"vd{symbol}", f"Aave stable debt {symbol}", f"sd{symbol}"),
                b"\x10",
            )
            for symbol in symbols
        ]
        row = "(address,address,address,uint8,address,address,address,address" + ",string" * 6 + ",bytes)"
        await d.send(configurator, f"initReserves({row}[])", inputs)
        for asset in assets:
            await d.send(configurator, "setReserveBorrowing(address,bool)", asset, True)
            await d.send(configurator, "setReserveFlashLoaning(address,bool)", asset, True)
            await self._collateral(configurator, asset)
            await d.send(configurator, "setReserveFactor(address,uint256)", asset, 1_000)
        await d.send(configurator, "updateFlashloanPremiumTotal(uint128)", plan.AAVE_V3_PREMIUM_BPS)
        await d.send(configurator, "updateFlashloanPremiumToProtocol(uint128)", 4)
        await self._fill_market(pool, plan.AAVE_V3, "supply")
        return pool

    async def aave_v2(self) -> Address:
        d = self.d
        provider = await d.create("v2.LendingPoolAddressesProvider", "(string)", "ARBTUI local")
        await d.send(provider, "setPoolAdmin(address)", self.owner)
        await d.send(provider, "setEmergencyAdmin(address)", self.owner)
        logic = {name: await d.create(f"v2.{name}") for name in ("ReserveLogic", "GenericLogic")}
        logic["ValidationLogic"] = await d.create("v2.ValidationLogic", libraries=logic)
        pool_code = await d.create("v2.LendingPool", libraries=logic)
        configurator_code = await d.create("v2.LendingPoolConfigurator")
        manager = await d.create("v2.LendingPoolCollateralManager")
        await d.send(provider, "setLendingPoolImpl(address)", pool_code)
        await d.send(provider, "setLendingPoolConfiguratorImpl(address)", configurator_code)
        await d.send(provider, "setLendingPoolCollateralManager(address)", manager)
        pool = await d.ask_address(provider, "getLendingPool()")
        configurator = await d.ask_address(provider, "getLendingPoolConfigurator()")

        # The package's oracle takes WETH as its unit, so WETH has no feed.
        symbols = [listing.token for listing in plan.AAVE_V2]
        priced = [symbol for symbol in symbols if symbol != plan.WETH]
        ether_usd = plan.token(plan.WETH).usd
        feeds = [
            await d.create("v2.MockAggregator", "(int256)", plan.token(symbol).usd * ETHER // ether_usd)
            for symbol in priced
        ]
        oracle = await d.create(
            "v2.AaveOracle",
            "(address[],address[],address,address)",
            *([self.at[symbol] for symbol in priced], feeds, ZERO_ADDRESS, self.at[plan.WETH]),
        )
        await d.send(provider, "setPriceOracle(address)", oracle)
        market_rates = await d.create("v2.LendingRateOracle")
        await d.send(provider, "setLendingRateOracle(address)", market_rates)
        rates = await d.create(
            "v2.DefaultReserveInterestRateStrategy",
            "(address" + ",uint256" * 6 + ")",
            provider,
            *(_RAY * percent // 1000 for percent in (800, 0, 40, 750, 20, 750)),
        )
        for symbol in symbols:
            asset = self.at[symbol]
            await d.send(market_rates, "setMarketBorrowRate(address,uint256)", asset, 3 * _RAY // 100)
            a_token = await d.create(
                "v2.AToken",
                "(address,address,address,string,string,address)",
                *(pool, asset, self.owner, f"Aave v2 {symbol}", f"a2{symbol}", ZERO_ADDRESS),
            )
            debts = [
                await d.create(
                    f"v2.{kind}DebtToken",
                    "(address,address,string,string,address)",
                    *(
                        pool,
                        asset,
                        f"Aave v2 {kind} debt {symbol}",
                        f"{kind[0].lower()}d2{symbol}",
                        ZERO_ADDRESS,
                    ),
                )
                for kind in ("Stable", "Variable")
            ]
            await d.send(
                configurator,
                "initReserve(address,address,address,uint8,address)",
                *(a_token, *debts, plan.token(symbol).decimals, rates),
            )
            await d.send(configurator, "enableBorrowingOnReserve(address,bool)", asset, False)
            await self._collateral(configurator, asset)
            await d.send(configurator, "setReserveFactor(address,uint256)", asset, 1_000)
        await self._fill_market(pool, plan.AAVE_V2, "deposit")
        return pool

    async def _collateral(self, configurator: Address, asset: Address) -> None:
        await self.d.send(
            configurator,
            "configureReserveAsCollateral(address,uint256,uint256,uint256)",
            *(asset, 8_000, 8_250, 10_500),
        )

    async def _fill_market(self, pool: Address, listings: Sequence[Listing], verb: str) -> None:
        """Suppliers first, then a borrower with collateral of every kind, then its debts."""
        for listing in listings:
            asset = self.at[listing.token]
            for account, whole in ((plan.SUPPLIER, listing.supplied), (plan.BORROWER, listing.collateral)):
                amount = plan.units(listing.token, whole)
                await self._give(listing.token, account, amount)
                await self._approve(listing.token, pool, account)
                await self.d.send(
                    pool,
                    f"{verb}(address,uint256,address,uint16)",
                    *(asset, amount, self.d.accounts[account], 0),
                    sender=account,
                )
        for listing in listings:
            await self.d.send(
                pool,
                "borrow(address,uint256,uint256,uint16,address)",
                *(self.at[listing.token], plan.units(listing.token, listing.borrowed), 2, 0),
                self.d.accounts[plan.BORROWER],
                sender=plan.BORROWER,
            )

    async def balancer(self) -> Address:
        d = self.d
        authorizer = await d.create("Authorizer", "(address)", self.owner)
        vault = await d.create(
            "Vault",
            "(address,address,uint256,uint256)",
            *(authorizer, self.at[plan.WETH], 90 * _DAY_S, 30 * _DAY_S),
        )
        factory = await d.create("WeightedPoolFactory", "(address)", vault)
        rows = sorted((int(self.at[symbol], 16), symbol, whole) for symbol, whole in plan.BALANCER)
        assets = [self.at[symbol] for _, symbol, _ in rows]
        amounts = [plan.units(symbol, whole) for _, symbol, whole in rows]
        pool = await d.make(
            factory,
            "create(string,string,address[],uint256[],uint256,address)",
            *("Local WETH/USDC", "BPT-LOCAL", assets, [ETHER // 2] * 2, ETHER * 3 // 1000, self.owner),
        )
        (pool_id,) = await d.ask(pool, "getPoolId()", ["bytes32"])
        for _, symbol, _ in rows:
            await self._approve(symbol, vault, plan.OWNER)
        # userData: the kind of join (0: the first), then the amounts.
        join = encode_call("(uint256,uint256[])", 0, amounts)[4:]
        await d.send(
            vault,
            "joinPool(bytes32,address,address,(address[],uint256[],bytes,bool))",
            *(pool_id, self.owner, self.owner, (assets, amounts, join, False)),
        )
        return vault

    async def maker(self) -> Address:
        dai = self.at[plan.DAI]
        stand_in = await self.d.create("DssFlashStandIn", "(address)", dai)
        await self.d.send(dai, "setMinter(address,bool)", stand_in, True)
        # One unit stays in it, so that a loan does not take its balance from zero and back.
        await self.d.send(dai, "mint(address,uint256)", stand_in, 1)
        ceiling = plan.units(plan.DAI, plan.MAKER_CEILING)
        await self.d.send(stand_in, "file(bytes32,uint256)", b"max".ljust(32, b"\0"), ceiling)
        return stand_in

    async def executor(self, lenders: Mapping[str, Address]) -> Address:
        """The executor with every lender, exchange and token of this chain."""
        by_code = [ZERO_ADDRESS] * LENDER_SLOTS
        for name, address in lenders.items():
            by_code[LENDER_CODES[LenderId(name)]] = address
        v2 = [
            (factory, plan.PAIR_INIT_CODE_HASH, plan.V2_FEE_PPM)
            for (_, kind), factory in self.factories.items()
            if kind == "uniswap_v2"
        ]
        v3 = [(self.factories["uniswap", "uniswap_v3"], plan.POOL_INIT_CODE_HASH)]
        assets = [(self.at[token.symbol], plan.floor(token.symbol)) for token in plan.TOKENS]
        setup = (self.owner, self.d.accounts[plan.WALLET], treasury_address(), by_code, v2, v3, assets)
        return await self.d.create("Executor", EXECUTOR_SETUP, setup)

    async def traders(self) -> None:
        for account in plan.TRADERS:
            for token in plan.TOKENS:
                await self._give(token.symbol, account, plan.worth(token.symbol, plan.TRADER_PURSE_USD))
                await self._approve(token.symbol, self.trader, account)

    async def warm_up(self) -> None:
        """Every pool traded once each way: a pool's first trade costs more gas than all that follow."""
        sender = plan.TRADERS[0]
        symbols = {address: symbol for symbol, address in self.at.items()}
        for pool in self.pools:
            for zero_for_one in (True, False):
                amount = plan.worth(symbols[pool.token0 if zero_for_one else pool.token1], 5_000)
                if pool.kind == "uniswap_v2":
                    await self.d.send(
                        self.trader,
                        "swapV2(address,bool,uint256,uint256)",
                        *(pool.address, zero_for_one, amount, pool.fee_ppm),
                        sender=sender,
                    )
                else:
                    limit = V3_LOWEST_LIMIT if zero_for_one else V3_HIGHEST_LIMIT
                    await self.d.send(
                        self.trader,
                        "swapV3(address,bool,int256,uint160)",
                        *(pool.address, zero_for_one, amount, limit),
                        sender=sender,
                    )

    async def _give(self, symbol: str, account: int, amount: int) -> None:
        verb = "transfer" if symbol == plan.WETH else "mint"
        await self.d.send(self.at[symbol], f"{verb}(address,uint256)", self.d.accounts[account], amount)

    async def _approve(self, symbol: str, spender: Address, account: int) -> None:
        await self.d.send(self.at[symbol], "approve(address,uint256)", spender, UINT256_MAX, sender=account)


#: One inside the range of prices that a Uniswap V3 pool knows.
V3_LOWEST_LIMIT = 4295128740
V3_HIGHEST_LIMIT = 1461446703485210103287273052203988822378723970341
