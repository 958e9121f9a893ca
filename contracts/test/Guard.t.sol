// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExecutor} from "../src/IExecutor.sol";
import {Base, Hop, Plan, pack} from "./support/Base.sol";
import {HostileV2Pair} from "./support/HostilePools.sol";
import {vm} from "./support/Vm.sol";

/// Who may do what, and which plans are refused before anything moves.
contract GuardTest is Base {
    event LenderSet(uint8 indexed lender, bool allowed);
    event FloorSet(address indexed asset, uint256 floor);
    event PausedSet(bool paused, address indexed by);
    event Swept(address indexed token, address indexed to, uint256 amount);

    // ---- construction

    function _constructorFails(IExecutor.Setup memory s, bytes memory expected) private {
        bytes memory code = bytes.concat(vm.getCode("artifacts/Executor.json"), abi.encode(s));
        address created;
        bytes memory reason;
        assembly {
            created := create(0, add(code, 32), mload(code))
            reason := mload(0x40)
            mstore(reason, returndatasize())
            returndatacopy(add(reason, 32), 0, returndatasize())
            mstore(0x40, add(reason, and(add(returndatasize(), 63), not(31))))
        }
        require(created == address(0), "was created");
        require(keccak256(reason) == keccak256(expected), string.concat("another reason: ", hexText(reason)));
    }

    function test_constructor_refusesBadRoles() external {
        IExecutor.Setup memory s = setup();
        s.owner = address(0);
        _constructorFails(s, abi.encodeWithSelector(IExecutor.InvalidAddress.selector, bytes32("owner"), address(0)));
        s = setup();
        s.treasury = address(0);
        _constructorFails(
            s, abi.encodeWithSelector(IExecutor.InvalidAddress.selector, bytes32("treasury"), address(0))
        );
        s.treasury = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        _constructorFails(
            s, abi.encodeWithSelector(IExecutor.InvalidAddress.selector, bytes32("treasury"), s.treasury)
        );
    }

    function test_constructor_refusesWhatHasNoCode() external {
        bytes memory noCode = abi.encodeWithSelector(IExecutor.NoCode.selector, STRANGER);
        for (uint8 i = 1; i < 10; ++i) {
            if (i == UNISWAP_V3 || i == UNISWAP_V2) continue;
            IExecutor.Setup memory s = setup();
            s.lenders[i] = STRANGER;
            _constructorFails(s, noCode);
        }
        IExecutor.Setup memory t = setup();
        t.v2[1].factory = STRANGER;
        _constructorFails(t, noCode);
        t = setup();
        t.v3[0].deployer = STRANGER;
        _constructorFails(t, noCode);
        t = setup();
        t.assets[3].token = STRANGER;
        _constructorFails(t, noCode);
    }

    function test_constructor_refusesALenderWhereNoneIs() external {
        uint8[4] memory none = [OWN, UNISWAP_V3, UNISWAP_V2, FLASH_SWAP];
        for (uint256 i; i < none.length; ++i) {
            IExecutor.Setup memory s = setup();
            s.lenders[none[i]] = address(aaveV3);
            _constructorFails(s, abi.encodeWithSelector(IExecutor.LenderUnavailable.selector, none[i]));
        }
    }

    function test_constructor_refusesTooMany() external {
        IExecutor.Setup memory s = setup();
        s.v2 = new IExecutor.ExchangeV2[](5);
        _constructorFails(s, abi.encodeWithSelector(IExecutor.TooMany.selector, bytes32("v2"), 5, 4));
        s = setup();
        s.v3 = new IExecutor.ExchangeV3[](4);
        _constructorFails(s, abi.encodeWithSelector(IExecutor.TooMany.selector, bytes32("v3"), 4, 3));
        s = setup();
        s.assets = new IExecutor.Asset[](7);
        _constructorFails(s, abi.encodeWithSelector(IExecutor.TooMany.selector, bytes32("assets"), 7, 6));
    }

    function test_constructor_refusesBadFiguresAndTags() external {
        IExecutor.Setup memory s = setup();
        s.v2[1].feePpm = 1_000_000;
        _constructorFails(s, abi.encodeWithSelector(IExecutor.InvalidFee.selector, address(dexB), 1_000_000));
        s = setup();
        s.assets[3].token = dai;
        _constructorFails(s, abi.encodeWithSelector(IExecutor.TagTaken.selector, uint32(uint160(dai))));
        s = setup();
        s.assets[2].floor = uint256(type(uint112).max) + 1;
        _constructorFails(
            s, abi.encodeWithSelector(IExecutor.BelowFloor.selector, usdc, type(uint112).max, s.assets[2].floor)
        );
    }

    /// Every place for an exchange and an asset, filled.
    function test_constructor_takesAllThatFits() external {
        IExecutor.Setup memory s = setup();
        s.v2 = new IExecutor.ExchangeV2[](4);
        for (uint24 i; i < 4; ++i) {
            s.v2[i] = IExecutor.ExchangeV2(i < 3 ? address(dexA) : address(dexB), bytes32(uint256(i + 1)), 999_999 - i);
        }
        (s.v2[2].initCodeHash, s.v2[2].feePpm) = (PAIR_HASH, 3000);
        (s.v2[3].initCodeHash, s.v2[3].feePpm) = (PAIR_HASH, 3001);
        s.v3 = new IExecutor.ExchangeV3[](3);
        for (uint256 i; i < 3; ++i) {
            s.v3[i] = IExecutor.ExchangeV3(address(dexV3), i == 2 ? POOL_HASH : bytes32(i));
        }
        s.assets = new IExecutor.Asset[](6);
        address[6] memory tokens = [weth, usdc, usdt, address(dexA), address(dexB), dai];
        for (uint256 i; i < 6; ++i) {
            s.assets[i] = IExecutor.Asset(tokens[i], i + 1);
        }
        s.assets[5].floor = type(uint112).max;
        executor = newExecutor(s);
        for (uint256 i; i < 4; ++i) {
            _same(abi.encode(executor.exchangeV2(i)), abi.encode(s.v2[i]));
        }
        for (uint256 i; i < 3; ++i) {
            _same(abi.encode(executor.exchangeV3(i)), abi.encode(s.v3[i]));
        }
        for (uint256 i; i < 5; ++i) {
            _same(abi.encode(executor.asset(i)), abi.encode(s.assets[i]));
        }
        eq(executor.asset(5).floor, 1 << 112, "rounded up");
        // The last of each is found, and each asset has its own floor.
        vm.prank(OWNER);
        executor.setFloor(dai, 7);
        for (uint256 i; i < 6; ++i) {
            Plan memory p = good(AAVE_V3);
            p.asset = tokens[i];
            p.minProfit = i;
            uint256 floor = i == 5 ? 7 : i + 1;
            refused(p, abi.encodeWithSelector(IExecutor.BelowFloor.selector, tokens[i], i, floor));
        }
        Plan memory q = plan(AAVE_V3, dai, 1000e18, route(daiA, 0, daiB, 0, dai, weth));
        q.minProfit = 7;
        run(q);
        q = plan(AAVE_V3, dai, 1000e18, route(daiV3, 1, daiV3High, 1, dai, weth));
        q.minProfit = 7;
        run(q);
    }

    function _same(bytes memory actual, bytes memory expected) private pure {
        require(keccak256(actual) == keccak256(expected), "differ");
    }

    function test_getters() external view {
        require(executor.owner() == OWNER, "owner");
        require(executor.operator() == OPERATOR, "operator");
        require(executor.treasury() == TREASURY, "treasury");
        IExecutor.Setup memory s = setup();
        for (uint8 i; i < 11; ++i) {
            require(executor.lenders(i) == s.lenders[i], "lender");
            require(executor.lenderAllowed(i) == (i != OWN), "allowed");
        }
        require(executor.lenders(11) == address(0), "none");
        require(!executor.lenderAllowed(11) && !executor.lenderAllowed(16), "none is not allowed");
        require(!executor.paused(), "paused");
        require(!executor.used(0), "used");
        require(executor.asset(5).token == address(0) && executor.asset(5).floor == 0, "no asset");
    }

    function test_anAbsentLenderIsNotAllowed() external {
        IExecutor.Setup memory s;
        (s.owner, s.operator, s.treasury) = (OWNER, OPERATOR, TREASURY);
        executor = newExecutor(s);
        for (uint8 i; i < 11; ++i) {
            bool pool = i == UNISWAP_V3 || i == UNISWAP_V2 || i == FLASH_SWAP;
            require(executor.lenderAllowed(i) == pool, "allowed");
            vm.prank(OWNER);
            if (!pool && i != OWN) vm.expectRevert(abi.encodeWithSelector(IExecutor.LenderUnavailable.selector, i));
            executor.setLender(i, true);
        }
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.LenderUnavailable.selector, 11));
        executor.setLender(11, true);
        refused(good(AAVE_V3), abi.encodeWithSelector(IExecutor.LenderOff.selector, AAVE_V3));
    }

    // ---- roles

    function test_execute_onlyOperator() external {
        Plan memory p = good(AAVE_V3);
        address[2] memory others = [STRANGER, OWNER];
        for (uint256 i; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IExecutor.NotOperator.selector, others[i]));
            executor.executePacked();
            vm.prank(others[i]);
            (bool success,) = address(executor).call(calldataOf(p));
            require(!success, "executed");
        }
    }

    function test_ownerOnly() external {
        address[2] memory others = [STRANGER, OPERATOR];
        for (uint256 i; i < others.length; ++i) {
            bytes memory reason = abi.encodeWithSelector(IExecutor.NotOwner.selector, others[i]);
            vm.startPrank(others[i]);
            vm.expectRevert(reason);
            executor.setLender(OWN, true);
            vm.expectRevert(reason);
            executor.setFloor(dai, 0);
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
        require(!executor.lenderAllowed(OWN) && executor.lenderAllowed(FLASH_SWAP), "pause touched its neighbours");
        require(executor.asset(0).floor == 1 && executor.asset(3).floor == 1, "pause touched a floor");
    }

    function test_ownCapital_isOffAtFirst() external {
        fund(dai, address(executor), 10_000e18);
        refused(good(OWN), abi.encodeWithSelector(IExecutor.LenderOff.selector, OWN));
        vm.prank(OWNER);
        vm.expectEmit(address(executor));
        emit LenderSet(OWN, true);
        executor.setLender(OWN, true);
        run(good(OWN));
        vm.prank(OWNER);
        vm.expectEmit(address(executor));
        emit LenderSet(OWN, false);
        executor.setLender(OWN, false);
        refused(good(OWN), abi.encodeWithSelector(IExecutor.LenderOff.selector, OWN));
    }

    function test_lenders_areOffOneByOne() external {
        for (uint8 lender = AAVE_V2; lender <= FLASH_SWAP; ++lender) {
            Plan memory p = good(lender);
            p.amountIn = 100e18;
            vm.prank(OWNER);
            executor.setLender(lender, false);
            refused(p, abi.encodeWithSelector(IExecutor.LenderOff.selector, lender));
            for (uint8 other; other < 11; ++other) {
                require(executor.lenderAllowed(other) == (other != OWN && other != lender), "another was switched");
            }
            vm.prank(OWNER);
            executor.setLender(lender, true);
            run(p);
        }
    }

    // ---- floors

    function test_floor_isAskedOfThePlan() external {
        vm.prank(OWNER);
        vm.expectEmit(address(executor));
        emit FloorSet(dai, 200);
        executor.setFloor(dai, 200);
        Plan memory p = good(AAVE_V3);
        p.minProfit = 199;
        refused(p, abi.encodeWithSelector(IExecutor.BelowFloor.selector, dai, 199, 200));
        p.minProfit = 200;
        run(p);
        require(executor.asset(0).floor == 1 && executor.asset(1).floor == 200 && executor.asset(2).floor == 1, "one");
    }

    function test_floor_zeroLetsNoneRun() external {
        vm.prank(OWNER);
        executor.setFloor(dai, 0);
        refused(good(AAVE_V3), abi.encodeWithSelector(IExecutor.AssetOff.selector, dai));
        vm.prank(OWNER);
        executor.setFloor(dai, 1);
        run(good(AAVE_V3));
    }

    function test_floor_ofAnUnknownAsset() external {
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.AssetUnknown.selector, uint32(uint160(STRANGER))));
        executor.setFloor(STRANGER, 1);
        // Ends as DAI does, but is not DAI.
        address twin = address(uint160(dai) ^ (1 << 40));
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.AssetUnknown.selector, uint32(uint160(dai))));
        executor.setFloor(twin, 1);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.AssetUnknown.selector, uint32(0)));
        executor.setFloor(address(0), 1);
    }

    function test_floor_tooLarge() external {
        uint256 most = type(uint112).max;
        vm.startPrank(OWNER);
        executor.setFloor(dai, most);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.BelowFloor.selector, dai, most, most + 1));
        executor.setFloor(dai, most + 1);
    }

    function testFuzz_floor_isRoundedUpAndKeptApart(uint112 floor, uint8 which) external {
        which %= 4;
        address token = executor.asset(which).token;
        bool paused = floor & 1 == 1;
        vm.startPrank(OWNER);
        if (paused) executor.pause();
        executor.setFloor(token, floor);
        uint256 kept = executor.asset(which).floor;
        require(kept >= floor && kept - floor <= floor / 128, "rounding");
        require(floor > 255 || kept == floor, "small ones are exact");
        for (uint256 i; i < 4; ++i) {
            require(i == which || executor.asset(i).floor == 1, "another floor");
        }
        require(executor.paused() == paused && executor.lenderAllowed(9) && !executor.lenderAllowed(0), "neighbours");
    }

    function test_ownCapital_mustBeThere() external {
        fund(dai, address(executor), 10_000e18 - 1);
        vm.prank(OWNER);
        executor.setLender(OWN, true);
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
        Plan memory p = good(AAVE_V3);
        vm.roll(p.lastBlock + 1);
        refused(
            p, abi.encodeWithSelector(IExecutor.DeadlinePassed.selector, p.lastBlock, p.lastBlock + 1)
        );
        vm.roll(p.lastBlock);
        run(p);
    }

    function test_ticket_onlyOnce() external {
        Plan memory p = good(AAVE_V3);
        run(p);
        p.lender = MAKER;
        refused(p, abi.encodeWithSelector(IExecutor.TicketUsed.selector, p.ticket));
    }

    function test_ticket_neighboursAreApart() external {
        for (uint256 i; i < 4; ++i) {
            Plan memory p = good(MAKER);
            p.amountIn = 1e18;
            p.ticket = uint64(254 + i);
            require(!executor.used(p.ticket), "used by a neighbour");
            run(p);
            require(executor.used(p.ticket), "not used");
        }
        for (uint256 i; i < 4; ++i) {
            require(executor.used(uint64(254 + i)), "forgotten for a neighbour");
            for (uint256 bit; bit < 64; ++bit) {
                uint256 other = (254 + i) ^ (1 << bit);
                require(executor.used(uint64(other)) == (other >= 254 && other < 258), "mistaken for another");
            }
        }
    }

    /// The word in use is put away when another takes its place, and comes back with all that is in it.
    function test_ticket_wordsTakeTurns() external {
        uint64[6] memory tickets = [uint64(1) << 63, 5, uint64(1) << 63 | 1, 69, 5 | 1 << 6, 4];
        for (uint256 i; i < tickets.length; ++i) {
            Plan memory p = good(MAKER);
            p.amountIn = 1e18;
            p.ticket = tickets[i];
            if (i == 4) {
                refused(p, abi.encodeWithSelector(IExecutor.TicketUsed.selector, p.ticket));
                continue;
            }
            require(!executor.used(p.ticket), "used before");
            run(p);
            for (uint256 j; j <= i; ++j) {
                require(executor.used(tickets[j]), "forgotten");
                p.ticket = tickets[j];
                refused(p, abi.encodeWithSelector(IExecutor.TicketUsed.selector, tickets[j]));
            }
            require(!executor.used(6) && !executor.used(uint64(1) << 62), "a stranger is used");
        }
        require(executor.asset(0).floor == 1 && executor.lenderAllowed(9) && !executor.paused(), "neighbours");
    }

    /// forge-config: default.fuzz.runs = 500
    function testFuzz_tickets(uint64[8] memory tickets, uint8 near) external {
        for (uint256 i; i < tickets.length; ++i) {
            if (near >> i & 1 == 1) tickets[i] %= 130;
            Plan memory p = good(MAKER);
            p.amountIn = 1e18;
            p.ticket = tickets[i];
            bool seen;
            for (uint256 j; j < i; ++j) {
                seen = seen || tickets[j] == tickets[i];
            }
            require(executor.used(p.ticket) == seen, "used");
            if (seen) refused(p, abi.encodeWithSelector(IExecutor.TicketUsed.selector, p.ticket));
            else run(p);
        }
    }

    function test_minProfit_zero() external {
        Plan memory p = good(AAVE_V3);
        p.minProfit = 0;
        refused(p, abi.encodeWithSelector(IExecutor.BelowFloor.selector, dai, 0, 1));
    }

    function test_amount_zero() external {
        Plan memory p = good(AAVE_V3);
        p.amountIn = 0;
        refused(p, abi.encodeWithSelector(IExecutor.AmountZero.selector, p.ticket));
    }

    function test_lender_unknown() external {
        uint8[4] memory unknown = [uint8(11), 16, 32, 255];
        for (uint256 i; i < unknown.length; ++i) {
            refused(good(unknown[i]), abi.encodeWithSelector(IExecutor.LenderUnavailable.selector, unknown[i]));
        }
    }

    function test_asset_unknown() external {
        Plan memory p = good(AAVE_V3);
        p.asset = STRANGER;
        refused(p, abi.encodeWithSelector(IExecutor.AssetUnknown.selector, uint32(uint160(STRANGER))));
        p.asset = address(0);
        IExecutor.Setup memory s = setup();
        executor = newExecutor(s);
        refused(p, abi.encodeWithSelector(IExecutor.AssetOff.selector, address(0)));
    }

    function test_kind_unknown() external {
        uint8[4] memory kinds = [3, 4, 128, 255];
        for (uint256 i; i < kinds.length; ++i) {
            Plan memory p = good(AAVE_V3);
            p.hops[1].kind = kinds[i];
            refused(p, abi.encodeWithSelector(IExecutor.UnknownKind.selector, kinds[i]));
        }
    }

    /// A plan that is cut or goes on is never traded on; nor is a hop's token read from beyond its end.
    function test_plan_ofAnotherLength() external {
        uint8[4] memory some = [OWN, AAVE_V3, UNISWAP_V3, FLASH_SWAP];
        fund(dai, address(executor), 10_000e18);
        vm.prank(OWNER);
        executor.setLender(OWN, true);
        uint256 id = vm.snapshotState();
        for (uint256 k; k < some.length; ++k) {
            vm.revertToState(id);
            bytes memory whole = calldataOf(good(some[k]));
            for (uint256 size = whole.length + 30; size >= 4; --size) {
                if (size == whole.length) continue;
                bytes memory cut = new bytes(size);
                for (uint256 i; i < size; ++i) {
                    cut[i] = i < whole.length ? whole[i] : bytes1(0);
                }
                vm.prank(OPERATOR);
                (bool success,) = address(executor).call(cut);
                require(!success, "traded");
            }
            vm.prank(OPERATOR);
            (bool done,) = address(executor).call(whole);
            require(done, "the whole plan does not run");
        }
    }

    function test_plan_malformed() external {
        bytes memory whole = calldataOf(good(AAVE_V3));
        bytes memory longer = bytes.concat(whole, hex"00");
        refusedRaw(longer, abi.encodeWithSelector(IExecutor.MalformedPlan.selector, longer.length - 4));
        // A last hop with a token, but nothing after it.
        bytes memory token = bytes.concat(whole, bytes20(weth));
        refusedRaw(token, abi.encodeWithSelector(IExecutor.MalformedPlan.selector, token.length - 4));
    }

    function test_plan_withoutHops_orWithOne() external {
        fund(dai, address(executor), 10_000e18);
        vm.prank(OWNER);
        executor.setLender(OWN, true);
        uint8[3] memory some = [OWN, AAVE_V3, MORPHO];
        for (uint256 i; i < some.length; ++i) {
            Plan memory p = good(some[i]);
            p.hops = new Hop[](0);
            refused(p, abi.encodeWithSelector(IExecutor.InsufficientProfit.selector, 0, 1));
            p.hops = new Hop[](1);
            p.hops[0] = hop(daiA, 0, dai);
            refused(p, abi.encodeWithSelector(IExecutor.PoolUnproven.selector, uint32(uint160(daiA))));
        }
    }

    // ---- pools

    function test_pool_ofNoExchange() external {
        address[3] memory others = [STRANGER, address(new HostileV2Pair()), dai];
        for (uint256 i; i < others.length; ++i) {
            for (uint8 kind; kind < 2; ++kind) {
                Plan memory p = good(AAVE_V3);
                p.hops[1].pool = others[i];
                p.hops[1].kind = kind;
                refused(p, abi.encodeWithSelector(IExecutor.PoolUnproven.selector, uint32(uint160(others[i]))));
            }
        }
    }

    /// The tokens and the fee make the address: with others the pool is another, or none.
    function test_pool_ofOtherTokensOrFee() external {
        Plan memory p = good(AAVE_V3);
        p.hops[0].tokenOut = usdc;
        refused(p, abi.encodeWithSelector(IExecutor.PoolUnproven.selector, uint32(uint160(daiA))));
        p = plan(AAVE_V3, dai, 1e18, route(daiV3, 1, daiV3High, 1, dai, weth));
        p.hops[1].feePpm = 500;
        refused(p, abi.encodeWithSelector(IExecutor.PoolUnproven.selector, uint32(uint160(daiV3High))));
        p.hops[1].feePpm = 3000;
        (p.asset, p.amountIn) = (usdc, 1e6);
        refused(p, abi.encodeWithSelector(IExecutor.PoolUnproven.selector, uint32(uint160(daiV3))));
    }

    function test_pool_ofAnExchangeThatIsNotListed() external {
        IExecutor.Setup memory s = setup();
        s.v2 = new IExecutor.ExchangeV2[](1);
        s.v2[0] = IExecutor.ExchangeV2(address(dexA), PAIR_HASH, 3000);
        executor = newExecutor(s);
        refused(good(AAVE_V3), abi.encodeWithSelector(IExecutor.PoolUnproven.selector, uint32(uint160(daiB))));
    }

    /// A pool that its factory never made has a right address, and no code.
    function test_pool_thatIsNotThere() external {
        (address t0, address t1) = weth < usdt ? (weth, usdt) : (usdt, weth);
        address v2 = _create2(address(dexA), keccak256(abi.encodePacked(t0, t1)), PAIR_HASH);
        Plan memory p = plan(AAVE_V3, weth, 1e18, new Hop[](2));
        v2 = _create2(address(dexB), keccak256(abi.encodePacked(dai < usdt ? dai : usdt, dai < usdt ? usdt : dai)), PAIR_HASH);
        p.hops[0] = hop(usdtB, 0, weth);
        p.hops[1] = hop(usdtA, 0, usdt);
        run(p);
        p = plan(AAVE_V3, dai, 1e18, new Hop[](2));
        p.hops[0] = Hop(v2, 0, usdt, 0, 0);
        p.hops[1] = hop(usdtDai, 0, usdt);
        refused(p, abi.encodeWithSelector(IExecutor.NoOutput.selector, v2));
        address v3 = _create2(
            address(dexV3), keccak256(abi.encode(dai < weth ? dai : weth, dai < weth ? weth : dai, 10_000)), POOL_HASH
        );
        p.hops[0] = Hop(v3, 1, weth, 10_000, 0);
        p.hops[1] = hop(daiB, 0, weth);
        refused(p, abi.encodeWithSelector(IExecutor.NoSwapCallback.selector, v3));
    }

    function _create2(address factory, bytes32 salt, bytes32 hash) private pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), factory, salt, hash)))));
    }

    function test_pool_twiceInARow() external {
        Plan memory p = plan(AAVE_V3, dai, 1e18, route(daiA, 0, daiA, 0, dai, weth));
        vm.prank(OPERATOR);
        (bool success,) = address(executor).call(calldataOf(p));
        require(!success, "traded");
    }

    // ---- pools that lend

    function test_source_mustBeAPoolOfTheAsset() external {
        uint8[2] memory kinds = [UNISWAP_V3, UNISWAP_V2];
        for (uint256 i; i < 2; ++i) {
            Plan memory p = good(kinds[i]);
            p.source = STRANGER;
            refused(p, abi.encodeWithSelector(IExecutor.NoCode.selector, STRANGER));
            p.source = kinds[i] == UNISWAP_V3 ? usdcWethV3 : usdcA;
            refused(p, abi.encodeWithSelector(IExecutor.LenderUnproven.selector, p.source, dai));
            // A pool that says it is one of the asset, but was made by nobody's factory.
            HostileV2Pair fake = new HostileV2Pair();
            fake.init(dai, weth);
            p.source = address(fake);
            refused(p, abi.encodeWithSelector(IExecutor.LenderUnproven.selector, address(fake), dai));
        }
        Plan memory q = good(UNISWAP_V2);
        q.source = daiUsdcV3;
        refused(q, abi.encodeWithSelector(IExecutor.LenderUnproven.selector, daiUsdcV3, dai));
    }

    function test_source_mustNotBeInThePath() external {
        Plan memory p = good(UNISWAP_V2);
        address[2] memory busy = [daiA, daiB];
        for (uint256 i; i < 2; ++i) {
            p.source = busy[i];
            refused(p, abi.encodeWithSelector(IExecutor.LenderInPath.selector, busy[i]));
        }
        p = plan(UNISWAP_V3, dai, 1e18, route(daiA, 0, daiV3High, 1, dai, weth));
        p.source = daiV3High;
        refused(p, abi.encodeWithSelector(IExecutor.LenderInPath.selector, daiV3High));
    }

    function test_source_ofEitherToken() external {
        Plan memory p = plan(UNISWAP_V2, weth, 1e18, route(daiB, 0, daiA, 0, weth, dai));
        run(p);
        p = plan(UNISWAP_V3, weth, 1e18, route(daiB, 0, daiA, 0, weth, dai));
        run(p);
        p = plan(UNISWAP_V3, usdt, 1e6, route(usdtA, 0, usdtB, 0, usdt, weth));
        run(p);
        p = plan(UNISWAP_V2, usdt, 1e6, route(usdtA, 0, usdtB, 0, usdt, weth));
        run(p);
    }

    // ---- callbacks outside a run

    function test_callbacks_outsideARun() external {
        address[9] memory callers = [
            address(aaveV2),
            address(aaveV3),
            address(balancerV2),
            address(maker),
            address(morpho),
            daiUsdcV3,
            usdcDai,
            daiB,
            STRANGER
        ];
        for (uint256 i; i < callers.length; ++i) {
            for (uint8 kind = AAVE_V2; kind <= UNISWAP_V2; ++kind) {
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

    function test_v2Call_ofAnotherInitiator() external {
        vm.expectRevert(abi.encodeWithSelector(IExecutor.WrongInitiator.selector, STRANGER));
        ICallbacks(address(executor)).uniswapV2Call(STRANGER, 1, 0, "");
    }

    function _callBack(address caller, uint8 kind) private {
        address[] memory assets = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        assets[0] = dai;
        bytes memory data = pack(good(AAVE_V3));
        ICallbacks target = ICallbacks(address(executor));
        vm.prank(caller);
        vm.expectRevert(unexpected(caller, kind, 0, data));
        if (kind == AAVE_V2) target.executeOperation(assets, amounts, amounts, address(executor), data);
        if (kind == AAVE_V3) target.executeOperation(dai, 0, 0, address(executor), data);
        if (kind == BALANCER_V2) target.receiveFlashLoan(assets, amounts, amounts, data);
        if (kind == MAKER) target.onFlashLoan(address(executor), dai, 0, 0, data);
        if (kind == MORPHO) target.onMorphoFlashLoan(0, data);
        if (kind == UNISWAP_V3) target.uniswapV3FlashCallback(0, 0, data);
        if (kind == UNISWAP_V2) target.uniswapV2Call(address(executor), 0, 0, data);
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
    function uniswapV3FlashCallback(uint256 fee0, uint256 fee1, bytes calldata data) external;
    function uniswapV2Call(address sender, uint256 amount0, uint256 amount1, bytes calldata data) external;
    function onMorphoFlashLoan(uint256 assets, bytes calldata data) external;
}
