// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "./external/IERC20.sol";
import {IExecutor} from "./IExecutor.sol";

/// @title Token
/// @notice Calls of tokens that are not trusted to follow ERC-20: a contract must be there, and it must return
/// nothing (as USDT does) or true.
library Token {
    function send(address token, address to, uint256 amount) internal {
        _call(token, IERC20.transfer.selector, to, amount);
    }

    function approve(address token, address spender, uint256 amount) internal {
        _call(token, IERC20.approve.selector, spender, amount);
    }

    /// @return amount What this contract has of `token`.
    function held(address token) internal view returns (uint256 amount) {
        bytes4 selector = IERC20.balanceOf.selector;
        bool ok;
        assembly ("memory-safe") {
            mstore(0, selector)
            mstore(4, address())
            ok := and(gt(returndatasize(), 31), staticcall(gas(), token, 0, 36, 0, 32))
            amount := mload(0)
        }
        if (!ok) revert IExecutor.TokenCallFailed(token, selector, _returned());
    }

    function allowed(address token, address spender) internal view returns (uint256 amount) {
        bytes4 selector = IERC20.allowance.selector;
        bool ok;
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, selector)
            mstore(add(data, 4), address())
            mstore(add(data, 36), spender)
            ok := and(gt(returndatasize(), 31), staticcall(gas(), token, data, 68, 0, 32))
            amount := mload(0)
        }
        if (!ok) revert IExecutor.TokenCallFailed(token, selector, _returned());
    }

    function _call(address token, bytes4 selector, address account, uint256 amount) private {
        bool ok;
        bool silent;
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, selector)
            mstore(add(data, 4), account)
            mstore(add(data, 36), amount)
            let success := call(gas(), token, 0, data, 68, 0, 32)
            silent := and(success, iszero(returndatasize()))
            ok := and(and(success, eq(mload(0), 1)), gt(returndatasize(), 31))
        }
        if (ok) return;
        if (!silent) revert IExecutor.TokenCallFailed(token, selector, _returned());
        require(token.code.length != 0, IExecutor.NoCode(token));
    }

    function _returned() private pure returns (bytes memory data) {
        assembly ("memory-safe") {
            data := mload(0x40)
            mstore(data, returndatasize())
            returndatacopy(add(data, 32), 0, returndatasize())
            mstore(0x40, add(data, and(add(returndatasize(), 63), not(31))))
        }
    }
}
