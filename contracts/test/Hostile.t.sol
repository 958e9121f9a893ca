// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExecutor} from "../src/IExecutor.sol";
import {IERC20} from "../src/external/IERC20.sol";
import {IBalancerV2Recipient} from "../src/external/ILenders.sol";
import {Base, Hop, Plan, pack} from "./support/Base.sol";
import {HostileLender} from "./support/HostileLender.sol";
import {HostileFactory, HostileV2Pair, HostileV3Pool} from "./support/HostilePools.sol";
import {HostileToken} from "./support/HostileTokens.sol";
import {vm} from "./support/Vm.sol";

/// Lenders, pools and tokens that lie.
contract HostileTest is Base {
    HostileFactory private _factory;
    HostileLender private _lender;
    HostileLender private _lendingPair;
    HostileLender private _lendingPool;
    HostileLender private _lastPair;
    HostileToken private _token;
    uint24 private _fees = 100;

    function setUp() public override {
        super.setUp();
        _factory = new HostileFactory();
        _token = new HostileToken();
        _lender = new HostileLender();
        _lendingPair = _factory.lendingPair(dai, usdc, UNISWAP_V2, 0, 0);
        _lendingPool = _factory.lendingPool(dai, usdc);
        _lastPair = _factory.lendingPair(dai, weth, FLASH_SWAP, 2_200_000e18, 1000e18);
        HostileLender[4] memory all = [_lender, _lendingPair, _lendingPool, _lastPair];
        for (uint256 i; i < 4; ++i) {
            stock(address(all[i]));
            _token.mint(address(all[i]), type(uint128).max);
        }
        executor = newExecutor(_setup(address(_lender)));
    }

    /// One contract in every lender's place, and the hostile factory among the exchanges.
    function _setup(address lender) private view returns (IExecutor.Setup memory s) {
        s = setup();
        for (uint256 i; i < 11; ++i) {
            if (s.lenders[i] != address(0)) s.lenders[i] = lender;
        }
        address factory = address(_factory);
        s.v2 = new IExecutor.ExchangeV2[](4);
        s.v2[0] = IExecutor.ExchangeV2(address(dexA), PAIR_HASH, 3000);
        s.v2[1] = IExecutor.ExchangeV2(address(dexB), PAIR_HASH, 3000);
        s.v2[2] = IExecutor.ExchangeV2(factory, _factory.pairHash(), 3000);
        s.v2[3] = IExecutor.ExchangeV2(factory, _factory.lenderHash(), 3000);
        s.v3 = new IExecutor.ExchangeV3[](3);
        s.v3[0] = IExecutor.ExchangeV3(address(dexV3), POOL_HASH);
        s.v3[1] = IExecutor.ExchangeV3(factory, _factory.poolHash());
        s.v3[2] = IExecutor.ExchangeV3(factory, _factory.lenderHash());
        IExecutor.Asset[] memory assets = s.assets;
        s.assets = new IExecutor.Asset[](5);
        for (uint256 i; i < 4; ++i) {
            s.assets[i] = assets[i];
        }
        s.assets[4] = IExecutor.Asset(address(_token), 1);
    }

    // ---- lenders

    function _lenderOf(uint8 kind) private view returns (HostileLender) {
        if (kind == UNISWAP_V2) return _lendingPair;
        if (kind == UNISWAP_V3) return _lendingPool;
        return kind == FLASH_SWAP ? _lastPair : _lender;
    }

    /// The way in which a lender of that code calls back.
    function _family(uint8 kind) private pure returns (uint8) {
        return kind == AAVE_V3_SECOND || kind == AAVE_V3_THIRD ? AAVE_V3 : kind;
    }

    function _pulls(uint8 kind) private pure returns (bool) {
        return kind != BALANCER_V2 && kind != UNISWAP_V3 && kind != UNISWAP_V2 && kind != FLASH_SWAP;
    }

    /// A cycle that pays, through a hostile lender of that code with one fault.
    function _hostile(uint8 kind, HostileLender.Fault fault, uint256 charge, address otherAsset)
        private
        returns (Plan memory p)
    {
        _lenderOf(kind).set(fault, charge, otherAsset);
        p = good(kind);
        if (kind == UNISWAP_V2 || kind == UNISWAP_V3) p.source = address(_lenderOf(kind));
        if (kind == FLASH_SWAP) p.hops[1] = hop(address(_lastPair), 0, weth);
    }

    /// What the lender is given to bring back.
    function _data(Plan memory p) private view returns (bytes memory) {
        if (p.lender != FLASH_SWAP) return pack(p);
        uint256 middle = v2Out(daiA, dai, p.amountIn);
        return abi.encode(
            dai, p.amountIn, _hopWord(daiA, dai), middle, _hopWord(address(_lastPair), weth), _flashOut(p)
        );
    }

    function _hopWord(address pair, address takes) private view returns (uint256) {
        uint256 direction = takes < (takes == dai ? weth : dai) ? 1 << 161 : 0;
        return uint160(pair) | direction | 3000 << 168;
    }

    function _flashOut(Plan memory p) private view returns (uint256) {
        return v2Out(address(_lastPair), weth, v2Out(daiA, dai, p.amountIn));
    }

    function test_lender_thatIsHonest() external {
        for (uint8 kind = AAVE_V2; kind <= FLASH_SWAP; ++kind) {
            uint256 id = vm.snapshotState();
            uint256 charge = kind == MORPHO || kind == FLASH_SWAP ? 0 : 1e18;
            Plan memory p = _hostile(kind, HostileLender.Fault.None, charge, address(0));
            uint256 before = held(dai, address(_lenderOf(kind)));
            require(run(p) > 0, "no profit");
            if (kind == UNISWAP_V2) charge = loanFee(kind, p.amountIn);
            if (kind != FLASH_SWAP) eq(held(dai, address(_lenderOf(kind))), before + charge, "repaid");
            eq(held(dai, address(executor)), 0, "left");
            vm.revertToState(id);
        }
    }

    function test_lender_doesNotCallBack() external {
        for (uint8 kind = AAVE_V2; kind <= FLASH_SWAP; ++kind) {
            Plan memory p = _hostile(kind, HostileLender.Fault.NoCallback, 0, address(0));
            refused(p, abi.encodeWithSelector(IExecutor.NoCallback.selector, address(_lenderOf(kind))));
        }
    }

    function test_lender_callsBackTwice() external {
        for (uint8 kind = AAVE_V2; kind <= FLASH_SWAP; ++kind) {
            Plan memory p = _hostile(kind, HostileLender.Fault.CallsTwice, 0, address(0));
            uint8 as_ = kind == FLASH_SWAP ? UNISWAP_V2 : _family(kind);
            refused(p, unexpected(address(_lenderOf(kind)), as_, 0, _data(p)));
        }
    }

    function test_lender_callsBackInAnotherWay() external {
        for (uint8 kind = AAVE_V2; kind <= FLASH_SWAP; ++kind) {
            Plan memory p = _hostile(kind, HostileLender.Fault.OtherKind, 0, address(0));
            address lender = address(_lenderOf(kind));
            bytes32 awaited = context(_family(kind), lender, _data(p));
            refused(p, unexpected(lender, _family(kind) % 7 + 1, awaited, _data(p)));
        }
    }

    function test_lender_namesAnotherInitiator() external {
        uint8[7] memory kinds =
            [AAVE_V2, AAVE_V3, MAKER, UNISWAP_V2, AAVE_V3_SECOND, AAVE_V3_THIRD, FLASH_SWAP];
        for (uint256 i; i < kinds.length; ++i) {
            Plan memory p = _hostile(kinds[i], HostileLender.Fault.OtherInitiator, 0, address(0));
            refused(p, abi.encodeWithSelector(IExecutor.WrongInitiator.selector, address(_lenderOf(kinds[i]))));
        }
    }

    function test_lender_givesMoreAssets() external {
        for (uint8 kind = AAVE_V2; kind <= BALANCER_V2; kind += 2) {
            Plan memory p = _hostile(kind, HostileLender.Fault.ExtraAsset, 0, address(0));
            refused(p, abi.encodeWithSelector(IExecutor.WrongLengths.selector, 2, 1, 1));
            p = _hostile(kind, HostileLender.Fault.ExtraAmount, 0, address(0));
            refused(p, abi.encodeWithSelector(IExecutor.WrongLengths.selector, 1, 2, 1));
            p = _hostile(kind, HostileLender.Fault.ExtraFee, 0, address(0));
            refused(p, abi.encodeWithSelector(IExecutor.WrongLengths.selector, 1, 1, 2));
        }
    }

    function test_lender_givesAnotherLoan() external {
        for (uint8 kind = AAVE_V2; kind <= FLASH_SWAP; ++kind) {
            // A V3 pool does not say what it lent.
            if (kind == UNISWAP_V3) continue;
            Plan memory p = _hostile(kind, HostileLender.Fault.OtherAmount, 0, address(0));
            uint256 asked = kind == FLASH_SWAP ? _flashOut(p) : p.amountIn;
            refused(p, abi.encodeWithSelector(IExecutor.WrongLoan.selector, dai, asked + 1, dai, asked));
            // Nor do Morpho and pairs say of which token.
            if (kind == MORPHO || kind == UNISWAP_V2 || kind == FLASH_SWAP) continue;
            p = _hostile(kind, HostileLender.Fault.OtherAsset, 0, usdc);
            refused(p, abi.encodeWithSelector(IExecutor.WrongLoan.selector, usdc, p.amountIn, dai, p.amountIn));
        }
    }

    function test_lender_changesTheData() external {
        for (uint8 kind = AAVE_V2; kind <= FLASH_SWAP; ++kind) {
            Plan memory p = _hostile(kind, HostileLender.Fault.OtherData, 0, address(0));
            bytes memory data = _data(p);
            address lender = address(_lenderOf(kind));
            bytes32 awaited = context(_family(kind), lender, data);
            data[data.length - 1] ^= 0x01;
            refused(p, unexpected(lender, kind == FLASH_SWAP ? UNISWAP_V2 : _family(kind), awaited, data));
        }
    }

    function test_lender_asksForMoreThanTheGain() external {
        fund(dai, address(executor), 50_000e18);
        uint256[3] memory charges = [uint256(1_000e18), 1_000_000e18, type(uint256).max];
        for (uint256 i; i < charges.length; ++i) {
            for (uint8 kind = AAVE_V2; kind <= AAVE_V3_THIRD; ++kind) {
                if (kind == MORPHO || kind == UNISWAP_V2) continue;
                Plan memory p = _hostile(kind, HostileLender.Fault.None, charges[i], address(0));
                refused(p, abi.encodeWithSelector(IExecutor.InsufficientProfit.selector, 0, 1));
            }
        }
    }

    /// The charge that leaves exactly the least profit, and one unit more.
    function test_lender_chargesToTheUnit() external {
        for (uint8 kind = AAVE_V2; kind <= AAVE_V3_THIRD; ++kind) {
            if (kind == MORPHO || kind == UNISWAP_V2) continue;
            uint256 id = vm.snapshotState();
            uint256 gain = v2Out(daiB, weth, v2Out(daiA, dai, 10_000e18)) - 10_000e18;
            Plan memory p = _hostile(kind, HostileLender.Fault.None, gain - 100, address(0));
            p.minProfit = 101;
            refused(p, abi.encodeWithSelector(IExecutor.InsufficientProfit.selector, 100, 101));
            p.minProfit = 100;
            eq(run(p), 100, "profit");
            vm.revertToState(id);
        }
    }

    /// 246,882 at 2,501 ppm leaves a remainder of 1, the smallest that must be rounded up.
    function test_lendingPair_isPaidToTheUnit() external {
        IExecutor.Setup memory s = _setup(address(_lender));
        s.v2[3].feePpm = 2501;
        executor = newExecutor(s);
        uint256[3] memory amounts = [uint256(246_882), 997_499, 246_882 + 997_499 * 1e15];
        uint256[3] memory dues = [uint256(247_502), 1_000_000, 247_502 + 1e21];
        for (uint256 i; i < 3; ++i) {
            uint256 id = vm.snapshotState();
            Plan memory p = _hostile(UNISWAP_V2, HostileLender.Fault.None, 0, address(0));
            p.amountIn = amounts[i];
            uint256 before = held(dai, address(_lendingPair));
            uint256 out = v2Out(daiB, weth, v2Out(daiA, dai, p.amountIn));
            eq(run(p), out - dues[i], "profit");
            eq(held(dai, address(_lendingPair)), before + dues[i] - amounts[i], "paid");
            require(dues[i] * 997_499 >= amounts[i] * 1e6 && (dues[i] - 1) * 997_499 < amounts[i] * 1e6, "figures");
            vm.revertToState(id);
        }
    }

    function test_lender_returnsFalse() external {
        Plan memory p = _hostile(MAKER, HostileLender.Fault.ReturnsFalse, 0, address(0));
        refused(p, abi.encodeWithSelector(IExecutor.LenderReturnedFalse.selector, address(_lender)));
    }

    /// What a lender leaves stays in the executor, and what it could still take is taken back.
    function test_lender_pullsLess_allowanceIsTakenBack() external {
        for (uint8 kind = AAVE_V2; kind <= AAVE_V3_THIRD; ++kind) {
            if (!_pulls(kind)) continue;
            uint256 id = vm.snapshotState();
            uint256 charge = kind == MORPHO ? 0 : 5;
            _lender.set(HostileLender.Fault.PullsLess, charge, address(0));
            Plan memory p = plan(kind, usdt, 1000e6, route(usdtA, 0, usdtB, 0, usdt, weth));
            uint256 out = v2Out(usdtB, weth, v2Out(usdtA, usdt, 1000e6));
            eq(run(p), out - 1000e6 - charge, "profit");
            eq(held(usdt, address(executor)), charge + 1, "not pulled");
            eq(IERC20(usdt).allowance(address(executor), address(_lender)), 0, "allowance");
            vm.revertToState(id);
        }
    }

    /// A lender that gives nothing lives on what the executor holds, which must not fall.
    function test_lender_givesNothing() external {
        fund(dai, address(executor), 10_000e18);
        StingyLender stingy = new StingyLender();
        executor = newExecutor(_setup(address(stingy)));
        fund(dai, address(executor), 10_000e18);
        uint256 profit = v2Out(daiB, weth, v2Out(daiA, dai, 10_000e18)) - 10_000e18;
        require(profit > 1e18, "no profit");
        refused(
            good(BALANCER_V2),
            abi.encodeWithSelector(IExecutor.BalanceFell.selector, dai, 10_000e18, 0)
        );
    }

    /// A lender's right answer, sent by someone else while the loan is awaited.
    function test_callback_fromAStrangerWhileALoanIsAwaited() external {
        HostileLender stranger = new HostileLender();
        MeddlingLender meddler = new MeddlingLender(stranger);
        executor = newExecutor(_setup(address(meddler)));
        Plan memory p = good(BALANCER_V2);
        bytes32 awaited = context(BALANCER_V2, address(meddler), pack(p));
        refused(p, unexpected(address(stranger), BALANCER_V2, awaited, pack(p)));
    }

    // ---- what a token does when it is moved

    /// A cycle whose second hop makes the executor itself pay the hostile token to a V3 pool.
    function _middle() private returns (Plan memory) {
        address token = address(_token);
        address pair = v2Pair(dexA, dai, 1_000_000e18, token, 1_000_000e18);
        address pool = v3Pool(500, dai, 1_100_000e18, token, 1_000_000e18);
        return plan(AAVE_V2, dai, 1000e18, route(pair, 0, pool, 1, dai, token));
    }

    /// A cycle that begins and ends with the hostile token.
    function _asset() private returns (Plan memory) {
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
        // Once for the first pool, once for the treasury, once for the lender, who pulls.
        refused(
            _asset(), abi.encodeWithSelector(IExecutor.BalanceFell.selector, address(_token), 10, 7)
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
        Plan memory p = _asset();
        for (uint8 kind = AAVE_V2; kind <= AAVE_V3_THIRD; ++kind) {
            if (!_pulls(kind)) continue;
            p.lender = kind;
            uint256 charge = kind == MORPHO ? 0 : 7;
            _lender.set(HostileLender.Fault.None, charge, address(0));
            uint256 due = p.amountIn + charge;
            refused(
                p,
                abi.encodeWithSelector(IExecutor.AllowanceLeft.selector, address(_token), address(_lender), due)
            );
        }
    }

    function test_token_cannotBringASecondLoan() external {
        Plan memory p = _middle();
        _token.set(HostileToken.Fault.Calls, address(executor));
        for (uint8 kind = AAVE_V2; kind <= AAVE_V3_THIRD; ++kind) {
            uint256 id = vm.snapshotState();
            p.lender = kind;
            HostileLender lender = _lenderOf(kind);
            p.source = address(lender);
            bytes memory data = pack(p);
            _token.setCall(
                address(lender),
                abi.encodeCall(HostileLender.callBack, (_family(kind), address(executor), dai, p.amountIn, data))
            );
            run(p);
            _failedWith(unexpected(address(lender), _family(kind), 0, data));
            vm.revertToState(id);
        }
    }

    /// The hook runs while the pool is being paid: the pool must not be able to charge again.
    function test_token_cannotBringASecondCharge() external {
        address token = address(_token);
        HostileV3Pool pool = _factory.pool(token, dai, 500);
        fund(dai, address(pool), 10_000e18);
        pool.set(HostileV3Pool.Fault.None, 2000e18, pool);
        address pair = v2Pair(dexA, dai, 1_000_000e18, token, 1_000_000e18);
        Plan memory p = plan(AAVE_V2, dai, 1000e18, route(pair, 0, address(pool), 1, dai, token));
        _token.set(HostileToken.Fault.Calls, address(executor));
        _token.setCall(
            address(pool),
            abi.encodeCall(HostileV3Pool.ask, (address(executor), int256(v2Out(pair, dai, 1000e18)), int256(-1)))
        );
        run(p);
        _failedWith(abi.encodeWithSelector(IExecutor.UnexpectedSwapCallback.selector, address(pool)));
    }

    function test_token_cannotOpenARunOrSweepInOne() external {
        address token = address(_token);
        IExecutor.Setup memory s = _setup(address(_lender));
        (s.owner, s.operator) = (token, token);
        executor = newExecutor(s);
        Plan memory p = _middle();
        _token.set(HostileToken.Fault.Calls, address(executor));
        bytes[2] memory calls = [calldataOf(good(AAVE_V2)), abi.encodeCall(IExecutor.sweep, (dai, STRANGER, 0))];
        for (uint256 i; i < calls.length; ++i) {
            uint256 id = vm.snapshotState();
            _token.setCall(address(executor), calls[i]);
            vm.prank(token);
            execute(p);
            _failedWith(abi.encodeWithSelector(IExecutor.RunOpen.selector, token));
            vm.revertToState(id);
        }
        vm.prank(token);
        execute(p);
        vm.prank(token);
        executor.sweep(dai, STRANGER, 0);
    }

    function _failedWith(bytes memory reason) private view {
        require(_token.called(), "the hook was not called");
        require(keccak256(_token.callFailure()) == keccak256(reason), "another reason");
    }

    // ---- every fault of a token with every lender, as the asset and between

    /// A run either is refused, or it pays what it says and leaves the executor no poorer and nobody an allowance.
    function _soundOrRefused(HostileToken.Fault fault, Plan memory p) private returns (bool done) {
        address token = address(_token);
        address lender = p.lender == OWN ? STRANGER : address(_lenderOf(p.lender));
        uint256[4] memory before = [
            held(dai, address(executor)),
            IERC20(token).balanceOf(address(executor)),
            held(weth, address(executor)),
            held(p.asset, TREASURY)
        ];
        _token.set(fault, address(executor));
        vm.prank(OPERATOR);
        bytes memory returned;
        (done, returned) = address(executor).call(calldataOf(p));
        // What it hides it must not hide from the test.
        _token.set(HostileToken.Fault.None, address(0));
        if (!done) return false;
        require(held(dai, address(executor)) >= before[0], "dai fell");
        require(IERC20(token).balanceOf(address(executor)) >= before[1], "token fell");
        require(held(weth, address(executor)) >= before[2], "weth fell");
        eq(held(p.asset, TREASURY) - before[3], abi.decode(returned, (uint256)), "treasury");
        eq(IERC20(p.asset).allowance(address(executor), lender), 0, "allowance");
    }

    function test_everyFault_everyLender() external {
        address token = address(_token);
        vm.prank(OWNER);
        executor.setLender(OWN, true);
        fund(dai, address(executor), 5000e18);
        _token.mint(address(executor), 5000e18);
        _token.mint(address(_factory.lendingPair(token, usdc, UNISWAP_V2, 0, 0)), 1e24);
        _token.mint(address(_factory.lendingPool(token, usdc)), 1e24);
        Plan memory asset_ = _asset();
        Plan[2] memory others;
        others[0] = _through(asset_.hops[0].pool, 0, v3Pool(500, dai, 1_100_000e18, token, 1_000_000e18), 1);
        // A flash swap needs pairs alone.
        others[1] = _through(asset_.hops[1].pool, 0, asset_.hops[0].pool, 0);
        _everyFault(asset_, others);
    }

    function _through(address there, uint8 kind, address back, uint8 kindBack) private returns (Plan memory) {
        return plan(OWN, dai, 1000e18, route(there, kind, back, kindBack, dai, address(_token)));
    }

    function _everyFault(Plan memory asset_, Plan[2] memory others) private {
        uint256 sound;
        for (uint8 fault; fault <= uint8(type(HostileToken.Fault).max); ++fault) {
            // What a call back into the executor does is tested above.
            if (HostileToken.Fault(fault) == HostileToken.Fault.Calls) continue;
            for (uint8 kind = OWN; kind <= FLASH_SWAP; ++kind) {
                sound += _try(fault, kind, asset_);
                sound += _try(fault, kind, others[kind == FLASH_SWAP ? 1 : 0]);
            }
        }
        require(sound > 60, string.concat("only ", text(sound), " ran"));
    }

    function _try(uint8 fault, uint8 kind, Plan memory p) private returns (uint256) {
        uint256 id = vm.snapshotState();
        p.lender = kind;
        p.source = _source(kind, p.asset);
        bool done = _soundOrRefused(HostileToken.Fault(fault), p);
        require(done || fault != 0, "an honest token was refused");
        vm.revertToState(id);
        return done ? 1 : 0;
    }

    function _source(uint8 kind, address asset) private view returns (address) {
        (address t0, address t1) = asset < usdc ? (asset, usdc) : (usdc, asset);
        bytes32 salt =
            kind == UNISWAP_V3 ? keccak256(abi.encode(t0, t1, 500)) : keccak256(abi.encodePacked(t0, t1));
        return address(
            uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), _factory, salt, _factory.lenderHash()))))
        );
    }

    // ---- pools

    /// The hostile pool first, then a real one that pays for WETH.
    function _first(HostileV3Pool.Fault fault, uint256 out) private returns (Plan memory, HostileV3Pool) {
        HostileV3Pool pool = _factory.pool(dai, weth, ++_fees);
        fund(weth, address(pool), 100e18);
        pool.set(fault, out, _factory.pool(dai, weth, ++_fees));
        return (plan(AAVE_V3, dai, 1000e18, route(address(pool), 1, daiV3High, 1, dai, weth)), pool);
    }

    function test_v3_thatIsHonest() external {
        (Plan memory p,) = _first(HostileV3Pool.Fault.None, 1e18);
        require(run(p) > 0, "no profit");
    }

    function test_v3_doesNotCallBack() external {
        (Plan memory p, HostileV3Pool pool) = _first(HostileV3Pool.Fault.NoCallback, 1e18);
        refused(p, abi.encodeWithSelector(IExecutor.NoSwapCallback.selector, address(pool)));
    }

    function test_v3_callsTwice() external {
        fund(dai, address(executor), 10_000e18);
        (Plan memory p, HostileV3Pool pool) = _first(HostileV3Pool.Fault.CallsTwice, 1e18);
        refused(p, abi.encodeWithSelector(IExecutor.UnexpectedSwapCallback.selector, address(pool)));
    }

    function test_v3_anotherPoolCallsBack() external {
        (Plan memory p, HostileV3Pool pool) = _first(HostileV3Pool.Fault.OtherCallsBack, 1e18);
        refused(
            p, abi.encodeWithSelector(IExecutor.UnexpectedSwapCallback.selector, address(pool.accomplice()))
        );
    }

    function test_v3_chargesAnotherAmount() external {
        fund(dai, address(executor), 10_000e18);
        (Plan memory p, HostileV3Pool pool) = _first(HostileV3Pool.Fault.ChargesLess, 1e18);
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
        (Plan memory p, HostileV3Pool pool) = _first(HostileV3Pool.Fault.ChargesOtherToken, 1e18);
        refused(p, abi.encodeWithSelector(IExecutor.NoOutput.selector, address(pool)));
    }

    function test_v3_givesNothing() external {
        (Plan memory p, HostileV3Pool pool) = _first(HostileV3Pool.Fault.GivesNothing, 1e18);
        refused(p, abi.encodeWithSelector(IExecutor.NoOutput.selector, address(pool)));
    }

    /// The smallest input there is, in both directions.
    function test_v3_chargesOneUnit() external {
        for (uint256 i; i < 2; ++i) {
            (address asset, address middle) = i == 0 ? (dai, weth) : (weth, dai);
            HostileV3Pool pool = _factory.pool(dai, weth, ++_fees);
            fund(middle, address(pool), 1e18);
            pool.set(HostileV3Pool.Fault.None, 1e18, pool);
            Plan memory p = plan(BALANCER_V2, asset, 1, route(address(pool), 1, daiV3High, 1, asset, middle));
            require(run(p) > 0, "no profit");
            eq(held(asset, address(pool)), 1, "charged");
        }
    }

    function test_v3_paysMoreThanItSays() external {
        fund(weth, address(executor), 10);
        (Plan memory p,) = _first(HostileV3Pool.Fault.PaysMoreThanSaid, 1e18);
        run(p);
        eq(held(weth, address(executor)), 17, "the rest stays");
    }

    /// A pool that says more than it pays lives on what the executor holds of the token in the middle.
    function test_v3_saysMoreThanItPays() external {
        fund(weth, address(executor), 10e18);
        (Plan memory p,) = _first(HostileV3Pool.Fault.SaysMoreThanPaid, 1e18);
        refused(p, abi.encodeWithSelector(IExecutor.BalanceFell.selector, weth, 10e18, 9.5e18));
    }

    /// The same with less than a unit to spare, and with a second such token in the same run.
    function test_v3_saysMoreThanItPays_twoInARun() external {
        HostileV3Pool liar = _factory.pool(usdc, weth, ++_fees);
        fund(usdc, address(liar), 10_000e6);
        liar.set(HostileV3Pool.Fault.SaysMoreThanPaid, 2000e6, liar);
        (Plan memory p, HostileV3Pool honest) = _first(HostileV3Pool.Fault.None, 1e18);
        Hop[] memory hops = new Hop[](3);
        hops[0] = hop(address(honest), 1, dai);
        hops[1] = hop(address(liar), 1, weth);
        hops[2] = hop(daiUsdcV3, 1, usdc);
        p.hops = hops;
        fund(usdc, address(executor), 5000e6);
        fund(weth, address(executor), 5e18);
        refused(p, abi.encodeWithSelector(IExecutor.BalanceFell.selector, usdc, 5000e6, 4000e6));
    }

    /// The same at the end of the cycle lives on the asset: only the balance can tell.
    function test_v3_lastPoolSaysMoreThanItPays() external {
        fund(dai, address(executor), 10_000e18);
        HostileV3Pool pool = _factory.pool(dai, weth, ++_fees);
        fund(dai, address(pool), 10_000e18);
        pool.set(HostileV3Pool.Fault.SaysMoreThanPaid, 1500e18, pool);
        refused(
            plan(AAVE_V3, dai, 1000e18, route(daiA, 0, address(pool), 1, dai, weth)),
            abi.encodeWithSelector(IExecutor.BalanceFell.selector, dai, 10_000e18, 9250e18)
        );
    }

    function test_v2_lastPairPaysSomeoneElse() external {
        fund(dai, address(executor), 10_000e18);
        HostileV2Pair pair = _factory.pair(dai, usdc);
        fund(dai, address(pair), 10_000_000e18);
        _set(pair, dai, 3_000_000e18, 1_000_000e6, STRANGER);
        Plan memory p = plan(BALANCER_V2, dai, 1000e18, route(daiUsdcV3, 1, address(pair), 0, dai, usdc));
        vm.prank(OPERATOR);
        (bool success, bytes memory reason) = address(executor).call(calldataOf(p));
        require(!success && bytes4(reason) == IExecutor.BalanceFell.selector, "idle tokens were spent");
    }

    /// A stolen operator key cannot sell the executor's idle tokens to a pool of its own.
    function test_v2_firstPairPaysSomeoneElse() external {
        fund(weth, address(executor), 10e18);
        HostileV2Pair pair = _factory.pair(dai, weth);
        fund(weth, address(pair), 10e18);
        _set(pair, dai, 1_000_000e18, 1000e18, STRANGER);
        Plan memory p =
            plan(BALANCER_V2, dai, 1000e18, route(address(pair), 0, daiV3High, 1, dai, weth));
        uint256 stolen = v2Out(address(pair), dai, 1000e18);
        refused(p, abi.encodeWithSelector(IExecutor.BalanceFell.selector, weth, 10e18, 10e18 - stolen));
    }

    function _set(HostileV2Pair pair, address token, uint112 reserve, uint112 other, address payee) private {
        if (pair.token0() == token) pair.set(reserve, other, payee);
        else pair.set(other, reserve, payee);
    }

    function test_v2_givesNothing() external {
        for (uint8 kind = AAVE_V2; kind <= FLASH_SWAP; ++kind) {
            Plan memory p = _hostile(kind, HostileLender.Fault.None, 0, address(0));
            p.amountIn = 1;
            refused(p, abi.encodeWithSelector(IExecutor.NoOutput.selector, daiA));
        }
    }

    function test_v2_isEmpty() external {
        HostileV2Pair pair = _factory.pair(dai, weth);
        refused(
            plan(BALANCER_V2, dai, 1000e18, route(address(pair), 0, daiB, 0, dai, weth)),
            abi.encodeWithSelector(IExecutor.NoOutput.selector, address(pair))
        );
    }

    /// Figures at the ends of what they can be: no product overflows, and nothing is mistaken.
    function test_v2_hugeReserves() external {
        HostileV2Pair pair = _factory.pair(dai, weth);
        fund(weth, address(pair), 100e18);
        for (uint256 i; i < 2; ++i) {
            _set(pair, dai, i == 0 ? type(uint112).max : 1, type(uint112).max, address(0));
            Plan memory p = plan(FLASH_SWAP, dai, type(uint112).max, route(address(pair), 0, daiB, 0, dai, weth));
            uint256 middle = v2Out(address(pair), dai, type(uint112).max);
            uint256 out = v2Out(daiB, weth, middle);
            require(middle > type(uint112).max / 4 && out < p.amountIn, "figures");
            refused(p, abi.encodeWithSelector(IExecutor.InsufficientProfit.selector, 0, 1));
        }
    }

    function test_v3_givesMoreThanV2CanHold() external {
        address token = address(_token);
        HostileV3Pool pool = _factory.pool(token, dai, 500);
        address pair = v2Pair(dexA, dai, 1_000_000e18, token, 1_000_000e18);
        Plan memory p = plan(AAVE_V2, dai, 1000e18, route(address(pool), 1, pair, 0, dai, token));
        uint256 most = type(uint112).max;
        _token.mint(address(pool), most + 1);
        pool.set(HostileV3Pool.Fault.None, most, pool);
        refused(p, abi.encodeWithSignature("Error(string)", "UniswapV2: OVERFLOW"));
        pool.set(HostileV3Pool.Fault.None, most + 1, pool);
        refused(p, abi.encodeWithSelector(IExecutor.AmountTooLarge.selector, address(pool), most + 1));
    }
}

/// Calls back as Balancer does, but lends nothing.
contract StingyLender {
    function flashLoan(address receiver, address[] calldata assets, uint256[] calldata amounts, bytes calldata data)
        external
    {
        uint256[] memory fees = new uint256[](1);
        IBalancerV2Recipient(receiver).receiveFlashLoan(assets, amounts, fees, data);
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
