// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Multicall3Lite
/// @notice The part of Multicall3's interface that ARBTUI reads with, for the local chain. It has no constructor and
/// no storage, so that its deployed code can be placed at Multicall3's address.
contract Multicall3Lite {
    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    struct Result {
        bool success;
        bytes returnData;
    }

    error CallFailed(uint256 index, address target, bytes reason);

    /// @notice Makes the calls in order; one that fails and may not fail reverts them all.
    function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory results) {
        results = new Result[](calls.length);
        for (uint256 i; i < calls.length; ++i) {
            Call3 calldata item = calls[i];
            (bool success, bytes memory returnData) = item.target.call(item.callData);
            require(success || item.allowFailure, CallFailed(i, item.target, returnData));
            results[i] = Result(success, returnData);
        }
    }

    function getEthBalance(address account) external view returns (uint256) {
        return account.balance;
    }

    function getBlockNumber() external view returns (uint256) {
        return block.number;
    }

    function getCurrentBlockTimestamp() external view returns (uint256) {
        return block.timestamp;
    }

    function getBasefee() external view returns (uint256) {
        return block.basefee;
    }
}
