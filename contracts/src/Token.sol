// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "./external/IERC20.sol";
import {IExecutor} from "./IExecutor.sol";

/// @title Token
/// @notice Calls of tokens that are not trusted to follow ERC-20: a contract must be there, and it must return
/// nothing (as USDT does) or true.
library Token {
    function send(address token, address to, uint256 amount) internal {
        _call(token, IERC20.transfer.selector, abi.encodeCall(IERC20.transfer, (to, amount)));
    }

    function approve(address token, address spender, uint256 amount) internal {
        _call(token, IERC20.approve.selector, abi.encodeCall(IERC20.approve, (spender, amount)));
    }

    function held(address token) internal view returns (uint256) {
        return _read(token, IERC20.balanceOf.selector, abi.encodeCall(IERC20.balanceOf, (address(this))));
    }

    function allowed(address token, address spender) internal view returns (uint256) {
        return _read(token, IERC20.allowance.selector, abi.encodeCall(IERC20.allowance, (address(this), spender)));
    }

    function _call(address token, bytes4 selector, bytes memory data) private {
        (bool success, bytes memory returned) = token.call(data);
        if (success && returned.length == 0) {
            require(token.code.length != 0, IExecutor.NoCode(token));
        } else {
            require(
                success && returned.length >= 32 && uint256(bytes32(returned)) == 1,
                IExecutor.TokenCallFailed(token, selector, returned)
            );
        }
    }

    function _read(address token, bytes4 selector, bytes memory data) private view returns (uint256) {
        (bool success, bytes memory returned) = token.staticcall(data);
        require(success && returned.length >= 32, IExecutor.TokenCallFailed(token, selector, returned));
        return uint256(bytes32(returned));
    }
}
