// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExecutor} from "../src/IExecutor.sol";
import {DevToken} from "../src/devnet/DevToken.sol";
import {NoReturnToken} from "../src/devnet/NoReturnToken.sol";
import {IERC20} from "../src/external/IERC20.sol";
import {ITokenPair, IUniswapV2Pair, IUniswapV3Pool} from "../src/external/IPools.sol";
import {Base, Hop, IMint, Plan, pack} from "./support/Base.sol";
import {vm} from "./support/Vm.sol";

/// Runs, trades of others, gifts, pauses and strangers in any order. It counts what should be true afterwards.
contract Handler {
    IExecutor public immutable executor;
    address public immutable operator;
    address public immutable owner;
    address public immutable middle;
    address[2][4] private _pools;
    uint8[2][4] private _kinds;
    address[4] private _assets;
    address[11] private _callers;

    uint256 public attempts;
    uint256 public successes;
    uint256 public flashSwaps;
    uint64 public lastTicket;
    mapping(address token => uint256) public given;
    mapping(address token => uint256) public earned;

    uint64 private _nonce;
    address[2][4] private _sources;

    constructor(
        IExecutor executor_,
        address middle_,
        address[4] memory assets,
        address[2][4] memory sources,
        address[2][4] memory pools,
        uint8[2][4] memory kinds
    ) {
        executor = executor_;
        operator = executor_.operator();
        owner = executor_.owner();
        middle = middle_;
        _assets = assets;
        _sources = sources;
        _pools = pools;
        _kinds = kinds;
        for (uint8 i; i < 11; ++i) {
            _callers[i] = executor_.lenders(i);
        }
    }

    /// Mostly a plan that could pay: the cheaper pool first. Sometimes a used ticket or the wrong direction.
    function execute(uint256 which, uint256 amount, uint8 lender, uint8 odd) external {
        // The fuzzer favours small numbers, which would make most plans odd ones.
        _run(which % 4, amount, lender % 10 + 1, uint8(uint256(keccak256(abi.encode(odd, amount)))));
    }

    function executeAgain(uint256 which, uint256 amount, uint8 lender) external {
        _run(which % 4, amount, lender % 10 + 1, 255);
    }

    function _run(uint256 which, uint256 amount, uint8 lender, uint8 odd) private {
        address asset = _assets[which];
        uint256 unit = asset == _assets[3] ? 1e6 : 1e18;
        if (lender == 4 && which == 3) lender = 3;
        if (lender == 10 && which != 0 && which != 3) lender = 5;
        Hop[] memory hops = new Hop[](2);
        bool turned = odd < 32;
        uint256 first = turned ? 1 : 0;
        hops[0] = _hop(which, first, asset);
        hops[1] = _hop(which, 1 - first, middle);
        uint64 ticket = odd >= 32 && odd < 48 && lastTicket != 0 ? lastTicket : ++_nonce;
        address source = lender == 6 ? _sources[which][0] : lender == 7 ? _sources[which][1] : address(0);
        Plan memory plan = Plan(ticket, lender, asset, unit + amount % (500 * unit), 1, block.number, source, hops);
        ++attempts;
        vm.prank(operator);
        (bool done, bytes memory returned) =
            address(executor).call(bytes.concat(IExecutor.executePacked.selector, pack(plan)));
        if (done) {
            uint256 profit = abi.decode(returned, (uint256));
            if (lender == 10) ++flashSwaps;
            require(!turned, "a run in the wrong direction has paid");
            require(ticket != lastTicket, "a ticket was executed twice");
            ++successes;
            lastTicket = ticket;
            earned[asset] += profit;
        }
    }

    /// Someone brings the pools apart again, as traders do.
    function trade(uint256 which, uint256 amount) external {
        address pair = _pools[which % 4][1];
        if (_kinds[which % 4][1] != 0) return;
        address asset = _assets[which % 4];
        uint256 unit = asset == _assets[3] ? 1e6 : 1e18;
        (uint256 rIn, uint256 rOut,) = IUniswapV2Pair(pair).getReserves();
        bool zeroForOne = ITokenPair(pair).token0() == asset;
        if (!zeroForOne) (rIn, rOut) = (rOut, rIn);
        uint256 input = unit + amount % (2000 * unit);
        IMint(asset).mint(pair, input);
        uint256 out = input * 997 * rOut / (rIn * 1000 + input * 997);
        IUniswapV2Pair(pair).swap(zeroForOne ? 0 : out, zeroForOne ? out : 0, address(this), "");
    }

    function give(uint256 which, uint256 amount) external {
        address asset = _assets[which % 4];
        amount %= 1e12;
        IMint(asset).mint(address(executor), amount);
        given[asset] += amount;
    }

    function meddle(uint256 who, uint8 what, uint256 amount) external {
        address caller = _callers[who % 11];
        if (caller == address(0)) caller = who % 2 == 0 ? address(this) : _pools[0][who % 4 / 2];
        address[] memory assets = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        assets[0] = _assets[0];
        amounts[0] = amount;
        bytes[8] memory calls = [
            abi.encodeWithSignature(
                "executeOperation(address[],uint256[],uint256[],address,bytes)",
                assets,
                amounts,
                amounts,
                address(executor),
                ""
            ),
            abi.encodeWithSignature(
                "executeOperation(address,uint256,uint256,address,bytes)", assets[0], amount, 0, address(executor), ""
            ),
            abi.encodeWithSignature("receiveFlashLoan(address[],uint256[],uint256[],bytes)", assets, amounts, amounts, ""),
            abi.encodeWithSignature(
                "onFlashLoan(address,address,uint256,uint256,bytes)", address(executor), assets[0], amount, 0, ""
            ),
            abi.encodeWithSignature("uniswapV3SwapCallback(int256,int256,bytes)", int256(1), int256(-1), ""),
            abi.encodeWithSignature("onMorphoFlashLoan(uint256,bytes)", amount, ""),
            abi.encodeWithSignature("uniswapV3FlashCallback(uint256,uint256,bytes)", amount, 0, ""),
            abi.encodeWithSignature(
                "uniswapV2Call(address,uint256,uint256,bytes)", address(executor), amount, 0, new bytes(192)
            )
        ];
        vm.prank(caller);
        (bool success,) = address(executor).call(calls[what % 8]);
        require(!success, "a stranger was let in");
    }

    function pauseAndGoOn() external {
        vm.prank(operator);
        executor.pause();
        (uint256 attempted, uint256 succeeded) = (attempts, successes);
        _run(0, 0, 1, 255);
        require(successes == succeeded, "ran while paused");
        attempts = attempted;
        vm.prank(owner);
        executor.unpause();
    }

    function _hop(uint256 which, uint256 index, address tokenIn) private view returns (Hop memory) {
        address pool = _pools[which][index];
        address token0 = ITokenPair(pool).token0();
        uint8 kind = _kinds[which][index];
        uint24 fee = kind == 1 ? IUniswapV3Pool(pool).fee() : 0;
        return Hop(pool, kind, token0 == tokenIn ? ITokenPair(pool).token1() : token0, fee, 0);
    }
}

