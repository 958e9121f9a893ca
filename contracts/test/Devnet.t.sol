// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DevToken} from "../src/devnet/DevToken.sol";
import {DssFlashStandIn} from "../src/devnet/DssFlashStandIn.sol";
import {Multicall3Lite} from "../src/devnet/Multicall3Lite.sol";
import {NoReturnToken} from "../src/devnet/NoReturnToken.sol";
import {IERC3156FlashBorrower} from "../src/external/ILenders.sol";
import {Base} from "./support/Base.sol";
import {vm} from "./support/Vm.sol";

/// The contracts of the local chain.
contract DevnetTest is Base {
    address private constant A = address(0xA);
    address private constant B = address(0xB);

    DevToken private _token;
    NoReturnToken private _tether;

    function setUp() public override {
        super.setUp();
        _token = DevToken(artifact("DevToken", abi.encode("Coin", "COIN", uint8(8))));
        _tether = NoReturnToken(artifact("NoReturnToken", abi.encode("Note", "NOTE", uint8(6))));
        _token.mint(A, 100);
        _tether.mint(A, 100);
    }

    function test_devToken_metadata() external view {
        require(keccak256(bytes(_token.name())) == keccak256("Coin"), "name");
        require(keccak256(bytes(_token.symbol())) == keccak256("COIN"), "symbol");
        eq(_token.decimals(), 8, "decimals");
        eq(_token.totalSupply(), 100, "supply");
    }

    function test_devToken_moves() external {
        vm.prank(A);
        require(_token.transfer(B, 40), "transfer");
        eq(_token.balanceOf(A), 60, "from");
        eq(_token.balanceOf(B), 40, "to");
        vm.prank(A);
        vm.expectRevert(abi.encodeWithSelector(DevToken.InsufficientBalance.selector, A, 60, 61));
        _token.transfer(B, 61);
        vm.prank(A);
        vm.expectRevert(abi.encodeWithSelector(DevToken.ZeroAddress.selector));
        _token.transfer(address(0), 1);
    }

    function test_devToken_allowance() external {
        vm.prank(A);
        require(_token.approve(B, 10), "approve");
        vm.startPrank(B);
        require(_token.transferFrom(A, B, 4), "transferFrom");
        eq(_token.allowance(A, B), 6, "allowance");
        vm.expectRevert(abi.encodeWithSelector(DevToken.InsufficientAllowance.selector, B, 6, 7));
        _token.transferFrom(A, B, 7);
        vm.stopPrank();
        vm.prank(A);
        require(_token.approve(B, type(uint256).max), "approve");
        vm.prank(B);
        require(_token.transferFrom(A, B, 4), "transferFrom");
        eq(_token.allowance(A, B), type(uint256).max, "the whole range means for ever");
    }

    function test_devToken_mintersOnly() external {
        vm.startPrank(B);
        vm.expectRevert(abi.encodeWithSelector(DevToken.NotMinter.selector, B));
        _token.mint(B, 1);
        vm.expectRevert(abi.encodeWithSelector(DevToken.NotMinter.selector, B));
        _token.burn(A, 1);
        vm.expectRevert(abi.encodeWithSelector(DevToken.NotOwner.selector, B));
        _token.setMinter(B, true);
        vm.stopPrank();
        _token.setMinter(B, true);
        vm.startPrank(B);
        _token.mint(B, 5);
        _token.burn(A, 30);
        vm.expectRevert(abi.encodeWithSelector(DevToken.InsufficientBalance.selector, A, 70, 71));
        _token.burn(A, 71);
        vm.stopPrank();
        eq(_token.totalSupply(), 75, "supply");
        _token.setMinter(B, false);
        vm.prank(B);
        vm.expectRevert(abi.encodeWithSelector(DevToken.NotMinter.selector, B));
        _token.mint(B, 1);
    }

    function test_noReturnToken_returnsNothing() external {
        bytes[3] memory calls = [
            abi.encodeWithSignature("approve(address,uint256)", B, 10),
            abi.encodeWithSignature("transfer(address,uint256)", B, 10),
            abi.encodeWithSignature("transferFrom(address,address,uint256)", A, B, 10)
        ];
        for (uint256 i; i < calls.length; ++i) {
            vm.prank(i == 2 ? B : A);
            (bool success, bytes memory returned) = address(_tether).call(calls[i]);
            require(success && returned.length == 0, "returned something");
        }
        eq(_tether.balanceOf(B), 20, "moved");
        eq(_tether.allowance(A, B), 0, "spent");
    }

    function test_noReturnToken_allowanceGoesThroughZero() external {
        vm.startPrank(A);
        _tether.approve(B, 10);
        vm.expectRevert(abi.encodeWithSelector(NoReturnToken.AllowanceNotZero.selector, B, 10));
        _tether.approve(B, 11);
        _tether.approve(B, 0);
        _tether.approve(B, 11);
        vm.expectRevert(abi.encodeWithSelector(NoReturnToken.InsufficientBalance.selector, A, 100, 101));
        _tether.transfer(B, 101);
        vm.stopPrank();
        vm.prank(B);
        vm.expectRevert(abi.encodeWithSelector(NoReturnToken.InsufficientAllowance.selector, B, 11, 12));
        _tether.transferFrom(A, B, 12);
        vm.prank(B);
        vm.expectRevert(abi.encodeWithSelector(NoReturnToken.NotMinter.selector, B));
        _tether.mint(B, 1);
    }

    function test_maker_figures() external {
        eq(maker.maxFlashLoan(dai), 10_000_000e18, "max");
        eq(maker.maxFlashLoan(usdc), 0, "another token");
        eq(maker.flashFee(dai, 1e18), 0, "fee");
        maker.file("toll", 0.01e18);
        eq(maker.flashFee(dai, 1e18), 0.01e18, "toll");
        vm.expectRevert("DssFlashStandIn/token-unsupported");
        maker.flashFee(usdc, 1);
        maker.file("live", 0);
        eq(maker.maxFlashLoan(dai), 0, "not live");
    }

    function test_maker_file() external {
        vm.expectRevert("DssFlashStandIn/file-unrecognized-param");
        maker.file("line", 1);
        vm.expectRevert("DssFlashStandIn/file-unrecognized-param");
        maker.file("live", 2);
        vm.prank(B);
        vm.expectRevert("DssFlashStandIn/not-authorized");
        maker.file("max", 1);
    }

    function test_maker_refuses() external {
        Borrower borrower = new Borrower(maker);
        vm.expectRevert("DssFlashStandIn/ceiling-exceeded");
        borrower.borrow(dai, 10_000_001e18, 0);
        vm.expectRevert("DssFlashStandIn/token-unsupported");
        borrower.borrow(usdc, 1, 0);
        vm.expectRevert("DssFlashStandIn/callback-failed");
        borrower.borrow(dai, 1, 1);
        vm.expectRevert("DssFlashStandIn/reentrancy-guard");
        borrower.borrow(dai, 1, 2);
        maker.file("live", 0);
        vm.expectRevert("DssFlashStandIn/not-live");
        borrower.borrow(dai, 1, 0);
    }

    function test_maker_nothingWhileLocked() external {
        Borrower borrower = new Borrower(maker);
        uint256 supply = DevToken(dai).totalSupply();
        borrower.borrow(dai, 5e18, 0);
        eq(borrower.seen(), 5e18, "lent");
        eq(borrower.maxSeen(), 0, "max while locked");
        eq(maker.maxFlashLoan(dai), 10_000_000e18, "unlocked again");
        eq(DevToken(dai).totalSupply(), supply, "burnt");
    }

    function test_multicall() external {
        Multicall3Lite multicall = Multicall3Lite(artifact("Multicall3Lite", ""));
        Multicall3Lite.Call3[] memory calls = new Multicall3Lite.Call3[](2);
        calls[0] = Multicall3Lite.Call3(address(_token), false, abi.encodeCall(_token.balanceOf, (A)));
        calls[1] = Multicall3Lite.Call3(address(_token), true, abi.encodeCall(_token.mint, (A, 1)));
        Multicall3Lite.Result[] memory results = multicall.aggregate3(calls);
        require(results[0].success, "first");
        eq(abi.decode(results[0].returnData, (uint256)), 100, "balance");
        require(!results[1].success, "second");
        bytes memory reason = abi.encodeWithSelector(DevToken.NotMinter.selector, address(multicall));
        require(keccak256(results[1].returnData) == keccak256(reason), "reason");

        calls[1].allowFailure = false;
        vm.expectRevert(abi.encodeWithSelector(Multicall3Lite.CallFailed.selector, 1, address(_token), reason));
        multicall.aggregate3(calls);

        vm.deal(A, 5);
        eq(multicall.getEthBalance(A), 5, "ether");
        eq(multicall.getBlockNumber(), block.number, "number");
        eq(multicall.getCurrentBlockTimestamp(), block.timestamp, "time");
        eq(multicall.getBasefee(), block.basefee, "base fee");
    }
}

contract Borrower is IERC3156FlashBorrower {
    DssFlashStandIn private immutable _lender;
    uint256 private _fault;
    uint256 public seen;
    uint256 public maxSeen;

    constructor(DssFlashStandIn lender) {
        _lender = lender;
    }

    function borrow(address token, uint256 amount, uint256 fault) external {
        _fault = fault;
        require(_lender.flashLoan(this, token, amount, ""), "false");
    }

    function onFlashLoan(address, address token, uint256 amount, uint256 fee, bytes calldata)
        external
        returns (bytes32)
    {
        seen = DevToken(token).balanceOf(address(this));
        maxSeen = _lender.maxFlashLoan(token);
        if (_fault == 2) require(_lender.flashLoan(this, token, amount, ""), "false");
        require(DevToken(token).approve(address(_lender), amount + fee), "approve");
        return _fault == 1 ? bytes32(0) : keccak256("ERC3156FlashBorrower.onFlashLoan");
    }
}
