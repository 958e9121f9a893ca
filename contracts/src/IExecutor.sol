// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title IExecutor
/// @notice Executes one approved cycle of swaps, on borrowed or own capital, all or nothing. A run either pays at
/// least the approved profit to the treasury, within the approved blocks, or it changes nothing.
/// @dev Roles, lenders, exchanges and assets are part of the code: to change one, another executor is deployed.
/// What a pool, a token or a lender reverts with is passed on unchanged; every other failure is an error below.
/// The executor is meant to hold nothing between runs. What it holds nevertheless is proven untouched after each run.
///
/// Lenders are known by codes:
///   0 own capital           1 Aave v2                    2 Aave v3         3 Balancer v2       4 ERC-3156 (MakerDAO)
///   5 Morpho Blue           6 a Uniswap V3 pool's flash   7 a Uniswap V2 pair's loan of one token
///   8 and 9 further pools of Aave v3's interface (Spark, Aave Prime)
///   10 the cycle's own last Uniswap V2 pair, which pays first (flash swap; all hops must be of the V2 family)
interface IExecutor {
    /// @notice Uniswap V2 or a fork with the same pair: where its pairs are, and the fee that its pairs take.
    struct ExchangeV2 {
        address factory;
        bytes32 initCodeHash;
        uint24 feePpm;
    }

    /// @notice Uniswap V3 or a fork with the same pool and callback; `deployer` is who creates its pools.
    struct ExchangeV3 {
        address deployer;
        bytes32 initCodeHash;
    }

    /// @notice A token that cycles may begin with, and the least profit that a run in it must ask for; 0: none may run.
    struct Asset {
        address token;
        uint256 floor;
    }

    /// @notice What an executor is built with.
    /// @param lenders The contract of each lender by its code, 0 where there is none; own capital and pools have none.
    /// @param v2 At most four exchanges.
    /// @param v3 At most three exchanges.
    /// @param assets At most six, whose addresses differ in their last four bytes.
    struct Setup {
        address owner;
        address operator;
        address treasury;
        address[11] lenders;
        ExchangeV2[] v2;
        ExchangeV3[] v3;
        Asset[] assets;
    }

    /// @notice A run that paid `profit` to the treasury.
    event Executed(uint64 indexed ticket, uint256 loanFee, uint256 profit);
    event LenderSet(uint8 indexed lender, bool allowed);
    event FloorSet(address indexed asset, uint256 floor);
    event PausedSet(bool paused, address indexed by);
    event Swept(address indexed token, address indexed to, uint256 amount);

    /// @notice The constructor was given an address that cannot serve as `role`.
    error InvalidAddress(bytes32 role, address given);
    /// @notice There are more than `most` of `what`.
    error TooMany(bytes32 what, uint256 given, uint256 most);
    /// @notice A V2 fee is below 1,000,000 ppm.
    error InvalidFee(address factory, uint24 feePpm);
    /// @notice Two assets end in the same four bytes.
    error TagTaken(uint32 tag);
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

    /// @notice The plan is `length` bytes long, which is no whole number of hops.
    error MalformedPlan(uint256 length);
    /// @notice The ticket was executed before.
    error TicketUsed(uint64 ticket);
    /// @notice Block `current` is past the last one approved.
    error DeadlinePassed(uint256 lastBlock, uint256 current);
    /// @notice The plan of `ticket` trades nothing.
    error AmountZero(uint64 ticket);
    /// @notice No asset's address ends in `tag`.
    error AssetUnknown(uint32 tag);
    /// @notice No run may begin with `asset`: it has no floor.
    error AssetOff(address asset);
    /// @notice The plan asks for less profit than the owner's floor.
    error BelowFloor(address asset, uint256 minProfit, uint256 floor);
    /// @notice `pool` gives more than V2 arithmetic can hold.
    error AmountTooLarge(address pool, uint256 amount);
    /// @notice There is no kind of hop `kind`.
    error UnknownKind(uint8 kind);
    /// @notice No exchange has a pool of the hop's tokens and fee whose address ends in `tag`.
    error PoolUnproven(uint32 tag);
    /// @notice A flash swap was planned over `pool`, which is not of the V2 family.
    error FlashSwapNeedsV2(address pool);
    /// @notice There is no contract at `account`.
    error NoCode(address account);

    /// @notice There is no lender `lender`, or it is not on this chain.
    error LenderUnavailable(uint8 lender);
    /// @notice The owner does not allow `lender`.
    error LenderOff(uint8 lender);
    /// @notice `pool` is to lend `asset`, but is not a pool of it on one of the exchanges.
    error LenderUnproven(address pool, address asset);
    /// @notice The cycle trades on the pool that lends.
    error LenderInPath(address pool);
    /// @notice The executor holds `balance` of `asset`, less than the `needed` it was to trade.
    error InsufficientOwnCapital(address asset, uint256 balance, uint256 needed);
    /// @notice What `caller` brought is not what is awaited (0: nothing is); `kind` is the callback's, by lender code.
    error UnexpectedCallback(address caller, uint8 kind, bytes32 awaited, bytes32 brought);
    /// @notice The loan was asked for by `initiator`, not by this contract.
    error WrongInitiator(address initiator);
    /// @notice A callback for one asset came with arrays of these lengths.
    error WrongLengths(uint256 assets, uint256 amounts, uint256 fees);
    /// @notice The lender gave something else than what was asked for.
    error WrongLoan(address asset, uint256 amount, address askedAsset, uint256 askedAmount);
    /// @notice `lender` returned without having called back.
    error NoCallback(address lender);
    /// @notice `lender` returned false.
    error LenderReturnedFalse(address lender);

