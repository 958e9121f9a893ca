// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExecutor} from "../src/IExecutor.sol";
import {Base} from "./support/Base.sol";
import {HostileV2Pair, NotQuiteAPool} from "./support/HostilePools.sol";
import {vm} from "./support/Vm.sol";

/// Who may do what, and which plans are refused before anything moves.
contract GuardTest is Base {
    event OperatorSet(address indexed previous, address indexed current);
    event OwnCapitalSet(bool enabled);
    event PausedSet(bool paused, address indexed by);
    event Swept(address indexed token, address indexed to, uint256 amount);

    // ---- construction

    function _constructorFails(address owner, address treasury, address lender) private returns (bytes memory reason) {
        bytes memory code = bytes.concat(
            vm.getCode("artifacts/Executor.json"),
            abi.encode(owner, OPERATOR, treasury, [address(0), address(0), lender, address(0)])
        );
        address created;
        assembly {
            created := create(0, add(code, 32), mload(code))
            reason := mload(0x40)
            mstore(reason, returndatasize())
            returndatacopy(add(reason, 32), 0, returndatasize())
            mstore(0x40, add(reason, and(add(returndatasize(), 63), not(31))))
        }
        require(created == address(0), "was created");
    }

    function _same(bytes memory actual, bytes memory expected) private pure {
        require(keccak256(actual) == keccak256(expected), "another reason");
    }

    function test_constructor_refusesNobodyAsOwner() external {
        _same(
            _constructorFails(address(0), TREASURY, address(0)),
            abi.encodeWithSelector(IExecutor.InvalidAddress.selector, bytes32("owner"), address(0))
        );
    }

    function test_constructor_refusesNobodyAsTreasury() external {
        _same(
            _constructorFails(OWNER, address(0), address(0)),
            abi.encodeWithSelector(IExecutor.InvalidAddress.selector, bytes32("treasury"), address(0))
        );
    }

    function test_constructor_refusesItselfAsTreasury() external {
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        _same(
            _constructorFails(OWNER, next, address(0)),
            abi.encodeWithSelector(IExecutor.InvalidAddress.selector, bytes32("treasury"), next)
        );
    }

    function test_constructor_refusesALenderWithoutCode() external {
        _same(
            _constructorFails(OWNER, TREASURY, STRANGER),
            abi.encodeWithSelector(IExecutor.NoCode.selector, STRANGER)
        );
    }

    function test_getters() external view {
        require(executor.owner() == OWNER, "owner");
        require(executor.operator() == OPERATOR, "operator");
        require(executor.treasury() == TREASURY, "treasury");
        require(executor.lenders(0) == address(0), "own");
        require(executor.lenders(1) == address(aaveV2), "aave_v2");
        require(executor.lenders(2) == address(aaveV3), "aave_v3");
        require(executor.lenders(3) == address(balancerV2), "balancer_v2");
        require(executor.lenders(4) == address(maker), "maker");
        require(executor.lenders(5) == address(0), "none");
        require(!executor.paused(), "paused");
        require(!executor.ownCapital(), "own capital");
        require(!executor.used(bytes32(0)), "used");
    }

    // ---- roles

    function test_execute_onlyOperator() external {
        IExecutor.Plan memory p = good(AAVE_V3);
        address[2] memory others = [STRANGER, OWNER];
        for (uint256 i; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IExecutor.NotOperator.selector, others[i]));
            executor.execute(p);
        }
    }

    function test_setOperator() external {
        vm.prank(OWNER);
        vm.expectEmit(address(executor));
        emit OperatorSet(OPERATOR, STRANGER);
        executor.setOperator(STRANGER);
        refused(good(AAVE_V3), abi.encodeWithSelector(IExecutor.NotOperator.selector, OPERATOR));
        IExecutor.Plan memory p = good(AAVE_V3);
        vm.prank(STRANGER);
        executor.execute(p);
    }

    function test_ownerOnly() external {
        address[2] memory others = [STRANGER, OPERATOR];
        for (uint256 i; i < others.length; ++i) {
            bytes memory reason = abi.encodeWithSelector(IExecutor.NotOwner.selector, others[i]);
            vm.startPrank(others[i]);
            vm.expectRevert(reason);
            executor.setOperator(others[i]);
            vm.expectRevert(reason);
            executor.setOwnCapital(true);
            vm.expectRevert(reason);
            executor.unpause();
            vm.expectRevert(reason);
            executor.sweep(dai, others[i], 0);
            vm.stopPrank();
        }
    }

    function test_pause() external {
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.NotOwnerOrOperator.selector, STRANGER));
        executor.pause();

        address[2] memory allowed = [OWNER, OPERATOR];
        for (uint256 i; i < allowed.length; ++i) {
            vm.prank(allowed[i]);
            vm.expectEmit(address(executor));
            emit PausedSet(true, allowed[i]);
            executor.pause();
            require(executor.paused(), "not paused");
            refused(good(AAVE_V3), abi.encodeWithSelector(IExecutor.ExecutionPaused.selector, OPERATOR));

            vm.prank(OWNER);
            vm.expectEmit(address(executor));
            emit PausedSet(false, OWNER);
            executor.unpause();
            run(good(AAVE_V3));
        }
        require(executor.operator() == OPERATOR && !executor.ownCapital(), "pause touched its neighbours");
    }

    function test_ownCapital_isOffAtFirst() external {
        fund(dai, address(executor), 10_000e18);
        refused(good(OWN), abi.encodeWithSelector(IExecutor.OwnCapitalDisabled.selector));
        vm.prank(OWNER);
        vm.expectEmit(address(executor));
        emit OwnCapitalSet(true);
        executor.setOwnCapital(true);
        run(good(OWN));
        vm.prank(OWNER);
        executor.setOwnCapital(false);
        refused(good(OWN), abi.encodeWithSelector(IExecutor.OwnCapitalDisabled.selector));
    }

    function test_ownCapital_mustBeThere() external {
        fund(dai, address(executor), 10_000e18 - 1);
        vm.prank(OWNER);
        executor.setOwnCapital(true);
        refused(
            good(OWN),
            abi.encodeWithSelector(
                IExecutor.InsufficientOwnCapital.selector, dai, 10_000e18 - 1, 10_000e18
            )
        );
    }

    function test_sweep() external {
        fund(usdt, address(executor), 100);
        vm.prank(OWNER);
        vm.expectEmit(address(executor));
        emit Swept(usdt, STRANGER, 60);
        executor.sweep(usdt, STRANGER, 60);
        eq(held(usdt, STRANGER), 60, "to");
        eq(held(usdt, address(executor)), 40, "rest");
    }

    function test_sweep_needsAToken() external {
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.NoCode.selector, STRANGER));
        executor.sweep(STRANGER, OWNER, 1);
    }

    function test_takesNoEther() external {
        vm.deal(address(this), 1 ether);
        (bool success,) = address(executor).call{value: 1}("");
        require(!success, "took ether");
        (success,) = address(executor).call(hex"12345678");
        require(!success, "answered an unknown call");
    }

    // ---- plans

    function test_deadline() external {
        IExecutor.Plan memory p = good(AAVE_V3);
        vm.roll(p.lastBlock + 1);
        refused(
            p, abi.encodeWithSelector(IExecutor.DeadlinePassed.selector, p.lastBlock, p.lastBlock + 1)
        );
        vm.roll(p.lastBlock);
        run(p);
    }

    function test_ticket_onlyOnce() external {
        IExecutor.Plan memory p = good(AAVE_V3);
        run(p);
        p.lender = MAKER;
        refused(p, abi.encodeWithSelector(IExecutor.TicketUsed.selector, p.ticket));
    }

    function test_ticket_neighboursAreApart() external {
        for (uint256 i; i < 4; ++i) {
            IExecutor.Plan memory p = good(MAKER);
            p.amountIn = 1e18;
            p.ticket = bytes32(254 + i);
            require(!executor.used(p.ticket), "used by a neighbour");
            run(p);
            require(executor.used(p.ticket), "not used");
        }
        for (uint256 i; i < 4; ++i) {
            require(executor.used(bytes32(254 + i)), "forgotten for a neighbour");
            for (uint256 bit; bit < 256; ++bit) {
                uint256 other = (254 + i) ^ (1 << bit);
                require(executor.used(bytes32(other)) == (other >= 254 && other < 258), "mistaken for another");
            }
        }
    }

    function test_minProfit_zero() external {
        IExecutor.Plan memory p = good(AAVE_V3);
        p.minProfit = 0;
        refused(p, abi.encodeWithSelector(IExecutor.MinProfitZero.selector, p.ticket));
    }

    function test_amount_zero() external {
        IExecutor.Plan memory p = good(AAVE_V3);
        p.amountIn = 0;
        refused(p, abi.encodeWithSelector(IExecutor.AmountZero.selector, p.ticket));
    }

    function test_lender_unknownOrAbsent() external {
        IExecutor.Plan memory p = good(5);
        refused(p, abi.encodeWithSelector(IExecutor.LenderUnavailable.selector, 5));
        p.lender = 255;
        refused(p, abi.encodeWithSelector(IExecutor.LenderUnavailable.selector, 255));
        executor = newExecutor([address(0), address(0), address(0), address(0)]);
        for (uint8 lender = AAVE_V2; lender <= MAKER; ++lender) {
            p.lender = lender;
            refused(p, abi.encodeWithSelector(IExecutor.LenderUnavailable.selector, lender));
        }
    }

    function test_hopCount() external {
        IExecutor.Plan memory p = good(AAVE_V3);
        for (uint256 count; count < 9; ++count) {
            if (count >= 2 && count <= 6) continue;
            p.hops = new IExecutor.Hop[](count);
            refused(p, abi.encodeWithSelector(IExecutor.HopCount.selector, count, 2, 6));
        }
    }

    function test_kind_unknown() external {
        IExecutor.Plan memory p = good(AAVE_V3);
        p.hops[1].kind = 2;
        refused(p, abi.encodeWithSelector(IExecutor.UnknownKind.selector, 1, 2));
    }

    function test_fee_wholeOrMore() external {
        IExecutor.Plan memory p = good(AAVE_V3);
        p.hops[1].feePpm = 1_000_000;
        refused(p, abi.encodeWithSelector(IExecutor.InvalidFee.selector, 1, 1_000_000));
        p.hops[1].kind = 1;
        p.hops[1].pool = daiV3High;
        run(p);
    }

    function test_pool_withoutCode() external {
        IExecutor.Plan memory p = good(AAVE_V3);
        p.hops[1].pool = STRANGER;
        refused(p, abi.encodeWithSelector(IExecutor.NoCode.selector, STRANGER));
    }

    function test_pool_isNone() external {
        IExecutor.Plan memory p = good(AAVE_V3);
        p.hops[1].pool = dai;
        refused(p, abi.encodeWithSelector(IExecutor.NotAPool.selector, 1, dai));
        p.hops[1].pool = address(new NotQuiteAPool());
        refused(p, abi.encodeWithSelector(IExecutor.NotAPool.selector, 1, p.hops[1].pool));
    }

    function test_pool_twiceInARow() external {
        IExecutor.Plan memory p = plan(AAVE_V3, dai, 1e18, route(daiA, 0, daiA, 0, dai, weth));
        refused(p, abi.encodeWithSelector(IExecutor.PoolRepeated.selector, 1, daiA));
    }

    function test_hops_disconnected() external {
        IExecutor.Plan memory p = good(AAVE_V3);
        p.hops[0].zeroForOne = !p.hops[0].zeroForOne;
        refused(p, abi.encodeWithSelector(IExecutor.HopsDisconnected.selector, 0, dai, weth));
        p = good(AAVE_V3);
        p.hops[1].zeroForOne = !p.hops[1].zeroForOne;
        refused(p, abi.encodeWithSelector(IExecutor.HopsDisconnected.selector, 1, weth, dai));
        p = good(AAVE_V3);
        p.hops[1] = hop(usdcDai, 0, usdc);
        refused(p, abi.encodeWithSelector(IExecutor.HopsDisconnected.selector, 1, weth, usdc));
        p = good(AAVE_V3);
        p.asset = usdc;
        refused(p, abi.encodeWithSelector(IExecutor.HopsDisconnected.selector, 0, usdc, dai));
    }

    function test_cycle_open() external {
        IExecutor.Plan memory p = plan(AAVE_V3, dai, 1e18, route(daiA, 0, usdcA, 0, dai, weth));
        refused(p, abi.encodeWithSelector(IExecutor.CycleOpen.selector, dai, usdc));
    }

    function test_token_withoutCode() external {
        HostileV2Pair there = new HostileV2Pair(dai, STRANGER);
        HostileV2Pair back = new HostileV2Pair(dai, STRANGER);
        refused(
            plan(AAVE_V3, dai, 1e18, route(address(there), 0, address(back), 0, dai, STRANGER)),
            abi.encodeWithSelector(IExecutor.NoCode.selector, STRANGER)
        );
    }

    // ---- callbacks outside a run

    function test_callbacks_outsideARun() external {
        address[5] memory callers = [address(aaveV2), address(aaveV3), address(balancerV2), address(maker), STRANGER];
        for (uint256 i; i < callers.length; ++i) {
            for (uint8 kind = AAVE_V2; kind <= MAKER; ++kind) {
                _callBack(callers[i], kind);
            }
            vm.prank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(IExecutor.UnexpectedSwapCallback.selector, callers[i]));
            ICallbacks(address(executor)).uniswapV3SwapCallback(1, -1, "");
        }
        vm.prank(daiV3);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.UnexpectedSwapCallback.selector, daiV3));
        ICallbacks(address(executor)).uniswapV3SwapCallback(1, -1, "");
    }

    function test_callbacks_afterARun() external {
        run(good(AAVE_V3));
        _callBack(address(aaveV3), AAVE_V3);
        run(plan(AAVE_V3, dai, 1000e18, route(daiV3, 1, daiV3High, 1, dai, weth)));
        vm.prank(daiV3High);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.UnexpectedSwapCallback.selector, daiV3High));
        ICallbacks(address(executor)).uniswapV3SwapCallback(1, -1, "");
    }

    function _callBack(address caller, uint8 kind) private {
        address[] memory assets = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        assets[0] = dai;
        ICallbacks target = ICallbacks(address(executor));
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.UnexpectedCallback.selector, caller, kind));
        if (kind == AAVE_V2) target.executeOperation(assets, amounts, amounts, address(executor), "");
        if (kind == AAVE_V3) target.executeOperation(dai, 0, 0, address(executor), "");
        if (kind == BALANCER_V2) target.receiveFlashLoan(assets, amounts, amounts, "");
        if (kind == MAKER) target.onFlashLoan(address(executor), dai, 0, 0, "");
    }
}

interface ICallbacks {
    function executeOperation(
        address[] calldata assets,
        uint256[] calldata amounts,
        uint256[] calldata premiums,
        address initiator,
        bytes calldata params
    ) external returns (bool);
    function executeOperation(address asset, uint256 amount, uint256 premium, address initiator, bytes calldata params)
        external
        returns (bool);
    function receiveFlashLoan(
        address[] calldata tokens,
        uint256[] calldata amounts,
        uint256[] calldata fees,
        bytes calldata data
    ) external;
    function onFlashLoan(address initiator, address token, uint256 amount, uint256 fee, bytes calldata data)
        external
        returns (bytes32);
    function uniswapV3SwapCallback(int256 delta0, int256 delta1, bytes calldata data) external;
}
