// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExecutor} from "../../src/IExecutor.sol";
import {DevToken} from "../../src/devnet/DevToken.sol";
import {DssFlashStandIn} from "../../src/devnet/DssFlashStandIn.sol";
import {IERC20} from "../../src/external/IERC20.sol";
import {IUniswapV2Pair, IUniswapV3Pool, ITokenPair} from "../../src/external/IPools.sol";
import {AaveV2Lender, AaveV3Lender, BalancerV2Lender, MorphoLender} from "./HonestLenders.sol";
import {vm} from "./Vm.sol";

interface IV2Factory {
    function createPair(address a, address b) external returns (address);
}

interface IV2PairMint {
    function mint(address to) external returns (uint256);
}

interface IV3Factory {
    function createPool(address a, address b, uint24 fee) external returns (address);
}

interface IV3PoolSetup {
    function initialize(uint160 sqrtPriceX96) external;
    function mint(address to, int24 lower, int24 upper, uint128 liquidity, bytes calldata data)
        external
        returns (uint256, uint256);
}

interface IWeth {
    function deposit() external payable;
}

interface IMint {
    function mint(address to, uint256 amount) external;
}

/// One swap of a plan; `given` is asked of a V2 pair if it is not 0.
struct Hop {
    address pool;
    uint8 kind;
    address tokenOut;
    uint24 feePpm;
    uint96 given;
}

/// What a plan says, before it is packed; `source` is the pool that lends, for the lenders that are a pool.
struct Plan {
    uint64 ticket;
    uint8 lender;
    address asset;
    uint256 amountIn;
    uint256 minProfit;
    uint256 lastBlock;
    address source;
    Hop[] hops;
}

/// A packer of our own, written from the interface's words.
function pack(Plan memory p) pure returns (bytes memory data) {
    data = abi.encodePacked(
        p.ticket,
        uint40(p.lastBlock),
        p.lender,
        uint32(uint160(p.asset)),
        uint112(p.amountIn),
        uint112(p.minProfit)
    );
    if (p.lender == 6 || p.lender == 7) data = abi.encodePacked(data, p.source);
    for (uint256 i; i < p.hops.length; ++i) {
        Hop memory hop = p.hops[i];
        data = abi.encodePacked(data, hop.given != 0 ? 2 : hop.kind);
        if (hop.kind == 1) data = abi.encodePacked(data, hop.feePpm);
        if (hop.given != 0) data = abi.encodePacked(data, hop.given);
        data = abi.encodePacked(data, uint32(uint160(hop.pool)));
        if (i + 1 < p.hops.length) data = abi.encodePacked(data, hop.tokenOut);
    }
}

