// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// A runner that calls this suite green cannot be believed about the others.
contract CanaryTest {
    function test_mustFail() external pure {
        assert(false);
    }
}
