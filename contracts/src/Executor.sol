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
    IERC3156FlashLender,
    IMorpho,
    IMorphoFlashLoanCallback
} from "./external/ILenders.sol";
import {
    ITokenPair,
    IUniswapV2Callee,
    IUniswapV2Pair,
    IUniswapV3FlashCallback,
    IUniswapV3Pool,
    IUniswapV3SwapCallback
} from "./external/IPools.sol";
import {Pools} from "./Pools.sol";
import {Token} from "./Token.sol";

/// @title Executor
contract Executor is
    IExecutor,
    IAaveV2Receiver,
    IAaveV3SimpleReceiver,
    IBalancerV2Recipient,
    IERC3156FlashBorrower,
    IMorphoFlashLoanCallback,
    IUniswapV2Callee,
    IUniswapV3FlashCallback,
    IUniswapV3SwapCallback
{
    using Token for address;

    uint8 private constant OWN = 0;
    uint8 private constant AAVE_V2 = 1;
    uint8 private constant AAVE_V3 = 2;
    uint8 private constant BALANCER_V2 = 3;
    uint8 private constant ERC3156 = 4;
    uint8 private constant MORPHO = 5;
    uint8 private constant UNISWAP_V3 = 6;
    uint8 private constant UNISWAP_V2 = 7;
    uint8 private constant AAVE_V3_SECOND = 8;
    uint8 private constant AAVE_V3_THIRD = 9;
    uint8 private constant FLASH_SWAP = 10;
    uint256 private constant LENDERS = 11;

    // A hop in one word: the pool's address, then its kind and direction and, for a V2 pair, its fee in ppm.
    uint256 private constant V3 = 1 << 160;
    uint256 private constant ZERO_FOR_ONE = 1 << 161;
    uint256 private constant GIVEN = 1 << 162;
    uint256 private constant HOP_FEE_AT = 168;

    // Where the parts of a plan begin.
    uint256 private constant MIN_PROFIT_AT = 32;
    uint256 private constant SOURCE_AT = 46;
    uint256 private constant TOKEN_BYTES = 20;
    uint256 private constant HOP_BYTES = 5;
    uint256 private constant FEE_BYTES = 3;
    uint256 private constant OUT_BYTES = 12;

    uint256 private constant PPM = 1e6;
    bytes32 private constant ERC3156_SUCCESS = keccak256("ERC3156FlashBorrower.onFlashLoan");

    // Transient storage, one slot a meaning. Written by `_tstore` only: `delete` of a transient variable has been
    // compiled to the wrong kind of store (SOL-2026-1).
    bytes32 private constant RUN_OPEN = keccak256("arbtui.executor.run-open");
    bytes32 private constant AWAITED = keccak256("arbtui.executor.awaited");
    bytes32 private constant LOAN_FEE_PPM = keccak256("arbtui.executor.loan-fee-ppm");
    bytes32 private constant PROFIT = keccak256("arbtui.executor.profit");
    bytes32 private constant SWAP_POOL = keccak256("arbtui.executor.swap-pool");
    bytes32 private constant SWAP_TOKEN = keccak256("arbtui.executor.swap-token");
    bytes32 private constant SWAP_AMOUNT = keccak256("arbtui.executor.swap-amount");

    // All that can change, in one word, so that a run reads and writes one slot:
    //   bits 0 to 63     the tickets used of the current word of tickets
    //   bits 64 to 127   which word of tickets that is
    //   bits 128 to 138  the lenders allowed
    //   bit 144          paused
    //   bits 160 to 255  six floors of 16 bits: 8 of exponent, 8 of mantissa
    uint256 private _state;
    // The other words of tickets. The current one is written here when another takes its place.
    mapping(uint256 word => uint256 bits) private _used;

    uint256 private constant TICKETS = type(uint64).max;
    uint256 private constant WORD_AT = 64;
    uint256 private constant LENDERS_AT = 128;
    uint256 private constant PAUSED = 1 << 144;
    uint256 private constant FLOORS_AT = 160;
    uint256 private constant FLOOR_BITS = 16;

    address public immutable owner;
    address public immutable operator;
    address public immutable treasury;

    address private immutable _aaveV2;
    address private immutable _aaveV3;
    address private immutable _balancerV2;
    address private immutable _erc3156;
    address private immutable _morpho;
    address private immutable _aaveV3Second;
    address private immutable _aaveV3Third;

    // As EIP-1014 hashes it: 0xff, the factory's address; then, in the bytes that the salt will take, the fee in ppm.
    uint256 private immutable _factory0;
    uint256 private immutable _factory1;
    uint256 private immutable _factory2;
    uint256 private immutable _factory3;
    bytes32 private immutable _pairHash0;
    bytes32 private immutable _pairHash1;
    bytes32 private immutable _pairHash2;
    bytes32 private immutable _pairHash3;
    address private immutable _deployer0;
    address private immutable _deployer1;
    address private immutable _deployer2;
    bytes32 private immutable _poolHash0;
    bytes32 private immutable _poolHash1;
    bytes32 private immutable _poolHash2;

    address private immutable _asset0;
    address private immutable _asset1;
    address private immutable _asset2;
    address private immutable _asset3;
    address private immutable _asset4;
    address private immutable _asset5;

    uint256 private constant MAX_V2 = 4;
    uint256 private constant MAX_V3 = 3;
    uint256 private constant MAX_ASSETS = 6;

    modifier onlyOwner() {
        require(msg.sender == owner, NotOwner(msg.sender));
        _;
    }

    constructor(Setup memory setup) {
        require(setup.owner != address(0), InvalidAddress("owner", setup.owner));
        // A profit paid to itself would be left in the executor.
        require(
            setup.treasury != address(0) && setup.treasury != address(this), InvalidAddress("treasury", setup.treasury)
        );
        require(setup.v2.length <= MAX_V2, TooMany("v2", setup.v2.length, MAX_V2));
        require(setup.v3.length <= MAX_V3, TooMany("v3", setup.v3.length, MAX_V3));
        require(setup.assets.length <= MAX_ASSETS, TooMany("assets", setup.assets.length, MAX_ASSETS));
        owner = setup.owner;
        operator = setup.operator;
        treasury = setup.treasury;

        address[LENDERS] memory there = setup.lenders;
        uint256 state = (1 << UNISWAP_V3 | 1 << UNISWAP_V2 | 1 << FLASH_SWAP) << LENDERS_AT;
        for (uint8 i; i < LENDERS; ++i) {
            if (there[i] == address(0)) continue;
            require(i != OWN && i != UNISWAP_V3 && i != UNISWAP_V2 && i != FLASH_SWAP, LenderUnavailable(i));
            require(there[i].code.length != 0, NoCode(there[i]));
            state |= 1 << i << LENDERS_AT;
        }
        _aaveV2 = there[AAVE_V2];
        _aaveV3 = there[AAVE_V3];
        _balancerV2 = there[BALANCER_V2];
        _erc3156 = there[ERC3156];
        _morpho = there[MORPHO];
        _aaveV3Second = there[AAVE_V3_SECOND];
        _aaveV3Third = there[AAVE_V3_THIRD];

        ExchangeV2[] memory v2 = new ExchangeV2[](MAX_V2);
        for (uint256 i; i < setup.v2.length; ++i) {
            v2[i] = setup.v2[i];
            require(v2[i].factory.code.length != 0, NoCode(v2[i].factory));
            require(v2[i].feePpm < PPM, InvalidFee(v2[i].factory, v2[i].feePpm));
        }
        _factory0 = Pools.creator(v2[0].factory) | v2[0].feePpm;
        _factory1 = Pools.creator(v2[1].factory) | v2[1].feePpm;
        _factory2 = Pools.creator(v2[2].factory) | v2[2].feePpm;
        _factory3 = Pools.creator(v2[3].factory) | v2[3].feePpm;
        _pairHash0 = v2[0].initCodeHash;
        _pairHash1 = v2[1].initCodeHash;
        _pairHash2 = v2[2].initCodeHash;
        _pairHash3 = v2[3].initCodeHash;

        ExchangeV3[] memory v3 = new ExchangeV3[](MAX_V3);
        for (uint256 i; i < setup.v3.length; ++i) {
            v3[i] = setup.v3[i];
            require(v3[i].deployer.code.length != 0, NoCode(v3[i].deployer));
        }
        _deployer0 = v3[0].deployer;
        _deployer1 = v3[1].deployer;
        _deployer2 = v3[2].deployer;
        _poolHash0 = v3[0].initCodeHash;
        _poolHash1 = v3[1].initCodeHash;
        _poolHash2 = v3[2].initCodeHash;

        Asset[] memory assets = new Asset[](MAX_ASSETS);
        for (uint256 i; i < setup.assets.length; ++i) {
            assets[i] = setup.assets[i];
            address token = assets[i].token;
            require(token.code.length != 0, NoCode(token));
            for (uint256 j; j < i; ++j) {
                require(_tag(assets[j].token) != _tag(token), TagTaken(_tag(token)));
            }
            (uint256 code, uint256 floor) = _pack(token, assets[i].floor);
            state |= code << (FLOORS_AT + i * FLOOR_BITS);
            emit FloorSet(token, floor);
        }
        _asset0 = assets[0].token;
        _asset1 = assets[1].token;
        _asset2 = assets[2].token;
        _asset3 = assets[3].token;
        _asset4 = assets[4].token;
        _asset5 = assets[5].token;
        _state = state;
    }

    /// @inheritdoc IExecutor
    function executePacked() external returns (uint256 profit) {
        if (msg.sender != operator) revert NotOperator(msg.sender);
        uint256 state = _state;
        if (state & PAUSED != 0) revert ExecutionPaused(msg.sender);
        if (_tload(RUN_OPEN) != 0) revert RunOpen(msg.sender);
        _tstore(RUN_OPEN, 1);

        bytes calldata plan = msg.data[4:];
        uint256 head = _word(plan, 0);
        uint64 ticket = uint64(head >> 192);
        uint256 lastBlock = uint40(head >> 152);
        uint8 lender = uint8(head >> 144);
        uint256 amountIn = uint112(head);
        if (block.number > lastBlock) revert DeadlinePassed(lastBlock, block.number);
        if (amountIn == 0) revert AmountZero(ticket);
        if (lender >= LENDERS) revert LenderUnavailable(lender);
        if (state & (1 << LENDERS_AT) << lender == 0) revert LenderOff(lender);
        (address token, uint256 floorAt) = _asset(uint32(head >> 112));
        uint256 floor = _unpack(state >> floorAt);
        if (floor == 0) revert AssetOff(token);
        if (_minProfit(plan) < floor) revert BelowFloor(token, _minProfit(plan), floor);
        _use(state, ticket);

        uint256 before = token.held();
        if (lender == OWN) {
            if (before < amountIn) revert InsufficientOwnCapital(token, before, amountIn);
            profit = _finish(plan, token, _trade(plan, SOURCE_AT, token, amountIn, address(0)), amountIn, 0);
        } else if (lender == FLASH_SWAP) {
            profit = _finish(plan, token, _flashSwap(plan, token, amountIn), amountIn, 0);
        } else {
            _borrow(plan, lender, token, amountIn);
            profit = _tload(PROFIT);
        }
        uint256 current = token.held();
        if (current < before) revert BalanceFell(token, before, current);
        _tstore(RUN_OPEN, 0);
    }

    /// @inheritdoc IExecutor
    function pause() external {
        require(msg.sender == owner || msg.sender == operator, NotOwnerOrOperator(msg.sender));
        _state |= PAUSED;
        emit PausedSet(true, msg.sender);
    }

    /// @inheritdoc IExecutor
    function unpause() external onlyOwner {
        _state &= ~PAUSED;
        emit PausedSet(false, msg.sender);
    }

    /// @inheritdoc IExecutor
    function setLender(uint8 lender, bool allowed) external onlyOwner {
        bool pools = lender == OWN || lender == UNISWAP_V3 || lender == UNISWAP_V2 || lender == FLASH_SWAP;
        require(pools || lenders(lender) != address(0), LenderUnavailable(lender));
        uint256 bit = 1 << LENDERS_AT << lender;
        _state = allowed ? _state | bit : _state & ~bit;
        emit LenderSet(lender, allowed);
    }

    /// @inheritdoc IExecutor
    function setFloor(address token, uint256 floor) external onlyOwner {
        (address known, uint256 place) = _asset(_tag(token));
        require(known == token && token != address(0), AssetUnknown(_tag(token)));
        uint256 code;
        (code, floor) = _pack(token, floor);
        _state = _state & ~(uint256(type(uint16).max) << place) | code << place;
        emit FloorSet(token, floor);
    }

    /// @inheritdoc IExecutor
    function sweep(address token, address to, uint256 amount) external onlyOwner {
        if (_tload(RUN_OPEN) != 0) revert RunOpen(msg.sender);
        token.send(to, amount);
        emit Swept(token, to, amount);
    }

    /// @inheritdoc IExecutor
    function lenders(uint8 lender) public view returns (address) {
        if (lender == AAVE_V2) return _aaveV2;
        if (lender == AAVE_V3) return _aaveV3;
        if (lender == BALANCER_V2) return _balancerV2;
        if (lender == ERC3156) return _erc3156;
        if (lender == MORPHO) return _morpho;
        if (lender == AAVE_V3_SECOND) return _aaveV3Second;
        if (lender == AAVE_V3_THIRD) return _aaveV3Third;
        return address(0);
    }

    /// @inheritdoc IExecutor
    function lenderAllowed(uint8 lender) external view returns (bool) {
        return lender < LENDERS && _state >> LENDERS_AT >> lender & 1 != 0;
    }

    /// @inheritdoc IExecutor
    function exchangeV2(uint256 index) external view returns (ExchangeV2 memory) {
        uint256[MAX_V2] memory factories = [_factory0, _factory1, _factory2, _factory3];
        bytes32[MAX_V2] memory hashes = [_pairHash0, _pairHash1, _pairHash2, _pairHash3];
        return ExchangeV2(address(uint160(factories[index] >> 88)), hashes[index], uint24(factories[index]));
    }

    /// @inheritdoc IExecutor
    function exchangeV3(uint256 index) external view returns (ExchangeV3 memory) {
        address[MAX_V3] memory deployers = [_deployer0, _deployer1, _deployer2];
        bytes32[MAX_V3] memory hashes = [_poolHash0, _poolHash1, _poolHash2];
        return ExchangeV3(deployers[index], hashes[index]);
    }

    /// @inheritdoc IExecutor
    function asset(uint256 index) external view returns (Asset memory) {
        address[MAX_ASSETS] memory assets = [_asset0, _asset1, _asset2, _asset3, _asset4, _asset5];
        return Asset(assets[index], _unpack(_state >> (FLOORS_AT + index * FLOOR_BITS)));
    }

    /// @inheritdoc IExecutor
    function used(uint64 ticket) external view returns (bool) {
        uint256 state = _state;
        uint256 word = ticket >> 6;
        uint256 bits = word == state >> WORD_AT & TICKETS ? state : _used[word];
        return bits >> (ticket & 63) & 1 != 0;
    }

    /// @inheritdoc IExecutor
    function paused() external view returns (bool) {
        return _state & PAUSED != 0;
    }

    /// @inheritdoc IAaveV2Receiver
    function executeOperation(
        address[] calldata assets,
        uint256[] calldata amounts,
        uint256[] calldata premiums,
        address initiator,
        bytes calldata params
    ) external returns (bool) {
        _take(AAVE_V2, params);
        _requireOwn(initiator);
        _requireOne(assets.length, amounts.length, premiums.length);
        _onLoan(params, assets[0], amounts[0], premiums[0]);
        assets[0].approve(msg.sender, amounts[0] + premiums[0]);
        return true;
    }

    /// @inheritdoc IAaveV3SimpleReceiver
    function executeOperation(
        address token,
        uint256 amount,
        uint256 premium,
        address initiator,
        bytes calldata params
    ) external returns (bool) {
        _take(AAVE_V3, params);
        _requireOwn(initiator);
        _onLoan(params, token, amount, premium);
        token.approve(msg.sender, amount + premium);
        return true;
    }

    /// @inheritdoc IBalancerV2Recipient
    function receiveFlashLoan(
        address[] calldata tokens,
        uint256[] calldata amounts,
        uint256[] calldata feeAmounts,
        bytes calldata userData
    ) external {
        _take(BALANCER_V2, userData);
        _requireOne(tokens.length, amounts.length, feeAmounts.length);
        _onLoan(userData, tokens[0], amounts[0], feeAmounts[0]);
        tokens[0].send(msg.sender, amounts[0] + feeAmounts[0]);
    }

    /// @inheritdoc IERC3156FlashBorrower
    function onFlashLoan(address initiator, address token, uint256 amount, uint256 fee, bytes calldata data)
        external
        returns (bytes32)
    {
        _take(ERC3156, data);
        _requireOwn(initiator);
        _onLoan(data, token, amount, fee);
        token.approve(msg.sender, amount + fee);
        return ERC3156_SUCCESS;
    }

    /// @inheritdoc IMorphoFlashLoanCallback
    function onMorphoFlashLoan(uint256 assets, bytes calldata data) external {
        _take(MORPHO, data);
        address token = _assetOf(data);
        _onLoan(data, token, assets, 0);
        token.approve(msg.sender, assets);
    }

    /// @inheritdoc IUniswapV3FlashCallback
    function uniswapV3FlashCallback(uint256 fee0, uint256 fee1, bytes calldata data) external {
        _take(UNISWAP_V3, data);
        address token = _assetOf(data);
        uint256 amount = uint112(_word(data, 0));
        // Only the one token was lent, so the other's fee is 0.
        uint256 fee = fee0 + fee1;
        _onLoan(data, token, amount, fee);
        token.send(msg.sender, amount + fee);
    }

    /// @inheritdoc IUniswapV2Callee
    function uniswapV2Call(address sender, uint256 amount0, uint256 amount1, bytes calldata data) external {
        _requireOwn(sender);
        uint256 amount = amount0 + amount1;
        if (_tload(AWAITED) == _context(FLASH_SWAP, msg.sender, data)) {
            _tstore(AWAITED, 0);
            _onFlashSwap(amount, data);
            return;
        }
        _take(UNISWAP_V2, data);
        address token = _assetOf(data);
        // The pair takes its fee from what it is paid: amount + fee, less the fee rate, must be amount or more.
        uint256 kept = PPM - _tload(LOAN_FEE_PPM);
        uint256 due = (uint112(_word(data, 0)) * PPM + kept - 1) / kept;
        _onLoan(data, token, amount, due - uint112(_word(data, 0)));
        token.send(msg.sender, due);
    }

    /// @inheritdoc IUniswapV3SwapCallback
    function uniswapV3SwapCallback(int256 amount0Delta, int256 amount1Delta, bytes calldata) external {
        if (msg.sender != address(uint160(_tload(SWAP_POOL)))) revert UnexpectedSwapCallback(msg.sender);
        _tstore(SWAP_POOL, 0);
        int256 delta = amount0Delta > 0 ? amount0Delta : amount1Delta;
        uint256 owed = delta > 0 ? uint256(delta) : 0;
        uint256 expected = _tload(SWAP_AMOUNT);
        if (owed != expected) revert WrongSwapInput(msg.sender, owed, expected);
        address(uint160(_tload(SWAP_TOKEN))).send(msg.sender, owed);
    }

    /// Marks the ticket before anything else is called, so that it stays used whatever the run calls.
    function _use(uint256 state, uint64 ticket) private {
        uint256 word = ticket >> 6;
        uint256 bit = 1 << (ticket & 63);
        uint256 current = state >> WORD_AT & TICKETS;
        if (word != current) {
            _used[current] = state & TICKETS;
            state = state & ~uint256(type(uint128).max) | word << WORD_AT | _used[word];
        }
        if (state & bit != 0) revert TicketUsed(ticket);
        _state = state | bit;
    }

    /// Exponent and mantissa, rounded up.
    function _pack(address token, uint256 floor) private pure returns (uint256 code, uint256 kept) {
        if (floor > type(uint112).max) revert BelowFloor(token, type(uint112).max, floor);
        uint256 exponent;
        for (kept = floor; kept > type(uint8).max; ++exponent) {
            kept = (kept + 1) >> 1;
        }
        code = exponent << 8 | kept;
        kept <<= exponent;
    }

    function _unpack(uint256 code) private pure returns (uint256) {
        return uint256(uint8(code)) << uint8(code >> 8);
    }

    function _tag(address account) private pure returns (uint32) {
        return uint32(uint160(account));
    }

    /// The asset whose address ends in `tag`, and where its floor is in the state.
    function _asset(uint32 tag) private view returns (address token, uint256 floorAt) {
        if (_tag(_asset0) == tag) return (_asset0, FLOORS_AT);
        if (_tag(_asset1) == tag) return (_asset1, FLOORS_AT + 1 * FLOOR_BITS);
        if (_tag(_asset2) == tag) return (_asset2, FLOORS_AT + 2 * FLOOR_BITS);
        if (_tag(_asset3) == tag) return (_asset3, FLOORS_AT + 3 * FLOOR_BITS);
        if (_tag(_asset4) == tag) return (_asset4, FLOORS_AT + 4 * FLOOR_BITS);
        if (_tag(_asset5) == tag) return (_asset5, FLOORS_AT + 5 * FLOOR_BITS);
        revert AssetUnknown(tag);
    }

    function _assetOf(bytes calldata plan) private view returns (address token) {
        (token,) = _asset(uint32(_word(plan, 0) >> 112));
    }

    function _minProfit(bytes calldata plan) private pure returns (uint256) {
        return _word(plan, MIN_PROFIT_AT) >> 144;
    }

    /// 32 bytes of the plan; past its end they are anything, so the end is checked where hops are read.
    function _word(bytes calldata plan, uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(add(plan.offset, offset))
        }
    }

    /// Swaps around the cycle; the first pool takes `amountIn` from the executor.
    /// @return amount What the last pool gave, to the executor.
    function _trade(bytes calldata plan, uint256 start, address base, uint256 amountIn, address lender)
        private
        returns (uint256 amount)
    {
        (uint256 cursor, uint256 end) = _hops(plan, start, base, lender);
        amount = amountIn;
        address token = base;
        // What the executor held of the token on its way to a V3 pool before that came: not the pool's to take.
        uint256 idle;
        uint256 hop = _load(cursor);
        uint256 takes = _load(cursor + 32);
        if (hop & V3 == 0) token.send(address(uint160(hop)), amount);
        while (cursor != end) {
            unchecked {
                cursor += 64;
            }
            uint256 following = _load(cursor);
            uint256 gives;
            unchecked {
                gives = _load(cursor + 32);
            }
            address to = address(this);
            uint256 nextIdle;
            if (following & V3 == 0) to = address(uint160(following));
            else nextIdle = address(uint160(gives)).held();
            if (hop & V3 == 0) {
                amount = hop & GIVEN != 0
                    ? takes >> 160
                    : Pools.quoteV2(
                        address(uint160(hop)), hop & ZERO_FOR_ONE != 0, uint24(hop >> HOP_FEE_AT), amount
                    );
                if (amount == 0) revert NoOutput(address(uint160(hop)));
                Pools.swapV2(address(uint160(hop)), hop & ZERO_FOR_ONE != 0, amount, to);
            } else {
                amount = _swapV3(hop, token, amount, to);
                if (idle != 0) _requireKept(token, idle);
            }
            (hop, takes, token, idle) = (following, gives, address(uint160(gives)), nextIdle);
        }
    }

    function _requireKept(address token, uint256 before) private view {
        uint256 current = token.held();
        if (current < before) revert BalanceFell(token, before, current);
    }

    /// Reads the hops that begin at `start` of the plan, and proves their pools, none of which may be `lender`.
    /// @return from Where in memory they are: two words each, the hop and the token it takes.
    /// @return to Where they end. Two more words are there, as if the executor followed as a pair that takes `base`.
    function _hops(bytes calldata plan, uint256 start, address base, address lender)
        private
        view
        returns (uint256 from, uint256 to)
    {
        from = _free();
        to = from;
        address takes = base;
        unchecked {
            while (start != plan.length) {
                uint256 head = _word(plan, start);
                uint256 kind = head >> 248;
                uint256 hop;
                uint256 given;
                uint32 tag;
                if (kind == 0) {
                    tag = uint32(head >> 216);
                    start += HOP_BYTES;
                } else if (kind == 1) {
                    hop = V3;
                    tag = uint32(head >> 192);
                    start += HOP_BYTES + FEE_BYTES;
                } else {
                    if (kind != 2) revert UnknownKind(uint8(kind));
                    hop = GIVEN;
                    given = uint256(uint96(head >> 152)) << 160;
                    tag = uint32(head >> 120);
                    start += HOP_BYTES + OUT_BYTES;
                }
                address gives = base;
                if (start != plan.length) {
                    gives = address(uint160(_word(plan, start) >> 96));
                    start += TOKEN_BYTES;
                    if (start >= plan.length) revert MalformedPlan(plan.length);
                }
                uint256 pool = kind == 1 ? _poolV3(takes, gives, uint24(head >> 224), tag) : _pairV2(takes, gives, tag);
                if (pool == 0) revert PoolUnproven(tag);
                if (address(uint160(pool)) == lender) revert LenderInPath(lender);
                if (takes < gives) hop |= ZERO_FOR_ONE;
                to = _append(to, pool | hop, given | uint160(takes));
                takes = gives;
            }
        }
        _append(to, uint160(address(this)), uint160(base));
    }

    function _free() private pure returns (uint256 place) {
        assembly ("memory-safe") {
            place := mload(0x40)
        }
    }

    function _append(uint256 place, uint256 hop, uint256 takes) private pure returns (uint256 next) {
        assembly ("memory-safe") {
            next := add(place, 64)
            mstore(0x40, next)
            mstore(place, hop)
            mstore(add(place, 32), takes)
        }
    }

    function _store(uint256 place, uint256 word) private pure {
        assembly ("memory-safe") {
            mstore(place, word)
        }
    }

    function _load(uint256 place) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(place)
        }
    }

    /// The pair of the first exchange on which its address ends in `tag`, with its fee; 0 if there is none.
    function _pairV2(address one, address other, uint32 tag) private view returns (uint256 hop) {
        bytes32 salt = Pools.saltV2(one, other);
        uint256 factory = _factory0;
        uint256 pair = Pools.locate(factory, salt, _pairHash0);
        if (uint32(pair) != tag) {
            factory = _factory1;
            pair = Pools.locate(factory, salt, _pairHash1);
            if (uint32(pair) != tag) {
                factory = _factory2;
                pair = Pools.locate(factory, salt, _pairHash2);
                if (uint32(pair) != tag) {
                    factory = _factory3;
                    pair = Pools.locate(factory, salt, _pairHash3);
                    if (uint32(pair) != tag) return 0;
                }
            }
        }
        return pair | factory << HOP_FEE_AT;
    }

    /// The pool of the first exchange on which its address ends in `tag`; 0 if there is none.
    function _poolV3(address one, address other, uint256 feePpm, uint32 tag) private view returns (uint256 pool) {
        bytes32 salt = Pools.saltV3(one, other, feePpm);
        pool = Pools.locate(Pools.creator(_deployer0), salt, _poolHash0);
        if (uint32(pool) == tag) return pool;
        pool = Pools.locate(Pools.creator(_deployer1), salt, _poolHash1);
        if (uint32(pool) == tag) return pool;
        pool = Pools.locate(Pools.creator(_deployer2), salt, _poolHash2);
        if (uint32(pool) == tag) return pool;
        return 0;
    }

    /// Sells all of `amount`. The pool's callback pays, once, and nothing but that.
    function _swapV3(uint256 hop, address token, uint256 amount, address to)
        private
        returns (uint256 out)
    {
        address pool = address(uint160(hop));
        _tstore(SWAP_POOL, uint160(pool));
        _tstore(SWAP_TOKEN, uint160(token));
        _tstore(SWAP_AMOUNT, amount);
        out = Pools.swapV3(pool, hop & ZERO_FOR_ONE != 0, amount, to);
        if (_tload(SWAP_POOL) != 0) revert NoSwapCallback(pool);
        if (out == 0) revert NoOutput(pool);
        if (out > type(uint112).max) revert AmountTooLarge(pool, out);
    }

    /// Takes the loan from a lender of its own, and proves that it called back and can take no more.
    function _borrow(bytes calldata plan, uint8 lender, address token, uint256 amount) private {
        address from = lenders(lender);
        if (lender == UNISWAP_V3 || lender == UNISWAP_V2) return _borrowFromPool(plan, lender, token, amount);
        uint8 kind = lender == AAVE_V3_SECOND || lender == AAVE_V3_THIRD ? AAVE_V3 : lender;
        _tstore(AWAITED, _context(kind, from, plan));
        if (kind == AAVE_V3) {
            IAaveV3Pool(from).flashLoanSimple(address(this), token, amount, plan, 0);
        } else if (kind == BALANCER_V2) {
            IBalancerV2Vault(from).flashLoan(address(this), _one(token), _one(amount), plan);
        } else if (kind == AAVE_V2) {
            IAaveV2Pool(from).flashLoan(
                address(this), _one(token), _one(amount), _one(0), address(this), plan, 0
            );
        } else if (kind == ERC3156) {
            require(
                IERC3156FlashLender(from).flashLoan(address(this), token, amount, plan), LenderReturnedFalse(from)
            );
        } else {
            IMorpho(from).flashLoan(token, amount, plan);
        }
        if (_tload(AWAITED) != 0) revert NoCallback(from);
        if (kind != BALANCER_V2) _revoke(token, from);
    }

    /// Takes the loan from the pool that the plan names, once that is proven to be a pool of `token`.
    function _borrowFromPool(bytes calldata plan, uint8 lender, address token, uint256 amount) private {
        address pool = address(uint160(_word(plan, SOURCE_AT) >> 96));
        if (pool.code.length == 0) revert NoCode(pool);
        address token0 = ITokenPair(pool).token0();
        address token1 = ITokenPair(pool).token1();
        uint256 proven = lender == UNISWAP_V3
            ? _poolV3(token0, token1, IUniswapV3Pool(pool).fee(), _tag(pool))
            : _pairV2(token0, token1, _tag(pool));
        require(address(uint160(proven)) == pool && (token0 == token || token1 == token), LenderUnproven(pool, token));
        (uint256 amount0, uint256 amount1) = token0 == token ? (amount, uint256(0)) : (uint256(0), amount);

        _tstore(AWAITED, _context(lender, pool, plan));
        if (lender == UNISWAP_V3) {
            IUniswapV3Pool(pool).flash(address(this), amount0, amount1, plan);
        } else {
            _tstore(LOAN_FEE_PPM, proven >> HOP_FEE_AT);
            IUniswapV2Pair(pool).swap(amount0, amount1, address(this), plan);
        }
        if (_tload(AWAITED) != 0) revert NoCallback(pool);
    }

    /// Has the last pair pay first: its callback pays for the first hop, and the hops before it pay for the last.
    /// @return out What the last pair gave.
    function _flashSwap(bytes calldata plan, address base, uint256 amountIn) private returns (uint256 out) {
        // The call of the last pair is laid out here; its data ends with the hops where they are read to.
        uint256 call_ = _free();
        assembly ("memory-safe") {
            mstore(0x40, add(call_, 228))
        }
        (uint256 cursor, uint256 end) = _hops(plan, SOURCE_AT, base, address(0));
        out = amountIn;
        uint256 hop;
        while (cursor != end) {
            hop = _load(cursor);
            uint256 takes = _load(cursor + 32);
            if (hop & V3 != 0) revert FlashSwapNeedsV2(address(uint160(hop)));
            if (hop & GIVEN != 0) out = takes >> 160;
            else out = Pools.quoteV2(address(uint160(hop)), hop & ZERO_FOR_ONE != 0, uint24(hop >> HOP_FEE_AT), out);
            if (out == 0) revert NoOutput(address(uint160(hop)));
            _store(cursor + 32, out);
            unchecked {
                cursor += 64;
            }
        }
        _profit(plan, out, amountIn, 0);
        address pair = address(uint160(hop));
        bytes32 awaited;
        bytes4 selector = IUniswapV2Pair.swap.selector;
        uint256 who = uint256(FLASH_SWAP) << 160 | uint160(pair);
        bool first = hop & ZERO_FOR_ONE == 0;
        assembly ("memory-safe") {
            let size := sub(end, add(call_, 164))
            mstore(add(call_, 196), amountIn)
            mstore(add(call_, 164), base)
            mstore(add(call_, 132), who)
            awaited := keccak256(add(call_, 132), add(size, 32))
            mstore(add(call_, 132), size)
            mstore(add(call_, 100), 128)
            mstore(add(call_, 68), address())
            mstore(add(call_, 36), mul(out, iszero(first)))
            // The selector's word reaches into the first argument, which is written after it.
            mstore(call_, selector)
            mstore(add(call_, 4), mul(out, first))
        }
        _tstore(AWAITED, uint256(awaited));
        Pools.callOrRevert(pair, call_, end);
        if (_tload(AWAITED) != 0) revert NoCallback(pair);
    }

    /// The last pair has paid; pays the first, and lets each pay the next. `steps` are our own, proven by their hash:
    /// the asset, the amount in, then each hop and what it gives.
    function _onFlashSwap(uint256 amount, bytes calldata steps) private {
        address token = address(uint160(_word(steps, 0)));
        uint256 end = steps.length - 64;
        uint256 given = _word(steps, end + 32);
        if (amount != given) revert WrongLoan(token, amount, token, given);
        uint256 hop = _word(steps, 64);
        token.send(address(uint160(hop)), _word(steps, 32));
        for (uint256 offset = 64; offset != end;) {
            uint256 out = _word(steps, offset + 32);
            offset += 64;
            uint256 following = _word(steps, offset);
            Pools.swapV2(address(uint160(hop)), hop & ZERO_FOR_ONE != 0, out, address(uint160(following)));
            hop = following;
        }
    }

    /// Lets in the awaited lender with the data it was given, once: from here on no loan is awaited, whatever the hops
    /// call. The callback's kind is part of what is awaited, so that a lender cannot choose how it is repaid.
    function _take(uint8 kind, bytes calldata data) private {
        uint256 brought = _context(kind, msg.sender, data);
        uint256 awaited = _tload(AWAITED);
        if (awaited != brought) revert UnexpectedCallback(msg.sender, kind, bytes32(awaited), bytes32(brought));
        _tstore(AWAITED, 0);
    }

    /// Who is to call back, in which way and with what data. The data has the asset and the amount in it.
    function _context(uint8 kind, address lender, bytes calldata data) private pure returns (uint256 context) {
        assembly ("memory-safe") {
            let start := mload(0x40)
            mstore(start, or(shl(160, kind), lender))
            calldatacopy(add(start, 32), data.offset, data.length)
            context := keccak256(start, add(data.length, 32))
        }
    }

    function _requireOwn(address initiator) private view {
        if (initiator != address(this)) revert WrongInitiator(initiator);
    }

    function _requireOne(uint256 assets, uint256 amounts, uint256 fees) private pure {
        require(assets == 1 && amounts == 1 && fees == 1, WrongLengths(assets, amounts, fees));
    }

    /// The loan is here, from a lender that was let in: trades with it and pays the treasury.
    function _onLoan(bytes calldata plan, address token, uint256 amount, uint256 fee) private {
        address asked = _assetOf(plan);
        uint256 head = _word(plan, 0);
        uint256 amountIn = uint112(head);
        require(token == asked && amount == amountIn, WrongLoan(token, amount, asked, amountIn));
        uint256 lender = uint8(head >> 144);
        uint256 start = lender == UNISWAP_V3 || lender == UNISWAP_V2 ? SOURCE_AT + TOKEN_BYTES : SOURCE_AT;
        _tstore(PROFIT, _finish(plan, token, _trade(plan, start, token, amount, msg.sender), amount, fee));
    }

    /// Pays the treasury what is left of `out`. That the executor had it to pay is proven at the run's end.
    function _finish(bytes calldata plan, address token, uint256 out, uint256 amountIn, uint256 fee)
        private
        returns (uint256 profit)
    {
        profit = _profit(plan, out, amountIn, fee);
        token.send(treasury, profit);
        emit Executed(uint64(_word(plan, 0) >> 192), fee, profit);
    }

    /// Refuses a run that falls short, before a loan is repaid: otherwise a token's own error would hide the reason.
    function _profit(bytes calldata plan, uint256 out, uint256 amountIn, uint256 fee)
        private
        pure
        returns (uint256 profit)
    {
        unchecked {
            uint256 gain = out > amountIn ? out - amountIn : 0;
            if (gain > fee) profit = gain - fee;
        }
        uint256 minProfit = _minProfit(plan);
        if (profit < minProfit) revert InsufficientProfit(profit, minProfit);
    }

    /// Lenders take the exact allowance, so this writes only for one that took less than it asked for.
    function _revoke(address token, address spender) private {
        if (token.allowed(spender) == 0) return;
        token.approve(spender, 0);
        uint256 remaining = token.allowed(spender);
        if (remaining != 0) revert AllowanceLeft(token, spender, remaining);
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
