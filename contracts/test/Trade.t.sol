// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExecutor} from "../src/IExecutor.sol";
import {IERC20} from "../src/external/IERC20.sol";
import {Base, Hop, IV3PoolSetup, Plan} from "./support/Base.sol";
import {vm} from "./support/Vm.sol";

/// What a run earns, for every lender and every mix of pools, compared with arithmetic of our own.
contract TradeTest is Base {
    event Executed(uint64 indexed ticket, uint256 loanFee, uint256 profit);
    event Transfer(address indexed from, address indexed to, uint256 value);

    function _expectEarned(Plan memory p, uint256 out) private {
        uint256 fee = loanFee(p.lender, p.amountIn);
        uint256 profit = out - p.amountIn - fee;
        uint256 before = held(p.asset, TREASURY);
        uint256 own = held(p.asset, address(executor));
        vm.expectEmit(address(executor));
        emit Executed(p.ticket, fee, profit);
        eq(run(p), profit, "returned");
        eq(held(p.asset, TREASURY) - before, profit, "treasury");
        eq(held(p.asset, address(executor)), own, "executor");
        require(executor.used(p.ticket), "the ticket is not used");
        for (uint8 id; id < 11; ++id) {
            eq(IERC20(p.asset).allowance(address(executor), executor.lenders(id)), 0, "allowance");
        }
    }

    function _v2v2(uint256 amountIn) private view returns (uint256) {
        return v2Out(daiB, weth, v2Out(daiA, dai, amountIn));
    }

    function test_ownCapital() external {
        fund(dai, address(executor), 10_000e18);
        vm.prank(OWNER);
        executor.setLender(OWN, true);
        _expectEarned(good(OWN), _v2v2(10_000e18));
    }

    function test_aaveV2() external {
        _expectEarned(good(AAVE_V2), _v2v2(10_000e18));
    }

    function test_aaveV3() external {
        _expectEarned(good(AAVE_V3), _v2v2(10_000e18));
    }

    function test_balancerV2() external {
        _expectEarned(good(BALANCER_V2), _v2v2(10_000e18));
    }

    function test_balancerV2_paysItsFee() external {
        balancerV2.setFee(1000);
        uint256 vault = held(dai, address(balancerV2));
        uint256 profit = run(good(BALANCER_V2));
        eq(profit, _v2v2Before(10_000e18) - 10_000e18 - 10e18, "profit");
        eq(held(dai, address(balancerV2)), vault + 10e18, "vault");
    }

    /// The pairs have moved by the run; their constant products tell what was there before.
    function _v2v2Before(uint256 amountIn) private pure returns (uint256) {
        uint256 middle = amountIn * 997_000 * 1000e18 / (2_000_000e18 * 1e6 + amountIn * 997_000);
        return middle * 997_000 * 2_100_000e18 / (1000e18 * 1e6 + middle * 997_000);
    }

    function test_maker() external {
        uint256 supply = IERC20Supply(dai).totalSupply();
        _expectEarned(good(MAKER), _v2v2(10_000e18));
        eq(IERC20Supply(dai).totalSupply(), supply, "what was minted is burnt");
    }

    function test_maker_paysItsToll() external {
        maker.file("toll", 0.001e18);
        eq(run(good(MAKER)), _v2v2Before(10_000e18) - 10_000e18 - 10e18, "profit");
        eq(held(dai, address(maker)), 10e18, "toll");
    }

    function test_v2ToV2_sendsStraight() external {
        Plan memory p = good(AAVE_V3);
        vm.expectEmit(weth);
        emit Transfer(daiA, daiB, v2Out(daiA, dai, p.amountIn));
        run(p);
    }

    function test_v3ToV2_sendsStraight() external {
        uint256 middle = v3Out(daiV3, dai, 10_000e18);
        uint256 out = v2Out(daiB, weth, middle);
        Plan memory p = plan(BALANCER_V2, dai, 10_000e18, route(daiV3, 1, daiB, 0, dai, weth));
        uint256 id = vm.snapshotState();
        vm.expectEmit(weth);
        emit Transfer(daiV3, daiB, middle);
        run(p);
        vm.revertToState(id);
        _expectEarned(p, out);
    }

    function test_v2ToV3() external {
        uint256 out = v3Out(daiV3High, weth, v2Out(daiA, dai, 10_000e18));
        _expectEarned(plan(AAVE_V2, dai, 10_000e18, route(daiA, 0, daiV3High, 1, dai, weth)), out);
    }

    function test_v3ToV3() external {
        uint256 out = v3Out(daiV3High, weth, v3Out(daiV3, dai, 10_000e18));
        _expectEarned(plan(MAKER, dai, 10_000e18, route(daiV3, 1, daiV3High, 1, dai, weth)), out);
    }

    function test_wethIsTheAsset() external {
        uint256 out = v3Out(daiV3, dai, v2Out(daiB, weth, 5e18));
        _expectEarned(plan(AAVE_V3, weth, 5e18, route(daiB, 0, daiV3, 1, weth, dai)), out);
    }

    function test_threeHops() external {
        uint256 out = v2Out(usdcDai, usdc, v2Out(usdcA, weth, v2Out(daiA, dai, 1000e18)));
        Hop[] memory hops = new Hop[](3);
        hops[0] = hop(daiA, 0, dai);
        hops[1] = hop(usdcA, 0, weth);
        hops[2] = hop(usdcDai, 0, usdc);
        _expectEarned(plan(BALANCER_V2, dai, 1000e18, hops), out);
    }

    /// Four hops that pass through the asset on their way, over both families.
    function test_fourHops_throughTheAsset() external {
        Hop[] memory hops = new Hop[](4);
        hops[0] = hop(daiV3, 1, dai);
        hops[1] = hop(daiV3High, 1, weth);
        hops[2] = hop(daiA, 0, dai);
        hops[3] = hop(daiB, 0, weth);
        uint256 half = v3Out(daiV3High, weth, v3Out(daiV3, dai, 1000e18));
        _expectEarned(plan(AAVE_V2, dai, 1000e18, hops), _v2v2(half));
    }

    function test_sixHops() external {
        Hop[] memory hops = new Hop[](6);
        hops[0] = hop(daiA, 0, dai);
        hops[1] = hop(daiB, 0, weth);
        hops[2] = hop(daiV3, 1, dai);
        hops[3] = hop(usdcA, 0, weth);
        hops[4] = hop(usdcDai, 0, usdc);
        hops[5] = hop(usdtDai, 0, dai);
        hops[5] = hops[4];
        hops[3] = hop(daiV3High, 1, weth);
        hops[4] = hop(daiA, 0, dai);
        hops[5] = hop(daiV3High, 1, weth);
        uint256 profit = run(plan(MAKER, dai, 1000e18, hops));
        require(profit > 0, "no profit");
    }

    function test_noReturnToken_asAsset() external {
        uint256 out = v2Out(usdtB, weth, v2Out(usdtA, usdt, 10_000e6));
        for (uint8 lender = AAVE_V2; lender <= FLASH_SWAP; ++lender) {
            if (lender == MAKER) continue;
            uint256 id = vm.snapshotState();
            _expectEarned(plan(lender, usdt, 10_000e6, route(usdtA, 0, usdtB, 0, usdt, weth)), out);
            vm.revertToState(id);
        }
    }

    function test_noReturnToken_inTheMiddle() external {
        Hop[] memory hops = new Hop[](3);
        hops[0] = hop(daiA, 0, dai);
        hops[1] = hop(usdtB, 0, weth);
        hops[2] = hop(usdtDai, 0, usdt);
        uint256 out = v2Out(usdtDai, usdt, v2Out(usdtB, weth, v2Out(daiA, dai, 1000e18)));
        _expectEarned(plan(AAVE_V3, dai, 1000e18, hops), out);
    }

    function test_noReturnToken_paidToAV3Pool() external {
        address pool = v3Pool(500, usdt, 2_100_000e6, weth, 1000e18);
        uint256 out = v3Out(pool, weth, v2Out(usdtA, usdt, 1000e6));
        _expectEarned(plan(AAVE_V3, usdt, 1000e6, route(usdtA, 0, pool, 1, usdt, weth)), out);
        out = v2Out(usdtB, weth, v3Out(pool, usdt, 1e6));
        refused(
            plan(AAVE_V3, usdt, 1e6, route(pool, 1, usdtB, 0, usdt, weth)),
            abi.encodeWithSelector(IExecutor.InsufficientProfit.selector, 0, 1)
        );
    }

    function test_dustStays() external {
        fund(dai, address(executor), 3);
        fund(weth, address(executor), 5);
        fund(usdc, address(executor), 7);
        for (uint8 lender = AAVE_V2; lender <= FLASH_SWAP; ++lender) {
            uint256 id = vm.snapshotState();
            _expectEarned(good(lender), _v2v2(10_000e18));
            eq(held(weth, address(executor)), 5, "middle");
            vm.revertToState(id);
        }
        run(plan(AAVE_V2, dai, 10_000e18, route(daiV3, 1, daiV3High, 1, dai, weth)));
        eq(held(dai, address(executor)), 3, "asset");
        eq(held(weth, address(executor)), 5, "middle");
        eq(held(usdc, address(executor)), 7, "untouched");
    }

    function test_runsFollowEachOther() external {
        for (uint8 lender = AAVE_V2; lender <= FLASH_SWAP; ++lender) {
            Plan memory p = plan(lender, dai, 1000e18, route(daiV3, 1, daiV3High, 1, dai, weth));
            if (lender != FLASH_SWAP) _expectEarned(p, v3Out(daiV3High, weth, v3Out(daiV3, dai, 1000e18)));
            p = plan(lender, dai, 1000e18, route(daiA, 0, daiB, 0, dai, weth));
            _expectEarned(p, _v2v2(1000e18));
        }
    }

    /// Every lender over every mix of pools.
    function test_everyLender_everyMix() external {
        uint256 v2 = _v2v2(1000e18);
        uint256 v3v2 = v2Out(daiB, weth, v3Out(daiV3, dai, 1000e18));
        uint256 v2v3 = v3Out(daiV3High, weth, v2Out(daiA, dai, 1000e18));
        Hop[] memory three = new Hop[](3);
        three[0] = hop(daiA, 0, dai);
        three[1] = hop(usdcWethV3, 1, weth);
        three[2] = hop(usdcDaiB, 0, usdc);
        uint256 v2v3v2 = v2Out(usdcDaiB, usdc, v3Out(usdcWethV3, weth, v2Out(daiA, dai, 1000e18)));
        vm.prank(OWNER);
        executor.setLender(OWN, true);
        fund(dai, address(executor), 1000e18);
        for (uint8 lender = OWN; lender <= FLASH_SWAP; ++lender) {
            uint256 id = vm.snapshotState();
            _expectEarned(plan(lender, dai, 1000e18, route(daiA, 0, daiB, 0, dai, weth)), v2);
            vm.revertToState(id);
            if (lender == FLASH_SWAP) break;
            _expectEarned(plan(lender, dai, 1000e18, route(daiV3, 1, daiB, 0, dai, weth)), v3v2);
            vm.revertToState(id);
            _expectEarned(plan(lender, dai, 1000e18, route(daiA, 0, daiV3High, 1, dai, weth)), v2v3);
            vm.revertToState(id);
            _expectEarned(plan(lender, dai, 1000e18, three), v2v3v2);
            vm.revertToState(id);
        }
    }

    /// An amount that is given is asked for as it is: less leaves the rest with the pair, one more is refused by it.
    function test_givenAmounts() external {
        Plan memory p = good(FLASH_SWAP);
        uint256 middle = v2Out(daiA, dai, p.amountIn);
        uint256 out = v2Out(daiB, weth, middle);
        for (uint8 lender = AAVE_V2; lender <= FLASH_SWAP; ++lender) {
            p = good(lender);
            (p.hops[0].given, p.hops[1].given) = (uint96(middle), uint96(out - 5e18));
            uint256 id = vm.snapshotState();
            _expectEarned(p, out - 5e18);
            vm.revertToState(id);
            p.hops[0].given = uint96(middle + 1);
            refused(p, abi.encodeWithSignature("Error(string)", "UniswapV2: K"));
        }
    }

    function test_flashSwap_ofThree() external {
        uint256 out = v2Out(usdcDaiB, usdc, v2Out(usdcA, weth, v2Out(daiA, dai, 1000e18)));
        Hop[] memory hops = new Hop[](3);
        hops[0] = hop(daiA, 0, dai);
        hops[1] = hop(usdcA, 0, weth);
        hops[2] = hop(usdcDaiB, 0, usdc);
        Plan memory p = plan(FLASH_SWAP, dai, 1000e18, hops);
        vm.expectEmit(usdc);
        emit Transfer(usdcA, usdcDaiB, v2Out(usdcA, weth, v2Out(daiA, dai, 1000e18)));
        _expectEarned(p, out);
    }

    function test_flashSwap_needsV2() external {
        refused(
            plan(FLASH_SWAP, dai, 1000e18, route(daiV3, 1, daiB, 0, dai, weth)),
            abi.encodeWithSelector(IExecutor.FlashSwapNeedsV2.selector, daiV3)
        );
        refused(
            plan(FLASH_SWAP, dai, 1000e18, route(daiA, 0, daiV3High, 1, dai, weth)),
            abi.encodeWithSelector(IExecutor.FlashSwapNeedsV2.selector, daiV3High)
        );
    }

    function test_v3Flash_costsItsFee_v2LoanToo() external {
        uint256 pool = held(dai, daiUsdcV3);
        run(good(UNISWAP_V3));
        eq(held(dai, daiUsdcV3), pool + 5e18, "v3");
        pool = held(dai, usdcDai);
        run(plan(UNISWAP_V2, dai, 997e18, route(daiA, 0, daiB, 0, dai, weth)));
        eq(held(dai, usdcDai), pool + 3e18, "v2");
    }

    function test_minProfit_exactlyMet() external {
        Plan memory p = good(AAVE_V2);
        p.minProfit = _v2v2(p.amountIn) - p.amountIn - loanFee(AAVE_V2, p.amountIn);
        _expectEarned(p, _v2v2(p.amountIn));
    }

    function test_minProfit_missedByOne() external {
        Plan memory p = good(AAVE_V2);
        uint256 profit = _v2v2(p.amountIn) - p.amountIn - loanFee(AAVE_V2, p.amountIn);
        p.minProfit = profit + 1;
        refused(p, abi.encodeWithSelector(IExecutor.InsufficientProfit.selector, profit, profit + 1));
        require(!executor.used(p.ticket), "a reverted run must not use its ticket");
    }

    function test_aLossIsProfitZero() external {
        for (uint8 lender = AAVE_V2; lender <= FLASH_SWAP; ++lender) {
            Plan memory p = plan(lender, dai, 10_000e18, route(daiB, 0, daiA, 0, dai, weth));
            refused(p, abi.encodeWithSelector(IExecutor.InsufficientProfit.selector, 0, 1));
        }
    }

    /// A gain that the loan's fee eats up.
    function test_feeAboveGain() external {
        Plan memory p = good(BALANCER_V2);
        uint256 gain = _v2v2(p.amountIn) - p.amountIn;
        balancerV2.setFee(gain * 1e6 / p.amountIn + 1);
        refused(p, abi.encodeWithSelector(IExecutor.InsufficientProfit.selector, 0, 1));
    }

    function test_v3PartialFill() external {
        address pool = emptyV3Pool(3000, usdc, 2_100_000e6, weth, 1000e18);
        bool usdcFirst = usdc < weth;
        (int24 lower, int24 upper) = usdcFirst ? (int24(199020), int24(201000)) : (int24(-201000), int24(-199020));
        IV3PoolSetup(pool).mint(address(this), lower, upper, 1e15, "");
        Hop[] memory hops = new Hop[](2);
        hops[0] = hop(pool, 1, weth);
        hops[1] = hop(usdcA, 0, usdc);
        Plan memory p = plan(AAVE_V3, weth, 500e18, hops);
        vm.prank(OPERATOR);
        (bool success, bytes memory reason) = address(executor).call(calldataOf(p));
        require(!success && bytes4(reason) == IExecutor.WrongSwapInput.selector, "not refused as a partial fill");
    }

    function testFuzz_v2v2(uint256 amountIn, uint256 shift, uint8 lender) external {
        amountIn = bound(amountIn, 1, 400_000e18);
        fund(dai, daiB, bound(shift, 0, 1_000_000e18));
        ISync(daiB).sync();
        lender = uint8(bound(lender, AAVE_V2, FLASH_SWAP));
        _check(plan(lender, dai, amountIn, route(daiA, 0, daiB, 0, dai, weth)), _v2v2(amountIn));
    }

    function testFuzz_v2v3(uint256 amountIn, uint8 lender, bool other) external {
        amountIn = bound(amountIn, 1, 400_000e18);
        lender = uint8(bound(lender, AAVE_V2, FLASH_SWAP));
        if (lender == FLASH_SWAP) lender = OWN + 1;
        if (other) {
            uint256 out = v2Out(daiB, weth, v3Out(daiV3, dai, amountIn));
            _check(plan(lender, dai, amountIn, route(daiV3, 1, daiB, 0, dai, weth)), out);
        } else {
            uint256 middle = v2Out(daiA, dai, amountIn);
            if (middle == 0) return;
            _check(
                plan(lender, dai, amountIn, route(daiA, 0, daiV3High, 1, dai, weth)),
                v3Out(daiV3High, weth, middle)
            );
        }
    }

    /// forge-config: default.fuzz.runs = 200
    function testFuzz_feePpm(uint256 amountIn, uint24 feePpm) external {
        amountIn = bound(amountIn, 1e18, 100_000e18);
        feePpm = uint24(bound(feePpm, 3000, 999_999));
        IExecutor.Setup memory s = setup();
        s.v2[1].feePpm = feePpm;
        executor = newExecutor(s);
        Plan memory p = plan(MAKER, dai, amountIn, route(daiA, 0, daiB, 0, dai, weth));
        uint256 middle = v2Out(daiA, dai, amountIn);
        uint256 charged = middle * (1e6 - feePpm);
        _check(p, charged * 2_100_000e18 / (1000e18 * 1e6 + charged));
    }

    function _check(Plan memory p, uint256 out) private {
        uint256 due = p.amountIn + loanFee(p.lender, p.amountIn);
        if (out > due) {
            _expectEarned(p, out);
        } else {
            vm.prank(OPERATOR);
            (bool success,) = address(executor).call(calldataOf(p));
            require(!success, "a loss was made");
        }
    }
}

interface IERC20Supply {
    function totalSupply() external view returns (uint256);
}

interface ISync {
    function sync() external;
}
