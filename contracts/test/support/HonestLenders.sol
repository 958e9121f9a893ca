// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "../../src/external/IERC20.sol";
import {
    IAaveV2Pool,
    IAaveV2Receiver,
    IAaveV3Pool,
    IAaveV3SimpleReceiver,
    IBalancerV2Recipient,
    IBalancerV2Vault,
    IMorpho,
    IMorphoFlashLoanCallback
} from "../../src/external/ILenders.sol";

library Pay {
    function out(address token, address to, uint256 amount) internal {
        (bool success, bytes memory returned) = token.call(abi.encodeCall(IERC20.transfer, (to, amount)));
        require(success && (returned.length == 0 || abi.decode(returned, (bool))), "lender: transfer");
    }

    function pull(address token, address from, uint256 amount) internal {
        (bool success, bytes memory returned) =
            token.call(abi.encodeWithSignature("transferFrom(address,address,uint256)", from, address(this), amount));
        require(success && (returned.length == 0 || abi.decode(returned, (bool))), "lender: transferFrom");
    }
}

/// Aave v2's order of things: pay out, call back, demand true, pull principal and premium.
contract AaveV2Lender is IAaveV2Pool {
    using Pay for address;

    function flashLoan(
        address receiver,
        address[] calldata assets,
        uint256[] calldata amounts,
        uint256[] calldata modes,
        address,
        bytes calldata params,
        uint16
    ) external {
        require(assets.length == amounts.length && modes[0] == 0, "73");
        uint256[] memory premiums = new uint256[](assets.length);
        for (uint256 i; i < assets.length; ++i) {
            premiums[i] = amounts[i] * 9 / 10_000;
            assets[i].out(receiver, amounts[i]);
        }
        require(
            IAaveV2Receiver(receiver).executeOperation(assets, amounts, premiums, msg.sender, params), "66"
        );
        for (uint256 i; i < assets.length; ++i) {
            assets[i].pull(receiver, amounts[i] + premiums[i]);
        }
    }
}

/// Aave v3's flashLoanSimple, with the premium rounded up as the current code does.
contract AaveV3Lender is IAaveV3Pool {
    using Pay for address;

    function flashLoanSimple(address receiver, address asset, uint256 amount, bytes calldata params, uint16)
        external
    {
        uint256 premium = (amount * 5 + 9999) / 10_000;
        asset.out(receiver, amount);
        require(
            IAaveV3SimpleReceiver(receiver).executeOperation(asset, amount, premium, msg.sender, params), "13"
        );
        asset.pull(receiver, amount + premium);
    }
}

/// Balancer v2's rules: sorted tokens, repaid by transfer, anyone may name any recipient.
contract BalancerV2Lender is IBalancerV2Vault {
    using Pay for address;

    uint256 public feePpm;

    function setFee(uint256 ppm) external {
        feePpm = ppm;
    }

    function flashLoan(
        address recipient,
        address[] calldata tokens,
        uint256[] calldata amounts,
        bytes calldata userData
    ) external {
        uint256[] memory fees = new uint256[](tokens.length);
        uint256[] memory before = new uint256[](tokens.length);
        for (uint256 i; i < tokens.length; ++i) {
            require(i == 0 || tokens[i - 1] < tokens[i], "BAL#102");
            fees[i] = amounts[i] * feePpm / 1e6;
            before[i] = IERC20(tokens[i]).balanceOf(address(this));
            require(before[i] >= amounts[i], "BAL#528");
            tokens[i].out(recipient, amounts[i]);
        }
        IBalancerV2Recipient(recipient).receiveFlashLoan(tokens, amounts, fees, userData);
        for (uint256 i; i < tokens.length; ++i) {
            require(IERC20(tokens[i]).balanceOf(address(this)) >= before[i] + fees[i], "BAL#515");
        }
    }
}

/// Morpho Blue's order: pay out, call back, pull; no fee, no token in the callback.
contract MorphoLender is IMorpho {
    using Pay for address;

    function flashLoan(address token, uint256 assets, bytes calldata data) external {
        require(assets != 0, "zero assets");
        token.out(msg.sender, assets);
        IMorphoFlashLoanCallback(msg.sender).onMorphoFlashLoan(assets, data);
        token.pull(msg.sender, assets);
    }
}
