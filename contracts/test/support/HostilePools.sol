// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IUniswapV3SwapCallback} from "../../src/external/IPools.sol";
import {Pay} from "./HonestLenders.sol";
import {HostileLender} from "./HostileLender.sol";

/// A V3 pool that pays and charges what it is told to, honestly or not.
contract HostileV3Pool {
    using Pay for address;

    enum Fault {
        None,
        NoCallback,
        CallsTwice,
        ChargesLess,
        ChargesMore,
        ChargesOtherToken,
        ChargesNothing,
        SaysMoreThanPaid,
        PaysMoreThanSaid,
        GivesNothing,
        OtherCallsBack
    }

    address public token0;
    address public token1;
    uint24 public fee;
    Fault public fault;
    uint256 public out;
    HostileV3Pool public accomplice;

    function init(address token0_, address token1_, uint24 fee_) external {
        (token0, token1, fee) = (token0_, token1_, fee_);
    }

    function set(Fault fault_, uint256 out_, HostileV3Pool accomplice_) external {
        fault = fault_;
        out = out_;
        accomplice = accomplice_;
    }

    function ask(address payer, int256 amount0, int256 amount1) external {
        IUniswapV3SwapCallback(payer).uniswapV3SwapCallback(amount0, amount1, "");
    }

    function swap(address recipient, bool zeroForOne, int256 amount, uint160, bytes calldata)
        external
        returns (int256, int256)
    {
        uint256 paid = out;
        if (fault == Fault.SaysMoreThanPaid) paid = out / 2;
        if (fault == Fault.PaysMoreThanSaid) paid = out + 7;
        if (fault == Fault.GivesNothing) paid = 0;
        if (paid != 0) (zeroForOne ? token1 : token0).out(recipient, paid);
        int256 said = fault == Fault.GivesNothing ? int256(0) : -int256(out);

        int256 owed = amount;
        if (fault == Fault.ChargesLess) owed -= 1;
        if (fault == Fault.ChargesMore) owed += 1;
        if (fault == Fault.ChargesNothing) owed = 0;
        (int256 amount0, int256 amount1) = zeroForOne ? (owed, said) : (said, owed);
        if (fault == Fault.ChargesOtherToken) (amount0, amount1) = (amount1, amount0);
        if (fault == Fault.OtherCallsBack) accomplice.ask(msg.sender, amount0, amount1);
        else if (fault != Fault.NoCallback) _ask(amount0, amount1);
        if (fault == Fault.CallsTwice) _ask(amount0, amount1);
        return (amount0, amount1);
    }

    function _ask(int256 amount0, int256 amount1) private {
        IUniswapV3SwapCallback(msg.sender).uniswapV3SwapCallback(amount0, amount1, "");
    }
}

/// A V2 pair that quotes reserves at will and pays the wrong one.
contract HostileV2Pair {
    using Pay for address;

    address public token0;
    address public token1;
    uint24 public constant fee = 500;
    uint112 public reserve0;
    uint112 public reserve1;
    address public payee;

    function init(address token0_, address token1_) external {
        (token0, token1) = (token0_, token1_);
    }

    /// With a payee, the output goes there, whoever was to have it.
    function set(uint112 reserve0_, uint112 reserve1_, address payee_) external {
        reserve0 = reserve0_;
        reserve1 = reserve1_;
        payee = payee_;
    }

    function getReserves() external view returns (uint112, uint112, uint32) {
        return (reserve0, reserve1, 0);
    }

    function swap(uint256 amount0, uint256 amount1, address to, bytes calldata) external {
        if (payee != address(0)) to = payee;
        if (amount0 != 0) token0.out(to, amount0);
        if (amount1 != 0) token1.out(to, amount1);
    }
}

/// Makes hostile pools where Uniswap's factories would make good ones.
contract HostileFactory {
    function pairHash() external pure returns (bytes32) {
        return keccak256(type(HostileV2Pair).creationCode);
    }

    function poolHash() external pure returns (bytes32) {
        return keccak256(type(HostileV3Pool).creationCode);
    }

    function pair(address a, address b) external returns (HostileV2Pair made) {
        if (b < a) (a, b) = (b, a);
        made = new HostileV2Pair{salt: keccak256(abi.encodePacked(a, b))}();
        made.init(a, b);
    }

    function pool(address a, address b, uint24 fee) external returns (HostileV3Pool made) {
        if (b < a) (a, b) = (b, a);
        made = new HostileV3Pool{salt: keccak256(abi.encode(a, b, fee))}();
        made.init(a, b, fee);
    }

    function lenderHash() external pure returns (bytes32) {
        return keccak256(type(HostileLender).creationCode);
    }

    /// A lender where a pair of these tokens would be.
    function lendingPair(address a, address b, uint8 kind, uint112 reserveA, uint112 reserveB)
        external
        returns (HostileLender made)
    {
        if (b < a) (a, b, reserveA, reserveB) = (b, a, reserveB, reserveA);
        made = new HostileLender{salt: keccak256(abi.encodePacked(a, b))}();
        made.init(a, b, kind, reserveA, reserveB);
    }

    /// A lender where a V3 pool of these tokens would be.
    function lendingPool(address a, address b) external returns (HostileLender made) {
        if (b < a) (a, b) = (b, a);
        made = new HostileLender{salt: keccak256(abi.encode(a, b, 500))}();
        made.init(a, b, 0, 0, 0);
    }
}