/// A small market with the real bytecode of Uniswap V2, Uniswap V3 and WETH, lenders, and the executor as shipped.
abstract contract Base {
    uint8 internal constant OWN = 0;
    uint8 internal constant AAVE_V2 = 1;
    uint8 internal constant AAVE_V3 = 2;
    uint8 internal constant BALANCER_V2 = 3;
    uint8 internal constant MAKER = 4;
    uint8 internal constant MORPHO = 5;
    uint8 internal constant UNISWAP_V3 = 6;
    uint8 internal constant UNISWAP_V2 = 7;
    uint8 internal constant AAVE_V3_SECOND = 8;
    uint8 internal constant AAVE_V3_THIRD = 9;
    uint8 internal constant FLASH_SWAP = 10;

    bytes32 internal constant PAIR_HASH = 0x96e8ac4277198ff8b6f785478aa9a39f403cb768dd02cbee326c3e7da348845f;
    bytes32 internal constant POOL_HASH = 0xe34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54;

    address internal constant OWNER = address(0x0A11CE);
    address internal constant OPERATOR = address(0x0B0B);
    address internal constant TREASURY = address(0x7EA5);
    address internal constant STRANGER = address(0xBAD);

    address internal weth;
    address internal dai;
    address internal usdc;
    address internal usdt;

    IV2Factory internal dexA;
    IV2Factory internal dexB;
    IV3Factory internal dexV3;

    // Each is a market of DAI, USDC or USDT against WETH; WETH is 5 % dearer on B and on V3's 0.3 % pool.
    address internal daiA;
    address internal daiB;
    address internal daiV3;
    address internal daiV3High;
    address internal daiUsdcV3;
    address internal usdcWethV3;
    address internal usdtUsdcV3;
    address internal usdtA;
    address internal usdtB;
    address internal usdcA;
    address internal usdcDai;
    address internal usdtDai;
    address internal usdcUsdt;
    address internal usdcDaiB;

    AaveV2Lender internal aaveV2;
    AaveV3Lender internal aaveV3;
    AaveV3Lender internal spark;
    AaveV3Lender internal prime;
    BalancerV2Lender internal balancerV2;
    MorphoLender internal morpho;
    DssFlashStandIn internal maker;
    IExecutor internal executor;

    uint64 private _tickets = 0xa4b0_0000_0000_0000;

    function setUp() public virtual {
        weth = _create(vm.getCode("../node_modules/canonical-weth/build/contracts/WETH9.json"));
        dai = artifact("DevToken", abi.encode("Dai", "DAI", uint8(18)));
        usdc = artifact("DevToken", abi.encode("USD Coin", "USDC", uint8(6)));
        usdt = artifact("NoReturnToken", abi.encode("Tether", "USDT", uint8(6)));

        dexA = IV2Factory(_v2Factory());
        dexB = IV2Factory(_v2Factory());
        dexV3 = IV3Factory(
            _create(
                vm.getCode(
                    "../node_modules/@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json"
                )
            )
        );

        daiA = v2Pair(dexA, dai, 2_000_000e18, weth, 1000e18);
        daiB = v2Pair(dexB, dai, 2_100_000e18, weth, 1000e18);
        usdtA = v2Pair(dexA, usdt, 2_000_000e6, weth, 1000e18);
        usdtB = v2Pair(dexB, usdt, 2_100_000e6, weth, 1000e18);
        usdcA = v2Pair(dexA, usdc, 2_100_000e6, weth, 1000e18);
        usdcDai = v2Pair(dexA, usdc, 1_000_000e6, dai, 1_000_000e18);
        usdtDai = v2Pair(dexA, usdt, 1_000_000e6, dai, 1_000_000e18);
        daiV3 = v3Pool(500, dai, 2_000_000e18, weth, 1000e18);
        daiV3High = v3Pool(3000, dai, 2_100_000e18, weth, 1000e18);
        usdcDaiB = v2Pair(dexB, usdc, 1_000_000e6, dai, 1_000_000e18);
        usdcWethV3 = v3Pool(500, usdc, 2_100_000e6, weth, 1000e18);
        usdcUsdt = v2Pair(dexA, usdc, 1_000_000e6, usdt, 1_000_000e6);
        daiUsdcV3 = v3Pool(500, dai, 1_000_000e18, usdc, 1_000_000e6);
        usdtUsdcV3 = v3Pool(500, usdt, 1_000_000e6, usdc, 1_000_000e6);

        aaveV2 = new AaveV2Lender();
        aaveV3 = new AaveV3Lender();
        spark = new AaveV3Lender();
        prime = new AaveV3Lender();
        balancerV2 = new BalancerV2Lender();
        morpho = new MorphoLender();
        maker = DssFlashStandIn(artifact("DssFlashStandIn", abi.encode(dai)));
        DevToken(dai).setMinter(address(maker), true);
        maker.file("max", 10_000_000e18);
        stock(address(aaveV2));
        stock(address(aaveV3));
        stock(address(balancerV2));
        stock(address(spark));
        stock(address(prime));
        stock(address(morpho));
        executor = newExecutor(setup());
    }

    function newExecutor(IExecutor.Setup memory s) internal returns (IExecutor) {
        return IExecutor(artifact("Executor", abi.encode(s)));
    }

    /// Everything there is, and floors of 1.
    function setup() internal view returns (IExecutor.Setup memory s) {
        s.owner = OWNER;
        s.operator = OPERATOR;
        s.treasury = TREASURY;
        s.lenders[AAVE_V2] = address(aaveV2);
        s.lenders[AAVE_V3] = address(aaveV3);
        s.lenders[BALANCER_V2] = address(balancerV2);
        s.lenders[MAKER] = address(maker);
        s.lenders[MORPHO] = address(morpho);
        s.lenders[AAVE_V3_SECOND] = address(spark);
        s.lenders[AAVE_V3_THIRD] = address(prime);
        s.v2 = new IExecutor.ExchangeV2[](2);
        s.v2[0] = IExecutor.ExchangeV2(address(dexA), PAIR_HASH, 3000);
        s.v2[1] = IExecutor.ExchangeV2(address(dexB), PAIR_HASH, 3000);
        s.v3 = new IExecutor.ExchangeV3[](1);
        s.v3[0] = IExecutor.ExchangeV3(address(dexV3), POOL_HASH);
        s.assets = new IExecutor.Asset[](4);
        s.assets[0] = IExecutor.Asset(weth, 1);
        s.assets[1] = IExecutor.Asset(dai, 1);
        s.assets[2] = IExecutor.Asset(usdc, 1);
        s.assets[3] = IExecutor.Asset(usdt, 1);
    }

    /// Deploys what is shipped: the committed artifact, not a compilation of forge's own.
    function artifact(string memory name, bytes memory args) internal returns (address) {
        return _create(bytes.concat(vm.getCode(string.concat("artifacts/", name, ".json")), args));
    }

    function stock(address lender) internal {
        fund(dai, lender, 1_000_000e18);
        fund(usdc, lender, 1_000_000e6);
        fund(usdt, lender, 1_000_000e6);
        fund(weth, lender, 1000e18);
    }

    function fund(address token, address to, uint256 amount) internal {
        if (token == weth) {
            vm.deal(address(this), amount);
            IWeth(weth).deposit{value: amount}();
            require(IERC20(weth).transfer(to, amount), "fund");
        } else {
            IMint(token).mint(to, amount);
        }
    }

    function v2Pair(IV2Factory dex, address a, uint256 amountA, address b, uint256 amountB)
        internal
        returns (address pair)
    {
        pair = dex.createPair(a, b);
        fund(a, pair, amountA);
        fund(b, pair, amountB);
        IV2PairMint(pair).mint(address(this));
    }

    /// A pool with one full-range position that trades as reserves of these amounts would.
    function v3Pool(uint24 fee, address a, uint256 amountA, address b, uint256 amountB)
        internal
        returns (address pool)
    {
        int24 spacing = fee == 500 ? int24(10) : int24(60);
        int24 upper = 887272 / spacing * spacing;
        pool = emptyV3Pool(fee, a, amountA, b, amountB);
        IV3PoolSetup(pool).mint(address(this), -upper, upper, uint128(sqrt(amountA * amountB)), "");
    }

    function emptyV3Pool(uint24 fee, address a, uint256 amountA, address b, uint256 amountB)
        internal
        returns (address pool)
    {
        pool = dexV3.createPool(a, b, fee);
        (uint256 amount0, uint256 amount1) = a < b ? (amountA, amountB) : (amountB, amountA);
        IV3PoolSetup(pool).initialize(uint160(sqrt((amount1 << 96) / amount0) << 48));
    }

    function uniswapV3MintCallback(uint256 owed0, uint256 owed1, bytes calldata) external {
        if (owed0 != 0) fund(ITokenPair(msg.sender).token0(), msg.sender, owed0);
        if (owed1 != 0) fund(ITokenPair(msg.sender).token1(), msg.sender, owed1);
    }

    function uniswapV3SwapCallback(int256 delta0, int256 delta1, bytes calldata) external {
        if (delta0 > 0) fund(ITokenPair(msg.sender).token0(), msg.sender, uint256(delta0));
        if (delta1 > 0) fund(ITokenPair(msg.sender).token1(), msg.sender, uint256(delta1));
    }

    // ---- plans

    /// A pool's own fee and other token make the hop.
    function hop(address pool, uint8 kind, address tokenIn) internal view returns (Hop memory) {
        address token0 = ITokenPair(pool).token0();
        address tokenOut = token0 == tokenIn ? ITokenPair(pool).token1() : token0;
        return Hop(pool, kind, tokenOut, kind == 1 ? IUniswapV3Pool(pool).fee() : 0, 0);
    }

    function plan(uint8 lender, address asset, uint256 amountIn, Hop[] memory hops) internal returns (Plan memory) {
        address source = lender == UNISWAP_V3 || lender == UNISWAP_V2 ? lendingPool(lender, asset) : address(0);
        return Plan(++_tickets, lender, asset, amountIn, 1, block.number + 2, source, hops);
    }

    /// A pool of the asset that no route of the tests trades on.
    function lendingPool(uint8 lender, address asset) internal view returns (address) {
        if (lender == UNISWAP_V3) return asset == usdt ? usdtUsdcV3 : asset == weth ? daiV3High : daiUsdcV3;
        return asset == dai ? usdcDai : asset == weth ? usdcA : usdcUsdt;
    }

    function route(address poolA, uint8 kindA, address poolB, uint8 kindB, address asset, address middle)
        internal
        view
        returns (Hop[] memory hops)
    {
        hops = new Hop[](2);
        hops[0] = hop(poolA, kindA, asset);
        hops[1] = hop(poolB, kindB, middle);
    }

    /// DAI to WETH on A, back on B: pays up to about 25,000 DAI.
    function good(uint8 lender) internal returns (Plan memory) {
        return plan(lender, dai, 10_000e18, route(daiA, 0, daiB, 0, dai, weth));
    }

    function calldataOf(Plan memory p) internal pure returns (bytes memory) {
        return bytes.concat(IExecutor.executePacked.selector, pack(p));
    }

    /// Calls as whoever is pranked; what it reverts with is passed on.
    function execute(Plan memory p) internal returns (uint256) {
        (bool success, bytes memory returned) = address(executor).call(calldataOf(p));
        if (!success) {
            assembly {
                revert(add(returned, 32), mload(returned))
            }
        }
        return abi.decode(returned, (uint256));
    }

    function run(Plan memory p) internal returns (uint256) {
        vm.prank(OPERATOR);
        return execute(p);
    }

    function refused(Plan memory p, bytes memory reason) internal {
        refusedRaw(calldataOf(p), reason);
    }

    function refusedRaw(bytes memory data, bytes memory reason) internal {
        vm.prank(OPERATOR);
        (bool success, bytes memory returned) = address(executor).call(data);
        require(!success, "was not refused");
        require(keccak256(returned) == keccak256(reason), string.concat("another reason: ", hexText(returned)));
    }

    /// What a lender's callback brings, as the executor hashes it.
    function context(uint8 kind, address lender, bytes memory data) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint256(kind) << 160 | uint160(lender), data));
    }

    function unexpected(address caller, uint8 kind, bytes32 awaited, bytes memory data)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(
            IExecutor.UnexpectedCallback.selector, caller, kind, awaited, context(kind, caller, data)
        );
    }

    // ---- arithmetic of our own, to compare with

    function v2Out(address pair, address tokenIn, uint256 amountIn) internal view returns (uint256) {
        (uint256 rIn, uint256 rOut,) = IUniswapV2Pair(pair).getReserves();
        if (ITokenPair(pair).token0() != tokenIn) (rIn, rOut) = (rOut, rIn);
        return amountIn * 997_000 * rOut / (rIn * 1e6 + amountIn * 997_000);
    }

    /// What the pool itself pays for `amountIn`; the market is put back afterwards.
    function v3Out(address pool, address tokenIn, uint256 amountIn) internal returns (uint256 out) {
        uint256 id = vm.snapshotState();
        bool zeroForOne = ITokenPair(pool).token0() == tokenIn;
        (int256 delta0, int256 delta1) = IUniswapV3Pool(pool).swap(
            address(this),
            zeroForOne,
            int256(amountIn),
            zeroForOne ? 4295128740 : 1461446703485210103287273052203988822378723970341,
            ""
        );
        out = uint256(-(zeroForOne ? delta1 : delta0));
        vm.revertToState(id);
    }

    function loanFee(uint8 lender, uint256 amount) internal pure returns (uint256) {
        if (lender == AAVE_V2) return amount * 9 / 10_000;
        if (lender == AAVE_V3 || lender == AAVE_V3_SECOND || lender == AAVE_V3_THIRD) {
            return (amount * 5 + 9999) / 10_000;
        }
        if (lender == UNISWAP_V3) return (amount * 500 + 999_999) / 1_000_000;
        if (lender == UNISWAP_V2) return (amount * 1000 + 996) / 997 - amount;
        return 0;
    }

    function hexText(bytes memory data) internal pure returns (string memory) {
        bytes16 digits = "0123456789abcdef";
        bytes memory out = new bytes(data.length * 2);
        for (uint256 i; i < data.length; ++i) {
            out[2 * i] = digits[uint8(data[i]) >> 4];
            out[2 * i + 1] = digits[uint8(data[i]) & 15];
        }
        return string(out);
    }

    function sqrt(uint256 x) internal pure returns (uint256 root) {
        if (x == 0) return 0;
        root = x;
        for (uint256 next = (x >> 1) + 1; next < root; next = (x / next + next) >> 1) {
            root = next;
        }
    }

    function held(address token, address account) internal view returns (uint256) {
        return IERC20(token).balanceOf(account);
    }

    function bound(uint256 x, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + x % (high - low + 1);
    }

    function eq(uint256 actual, uint256 expected, string memory what) internal pure {
        require(actual == expected, string.concat(what, ": ", text(actual), " is not ", text(expected)));
    }

    function text(uint256 x) internal pure returns (string memory) {
        if (x == 0) return "0";
        bytes memory digits;
        for (; x != 0; x /= 10) {
            digits = bytes.concat(bytes1(uint8(48 + x % 10)), digits);
        }
        return string(digits);
    }

    function _v2Factory() private returns (address) {
        string memory json = vm.readFile("../node_modules/@uniswap/v2-core/build/UniswapV2Factory.json");
        bytes memory code = vm.parseBytes(string.concat("0x", vm.parseJsonString(json, ".bytecode")));
        return _create(bytes.concat(code, abi.encode(address(this))));
    }

    function _create(bytes memory code) private returns (address created) {
        assembly {
            created := create(0, add(code, 32), mload(code))
        }
        require(created != address(0), "create");
    }
}
