// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExecutor} from "./IExecutor.sol";
import {
    IAaveV2Pool,
    IAaveV2Receiver,
    IAaveV3Pool,
    IAaveV3SimpleReceiver,
    IBalancerV2Recipient,
    IBalancerV2Vault,
    IERC3156FlashBorrower,
    IERC3156FlashLender
} from "./external/ILenders.sol";
import {ITokenPair, IUniswapV2Pair, IUniswapV3Pool, IUniswapV3SwapCallback} from "./external/IPools.sol";
import {Token} from "./Token.sol";

/// @title Executor
contract Executor is
    IExecutor,
    IAaveV2Receiver,
    IAaveV3SimpleReceiver,
    IBalancerV2Recipient,
    IERC3156FlashBorrower,
    IUniswapV3SwapCallback
{
    using Token for address;

    uint8 private constant OWN = 0;
    uint8 private constant AAVE_V2 = 1;
    uint8 private constant AAVE_V3 = 2;
    uint8 private constant BALANCER_V2 = 3;
    uint8 private constant MAKER = 4;

    uint8 private constant V2 = 0;
    uint8 private constant V3 = 1;

    uint256 private constant MIN_HOPS = 2;
    uint256 private constant MAX_HOPS = 6;
    uint256 private constant PPM = 1e6;
    uint160 private constant LOWEST_SQRT_PRICE_LIMIT = 4295128740;
    uint160 private constant HIGHEST_SQRT_PRICE_LIMIT = 1461446703485210103287273052203988822378723970341;
    bytes32 private constant ERC3156_SUCCESS = keccak256("ERC3156FlashBorrower.onFlashLoan");

    // Transient storage, one slot a meaning. Written by `_tstore` only: `delete` of a transient variable has been
    // compiled to the wrong kind of store (SOL-2026-1).
    bytes32 private constant RUN_OPEN = keccak256("arbtui.executor.run-open");
    bytes32 private constant AWAITED_LENDER = keccak256("arbtui.executor.awaited-lender");
    bytes32 private constant AWAITED_DATA = keccak256("arbtui.executor.awaited-data");
    bytes32 private constant AWAITED_ASSET = keccak256("arbtui.executor.awaited-asset");
    bytes32 private constant AWAITED_AMOUNT = keccak256("arbtui.executor.awaited-amount");
    bytes32 private constant LOAN_FEE = keccak256("arbtui.executor.loan-fee");
    bytes32 private constant SWAP_POOL = keccak256("arbtui.executor.swap-pool");
    bytes32 private constant SWAP_TOKEN = keccak256("arbtui.executor.swap-token");
    bytes32 private constant SWAP_AMOUNT = keccak256("arbtui.executor.swap-amount");

    address public immutable owner;
    address public immutable treasury;
    address private immutable _aaveV2;
    address private immutable _aaveV3;
    address private immutable _balancerV2;
    address private immutable _maker;

    // One word, so that a run reads who may execute and whether at all with one load.
    address public operator;
    bool public paused;
    bool public ownCapital;

    mapping(uint256 word => uint256 bits) private _used;

    /// A run as the lender's callback gets it back: what `execute` checked, and no more than the hops need.
    struct Run {
        uint256 minProfit;
        Hop[] hops;
        address[] tokens;
    }

    modifier onlyOwner() {
        require(msg.sender == owner, NotOwner(msg.sender));
        _;
    }

    constructor(address owner_, address operator_, address treasury_, address[4] memory lenders_) {
        require(owner_ != address(0), InvalidAddress("owner", owner_));
        // A profit paid to itself would be left in the executor.
        require(treasury_ != address(0) && treasury_ != address(this), InvalidAddress("treasury", treasury_));
        for (uint256 i; i < lenders_.length; ++i) {
            require(lenders_[i] == address(0) || lenders_[i].code.length != 0, NoCode(lenders_[i]));
        }
        owner = owner_;
        treasury = treasury_;
        _aaveV2 = lenders_[0];
        _aaveV3 = lenders_[1];
        _balancerV2 = lenders_[2];
        _maker = lenders_[3];
        operator = operator_;
        emit OperatorSet(address(0), operator_);
    }

    /// @inheritdoc IExecutor
    function execute(Plan calldata plan) external returns (uint256 profit) {
        require(msg.sender == operator, NotOperator(msg.sender));
        require(!paused, ExecutionPaused(msg.sender));
        require(_tload(RUN_OPEN) == 0, RunOpen(msg.sender));
        _tstore(RUN_OPEN, 1);

        require(block.number <= plan.lastBlock, DeadlinePassed(plan.lastBlock, block.number));
        require(plan.minProfit != 0, MinProfitZero(plan.ticket));
        require(plan.amountIn != 0, AmountZero(plan.ticket));
        _use(plan.ticket);
        address lender = _lender(plan.lender);

        Run memory run = Run(plan.minProfit, plan.hops, _tokens(plan));
        uint256[] memory balances = _balances(run.tokens);

        uint256 loanFee;
        if (plan.lender == OWN) {
            require(ownCapital, OwnCapitalDisabled());
            require(
                balances[0] >= plan.amountIn, InsufficientOwnCapital(plan.asset, balances[0], plan.amountIn)
            );
            _trade(run, plan.amountIn, 0);
        } else {
            loanFee = _borrow(plan, lender, abi.encode(run));
        }

        profit = _settle(run, balances);
        emit Executed(plan.ticket, plan.asset, plan.lender, plan.amountIn, loanFee, profit);
        _tstore(RUN_OPEN, 0);
    }

    /// @inheritdoc IExecutor
    function pause() external {
        require(msg.sender == owner || msg.sender == operator, NotOwnerOrOperator(msg.sender));
        paused = true;
        emit PausedSet(true, msg.sender);
    }

    /// @inheritdoc IExecutor
    function unpause() external onlyOwner {
        paused = false;
        emit PausedSet(false, msg.sender);
    }

    /// @inheritdoc IExecutor
    function setOperator(address operator_) external onlyOwner {
        emit OperatorSet(operator, operator_);
        operator = operator_;
    }

    /// @inheritdoc IExecutor
    function setOwnCapital(bool enabled) external onlyOwner {
        ownCapital = enabled;
        emit OwnCapitalSet(enabled);
    }

    /// @inheritdoc IExecutor
    function sweep(address token, address to, uint256 amount) external onlyOwner {
        require(_tload(RUN_OPEN) == 0, RunOpen(msg.sender));
        token.send(to, amount);
        emit Swept(token, to, amount);
    }

    /// @inheritdoc IExecutor
    function lenders(uint8 id) public view returns (address) {
        if (id == AAVE_V2) return _aaveV2;
        if (id == AAVE_V3) return _aaveV3;
        if (id == BALANCER_V2) return _balancerV2;
        if (id == MAKER) return _maker;
        return address(0);
    }

    /// @inheritdoc IExecutor
    function used(bytes32 ticket) external view returns (bool) {
        (uint256 word, uint256 bit) = _place(ticket);
        return _used[word] & bit != 0;
    }

    /// @inheritdoc IAaveV2Receiver
    function executeOperation(
        address[] calldata assets,
        uint256[] calldata amounts,
        uint256[] calldata premiums,
        address initiator,
        bytes calldata params
    ) external returns (bool) {
        _takeCallback(AAVE_V2);
        require(initiator == address(this), WrongInitiator(initiator));
        _requireOne(assets.length, amounts.length, premiums.length);
        _tradeLoan(assets[0], amounts[0], premiums[0], params);
        assets[0].approve(msg.sender, amounts[0] + premiums[0]);
        return true;
    }

    /// @inheritdoc IAaveV3SimpleReceiver
    function executeOperation(
        address asset,
        uint256 amount,
        uint256 premium,
        address initiator,
        bytes calldata params
    ) external returns (bool) {
        _takeCallback(AAVE_V3);
        require(initiator == address(this), WrongInitiator(initiator));
        _tradeLoan(asset, amount, premium, params);
        asset.approve(msg.sender, amount + premium);
        return true;
    }

    /// @inheritdoc IBalancerV2Recipient
    function receiveFlashLoan(
        address[] calldata tokens,
        uint256[] calldata amounts,
        uint256[] calldata feeAmounts,
        bytes calldata userData
    ) external {
        _takeCallback(BALANCER_V2);
        _requireOne(tokens.length, amounts.length, feeAmounts.length);
        _tradeLoan(tokens[0], amounts[0], feeAmounts[0], userData);
        tokens[0].send(msg.sender, amounts[0] + feeAmounts[0]);
    }

    /// @inheritdoc IERC3156FlashBorrower
    function onFlashLoan(address initiator, address token, uint256 amount, uint256 fee, bytes calldata data)
        external
        returns (bytes32)
    {
        _takeCallback(MAKER);
        require(initiator == address(this), WrongInitiator(initiator));
        _tradeLoan(token, amount, fee, data);
        token.approve(msg.sender, amount + fee);
        return ERC3156_SUCCESS;
    }

    /// @inheritdoc IUniswapV3SwapCallback
    function uniswapV3SwapCallback(int256 amount0Delta, int256 amount1Delta, bytes calldata) external {
        require(msg.sender == address(uint160(_tload(SWAP_POOL))), UnexpectedSwapCallback(msg.sender));
        _tstore(SWAP_POOL, 0);
        int256 delta = amount0Delta > 0 ? amount0Delta : amount1Delta;
        uint256 owed = delta > 0 ? uint256(delta) : 0;
        uint256 expected = _tload(SWAP_AMOUNT);
        require(owed == expected, WrongSwapInput(msg.sender, owed, expected));
        address token = address(uint160(_tload(SWAP_TOKEN)));
        _tstore(SWAP_TOKEN, 0);
        _tstore(SWAP_AMOUNT, 0);
        token.send(msg.sender, owed);
    }

    /// Marks the ticket before anything else is called, so that it stays used whatever the run calls.
    function _use(bytes32 ticket) private {
        (uint256 word, uint256 bit) = _place(ticket);
        uint256 bits = _used[word];
        require(bits & bit == 0, TicketUsed(ticket));
        _used[word] = bits | bit;
    }

    function _place(bytes32 ticket) private pure returns (uint256 word, uint256 bit) {
        return (uint256(ticket) >> 8, 1 << (uint256(ticket) & 0xff));
    }

    function _lender(uint8 id) private view returns (address lender) {
        lender = lenders(id);
        require(id == OWN || lender != address(0), LenderUnavailable(id));
    }

    /// What each hop takes in, asked from the pools; reverts unless the hops form a cycle that begins with the asset.
    function _tokens(Plan calldata plan) private view returns (address[] memory tokens) {
        Hop[] calldata hops = plan.hops;
        require(hops.length >= MIN_HOPS && hops.length <= MAX_HOPS, HopCount(hops.length, MIN_HOPS, MAX_HOPS));
        tokens = new address[](hops.length);
        address given = plan.asset;
        for (uint256 i; i < hops.length; ++i) {
            Hop calldata hop = hops[i];
            require(hop.kind <= V3, UnknownKind(i, hop.kind));
            require(hop.kind != V2 || hop.feePpm < PPM, InvalidFee(i, hop.feePpm));
            require(i == 0 || hop.pool != hops[i - 1].pool, PoolRepeated(i, hop.pool));
            address token0 = _poolToken(i, hop.pool, ITokenPair.token0.selector);
            address token1 = _poolToken(i, hop.pool, ITokenPair.token1.selector);
            (address takesIn, address givesOut) = hop.zeroForOne ? (token0, token1) : (token1, token0);
            require(takesIn == given, HopsDisconnected(i, given, takesIn));
            require(takesIn.code.length != 0, NoCode(takesIn));
            tokens[i] = takesIn;
            given = givesOut;
        }
        require(given == plan.asset, CycleOpen(plan.asset, given));
    }

    function _poolToken(uint256 hop, address pool, bytes4 selector) private view returns (address) {
        require(pool.code.length != 0, NoCode(pool));
        (bool success, bytes memory returned) = pool.staticcall(abi.encodeWithSelector(selector));
        require(
            success && returned.length == 32 && uint256(bytes32(returned)) <= type(uint160).max, NotAPool(hop, pool)
        );
        return address(uint160(uint256(bytes32(returned))));
    }

    function _balances(address[] memory tokens) private view returns (uint256[] memory balances) {
        balances = new uint256[](tokens.length);
        for (uint256 i; i < tokens.length; ++i) {
            balances[i] = tokens[i].held();
        }
    }

    function _borrow(Plan calldata plan, address lender, bytes memory data) private returns (uint256 loanFee) {
        _tstore(AWAITED_LENDER, _awaited(lender, plan.lender));
        _tstore(AWAITED_ASSET, uint160(plan.asset));
        _tstore(AWAITED_AMOUNT, plan.amountIn);
        _tstore(AWAITED_DATA, uint256(keccak256(data)));

        if (plan.lender == AAVE_V2) {
            IAaveV2Pool(lender).flashLoan(
                address(this), _one(plan.asset), _one(plan.amountIn), _one(0), address(this), data, 0
            );
        } else if (plan.lender == AAVE_V3) {
            IAaveV3Pool(lender).flashLoanSimple(address(this), plan.asset, plan.amountIn, data, 0);
        } else if (plan.lender == BALANCER_V2) {
            IBalancerV2Vault(lender).flashLoan(address(this), _one(plan.asset), _one(plan.amountIn), data);
        } else {
            require(
                IERC3156FlashLender(lender).flashLoan(address(this), plan.asset, plan.amountIn, data),
                LenderReturnedFalse(lender)
            );
        }

        require(_tload(AWAITED_LENDER) == 0, NoCallback(lender));
        if (plan.lender != BALANCER_V2) _revoke(plan.asset, lender);
        loanFee = _tload(LOAN_FEE);
        _tstore(LOAN_FEE, 0);
    }

    /// Lets the awaited lender in, once: from here on no loan is awaited, whatever the hops call.
    function _takeCallback(uint8 lender) private {
        require(_tload(AWAITED_LENDER) == _awaited(msg.sender, lender), UnexpectedCallback(msg.sender, lender));
        _tstore(AWAITED_LENDER, 0);
    }

    /// The callback's kind is part of what is awaited, so that a lender cannot choose how it is repaid.
    function _awaited(address lender, uint8 id) private pure returns (uint256) {
        return uint256(id) << 160 | uint160(lender);
    }

    function _requireOne(uint256 assets, uint256 amounts, uint256 fees) private pure {
        require(assets == 1 && amounts == 1 && fees == 1, WrongLengths(assets, amounts, fees));
    }

    function _tradeLoan(address asset, uint256 amount, uint256 fee, bytes calldata data) private {
        address askedAsset = address(uint160(_tload(AWAITED_ASSET)));
        uint256 askedAmount = _tload(AWAITED_AMOUNT);
        require(
            asset == askedAsset && amount == askedAmount, WrongLoan(asset, amount, askedAsset, askedAmount)
        );
        bytes32 expected = bytes32(_tload(AWAITED_DATA));
        bytes32 actual = keccak256(data);
        require(actual == expected, DataChanged(expected, actual));
        _tstore(AWAITED_ASSET, 0);
        _tstore(AWAITED_AMOUNT, 0);
        _tstore(AWAITED_DATA, 0);
        _tstore(LOAN_FEE, fee);
        _trade(abi.decode(data, (Run)), amount, fee);
    }

    /// Swaps around the cycle. A run that falls short is refused here already, before the loan is repaid: otherwise
    /// a token's own error would hide the reason.
    function _trade(Run memory run, uint256 amountIn, uint256 fee) private {
        Hop[] memory hops = run.hops;
        uint256 amount = amountIn;
        if (hops[0].kind == V2) run.tokens[0].send(hops[0].pool, amount);
        for (uint256 i; i < hops.length; ++i) {
            bool straight = i + 1 < hops.length && hops[i + 1].kind == V2;
            address recipient = straight ? hops[i + 1].pool : address(this);
            amount = hops[i].kind == V2
                ? _swapV2(i, hops[i], amount, recipient)
                : _swapV3(i, hops[i], run.tokens[i], amount, recipient);
        }
        uint256 gain = amount > amountIn ? amount - amountIn : 0;
        uint256 profit = gain > fee ? gain - fee : 0;
        require(profit >= run.minProfit, InsufficientProfit(profit, run.minProfit));
    }

    /// The input is in the pair already.
    function _swapV2(uint256 index, Hop memory hop, uint256 amount, address recipient)
        private
        returns (uint256 out)
    {
        require(amount <= type(uint112).max, AmountTooLarge(index, amount));
        (uint256 reserveIn, uint256 reserveOut,) = IUniswapV2Pair(hop.pool).getReserves();
        if (!hop.zeroForOne) (reserveIn, reserveOut) = (reserveOut, reserveIn);
        uint256 charged = amount * (PPM - hop.feePpm);
        out = charged * reserveOut / (reserveIn * PPM + charged);
        require(out != 0, NoOutput(index, hop.pool));
        (uint256 out0, uint256 out1) = hop.zeroForOne ? (uint256(0), out) : (out, uint256(0));
        IUniswapV2Pair(hop.pool).swap(out0, out1, recipient, "");
    }

    function _swapV3(uint256 index, Hop memory hop, address token, uint256 amount, address recipient)
        private
        returns (uint256 out)
    {
        require(amount <= uint256(type(int256).max), AmountTooLarge(index, amount));
        _tstore(SWAP_POOL, uint160(hop.pool));
        _tstore(SWAP_TOKEN, uint160(token));
        _tstore(SWAP_AMOUNT, amount);
        (int256 amount0, int256 amount1) = IUniswapV3Pool(hop.pool).swap(
            recipient,
            hop.zeroForOne,
            int256(amount),
            hop.zeroForOne ? LOWEST_SQRT_PRICE_LIMIT : HIGHEST_SQRT_PRICE_LIMIT,
            ""
        );
        require(_tload(SWAP_POOL) == 0, NoSwapCallback(index, hop.pool));
        int256 delta = hop.zeroForOne ? amount1 : amount0;
        unchecked {
            out = delta < 0 ? uint256(-delta) : 0;
        }
        require(out != 0, NoOutput(index, hop.pool));
    }

    /// Proves by balances what the run earned, pays it out, and proves that nothing else changed.
    function _settle(Run memory run, uint256[] memory balances) private returns (uint256 profit) {
        address asset = run.tokens[0];
        uint256 current = asset.held();
        profit = current > balances[0] ? current - balances[0] : 0;
        require(profit >= run.minProfit, InsufficientProfit(profit, run.minProfit));
        asset.send(treasury, profit);
        for (uint256 i; i < balances.length; ++i) {
            current = run.tokens[i].held();
            require(current == balances[i], BalanceChanged(run.tokens[i], balances[i], current));
        }
    }

    /// Lenders take the exact allowance, so this writes only for one that took less than it asked for.
    function _revoke(address token, address spender) private {
        if (token.allowed(spender) == 0) return;
        token.approve(spender, 0);
        uint256 remaining = token.allowed(spender);
        require(remaining == 0, AllowanceLeft(token, spender, remaining));
    }

    function _one(address item) private pure returns (address[] memory items) {
        items = new address[](1);
        items[0] = item;
    }

    function _one(uint256 item) private pure returns (uint256[] memory items) {
        items = new uint256[](1);
        items[0] = item;
    }

    function _tload(bytes32 slot) private view returns (uint256 value) {
        assembly ("memory-safe") {
            value := tload(slot)
        }
    }

    function _tstore(bytes32 slot, uint256 value) private {
        assembly ("memory-safe") {
            tstore(slot, value)
        }
    }
}
