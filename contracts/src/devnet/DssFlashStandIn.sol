// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC3156FlashBorrower} from "../external/ILenders.sol";

interface IMintableDai {
    function mint(address to, uint256 amount) external;
    function burn(address from, uint256 amount) external;
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

/// @title DssFlashStandIn
/// @notice A stand-in for MakerDAO's DssFlash on the local chain, written from its behaviour. It is NOT MakerDAO's
/// contract. It needs mint rights on a DAI that is a DevToken. Mirrored: only DAI; a ceiling `max`; nothing can be
/// borrowed while a loan is open; a live flag; repayment by transferFrom, then the principal is burnt.
contract DssFlashStandIn {
    uint256 private constant WAD = 1e18;
    bytes32 private constant CALLBACK_SUCCESS = keccak256("ERC3156FlashBorrower.onFlashLoan");

    IMintableDai public immutable dai;
    address public immutable owner;

    /// @notice The most that one loan may take, in wei of DAI.
    uint256 public max;
    /// @notice The fee as a fraction of the loan, 1e18 = 100 %. What it earns stays in this contract.
    uint256 public toll;
    /// @notice 1 while loans are given, as MakerDAO's `live` flags are.
    uint256 public live = 1;

    bool private transient _locked;

    event File(bytes32 indexed what, uint256 data);
    event FlashLoan(address indexed receiver, address token, uint256 amount, uint256 fee);

    constructor(address dai_) {
        dai = IMintableDai(dai_);
        owner = msg.sender;
    }

    /// @notice Sets "max", "toll" or "live"; by the owner.
    function file(bytes32 what, uint256 data) external {
        require(msg.sender == owner, "DssFlashStandIn/not-authorized");
        if (what == "max") max = data;
        else if (what == "toll") toll = data;
        else if (what == "live" && data < 2) live = data;
        else revert("DssFlashStandIn/file-unrecognized-param");
        emit File(what, data);
    }

    /// @notice What can be borrowed now: 0 for other tokens, while a loan is open and while not live.
    function maxFlashLoan(address token) external view returns (uint256) {
        return token == address(dai) && !_locked && live == 1 ? max : 0;
    }

    /// @notice The fee of a loan of `amount`; reverts for tokens other than DAI.
    function flashFee(address token, uint256 amount) public view returns (uint256) {
        require(token == address(dai), "DssFlashStandIn/token-unsupported");
        return amount * toll / WAD;
    }

    /// @notice Mints `amount` to `receiver`, calls it, pulls `amount` and the fee back, burns `amount`.
    function flashLoan(IERC3156FlashBorrower receiver, address token, uint256 amount, bytes calldata data)
        external
        returns (bool)
    {
        require(!_locked, "DssFlashStandIn/reentrancy-guard");
        _locked = true;
        uint256 fee = flashFee(token, amount);
        require(amount <= max, "DssFlashStandIn/ceiling-exceeded");
        require(live == 1, "DssFlashStandIn/not-live");

        dai.mint(address(receiver), amount);
        emit FlashLoan(address(receiver), token, amount, fee);
        require(
            receiver.onFlashLoan(msg.sender, token, amount, fee, data) == CALLBACK_SUCCESS,
            "DssFlashStandIn/callback-failed"
        );
        dai.transferFrom(address(receiver), address(this), amount + fee);
        dai.burn(address(this), amount);
        _locked = false;
        return true;
    }
}
