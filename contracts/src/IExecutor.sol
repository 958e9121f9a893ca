// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title IExecutor
/// @notice Executes one approved cycle of swaps, on borrowed or own capital, all or nothing. A run either pays at
/// least the approved profit to the treasury, within the approved blocks, or it changes nothing.
/// @dev What a pool, a token or a lender reverts with is passed on unchanged; every other failure is an error below.
/// The executor is meant to hold nothing between runs. What it holds nevertheless is proven untouched after each run.
interface IExecutor {
    /// @notice One swap.
    /// @param pool The pool to trade on.
    /// @param kind 0 for the Uniswap V2 family, 1 for the Uniswap V3 family.
    /// @param zeroForOne True when the pool's token0 is what goes in.
    /// @param feePpm The pool's fee in parts per million. Only V2 arithmetic uses it; a V3 pool knows its own.
    struct Hop {
        address pool;
        uint8 kind;
        bool zeroForOne;
        uint24 feePpm;
    }

    /// @notice What was approved, in full: nothing outside the plan decides what a run does.
    /// @param ticket The approved ticket. It can be executed once. Ids that share their upper 248 bits share a
    /// storage word, so dense ids cost about 17,000 gas less than random ones.
    /// @param lender 0 own capital, 1 Aave v2, 2 Aave v3, 3 Balancer v2, 4 ERC-3156 (MakerDAO).
    /// @param asset The token borrowed; the first and the last token of the cycle.
    /// @param amountIn The amount borrowed and put into the first hop, in base units.
    /// @param minProfit The least profit in base units of `asset`, net of the loan's fee; more than 0.
    /// @param lastBlock The last block in which this may execute.
    /// @param hops Two to six swaps, each taking in what the one before gave out.
    struct Plan {
        bytes32 ticket;
        uint8 lender;
        address asset;
        uint256 amountIn;
        uint256 minProfit;
        uint256 lastBlock;
        Hop[] hops;
    }

    /// @notice A run that paid `profit` to the treasury.
    event Executed(
        bytes32 indexed ticket, address indexed asset, uint8 lender, uint256 amountIn, uint256 loanFee, uint256 profit
    );
    event OperatorSet(address indexed previous, address indexed current);
    event OwnCapitalSet(bool enabled);
    event PausedSet(bool paused, address indexed by);
    event Swept(address indexed token, address indexed to, uint256 amount);

    /// @notice The constructor was given an address that cannot serve as `role`.
    error InvalidAddress(bytes32 role, address given);
    /// @notice `caller` is not the owner.
    error NotOwner(address caller);
    /// @notice `caller` is not the operator.
    error NotOperator(address caller);
    /// @notice `caller` is neither the owner nor the operator.
    error NotOwnerOrOperator(address caller);
    /// @notice Paused; `caller` was refused.
    error ExecutionPaused(address caller);
    /// @notice A run is open; `caller` must wait for its end.
    error RunOpen(address caller);

    /// @notice The ticket was executed before.
    error TicketUsed(bytes32 ticket);
    /// @notice Block `current` is past the last one approved.
    error DeadlinePassed(uint256 lastBlock, uint256 current);
    /// @notice The plan of `ticket` asks for no profit.
    error MinProfitZero(bytes32 ticket);
    /// @notice The plan of `ticket` trades nothing.
    error AmountZero(bytes32 ticket);
    /// @notice The amount going into `hop` is more than its pool's arithmetic can hold.
    error AmountTooLarge(uint256 hop, uint256 amount);
    /// @notice A cycle has `minimum` to `maximum` hops, not `given`.
    error HopCount(uint256 given, uint256 minimum, uint256 maximum);
    /// @notice There is no pool family `kind`.
    error UnknownKind(uint256 hop, uint8 kind);
    /// @notice A V2 fee is below 1,000,000 ppm.
    error InvalidFee(uint256 hop, uint24 feePpm);
    /// @notice `pool` does not answer as a pool of two tokens does.
    error NotAPool(uint256 hop, address pool);
    /// @notice Two hops in a row trade on `pool`.
    error PoolRepeated(uint256 hop, address pool);
    /// @notice `hop` takes in `takesIn`, but is given `given`.
    error HopsDisconnected(uint256 hop, address given, address takesIn);
    /// @notice The cycle ends in `last`, not in `asset`.
    error CycleOpen(address asset, address last);
    /// @notice There is no contract at `account`.
    error NoCode(address account);

