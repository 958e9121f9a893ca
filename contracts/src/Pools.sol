// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IUniswapV2Pair, IUniswapV3Pool} from "./external/IPools.sol";

/// @title Pools
/// @notice Addresses and calls of Uniswap V2 and V3 pools. What a pool reverts with is passed on unchanged.
library Pools {
    uint160 private constant LOWEST_SQRT_PRICE_LIMIT = 4295128740;
    uint160 private constant HIGHEST_SQRT_PRICE_LIMIT = 1461446703485210103287273052203988822378723970341;

    /// @notice The salt of a V2 pair: its tokens, sorted, packed.
    function saltV2(address token0, address token1) internal pure returns (bytes32 salt) {
        assembly ("memory-safe") {
            mstore(0, shl(96, token0))
            mstore(20, shl(96, token1))
            salt := keccak256(0, 40)
        }
    }

    /// @notice The salt of a V3 pool: its tokens, sorted, and its fee.
    function saltV3(address token0, address token1, uint256 feePpm) internal pure returns (bytes32 salt) {
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, token0)
            mstore(add(data, 32), token1)
            mstore(add(data, 64), feePpm)
            salt := keccak256(data, 96)
        }
    }

    /// @notice EIP-1014: where `factory` creates a contract of that init code with that salt.
    function locate(address factory, bytes32 salt, bytes32 initCodeHash) internal pure returns (address pool) {
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, or(shl(248, 0xff), shl(88, factory)))
            mstore(add(data, 21), salt)
            mstore(add(data, 53), initCodeHash)
            pool := and(keccak256(data, 85), 0xffffffffffffffffffffffffffffffffffffffff)
        }
    }

    /// @return known False where `pair` does not answer as a pair does.
    function reserves(address pair) internal view returns (bool known, uint256 reserve0, uint256 reserve1) {
        bytes4 selector = IUniswapV2Pair.getReserves.selector;
        assembly ("memory-safe") {
            mstore(0, selector)
            known := and(gt(returndatasize(), 63), staticcall(gas(), pair, 0, 4, 0, 64))
            reserve0 := and(mload(0), 0xffffffffffffffffffffffffffff)
            reserve1 := and(mload(32), 0xffffffffffffffffffffffffffff)
        }
    }

    /// @notice Takes `out` of token1 (`zeroForOne`) or of token0 from a pair that was paid already.
    function swapV2(address pair, bool zeroForOne, uint256 out, address to) internal {
        bytes4 selector = IUniswapV2Pair.swap.selector;
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, selector)
            mstore(add(data, 4), mul(out, iszero(zeroForOne)))
            mstore(add(data, 36), mul(out, zeroForOne))
            mstore(add(data, 68), to)
            mstore(add(data, 100), 128)
            mstore(add(data, 132), 0)
            if iszero(call(gas(), pair, 0, data, 164, 0, 0)) {
                returndatacopy(data, 0, returndatasize())
                revert(data, returndatasize())
            }
        }
    }

    /// @notice Sells exactly `amount`, at any price; the pool's callback pays.
    /// @return known False where `pool` does not answer as a pool does.
    /// @return out What the pool says it paid to `to`; 0 where it says that it took some.
    function swapV3(address pool, bool zeroForOne, uint256 amount, address to)
        internal
        returns (bool known, uint256 out)
    {
        bytes4 selector = IUniswapV3Pool.swap.selector;
        uint160 limit = zeroForOne ? LOWEST_SQRT_PRICE_LIMIT : HIGHEST_SQRT_PRICE_LIMIT;
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, selector)
            mstore(add(data, 4), to)
            mstore(add(data, 36), zeroForOne)
            mstore(add(data, 68), amount)
            mstore(add(data, 100), limit)
            mstore(add(data, 132), 160)
            mstore(add(data, 164), 0)
            if iszero(call(gas(), pool, 0, data, 196, 0, 64)) {
                returndatacopy(data, 0, returndatasize())
                revert(data, returndatasize())
            }
            known := gt(returndatasize(), 63)
            let delta := mload(shl(5, zeroForOne))
            out := mul(sub(0, delta), slt(delta, 0))
        }
    }
}
