// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExecutor} from "../src/IExecutor.sol";
import {IERC20} from "../src/external/IERC20.sol";
import {Base} from "./support/Base.sol";
import {HostileLender} from "./support/HostileLender.sol";
import {HostileV2Pair, HostileV3Pool} from "./support/HostilePools.sol";
import {HostileToken} from "./support/HostileTokens.sol";
import {vm} from "./support/Vm.sol";

/// Lenders, pools and tokens that lie.
contract HostileTest is Base {
    /// What the executor hands a lender, as an attacker would rebuild it.
    struct Run {
        uint256 minProfit;
        IExecutor.Hop[] hops;
        address[] tokens;
    }

    HostileLender private _lender;
    HostileToken private _token;

    function setUp() public override {
        super.setUp();
        _lender = new HostileLender();
        stock(address(_lender));
        _token = new HostileToken();
        _token.mint(address(_lender), type(uint128).max);
        address lender = address(_lender);
        executor = newExecutor([lender, lender, lender, lender]);
    }

    function _data(IExecutor.Plan memory p) private view returns (bytes memory) {
        address[] memory tokens = new address[](p.hops.length);
        tokens[0] = p.asset;
        tokens[1] = p.asset == dai ? weth : dai;
        return abi.encode(Run(p.minProfit, p.hops, tokens));
    }

    // ---- lenders

    function test_lender_thatIsHonest() external {
        for (uint8 kind = AAVE_V2; kind <= MAKER; ++kind) {
            _lender.set(HostileLender.Fault.None, 1e18, address(0));
            uint256 before = held(dai, address(_lender));
            IExecutor.Plan memory p = good(kind);
            p.amountIn = 1000e18;
            require(run(p) > 0, "no profit");
            eq(held(dai, address(_lender)), before + 1e18, "repaid");
        }
    }

    function test_lender_doesNotCallBack() external {
        _lender.set(HostileLender.Fault.NoCallback, 0, address(0));
        // Rich enough to pay what a pulling lender takes, so that the missing callback is what decides.
        fund(dai, address(executor), 50_000e18);
        refused(good(BALANCER_V2), abi.encodeWithSelector(IExecutor.NoCallback.selector, address(_lender)));
        SilentLender silent = new SilentLender();
        address lender = address(silent);
        executor = newExecutor([lender, lender, lender, lender]);
        for (uint8 kind = AAVE_V2; kind <= MAKER; ++kind) {
            refused(good(kind), abi.encodeWithSelector(IExecutor.NoCallback.selector, lender));
        }
    }

    function test_lender_callsBackTwice() external {
        _lender.set(HostileLender.Fault.CallsTwice, 0, address(0));
        for (uint8 kind = AAVE_V2; kind <= MAKER; ++kind) {
            refused(
                good(kind),
                abi.encodeWithSelector(IExecutor.UnexpectedCallback.selector, address(_lender), kind)
            );
        }
    }

    function test_lender_callsBackInAnotherWay() external {
        _lender.set(HostileLender.Fault.OtherKind, 0, address(0));
        for (uint8 kind = AAVE_V2; kind <= MAKER; ++kind) {
            refused(
                good(kind),
                abi.encodeWithSelector(
                    IExecutor.UnexpectedCallback.selector, address(_lender), kind % 4 + 1
                )
            );
        }
    }

    function test_lender_namesAnotherInitiator() external {
        _lender.set(HostileLender.Fault.OtherInitiator, 0, address(0));
        for (uint8 kind = AAVE_V2; kind <= MAKER; ++kind) {
            if (kind == BALANCER_V2) continue;
            refused(
                good(kind), abi.encodeWithSelector(IExecutor.WrongInitiator.selector, address(_lender))
            );
        }
    }

    function test_lender_givesMoreAssets() external {
        for (uint8 kind = AAVE_V2; kind <= BALANCER_V2; kind += 2) {
            _lender.set(HostileLender.Fault.ExtraAsset, 0, address(0));
            refused(good(kind), abi.encodeWithSelector(IExecutor.WrongLengths.selector, 2, 1, 1));
            _lender.set(HostileLender.Fault.ExtraAmount, 0, address(0));
            refused(good(kind), abi.encodeWithSelector(IExecutor.WrongLengths.selector, 1, 2, 1));
            _lender.set(HostileLender.Fault.ExtraFee, 0, address(0));
            refused(good(kind), abi.encodeWithSelector(IExecutor.WrongLengths.selector, 1, 1, 2));
        }
    }

    function test_lender_givesAnotherLoan() external {
        for (uint8 kind = AAVE_V2; kind <= MAKER; ++kind) {
            IExecutor.Plan memory p = good(kind);
            _lender.set(HostileLender.Fault.OtherAmount, 0, address(0));
            refused(
                p,
                abi.encodeWithSelector(
                    IExecutor.WrongLoan.selector, dai, p.amountIn + 1, dai, p.amountIn
                )
            );
            _lender.set(HostileLender.Fault.OtherAsset, 0, usdc);
            refused(
                p, abi.encodeWithSelector(IExecutor.WrongLoan.selector, usdc, p.amountIn, dai, p.amountIn)
            );
        }
    }

    function test_lender_changesTheData() external {
        _lender.set(HostileLender.Fault.OtherData, 0, address(0));
        for (uint8 kind = AAVE_V2; kind <= MAKER; ++kind) {
            IExecutor.Plan memory p = good(kind);
            bytes memory data = _data(p);
            bytes32 expected = keccak256(data);
            data[data.length - 1] ^= 0x01;
            refused(p, abi.encodeWithSelector(IExecutor.DataChanged.selector, expected, keccak256(data)));
        }
    }

    function test_lender_asksForMoreThanTheGain() external {
        fund(dai, address(executor), 50_000e18);
        uint256[3] memory fees = [uint256(1_000e18), 1_000_000e18, type(uint256).max];
        for (uint256 i; i < fees.length; ++i) {
            _lender.set(HostileLender.Fault.None, fees[i], address(0));
            for (uint8 kind = AAVE_V2; kind <= MAKER; ++kind) {
                refused(good(kind), abi.encodeWithSelector(IExecutor.InsufficientProfit.selector, 0, 1));
            }
        }
    }

    function test_lender_returnsFalse() external {
        _lender.set(HostileLender.Fault.ReturnsFalse, 0, address(0));
        refused(good(MAKER), abi.encodeWithSelector(IExecutor.LenderReturnedFalse.selector, address(_lender)));
    }

    function test_lender_pullsLess_allowanceIsTakenBack() external {
        _lender.set(HostileLender.Fault.PullsLess, 5, address(0));
        for (uint8 kind = AAVE_V2; kind <= MAKER; ++kind) {
            if (kind == BALANCER_V2) continue;
            IExecutor.Plan memory p = plan(kind, usdt, 1000e6, route(usdtA, 0, usdtB, 0, usdt, weth));
            uint256 out = v2Out(usdtB, weth, v2Out(usdtA, usdt, 1000e6));
            eq(run(p), out - 1000e6 + 1, "what was not pulled is profit");
            eq(IERC20(usdt).allowance(address(executor), address(_lender)), 0, "allowance");
        }
    }

    /// A lender's right answer, sent by someone else while the loan is awaited.
    function test_callback_fromAStrangerWhileALoanIsAwaited() external {
        HostileLender stranger = new HostileLender();
        MeddlingLender meddler = new MeddlingLender(stranger);
        address lender = address(meddler);
        executor = newExecutor([lender, lender, lender, lender]);
        refused(
            good(BALANCER_V2),
            abi.encodeWithSelector(IExecutor.UnexpectedCallback.selector, address(stranger), BALANCER_V2)
        );
    }

    // ---- what a token does when it is moved

    /// A cycle whose second hop makes the executor itself pay the hostile token to a V3 pool.
    function _middle() private returns (IExecutor.Plan memory) {
        address token = address(_token);
        address pair = v2Pair(dexA, dai, 1_000_000e18, token, 1_000_000e18);
        address pool = v3Pool(500, dai, 1_100_000e18, token, 1_000_000e18);
        return plan(AAVE_V2, dai, 1000e18, route(pair, 0, pool, 1, dai, token));
    }

    /// A cycle that begins and ends with the hostile token.
    function _asset() private returns (IExecutor.Plan memory) {
        address token = address(_token);
        address there = v2Pair(dexA, dai, 1_000_000e18, token, 1_000_000e18);
        address back = v2Pair(dexB, dai, 900_000e18, token, 1_000_000e18);
        return plan(AAVE_V2, token, 1000e18, route(there, 0, back, 0, token, dai));
    }

    function test_token_thatBehaves() external {
        uint256 id = vm.snapshotState();
        require(run(_middle()) > 0, "middle");
        vm.revertToState(id);
        require(run(_asset()) > 0, "asset");
    }

    function test_token_returnsFalse() external {
        _refusedTransfer(HostileToken.Fault.ReturnsFalse, abi.encode(0));
    }

    function test_token_returnsTwo() external {
        _refusedTransfer(HostileToken.Fault.ReturnsTwo, abi.encode(2));
    }

    function test_token_reverts() external {
        _refusedTransfer(
            HostileToken.Fault.Reverts, abi.encodeWithSignature("Error(string)", "HostileToken: no")
        );
    }

    function _refusedTransfer(HostileToken.Fault fault, bytes memory returned) private {
        bytes memory reason = abi.encodeWithSelector(
            IExecutor.TokenCallFailed.selector, address(_token), IERC20.transfer.selector, returned
        );
        _token.set(fault, address(executor));
        uint256 id = vm.snapshotState();
        refused(_middle(), reason);
        vm.revertToState(id);
        refused(_asset(), reason);
        fund(address(_token), address(executor), 1);
        vm.prank(OWNER);
        vm.expectRevert(reason);
        executor.sweep(address(_token), STRANGER, 1);
    }

    function test_token_takesAFee() external {
        _token.set(HostileToken.Fault.TakesFee, address(executor));
        uint256 id = vm.snapshotState();
        refused(_middle(), abi.encodeWithSignature("Error(string)", "IIA"));
        vm.revertToState(id);
        refused(_asset(), abi.encodeWithSignature("Error(string)", "UniswapV2: K"));
    }

    /// The profit's own payment costs the executor more than the profit.
    function test_token_debitsMore() external {
        fund(address(_token), address(executor), 10);
        _token.set(HostileToken.Fault.DebitsMore, address(executor));
        refused(
            _asset(), abi.encodeWithSelector(IExecutor.BalanceChanged.selector, address(_token), 10, 9)
        );
    }

    function test_token_hidesItsBalance() external {
        _token.set(HostileToken.Fault.ShortBalance, address(executor));
        refused(
            _middle(),
            abi.encodeWithSelector(
                IExecutor.TokenCallFailed.selector, address(_token), IERC20.balanceOf.selector, new bytes(31)
            )
        );
    }

    function test_token_keepsTheAllowance() external {
        _token.set(HostileToken.Fault.KeepsAllowance, address(executor));
        _lender.set(HostileLender.Fault.None, 7, address(0));
        IExecutor.Plan memory p = _asset();
        for (uint8 kind = AAVE_V2; kind <= MAKER; ++kind) {
            if (kind == BALANCER_V2) continue;
            p.lender = kind;
            refused(
                p,
                abi.encodeWithSelector(
                    IExecutor.AllowanceLeft.selector, address(_token), address(_lender), p.amountIn + 7
                )
            );
        }
    }

    function test_token_cannotBringASecondLoan() external {
        IExecutor.Plan memory p = _middle();
        _token.set(HostileToken.Fault.Calls, address(executor));
        for (uint8 kind = AAVE_V2; kind <= MAKER; ++kind) {
            uint256 id = vm.snapshotState();
            p.lender = kind;
            address[] memory tokens = new address[](2);
            (tokens[0], tokens[1]) = (dai, address(_token));
            bytes memory data = abi.encode(Run(p.minProfit, p.hops, tokens));
            _token.setCall(
                address(_lender),
                abi.encodeCall(HostileLender.callBack, (kind, address(executor), dai, p.amountIn, data))
            );
            run(p);
            _failedWith(abi.encodeWithSelector(IExecutor.UnexpectedCallback.selector, address(_lender), kind));
            vm.revertToState(id);
        }
    }

    /// The hook runs while the pool is being paid: the pool must not be able to charge again.
    function test_token_cannotBringASecondCharge() external {
        address token = address(_token);
        HostileV3Pool pool = new HostileV3Pool(token, dai);
        fund(dai, address(pool), 10_000e18);
        pool.set(HostileV3Pool.Fault.None, 2000e18, pool);
        address pair = v2Pair(dexA, dai, 1_000_000e18, token, 1_000_000e18);
        IExecutor.Plan memory p = plan(AAVE_V2, dai, 1000e18, route(pair, 0, address(pool), 1, dai, token));
        _token.set(HostileToken.Fault.Calls, address(executor));
        _token.setCall(
            address(pool),
            abi.encodeCall(HostileV3Pool.ask, (address(executor), int256(v2Out(pair, dai, 1000e18)), int256(-1)))
        );
        run(p);
        _failedWith(abi.encodeWithSelector(IExecutor.UnexpectedSwapCallback.selector, address(pool)));
    }

    function test_token_cannotOpenARunOrSweepInOne() external {
        address lender = address(_lender);
        address token = address(_token);
        executor = IExecutor(
            artifact("Executor", abi.encode(token, token, TREASURY, [lender, lender, lender, lender]))
        );
        IExecutor.Plan memory p = _middle();
        _token.set(HostileToken.Fault.Calls, address(executor));
        bytes[2] memory calls = [
            abi.encodeCall(IExecutor.execute, (good(AAVE_V2))),
            abi.encodeCall(IExecutor.sweep, (dai, STRANGER, 0))
        ];
        for (uint256 i; i < calls.length; ++i) {
            uint256 id = vm.snapshotState();
            _token.setCall(address(executor), calls[i]);
            vm.prank(token);
            executor.execute(p);
            _failedWith(abi.encodeWithSelector(IExecutor.RunOpen.selector, token));
            vm.revertToState(id);
        }
        vm.prank(token);
        executor.execute(p);
        vm.prank(token);
        executor.sweep(dai, STRANGER, 0);
    }

    function _failedWith(bytes memory reason) private view {
        require(_token.called(), "the hook was not called");
        require(keccak256(_token.callFailure()) == keccak256(reason), "another reason");
    }

    // ---- pools

    /// The hostile pool first, then a real one that pays for WETH.
    function _first(HostileV3Pool.Fault fault, uint256 out) private returns (IExecutor.Plan memory, HostileV3Pool) {
        HostileV3Pool pool = new HostileV3Pool(dai, weth);
        fund(weth, address(pool), 100e18);
        pool.set(fault, out, new HostileV3Pool(dai, weth));
        return (plan(AAVE_V3, dai, 1000e18, route(address(pool), 1, daiV3High, 1, dai, weth)), pool);
    }

    function test_v3_thatIsHonest() external {
        (IExecutor.Plan memory p,) = _first(HostileV3Pool.Fault.None, 1e18);
        require(run(p) > 0, "no profit");
    }

    function test_v3_doesNotCallBack() external {
        (IExecutor.Plan memory p, HostileV3Pool pool) = _first(HostileV3Pool.Fault.NoCallback, 1e18);
        refused(p, abi.encodeWithSelector(IExecutor.NoSwapCallback.selector, 0, address(pool)));
    }

    function test_v3_callsTwice() external {
        fund(dai, address(executor), 10_000e18);
        (IExecutor.Plan memory p, HostileV3Pool pool) = _first(HostileV3Pool.Fault.CallsTwice, 1e18);
        refused(p, abi.encodeWithSelector(IExecutor.UnexpectedSwapCallback.selector, address(pool)));
    }

    function test_v3_anotherPoolCallsBack() external {
        (IExecutor.Plan memory p, HostileV3Pool pool) = _first(HostileV3Pool.Fault.OtherCallsBack, 1e18);
        refused(
            p, abi.encodeWithSelector(IExecutor.UnexpectedSwapCallback.selector, address(pool.accomplice()))
        );
    }

    function test_v3_chargesAnotherAmount() external {
        fund(dai, address(executor), 10_000e18);
        (IExecutor.Plan memory p, HostileV3Pool pool) = _first(HostileV3Pool.Fault.ChargesLess, 1e18);
        refused(p, _wrongInput(pool, 1000e18 - 1));
        (p, pool) = _first(HostileV3Pool.Fault.ChargesMore, 1e18);
        refused(p, _wrongInput(pool, 1000e18 + 1));
        (p, pool) = _first(HostileV3Pool.Fault.ChargesNothing, 1e18);
        refused(p, _wrongInput(pool, 0));
    }

    function _wrongInput(HostileV3Pool pool, uint256 owed) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IExecutor.WrongSwapInput.selector, address(pool), owed, 1000e18);
    }

    /// The signs decide nothing about which token is paid: the hop's input is, and then the output is missing.
    function test_v3_chargesTheOtherToken() external {
        fund(weth, address(executor), 10_000e18);
        (IExecutor.Plan memory p, HostileV3Pool pool) = _first(HostileV3Pool.Fault.ChargesOtherToken, 1e18);
        refused(p, abi.encodeWithSelector(IExecutor.NoOutput.selector, 0, address(pool)));
    }

    function test_v3_givesNothing() external {
        (IExecutor.Plan memory p, HostileV3Pool pool) = _first(HostileV3Pool.Fault.GivesNothing, 1e18);
        refused(p, abi.encodeWithSelector(IExecutor.NoOutput.selector, 0, address(pool)));
    }

    function test_v3_paysMoreThanItSays() external {
        fund(weth, address(executor), 10);
        (IExecutor.Plan memory p,) = _first(HostileV3Pool.Fault.PaysMoreThanSaid, 1e18);
        refused(p, abi.encodeWithSelector(IExecutor.BalanceChanged.selector, weth, 10, 17));
    }

    /// A pool that says more than it pays lives on what the executor holds of the token in the middle.
    function test_v3_saysMoreThanItPays() external {
        fund(weth, address(executor), 10e18);
        (IExecutor.Plan memory p,) = _first(HostileV3Pool.Fault.SaysMoreThanPaid, 1e18);
        refused(p, abi.encodeWithSelector(IExecutor.BalanceChanged.selector, weth, 10e18, 9.5e18));
    }

    /// The same at the end of the cycle lives on the asset: only the balance can tell.
    function test_v3_lastPoolSaysMoreThanItPays() external {
        fund(dai, address(executor), 10_000e18);
        HostileV3Pool pool = new HostileV3Pool(dai, weth);
        fund(dai, address(pool), 10_000e18);
        pool.set(HostileV3Pool.Fault.SaysMoreThanPaid, 1500e18, pool);
        refused(
            plan(AAVE_V3, dai, 1000e18, route(daiA, 0, address(pool), 1, dai, weth)),
            abi.encodeWithSelector(IExecutor.InsufficientProfit.selector, 0, 1)
        );
    }

    function test_v2_lastPairPaysSomeoneElse() external {
        fund(dai, address(executor), 10_000e18);
        HostileV2Pair pair = new HostileV2Pair(dai, weth);
        fund(dai, address(pair), 10_000_000e18);
        pair.set(3_000_000e18, 1000e18, STRANGER);
        refused(
            plan(BALANCER_V2, dai, 1000e18, route(daiA, 0, address(pair), 0, dai, weth)),
            abi.encodeWithSelector(IExecutor.InsufficientProfit.selector, 0, 1)
        );
    }

    /// A stolen operator key cannot sell the executor's idle tokens to a pool of its own.
    function test_v2_firstPairPaysSomeoneElse() external {
        fund(weth, address(executor), 10e18);
        HostileV2Pair pair = new HostileV2Pair(dai, weth);
        fund(weth, address(pair), 10e18);
        pair.set(1_000_000e18, 1000e18, STRANGER);
        IExecutor.Plan memory p =
            plan(BALANCER_V2, dai, 1000e18, route(address(pair), 0, daiV3High, 1, dai, weth));
        uint256 stolen = v2Out(address(pair), dai, 1000e18);
        refused(p, abi.encodeWithSelector(IExecutor.BalanceChanged.selector, weth, 10e18, 10e18 - stolen));
    }

    function test_v2_givesNothing() external {
        IExecutor.Plan memory p = good(BALANCER_V2);
        p.amountIn = 1;
        refused(p, abi.encodeWithSelector(IExecutor.NoOutput.selector, 0, daiA));
    }

    function test_v2_isEmpty() external {
        HostileV2Pair pair = new HostileV2Pair(dai, weth);
        refused(
            plan(BALANCER_V2, dai, 1000e18, route(address(pair), 0, daiB, 0, dai, weth)),
            abi.encodeWithSelector(IExecutor.NoOutput.selector, 0, address(pair))
        );
    }

    function test_amountTooLarge_forV2() external {
        address token = address(_token);
        uint256 amount = uint256(type(uint112).max) + 1;
        IExecutor.Plan memory p = _asset();
        p.asset = token;
        p.amountIn = amount;
        refused(p, abi.encodeWithSelector(IExecutor.AmountTooLarge.selector, 0, amount));
    }

    function test_amountTooLarge_forV3() external {
        address token = address(_token);
        uint256 amount = uint256(1) << 255;
        _token.mint(address(_lender), amount);
        HostileV3Pool there = new HostileV3Pool(token, dai);
        HostileV3Pool back = new HostileV3Pool(token, dai);
        refused(
            plan(AAVE_V2, token, amount, route(address(there), 1, address(back), 1, token, dai)),
            abi.encodeWithSelector(IExecutor.AmountTooLarge.selector, 0, amount)
        );
    }
}

/// Takes the call and does nothing.
contract SilentLender {
    function flashLoan(
        address,
        address[] calldata,
        uint256[] calldata,
        uint256[] calldata,
        address,
        bytes calldata,
        uint16
    ) external {}

    function flashLoanSimple(address, address, uint256, bytes calldata, uint16) external {}

    function flashLoan(address, address[] calldata, uint256[] calldata, bytes calldata) external {}

    function flashLoan(address, address, uint256, bytes calldata) external pure returns (bool) {
        return true;
    }
}

/// Has another contract answer in its place.
contract MeddlingLender {
    HostileLender private immutable _other;

    constructor(HostileLender other) {
        _other = other;
    }

    function flashLoan(address receiver, address[] calldata assets, uint256[] calldata amounts, bytes calldata data)
        external
    {
        _other.callBack(3, receiver, assets[0], amounts[0], data);
    }
}
