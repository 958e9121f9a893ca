// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    IAaveV2Receiver,
    IAaveV3SimpleReceiver,
    IBalancerV2Recipient,
    IERC3156FlashBorrower,
    IMorphoFlashLoanCallback
} from "../../src/external/ILenders.sol";
import {IUniswapV2Callee, IUniswapV3FlashCallback} from "../../src/external/IPools.sol";
import {Pay} from "./HonestLenders.sol";

/// A lender that can be called in every way, as a pool too, and breaks one rule at a time.
contract HostileLender {
    using Pay for address;

    enum Fault {
        None,
        NoCallback,
        CallsTwice,
        OtherInitiator,
        ExtraAsset,
        ExtraAmount,
        ExtraFee,
        OtherAmount,
        OtherAsset,
        OtherData,
        OtherKind,
        ReturnsFalse,
        PullsLess
    }

    Fault public fault;
    uint256 public charge;
    /// A V3 pool's fee in ppm; what is charged is set apart.
    uint24 public constant fee = 500;
    address public otherAsset;

    // As a pool: its tokens, and by which code it lends when it is called as a pair (7, or 10 as a cycle's last).
    address public token0;
    address public token1;
        uint8 public pairKind;
    uint112 private _reserve0;
    uint112 private _reserve1;

    function init(address a, address b, uint8 pairKind_, uint112 reserve0, uint112 reserve1) external {
        (token0, token1, pairKind, _reserve0, _reserve1) = (a, b, pairKind_, reserve0, reserve1);
    }

    function getReserves() external view returns (uint112, uint112, uint32) {
        return (_reserve0, _reserve1, 0);
    }

    function swap(uint256 amount0, uint256 amount1, address to, bytes calldata data) external {
        _lend(pairKind, to, amount0 != 0 ? token0 : token1, amount0 + amount1, data);
    }

    function flash(address to, uint256 amount0, uint256 amount1, bytes calldata data) external {
        _lend(6, to, amount0 != 0 ? token0 : token1, amount0 + amount1, data);
    }

    function flashLoan(address token, uint256 amount, bytes calldata data) external {
        _lend(5, msg.sender, token, amount, data);
    }

    function set(Fault fault_, uint256 charge_, address otherAsset_) external {
        fault = fault_;
        charge = charge_;
        otherAsset = otherAsset_;
    }

    function flashLoan(
        address receiver,
        address[] calldata assets,
        uint256[] calldata amounts,
        uint256[] calldata,
        address,
        bytes calldata params,
        uint16
    ) external {
        _lend(1, receiver, assets[0], amounts[0], params);
    }

    function flashLoanSimple(address receiver, address asset, uint256 amount, bytes calldata params, uint16)
        external
    {
        _lend(2, receiver, asset, amount, params);
    }

    function flashLoan(
        address receiver,
        address[] calldata assets,
        uint256[] calldata amounts,
        bytes calldata params
    ) external {
        _lend(3, receiver, assets[0], amounts[0], params);
    }

    function flashLoan(address receiver, address asset, uint256 amount, bytes calldata params)
        external
        returns (bool)
    {
        _lend(4, receiver, asset, amount, params);
        return fault != Fault.ReturnsFalse;
    }

    /// Asks for a loan on someone's behalf, as a stranger who found the executor would.
    function callBack(uint8 kind, address receiver, address asset, uint256 amount, bytes calldata params) external {
        _callBack(kind, receiver, asset, amount, params);
    }

    function _lend(uint8 kind, address receiver, address asset, uint256 amount, bytes memory params) private {
        asset.out(receiver, amount);
        if (fault == Fault.NoCallback) return;
        uint8 as_ = fault == Fault.OtherKind ? kind % 7 + 1 : kind;
        _callBack(as_, receiver, asset, amount, params);
        if (fault == Fault.CallsTwice) _callBack(as_, receiver, asset, amount, params);
        uint256 due = fault == Fault.PullsLess ? amount - 1 : amount + charge;
        if (kind < 3 || kind == 4 || kind == 5) asset.pull(receiver, due);
    }

    function _callBack(uint8 kind, address receiver, address asset, uint256 amount, bytes memory params) private {
        address initiator = fault == Fault.OtherInitiator ? address(this) : receiver;
        if (fault == Fault.OtherAmount) amount += 1;
        if (fault == Fault.OtherAsset) asset = otherAsset;
        if (fault == Fault.OtherData) params[params.length - 1] ^= 0x01;
        if (kind == 2) {
            IAaveV3SimpleReceiver(receiver).executeOperation(asset, amount, charge, initiator, params);
        } else if (kind == 4) {
            IERC3156FlashBorrower(receiver).onFlashLoan(initiator, asset, amount, charge, params);
        } else if (kind == 5) {
            IMorphoFlashLoanCallback(receiver).onMorphoFlashLoan(amount, params);
        } else if (kind == 6) {
            (uint256 fee0, uint256 fee1) = asset == token0 ? (charge, uint256(0)) : (0, charge);
            IUniswapV3FlashCallback(receiver).uniswapV3FlashCallback(fee0, fee1, params);
        } else if (kind == 7 || kind == 10) {
            (uint256 amount0, uint256 amount1) = asset == token0 ? (amount, uint256(0)) : (0, amount);
            IUniswapV2Callee(receiver).uniswapV2Call(initiator, amount0, amount1, params);
        } else {
            address[] memory assets = new address[](fault == Fault.ExtraAsset ? 2 : 1);
            assets[0] = asset;
            uint256[] memory amounts = _array(amount, fault == Fault.ExtraAmount);
            uint256[] memory fees = _array(charge, fault == Fault.ExtraFee);
            if (kind == 1) {
                IAaveV2Receiver(receiver).executeOperation(assets, amounts, fees, initiator, params);
            } else {
                IBalancerV2Recipient(receiver).receiveFlashLoan(assets, amounts, fees, params);
            }
        }
    }

    function _array(uint256 item, bool two) private pure returns (uint256[] memory items) {
        items = new uint256[](two ? 2 : 1);
        items[0] = item;
    }
}
