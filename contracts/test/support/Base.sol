// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExecutor} from "../../src/IExecutor.sol";
import {DevToken} from "../../src/devnet/DevToken.sol";
import {DssFlashStandIn} from "../../src/devnet/DssFlashStandIn.sol";
import {IERC20} from "../../src/external/IERC20.sol";
import {IUniswapV2Pair, IUniswapV3Pool, ITokenPair} from "../../src/external/IPools.sol";
import {AaveV2Lender, AaveV3Lender, BalancerV2Lender} from "./HonestLenders.sol";
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

/// A small market with the real bytecode of Uniswap V2, Uniswap V3 and WETH, lenders, and the executor as shipped.
abstract contract Base {
    uint8 internal constant OWN = 0;
    uint8 internal constant AAVE_V2 = 1;
    uint8 internal constant AAVE_V3 = 2;
    uint8 internal constant BALANCER_V2 = 3;
    uint8 internal constant MAKER = 4;

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
    address internal usdtA;
    address internal usdtB;
    address internal usdcA;
    address internal usdcDai;
    address internal usdtDai;

    AaveV2Lender internal aaveV2;
    AaveV3Lender internal aaveV3;
    BalancerV2Lender internal balancerV2;
    DssFlashStandIn internal maker;
    IExecutor internal executor;

    uint256 private _tickets;

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

        aaveV2 = new AaveV2Lender();
        aaveV3 = new AaveV3Lender();
        balancerV2 = new BalancerV2Lender();
        maker = DssFlashStandIn(artifact("DssFlashStandIn", abi.encode(dai)));
        DevToken(dai).setMinter(address(maker), true);
        maker.file("max", 10_000_000e18);
        stock(address(aaveV2));
        stock(address(aaveV3));
        stock(address(balancerV2));

        executor = newExecutor([address(aaveV2), address(aaveV3), address(balancerV2), address(maker)]);
    }

    function newExecutor(address[4] memory lenders) internal returns (IExecutor) {
        return IExecutor(artifact("Executor", abi.encode(OWNER, OPERATOR, TREASURY, lenders)));
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

    function hop(address pool, uint8 kind, address tokenIn) internal view returns (IExecutor.Hop memory) {
        return IExecutor.Hop(pool, kind, ITokenPair(pool).token0() == tokenIn, kind == 0 ? 3000 : 0);
    }

    function plan(uint8 lender, address asset, uint256 amountIn, IExecutor.Hop[] memory hops)
        internal
        returns (IExecutor.Plan memory)
    {
        bytes32 ticket = keccak256(abi.encode("ticket", ++_tickets));
        return IExecutor.Plan(ticket, lender, asset, amountIn, 1, block.number + 2, hops);
    }

    function route(address poolA, uint8 kindA, address poolB, uint8 kindB, address asset, address middle)
        internal
        view
        returns (IExecutor.Hop[] memory hops)
    {
        hops = new IExecutor.Hop[](2);
        hops[0] = hop(poolA, kindA, asset);
        hops[1] = hop(poolB, kindB, middle);
    }

    /// DAI to WETH on A, back on B: pays up to about 25,000 DAI.
    function good(uint8 lender) internal returns (IExecutor.Plan memory) {
        return plan(lender, dai, 10_000e18, route(daiA, 0, daiB, 0, dai, weth));
    }

    function run(IExecutor.Plan memory p) internal returns (uint256) {
        vm.prank(OPERATOR);
        return executor.execute(p);
    }

    function refused(IExecutor.Plan memory p, bytes memory reason) internal {
        vm.prank(OPERATOR);
        vm.expectRevert(reason);
        executor.execute(p);
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
        if (lender == AAVE_V3) return (amount * 5 + 9999) / 10_000;
        return 0;
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
