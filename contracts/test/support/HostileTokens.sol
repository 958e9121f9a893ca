// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// An ERC-20 that can be told to misbehave in one way at a time.
contract HostileToken {
    enum Fault {
        None,
        ReturnsFalse,
        ReturnsTwo,
        Reverts,
        TakesFee,
        DebitsMore,
        KeepsAllowance,
        Calls,
        ShortBalance,
        ReturnsNothing,
        Blocks,
        Rebases,
        PaysLess
    }

    mapping(address account => uint256) private _balances;
    mapping(address holder => mapping(address spender => uint256)) public allowance;

    Fault public fault;
    address public victim;
    address private _target;
    bytes private _data;
    bool public called;
    bytes public callFailure;

    /// The fault shows only where `victim_` is the one who calls or pays.
    function set(Fault fault_, address victim_) external {
        fault = fault_;
        victim = victim_;
    }

    /// What to call when the victim moves tokens.
    function setCall(address target, bytes calldata data) external {
        _target = target;
        _data = data;
    }

    function mint(address to, uint256 amount) external {
        _balances[to] += amount;
    }

    function balanceOf(address account) external view returns (uint256) {
        if (fault == Fault.ShortBalance && account == victim) {
            assembly {
                mstore(0, 0)
                return(0, 31)
            }
        }
        return _balances[account];
    }

    function transfer(address to, uint256 amount) external returns (uint256) {
        return _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external returns (uint256) {
        if (!_shows(Fault.KeepsAllowance, from)) allowance[from][msg.sender] -= amount;
        return _move(from, to, amount);
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        if (!_shows(Fault.KeepsAllowance, msg.sender) || amount != 0) allowance[msg.sender][spender] = amount;
        return true;
    }

    function _move(address from, address to, uint256 amount) private returns (uint256) {
        if (_shows(Fault.ReturnsFalse, from)) return 0;
        require(!_shows(Fault.Blocks, to), "HostileToken: blocked");
        require(!_shows(Fault.Reverts, from), "HostileToken: no");
        _balances[from] -= _shows(Fault.DebitsMore, from) ? amount + 1 : amount;
        _balances[to] += _shows(Fault.TakesFee, from) ? amount * 9 / 10 : amount;
        if (_shows(Fault.Calls, from) && !called) {
            called = true;
            bool success;
            (success, callFailure) = _target.call(_data);
        }
        if (_shows(Fault.Rebases, from)) _balances[from] /= 2;
        if (_shows(Fault.PaysLess, to)) _balances[to] -= amount / 100;
        if (_shows(Fault.ReturnsNothing, from)) {
            assembly {
                return(0, 0)
            }
        }
        return _shows(Fault.ReturnsTwo, from) ? 2 : 1;
    }

    function _shows(Fault fault_, address account) private view returns (bool) {
        return fault == fault_ && account == victim;
    }
}