    /// @notice `caller` is not the pool of the hop in progress, or has been paid already.
    error UnexpectedSwapCallback(address caller);
    /// @notice `pool` asked for `owed` where `expected` is the hop's whole input: a partial fill, or too much.
    error WrongSwapInput(address pool, uint256 owed, uint256 expected);
    /// @notice `pool` returned without having called for its payment.
    error NoSwapCallback(address pool);
    /// @notice `pool` gives nothing for what is put in, or there is no such pool.
    error NoOutput(address pool);

    /// @notice A call of `token` reverted, or returned neither nothing nor what it should.
    error TokenCallFailed(address token, bytes4 selector, bytes returned);
    /// @notice `spender` could still take `remaining` of `token`.
    error AllowanceLeft(address token, address spender, uint256 remaining);
    /// @notice The run would earn `profit` after the loan's fee (0 when it would lose), less than approved.
    error InsufficientProfit(uint256 profit, uint256 minProfit);
    /// @notice The run would leave the executor with less of `token` than it began with.
    error BalanceFell(address token, uint256 before, uint256 current);

    /// @notice Executes the plan behind the selector and pays its profit to the treasury; only for the operator.
    /// @dev Named so that its selector is the lowest, which is the first compared. The plan is packed, big-endian, without padding:
    ///   8 ticket       executed at most once; ids that share their upper 58 bits share a storage word
    ///   5 lastBlock    the last block in which this may execute
    ///   1 lender       a code of the list above
    ///   4 asset        the last four bytes of the asset's address: the token borrowed, first and last of the cycle
    ///  14 amountIn     the amount borrowed and put into the first hop, in base units; more than 0
    ///  14 minProfit    the least profit in base units of the asset, net of the loan's fee; the asset's floor or more
    ///  20 source       the pool that lends; only for lenders 6 and 7
    /// and then each hop:
    ///   1 kind         0 for the Uniswap V2 family, 1 for the Uniswap V3 family, 2 for V2 with the amount given
    ///   3 feePpm       the pool's fee; only for kind 1
    ///  12 amountOut    what the pair is asked for; only for kind 2
    ///   4 pool         the last four bytes of the pool's address, which tell the exchange
    ///  20 tokenOut     what the hop gives out; not for the last hop, which gives the asset
    /// The address of a pool is computed from its exchange's factory, its tokens and its fee, so that it is a pool of
    /// that factory or none. The amounts of the hops
    /// are computed on chain from the pools' state, but for kind 2. Output goes straight
    /// to the next pool where that is a V2 pair.
    /// @return profit What the treasury was paid, in base units of the asset.
    function executePacked() external returns (uint256 profit);

    /// @notice Stops `executePacked`; for the owner and the operator.
    function pause() external;

    /// @notice Lets `executePacked` run again; for the owner.
    function unpause() external;

    /// @notice Allows or forbids a lender; for the owner. At first every lender that is there is allowed, but not own
    /// capital.
    function setLender(uint8 lender, bool allowed) external;

    /// @notice Sets the least profit that a run in `token` must ask for, 0 to let none run; for the owner.
    /// @dev Kept in 16 bits, rounded up by less than 1 in 128. At most 2^112 - 1.
    function setFloor(address token, uint256 floor) external;

    /// @notice Sends `amount` of `token` to `to`; for the owner, while no run is open.
    function sweep(address token, address to, uint256 amount) external;

    /// @notice Who allows lenders, sets floors, unpauses and sweeps. Never changes.
    function owner() external view returns (address);

    /// @notice Who may execute. Never changes.
    function operator() external view returns (address);

    /// @notice Where profits go. Never changes.
    function treasury() external view returns (address);

    /// @notice The contract of a lender by its code, 0 where there is none. Never changes.
    function lenders(uint8 lender) external view returns (address);

    /// @notice Whether the owner allows a lender.
    function lenderAllowed(uint8 lender) external view returns (bool);

    /// @notice The exchange at a place among those of the V2 family, in the order in which they are tried.
    function exchangeV2(uint256 index) external view returns (ExchangeV2 memory);

    /// @notice The exchange at a place among those of the V3 family, in the order in which they are tried.
    function exchangeV3(uint256 index) external view returns (ExchangeV3 memory);

    /// @notice The asset at a place, and its floor as it is kept.
    function asset(uint256 index) external view returns (Asset memory);

    /// @notice Whether `ticket` was executed.
    function used(uint64 ticket) external view returns (bool);

    /// @notice Whether `executePacked` is stopped.
    function paused() external view returns (bool);
}