contract InvariantTest is Base {
    Handler private _handler;
    address[4] private _assets;

    function setUp() public override {
        super.setUp();
        _assets = [dai, dai, dai, usdt];
        _handler = new Handler(
            executor,
            weth,
            _assets,
            [[daiUsdcV3, usdcDai], [daiUsdcV3, usdcDai], [daiUsdcV3, usdcDai], [usdtUsdcV3, usdcUsdt]],
            [[daiA, daiB], [daiV3, daiB], [daiV3, daiV3High], [usdtA, usdtB]],
            [[uint8(0), 0], [uint8(1), 0], [uint8(1), 1], [uint8(0), 0]]
        );
        DevToken(dai).setMinter(address(_handler), true);
        NoReturnToken(usdt).setMinter(address(_handler), true);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    /// What the executor holds is what it was given: runs leave nothing and take nothing.
    function invariant_executorHoldsWhatItWasGiven() external view {
        eq(held(dai, address(executor)), _handler.given(dai), "dai");
        eq(held(usdt, address(executor)), _handler.given(usdt), "usdt");
        eq(held(weth, address(executor)), 0, "weth");
    }

    function invariant_treasuryHoldsWhatWasEarned() external view {
        eq(held(dai, TREASURY), _handler.earned(dai), "dai");
        eq(held(usdt, TREASURY), _handler.earned(usdt), "usdt");
    }

    function invariant_noAllowanceIsLeft() external view {
        for (uint8 id; id < 11; ++id) {
            eq(IERC20(dai).allowance(address(executor), executor.lenders(id)), 0, "dai");
            eq(IERC20(usdt).allowance(address(executor), executor.lenders(id)), 0, "usdt");
        }
    }

    /// A ticket that was executed stays so, and none that was not is.
    function invariant_lastTicketIsUsed() external view {
        uint64 last = _handler.lastTicket();
        require(last == 0 || executor.used(last), "forgotten");
        require(!executor.used(type(uint64).max), "mistaken");
    }

    /// Without a floor on what succeeded, the invariants could hold because nothing ever ran.
    function afterInvariant() external view {
        uint256 attempts = _handler.attempts();
        if (attempts < 10) return;
        require(
            _handler.successes() * 100 >= attempts * 30,
            string.concat("only ", text(_handler.successes()), " of ", text(attempts), " runs succeeded")
        );
        require(attempts < 60 || _handler.flashSwaps() != 0, "no flash swap succeeded");
    }
}
