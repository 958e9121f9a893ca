// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC3156FlashBorrower} from "../external/ILenders.sol";
import {DevToken} from "./DevToken.sol";

/// @title FlashMintToken
/// @notice A DevToken that lends itself by ERC-3156, as tokens with a flash mint do: it is its own lender, mints the
/// loan and burns it where it lies, out of the allowance that the borrower gave it. There is no fee.
contract FlashMintToken is DevToken {
    bytes32 private constant CALLBACK_SUCCESS = keccak256("ERC3156FlashBorrower.onFlashLoan");

    error NotThisToken(address token);
    error CallbackFailed(address receiver);
    error AboveMaximum(uint256 amount, uint256 maximum);

    constructor(string memory name_, string memory symbol_, uint8 decimals_) DevToken(name_, symbol_, decimals_) {}

    /// @notice What the supply leaves room for; 0 for other tokens.
    function maxFlashLoan(address token) public view returns (uint256) {
        return token == address(this) ? type(uint256).max - totalSupply : 0;
    }

    /// @notice Nothing; reverts for other tokens.
    function flashFee(address token, uint256) public view returns (uint256) {
        require(token == address(this), NotThisToken(token));
        return 0;
    }

    /// @notice Mints `amount` to `receiver`, calls it, takes `amount` from its allowance and burns it.
    function flashLoan(IERC3156FlashBorrower receiver, address token, uint256 amount, bytes calldata data)
        external
        returns (bool)
    {
        uint256 maximum = maxFlashLoan(token);
        require(amount <= maximum, AboveMaximum(amount, maximum));
        uint256 fee = flashFee(token, amount);
        address borrower = address(receiver);
        totalSupply += amount;
        unchecked {
            balanceOf[borrower] += amount;
        }
        emit Transfer(address(0), borrower, amount);
        require(
            receiver.onFlashLoan(msg.sender, token, amount, fee, data) == CALLBACK_SUCCESS, CallbackFailed(borrower)
        );
        uint256 allowed = allowance[borrower][address(this)];
        require(allowed >= amount + fee, InsufficientAllowance(address(this), allowed, amount + fee));
        if (allowed != type(uint256).max) {
            unchecked {
                allowance[borrower][address(this)] = allowed - amount - fee;
            }
        }
        _debit(borrower, amount + fee);
        unchecked {
            totalSupply -= amount + fee;
        }
        emit Transfer(borrower, address(0), amount + fee);
        return true;
    }
}
