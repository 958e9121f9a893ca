// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IUniswapV2Pair, IUniswapV3Pool} from "./external/IPools.sol";

/// @title Pools
/// @notice Addresses and calls of Uniswap V2 and V3 pools. What a pool reverts with is passed on unchanged.
library Pools {
    uint160 private constant LOWEST_SQRT_PRICE_LIMIT = 4295128740;
    uint160 private constant HIGHEST_SQRT_PRICE_LIMIT = 1461446703485210103287273052203988822378723970341;

    /// @notice The salt of a V2 pair: its tokens, sorted, packed. In whichever order they are given here.
    function saltV2(address one, address other) internal pure returns (bytes32 salt) {
        assembly ("memory-safe") {
            let both := xor(one, other)
            let token0 := xor(one, mul(both, gt(one, other)))
            mstore(0, shl(96, token0))
            mstore(20, shl(96, xor(both, token0)))
            salt := keccak256(0, 40)
        }
    }

    /// @notice The salt of a V3 pool: its tokens, sorted, and its fee.
    function saltV3(address one, address other, uint256 feePpm) internal pure returns (bytes32 salt) {
        (address token0, address token1) = one < other ? (one, other) : (other, one);
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, token0)
            mstore(add(data, 32), token1)
            mstore(add(data, 64), feePpm)
            salt := keccak256(data, 96)
        }
    }

    /// @notice The first 21 bytes that EIP-1014 hashes, in a word whose other bytes are free.
    function creator(address factory) internal pure returns (uint256) {
        return 0xff << 248 | uint256(uint160(factory)) << 88;
    }

    /// @notice EIP-1014: where a creator (see above) creates a contract of that init code with that salt.
    function locate(uint256 by, bytes32 salt, bytes32 initCodeHash) internal pure returns (uint256 pool) {
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, by)
            mstore(add(data, 21), salt)
            mstore(add(data, 53), initCodeHash)
            pool := and(keccak256(data, 85), 0xffffffffffffffffffffffffffffffffffffffff)
        }
    }

    /// @notice What a pair gives for `amount` from its reserves of now; 0 where there is no pair. No product overflows
    /// while `amount`, like a reserve, has at most 112 bits and `feePpm` is below 1,000,000.
    function quoteV2(address pair, bool zeroForOne, uint256 feePpm, uint256 amount)
        internal
        view
        returns (uint256 out)
    {
        bytes4 selector = IUniswapV2Pair.getReserves.selector;
        assembly ("memory-safe") {
            mstore(0, selector)
            if and(gt(returndatasize(), 63), staticcall(gas(), pair, 0, 4, 0, 64)) {
                let place := shl(5, zeroForOne)
                let charged := mul(amount, sub(1000000, feePpm))
                let reserveIn := and(mload(xor(place, 32)), 0xffffffffffffffffffffffffffff)
                let reserveOut := and(mload(place), 0xffffffffffffffffffffffffffff)
                out := div(mul(charged, reserveOut), add(mul(reserveIn, 1000000), charged))
            }
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
    /// @return out What the pool says it paid to `to`; 0 where it says that it took some, or there is no pool.
    function swapV3(address pool, bool zeroForOne, uint256 amount, address to) internal returns (uint256 out) {
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
            let delta := mload(shl(5, zeroForOne))
            out := mul(sub(0, delta), and(slt(delta, 0), gt(returndatasize(), 63)))
        }
    }

    /// @notice Calls `pool` with the bytes of memory from `start` to `end`.
    function callOrRevert(address pool, uint256 start, uint256 end) internal {
        assembly ("memory-safe") {
            if iszero(call(gas(), pool, 0, start, sub(end, start), 0, 0)) {
                let data := mload(0x40)
                returndatacopy(data, 0, returndatasize())
                revert(data, returndatasize())
            }
        }
    }
}
