"""Every exception ARBTUI raises on purpose.

    ArbtuiError                  one line: what, where, how to mend it; `exit_code` for the command line
    ├── UsageError               2  bad usage or configuration
    │   ├── ConfigError             a file, a key or a value of the configuration
    │   ├── SnapshotError           a market snapshot that may not be used as asked
    │   └── RefusedError            something that is never done: live on a public chain without a signer, …
    ├── UnavailableError         3  a node, a file or a database could not be reached
    │   ├── NodeUnreachable         nothing, or not in time, came back
    │   │   └── RateLimited            the node asks for a rest
    │   ├── MalformedAnswer         something came back that is not what the protocol allows
    │   │   └── UnknownBlock           the node has no such block (yet, or any more)
    │   ├── NodesDisagree           two nodes say different things of one block
    │   │   └── TooFewAgree            fewer nodes said anything of it than have to agree
    │   ├── WrongChain              the node is of another chain, or lacks a contract
    │   ├── StoreError              missing, locked, foreign or newer store
    │   ├── LockHeld                a second engine on the same store or wallet
    │   └── DevnetError             the local chain could not be started, deployed or found
    └── NodeError                1  the node answered with a JSON-RPC error: code, message, data

A "no" inside the core is a value (CheckResult, LoanQuote with a reason), never an exception.
"""

from __future__ import annotations

from typing import Any


class ArbtuiError(Exception):
    """Base of all. `str()` is one line that may be shown to the operator as it is."""

    exit_code = 1


class UsageError(ArbtuiError):
    exit_code = 2


class ConfigError(UsageError):
    """`problems` holds every violation found, one line each."""

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class SnapshotError(UsageError):
    pass


class RefusedError(UsageError):
    pass


class UnavailableError(ArbtuiError):
    exit_code = 3


class NodeUnreachable(UnavailableError):
    """Nothing came back. For a send this is *not* proof that the node did not take it: see `sent`."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        #: False only where the connection was refused before a byte of the request was written.
        self.sent = sent


class RateLimited(NodeUnreachable):
    """`retry_after` in seconds, where the node said so."""

    def __init__(self, message: str, retry_after: float | None = None, *, sent: bool = True) -> None:
        super().__init__(message, sent=sent)
        self.retry_after = retry_after


class MalformedAnswer(UnavailableError):
    """Something came back that is not JSON-RPC; `status` is HTTP's (0: none), `retry_after_s` what it asked for."""

    def __init__(self, message: str, *, status: int = 0, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class UnknownBlock(MalformedAnswer):
    pass


class NodesDisagree(UnavailableError):
    """Nothing of what was asked may be used: `agreed` nodes of the `least` that have to say the same do."""

    def __init__(self, message: str, *, agreed: int = 0, least: int = 2) -> None:
        super().__init__(message)
        self.agreed = agreed
        self.least = least


class TooFewAgree(NodesDisagree):
    """Nobody says otherwise, but too few say anything."""


class WrongChain(UnavailableError):
    pass


class StoreError(UnavailableError):
    pass


class LockHeld(UnavailableError):
    pass


class DevnetError(UnavailableError):
    pass


class NodeError(ArbtuiError):
    """A JSON-RPC error object. `data` is whatever the node put there (revert data as 0x text, mostly)."""

    def __init__(
        self,
        code: int,
        message: str,
        data: Any = None,
        *,
        method: str = "",
        status: int = 0,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"the node answered {method or 'a request'} with error {code}: {message}")
        self.status = status
        self.retry_after_s = retry_after_s
        self.code = code
        self.message = message
        self.data = data
        self.method = method