    /// @notice There is no lender `lender`, or it is not on this chain.
    error LenderUnavailable(uint8 lender);
    /// @notice Trading with own capital is off.
    error OwnCapitalDisabled();
    /// @notice The executor holds `balance` of `asset`, less than the `needed` it was to trade.
    error InsufficientOwnCapital(address asset, uint256 balance, uint256 needed);
    /// @notice No loan of this kind was awaited from `caller`.
    error UnexpectedCallback(address caller, uint8 lender);
    /// @notice The loan was asked for by `initiator`, not by this contract.
    error WrongInitiator(address initiator);
    /// @notice A callback for one asset came with arrays of these lengths.
    error WrongLengths(uint256 assets, uint256 amounts, uint256 fees);
    /// @notice The lender gave something else than what was asked for.
    error WrongLoan(address asset, uint256 amount, address askedAsset, uint256 askedAmount);
    /// @notice The lender returned other data than it was given.
    error DataChanged(bytes32 expected, bytes32 actual);
    /// @notice `lender` returned without having called back.
    error NoCallback(address lender);
    /// @notice `lender` returned false.
    error LenderReturnedFalse(address lender);

    /// @notice `caller` is not the pool of the hop in progress, or has been paid already.
    error UnexpectedSwapCallback(address caller);
    /// @notice `pool` asked for `owed` where `expected` is the hop's whole input: a partial fill, or too much.
    error WrongSwapInput(address pool, uint256 owed, uint256 expected);
    /// @notice `pool` returned without having called for its payment.
    error NoSwapCallback(uint256 hop, address pool);
    /// @notice `hop` gives nothing for what is put in.
    error NoOutput(uint256 hop, address pool);

    /// @notice A call of `token` reverted, or returned neither nothing nor what it should.
    error TokenCallFailed(address token, bytes4 selector, bytes returned);
    /// @notice `spender` could still take `remaining` of `token`.
    error AllowanceLeft(address token, address spender, uint256 remaining);
    /// @notice The run would earn `profit` after the loan's fee (0 when it would lose), less than approved.
    error InsufficientProfit(uint256 profit, uint256 minProfit);
    /// @notice The run would leave the executor with another balance of `token` than it began with.
    error BalanceChanged(address token, uint256 before, uint256 current);

    /// @notice Executes `plan` and pays its profit to the treasury; only for the operator.
    /// @dev With own capital the executor must hold `amountIn`. The amounts of the hops are computed on chain from
    /// the pools' state; the floor is `minProfit` alone. Output goes straight to the next pool where that is a V2 pool.
    /// @return profit What the treasury was paid, in base units of `plan.asset`.
    function execute(Plan calldata plan) external returns (uint256 profit);

    /// @notice Stops `execute`; for the owner and the operator.
    function pause() external;

    /// @notice Lets `execute` run again; for the owner.
    function unpause() external;

    /// @notice Names the one account that may execute, or nobody (0); for the owner.
    function setOperator(address operator) external;

    /// @notice Allows or forbids plans without a lender (forbidden at first); for the owner.
    function setOwnCapital(bool enabled) external;

    /// @notice Sends `amount` of `token` to `to`; for the owner, while no run is open.
    function sweep(address token, address to, uint256 amount) external;

    /// @notice Who sets the operator, allows own capital, unpauses and sweeps. Never changes.
    function owner() external view returns (address);

    /// @notice Who may execute.
    function operator() external view returns (address);

    /// @notice Where profits go. Never changes.
    function treasury() external view returns (address);

    /// @notice The contract of lender `id` (1 to 4), 0 where it is not on this chain. Never changes.
    function lenders(uint8 id) external view returns (address);

    /// @notice Whether `ticket` was executed.
    function used(bytes32 ticket) external view returns (bool);

    /// @notice Whether `execute` is stopped.
    function paused() external view returns (bool);

    /// @notice Whether plans without a lender are allowed.
    function ownCapital() external view returns (bool);
}
