// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    IAaveV2Receiver,
    IAaveV3SimpleReceiver,
    IBalancerV2Recipient,
    IERC3156FlashBorrower
} from "../../src/external/ILenders.sol";
import {Pay} from "./HonestLenders.sol";

/// A lender that can be called in all four ways and breaks one rule at a time.
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
    uint256 public fee;
    address public otherAsset;

    function set(Fault fault_, uint256 fee_, address otherAsset_) external {
        fault = fault_;
        fee = fee_;
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
        uint8 as_ = fault == Fault.OtherKind ? kind % 4 + 1 : kind;
        _callBack(as_, receiver, asset, amount, params);
        if (fault == Fault.CallsTwice) _callBack(as_, receiver, asset, amount, params);
        uint256 due = fault == Fault.PullsLess ? amount - 1 : amount + fee;
        if (kind != 3) asset.pull(receiver, due);
    }

    function _callBack(uint8 kind, address receiver, address asset, uint256 amount, bytes memory params) private {
        address initiator = fault == Fault.OtherInitiator ? address(this) : receiver;
        if (fault == Fault.OtherAmount) amount += 1;
        if (fault == Fault.OtherAsset) asset = otherAsset;
        if (fault == Fault.OtherData) params[params.length - 1] ^= 0x01;
        if (kind == 2) {
            IAaveV3SimpleReceiver(receiver).executeOperation(asset, amount, fee, initiator, params);
        } else if (kind == 4) {
            IERC3156FlashBorrower(receiver).onFlashLoan(initiator, asset, amount, fee, params);
        } else {
            address[] memory assets = new address[](fault == Fault.ExtraAsset ? 2 : 1);
            assets[0] = asset;
            uint256[] memory amounts = _array(amount, fault == Fault.ExtraAmount);
            uint256[] memory fees = _array(fee, fault == Fault.ExtraFee);
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
