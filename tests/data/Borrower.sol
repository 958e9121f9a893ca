// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice Takes one loan from any lender and pays it back at once: what a lender really does with an amount.
/// For tests alone: it trusts whoever calls back.
contract Borrower {
    uint8 private constant AAVE_V2 = 0;
    uint8 private constant AAVE_V3 = 1;
    uint8 private constant BALANCER_V2 = 2;
    uint8 private constant ERC3156 = 3;
    uint8 private constant UNISWAP_V3 = 4;
    uint8 private constant UNISWAP_V2 = 5;
    uint8 private constant MORPHO = 6;

    address private _token;
    uint256 private _fee;

    /// @param fee What to pay where the lender does not say it (a V2 pair).
    /// @return paid The fee that went to the lender.
    function borrow(uint8 kind, address lender, address token, uint256 amount, uint256 fee)
        external
        returns (uint256 paid)
    {
        _token = token;
        _fee = fee;
        uint256 before = _balance(token);
        address[] memory tokens = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        tokens[0] = token;
        amounts[0] = amount;
        if (kind == AAVE_V2) {
            uint256[] memory modes = new uint256[](1);
            _call(
                lender,
                abi.encodeWithSignature(
                    "flashLoan(address,address[],uint256[],uint256[],address,bytes,uint16)",
                    address(this), tokens, amounts, modes, address(this), "", uint16(0)
                )
            );
        } else if (kind == AAVE_V3) {
            _call(
                lender,
                abi.encodeWithSignature(
                    "flashLoanSimple(address,address,uint256,bytes,uint16)", address(this), token, amount, "", uint16(0)
                )
            );
        } else if (kind == BALANCER_V2) {
            _call(
                lender,
                abi.encodeWithSignature("flashLoan(address,address[],uint256[],bytes)", address(this), tokens, amounts, "")
            );
        } else if (kind == ERC3156) {
            _call(
                lender,
                abi.encodeWithSignature("flashLoan(address,address,uint256,bytes)", address(this), token, amount, "")
            );
        } else if (kind == MORPHO) {
            _call(lender, abi.encodeWithSignature("flashLoan(address,uint256,bytes)", token, amount, ""));
        } else {
            (bool ok, bytes memory first) = lender.staticcall(abi.encodeWithSignature("token0()"));
            require(ok, "no pool");
            bool zero = abi.decode(first, (address)) == token;
            string memory signature =
                kind == UNISWAP_V3 ? "flash(address,uint256,uint256,bytes)" : "swap(uint256,uint256,address,bytes)";
            (uint256 out0, uint256 out1) = zero ? (amount, uint256(0)) : (uint256(0), amount);
            bytes memory data = abi.encode(amount);
            _call(
                lender,
                kind == UNISWAP_V3
                    ? abi.encodeWithSignature(signature, address(this), out0, out1, data)
                    : abi.encodeWithSignature(signature, out0, out1, address(this), data)
            );
        }
        return before - _balance(token);
    }

    function executeOperation(address[] calldata, uint256[] calldata amounts, uint256[] calldata fees, address, bytes calldata)
        external
        returns (bool)
    {
        _approve(amounts[0] + fees[0]);
        return true;
    }

    function executeOperation(address, uint256 amount, uint256 fee, address, bytes calldata) external returns (bool) {
        _approve(amount + fee);
        return true;
    }

    function receiveFlashLoan(address[] calldata, uint256[] calldata amounts, uint256[] calldata fees, bytes calldata)
        external
    {
        _pay(amounts[0] + fees[0]);
    }

    function onFlashLoan(address, address, uint256 amount, uint256 fee, bytes calldata) external returns (bytes32) {
        _approve(amount + fee);
        return keccak256("ERC3156FlashBorrower.onFlashLoan");
    }

    function onMorphoFlashLoan(uint256 amount, bytes calldata) external {
        _approve(amount);
    }

    function uniswapV3FlashCallback(uint256 fee0, uint256 fee1, bytes calldata data) external {
        _pay(abi.decode(data, (uint256)) + fee0 + fee1);
    }

    function uniswapV2Call(address, uint256, uint256, bytes calldata data) external {
        _pay(abi.decode(data, (uint256)) + _fee);
    }

    function _balance(address token) private view returns (uint256) {
        (bool ok, bytes memory data) = token.staticcall(abi.encodeWithSignature("balanceOf(address)", address(this)));
        require(ok, "no token");
        return abi.decode(data, (uint256));
    }

    function _approve(uint256 amount) private {
        _call(_token, abi.encodeWithSignature("approve(address,uint256)", msg.sender, amount));
    }

    function _pay(uint256 amount) private {
        _call(_token, abi.encodeWithSignature("transfer(address,uint256)", msg.sender, amount));
    }

    function _call(address target, bytes memory data) private {
        (bool ok, bytes memory reason) = target.call(data);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(reason, 32), mload(reason))
            }
        }
    }
}
