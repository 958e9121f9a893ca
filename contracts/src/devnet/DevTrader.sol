// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

interface IDevV2Pair {
    function token0() external view returns (address);
    function token1() external view returns (address);
    function getReserves() external view returns (uint112 reserve0, uint112 reserve1, uint32 blockTimestampLast);
    function swap(uint256 amount0Out, uint256 amount1Out, address to, bytes calldata data) external;
}

interface IDevV3Pool {
    function token0() external view returns (address);
    function token1() external view returns (address);
    function slot0() external view returns (uint160, int24, uint16, uint16, uint16, uint8, bool);
    function mint(address recipient, int24 lower, int24 upper, uint128 liquidity, bytes calldata data)
        external
        returns (uint256 amount0, uint256 amount1);
    function swap(address recipient, bool zeroForOne, int256 amount, uint160 sqrtPriceLimitX96, bytes calldata data)
        external
        returns (int256 amount0, int256 amount1);
}

/// @title DevTrader
/// @notice What the local chain's traders and liquidity providers go through: pools are paid from the caller's
/// allowance and pay the caller. It holds nothing. For the local chain only.
contract DevTrader {
    uint256 private constant PPM = 1e6;

    address private transient _pool;
    address private transient _payer;

    error NotThePool(address caller);
    error TransferFailed(address token, bytes reason);

    /// @notice Adds `liquidity` to a Uniswap V3 pool between two ticks, in the caller's name.
    function mintV3(address pool, int24 lower, int24 upper, uint128 liquidity)
        external
        returns (uint256 amount0, uint256 amount1)
    {
        _expect(pool);
        (amount0, amount1) = IDevV3Pool(pool).mint(msg.sender, lower, upper, liquidity, "");
        _pool = address(0);
    }

    /// @notice Swaps until `amountSpecified` is used up or the price is at `sqrtPriceLimit`, whichever is first.
    /// Does nothing where the price is there or past it already.
    function swapV3(address pool, bool zeroForOne, int256 amountSpecified, uint160 sqrtPriceLimit)
        external
        returns (int256 amount0, int256 amount1)
    {
        (uint160 price,,,,,,) = IDevV3Pool(pool).slot0();
        if (zeroForOne ? price <= sqrtPriceLimit : price >= sqrtPriceLimit) return (0, 0);
        _expect(pool);
        (amount0, amount1) = IDevV3Pool(pool).swap(msg.sender, zeroForOne, amountSpecified, sqrtPriceLimit, "");
        _pool = address(0);
    }

    /// @notice Sells exactly `amountIn` to a Uniswap V2 pair whose input fee is `feePpm` millionths.
    function swapV2(address pair, bool zeroForOne, uint256 amountIn, uint256 feePpm)
        external
        returns (uint256 amountOut)
    {
        (uint256 reserve0, uint256 reserve1,) = IDevV2Pair(pair).getReserves();
        (uint256 reserveIn, uint256 reserveOut) = zeroForOne ? (reserve0, reserve1) : (reserve1, reserve0);
        uint256 afterFee = amountIn * (PPM - feePpm);
        amountOut = afterFee * reserveOut / (reserveIn * PPM + afterFee);
        _pull(zeroForOne ? IDevV2Pair(pair).token0() : IDevV2Pair(pair).token1(), msg.sender, pair, amountIn);
        (uint256 out0, uint256 out1) = zeroForOne ? (uint256(0), amountOut) : (amountOut, uint256(0));
        IDevV2Pair(pair).swap(out0, out1, msg.sender, "");
    }

    function uniswapV3MintCallback(uint256 amount0, uint256 amount1, bytes calldata) external {
        _pay(amount0, amount1);
    }

    function uniswapV3SwapCallback(int256 amount0, int256 amount1, bytes calldata) external {
        _pay(amount0 > 0 ? uint256(amount0) : 0, amount1 > 0 ? uint256(amount1) : 0);
    }

    function _expect(address pool) private {
        _pool = pool;
        _payer = msg.sender;
    }

    function _pay(uint256 amount0, uint256 amount1) private {
        require(msg.sender == _pool, NotThePool(msg.sender));
        if (amount0 != 0) _pull(IDevV3Pool(msg.sender).token0(), _payer, msg.sender, amount0);
        if (amount1 != 0) _pull(IDevV3Pool(msg.sender).token1(), _payer, msg.sender, amount1);
    }

    function _pull(address token, address from, address to, uint256 amount) private {
        (bool success, bytes memory returned) =
            token.call(abi.encodeWithSignature("transferFrom(address,address,uint256)", from, to, amount));
        bool agreed = returned.length == 0 ? token.code.length != 0 : uint256(bytes32(returned)) == 1;
        require(success && agreed, TransferFailed(token, returned));
    }
}
