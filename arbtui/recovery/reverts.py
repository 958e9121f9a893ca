"""Revert data as a sentence for an operator: by selector, and by the protocol whose words they are.

The table `data/reverts.json` was made of the protocols' own sources, which it names; it is read when it is first
needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

from arbtui.abi import decode, selector
from arbtui.errors import MalformedAnswer
from arbtui.text import safe_text

#: Name of an error -> the types of its arguments. The executor's own come from `execution.reverts.EXECUTOR_ERRORS`.
Errors = Mapping[str, tuple[str, ...]]


class RevertKind(StrEnum):
    ERROR_STRING = "error_string"
    PANIC = "panic"
    CUSTOM = "custom"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Revert:
    """What was decoded. `args` are safe texts; `protocol` is None where nobody's table has it.

    `protocols` names all that share the words, one of them if a hint decided. `arb_class` is what it means for an
    arbitrage: race, bug, funds, auth, token, paused, math, deadline, reentrancy, ambiguous or unknown.
    """

    kind: RevertKind
    name: str | None
    args: tuple[str, ...]
    protocol: str | None
    meaning: str
    arb_class: str
    advice: str
    protocols: tuple[str, ...] = ()
    malformed: bool = False

    @property
    def sentence(self) -> str:
        """One safe line: what was said, and what it means."""
        if self.kind is RevertKind.EMPTY:
            return f"reverted without a reason: {self.meaning}"
        if self.kind is RevertKind.ERROR_STRING and self.name == "Error" and not self.malformed:
            said = f"reverted: {self.args[0]}"
        elif self.kind is RevertKind.PANIC:
            said = f"panic {' '.join(self.args)}"
        elif self.name is not None and self.name.startswith("0x"):
            said = f"reverted with unknown error {' '.join((self.name, *self.args))}"
        elif self.malformed:
            said = f"reverted with malformed data {' '.join(self.args) or self.name}"
        else:
            said = f"{self.name}({', '.join(self.args)})"
        return f"{said}: {self.meaning}"

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": str(self.kind),
            "name": self.name,
            "args": list(self.args),
            "protocol": self.protocol,
            "meaning": self.meaning,
            "arb_class": self.arb_class,
            "advice": self.advice,
            "malformed": self.malformed,
        }


ADVICE: dict[str, str] = {
    "race": "The market moved, or somebody was faster. Let it go; it costs nothing but gas.",
    "bug": "Not the market's doing. Set the route aside and look at calldata and configuration.",
    "funds": "A balance or an allowance does not suffice. Stop, and look at executor and wallet.",
    "auth": "The caller has no right to this. Stop, and look at owners, operators and addresses.",
    "token": "The token behaves in its own way. Take it out of `tokens`.",
    "paused": "The protocol or the reserve is paused or does not offer this. Leave it out until it is back.",
    "math": "Amounts outside what the contract computes. Set the route aside.",
    "deadline": "It came too late. Let it go.",
    "reentrancy": "The route enters a contract that is still running. Such a route can never work.",
    "ambiguous": "Compare gas used with the gas limit (98 % or more: out of gas), then look for code at the address.",
    "unknown": "Not in the table. Set the route aside and look at the transaction.",
}

PANICS: dict[int, tuple[str, str]] = {
    0x00: ("a panic of the compiler's own", "bug"),
    0x01: ("an assertion was false", "bug"),
    0x11: (
        "arithmetic underflow or overflow; in a swap mostly a balance below the amount: quote again once",
        "bug",
    ),
    0x12: ("division or modulo by zero", "bug"),
    0x21: ("a number that is no member of its enum", "bug"),
    0x22: ("a storage byte array that is wrongly encoded", "bug"),
    0x31: ("pop() on an empty array", "bug"),
    0x32: ("an array index out of bounds", "bug"),
    0x41: ("too much memory, or an array too large", "bug"),
    0x51: ("a call of a function pointer that was never set", "bug"),
}

#: What each of the executor's errors means; a test holds this list against the contract's.
EXECUTOR_MEANINGS: dict[str, tuple[str, str]] = {
    "InvalidAddress": ("an address in its constructor cannot serve", "bug"),
    "TooMany": ("its constructor was given too many of something", "bug"),
    "InvalidFee": ("its constructor was given a fee of 100 % or more", "bug"),
    "TagTaken": ("two of its assets end in the same four bytes", "bug"),
    "NotOwner": ("the sender is not the executor's owner", "auth"),
    "NotOperator": ("the sender is not the executor's operator", "auth"),
    "NotOwnerOrOperator": ("the sender is neither owner nor operator of the executor", "auth"),
    "ExecutionPaused": ("the executor is paused by its owner", "paused"),
    "RunOpen": ("a run is open already: a contract called back into the executor", "reentrancy"),
    "MalformedPlan": ("the plan is no whole number of hops", "bug"),
    "TicketUsed": ("this ticket was executed before", "bug"),
    "DeadlinePassed": ("the last block of the ticket had passed: nothing was traded", "deadline"),
    "AmountZero": ("the plan trades nothing", "bug"),
    "AssetUnknown": ("the executor was deployed without this asset", "bug"),
    "AssetOff": (
        "the owner set no profit floor for this asset, and without one nothing begins with it",
        "auth",
    ),
    "BelowFloor": ("the approved floor is below the one the owner set on the executor", "auth"),
    "AmountTooLarge": ("a pool would give more than V2 arithmetic holds", "math"),
    "UnknownKind": ("the executor knows no such kind of hop", "bug"),
    "PoolUnproven": ("a pool of the path is not of the exchanges the executor was deployed with", "bug"),
    "FlashSwapNeedsV2": ("a flash swap was planned over a pool that is not of the V2 family", "bug"),
    "NoCode": ("there is no contract at an address of the plan", "bug"),
    "LenderUnavailable": ("the lender has no address on this executor", "paused"),
    "LenderOff": ("the owner does not allow this lender on the executor", "auth"),
    "LenderUnproven": (
        "the pool that was to lend is not of the exchanges the executor was deployed with",
        "bug",
    ),
    "LenderInPath": ("the path trades on the pool that lends", "bug"),
    "InsufficientOwnCapital": ("the executor holds less of the token than was to be lent", "funds"),
    "UnexpectedCallback": ("somebody called back who was not awaited", "bug"),
    "WrongInitiator": ("the loan was asked for by somebody else", "bug"),
    "WrongLengths": ("the lender called back for more than one asset", "bug"),
    "WrongLoan": ("the lender lent something else than was asked", "bug"),
    "NoCallback": ("the lender never called back", "bug"),
    "LenderReturnedFalse": ("the lender said that the loan failed", "paused"),
    "UnexpectedSwapCallback": ("a pool called back that was not awaited, or twice", "bug"),
    "WrongSwapInput": ("a pool asked for another amount than it was quoted for", "race"),
    "NoSwapCallback": ("a pool never called for its payment", "bug"),
    "NoOutput": ("a pool gives nothing for what is put in", "race"),
    "TokenCallFailed": ("a token refused a transfer or an approval; its own words follow", "token"),
    "AllowanceLeft": ("an approval was left over, which must be nothing", "token"),
    "InsufficientProfit": (
        "the run earned less than the floor that was approved: nothing was traded",
        "race",
    ),
    "BalanceFell": ("the executor would end with less of a token than it began with", "token"),
}

_ERROR, _PANIC = selector("Error(string)"), selector("Panic(uint256)")
_MAX_ARGS = 12


@dataclass(frozen=True, slots=True)
class _Entry:
    protocol: str
    family: str
    name: str
    meaning: str
    arb_class: str


@dataclass(frozen=True, slots=True)
class _Tables:
    strings: Mapping[str, tuple[_Entry, ...]]
    customs: Mapping[bytes, tuple[_Entry, ...]]
    folded: Mapping[str, str]


@cache
def tables() -> _Tables:
    """The packaged table, read once."""
    raw = json.loads((files("arbtui.recovery") / "data" / "reverts.json").read_text("utf-8"))
    protocols = raw["protocols"]

    def entries(rows: list[list[Any]]) -> tuple[_Entry, ...]:
        return tuple(
            _Entry(protocols[p][0], protocols[p][1], name, text, kind) for p, name, text, kind in rows
        )

    strings = {reason: entries(rows) for reason, rows in raw["strings"].items()}
    customs = {bytes.fromhex(key[2:]): entries(rows) for key, rows in raw["customs"].items()}
    return _Tables(strings, customs, {reason.lower(): reason for reason in strings})


def decode_revert(data: bytes, *, protocol: str | None = None, own: Errors | None = None) -> Revert:
    """Total: any bytes in. `protocol` (e.g. "aave_v3", "Balancer V2") decides between protocols that share words.

    `own` are the errors of our own contract; they are looked for first.
    """
    if not data:
        return Revert(
            RevertKind.EMPTY,
            None,
            (),
            None,
            "no reason was given: a require without a message, a call of something without code, an old token, "
            "or gas that ran out in an inner call",
            "ambiguous",
            ADVICE["ambiguous"],
        )
    head, body = data[:4], data[4:]
    if head == _ERROR:
        try:
            (reason,) = decode(["string"], body)
        except MalformedAnswer:
            return _broken(RevertKind.ERROR_STRING, "Error", data)
        return decode_reason(reason, protocol=protocol)
    if head == _PANIC:
        if len(body) < 32:
            return _broken(RevertKind.PANIC, "Panic", data)
        code = int.from_bytes(body[:32], "big")
        shown = f"0x{code:02x}" if code < 2**16 else "0x…"
        meaning, arb_class = PANICS.get(code, (f"a panic code that no compiler uses ({shown})", "bug"))
        return Revert(RevertKind.PANIC, "Panic", (shown,), None, meaning, arb_class, ADVICE[arb_class])
    if own:
        found = _own(head, body, own, protocol)
        if found is not None:
            return found
    known = tables().customs.get(head)
    if known and len(data) % 32 == 4:
        chosen = _choose(known, protocol)
        name, types = _signature(chosen[0].name)
        args = _arguments(types, body)
        return _of_entries(
            RevertKind.CUSTOM,
            name,
            args if args is not None else (),
            chosen,
            malformed=args is None and bool(types),
        )
    if len(data) < 4 or len(data) % 32 == 0:
        what = (
            "raw words without a selector, as quoters answer"
            if len(data) >= 32
            else "fewer bytes than a selector"
        )
        return Revert(
            RevertKind.CUSTOM,
            None,
            ("0x" + data[:100].hex(),),
            None,
            what,
            "unknown",
            ADVICE["unknown"],
            malformed=True,
        )
    return Revert(
        RevertKind.CUSTOM,
        "0x" + head.hex(),
        ("0x" + body[:96].hex(),) if body else (),
        None,
        "a custom error that is in no table",
        "unknown",
        ADVICE["unknown"],
        malformed=len(body) % 32 != 0,
    )


def decode_reason(reason: str, *, protocol: str | None = None) -> Revert:
    """A revert's text, as Error(string) carries it or as a node shows it."""
    table = tables()
    found = table.strings.get(reason) or table.strings.get(reason.strip())
    if found is None:
        spelt = table.folded.get(reason.strip().lower())
        found = table.strings[spelt] if spelt is not None else None
    shown = (safe_text(reason, 400),)
    if found is None:
        return Revert(
            RevertKind.ERROR_STRING,
            "Error",
            shown,
            None,
            "a contract's own words; no table has them",
            "unknown",
            ADVICE["unknown"],
        )
    return _of_entries(RevertKind.ERROR_STRING, "Error", shown, _choose(found, protocol))


def known_reason(text: str) -> bool:
    """Whether some protocol reverts with exactly this text; numbers and single letters do not count."""
    return len(text) > 3 and not text.isdigit() and text in tables().strings


def _own(head: bytes, body: bytes, own: Errors, protocol: str | None) -> Revert | None:
    for name, types in own.items():
        if selector(f"{name}({','.join(types)})") != head:
            continue
        args = _arguments(types, body)
        meaning, arb_class = EXECUTOR_MEANINGS.get(name, ("the contract refused", "bug"))
        if name == "TokenCallFailed" and args is not None:
            inner = decode_revert(decode(types, body)[2], protocol=protocol)
            meaning += f": {inner.name or inner.kind} {' '.join(inner.args)}".rstrip()
        return Revert(
            RevertKind.CUSTOM,
            name,
            args or (),
            "ARBTUI executor",
            meaning,
            arb_class,
            ADVICE[arb_class],
            ("ARBTUI executor",),
            malformed=args is None,
        )
    return None


def _broken(kind: RevertKind, name: str, data: bytes) -> Revert:
    return Revert(
        kind,
        name,
        ("0x" + data[:100].hex(),),
        None,
        "the data is cut short or wrongly encoded",
        "unknown",
        ADVICE["unknown"],
        malformed=True,
    )


def _of_entries(
    kind: RevertKind, name: str, args: tuple[str, ...], found: Sequence[_Entry], *, malformed: bool = False
) -> Revert:
    """One entry's meaning, or all of them where several protocols share the words and nothing decides."""
    first = found[0]
    same = len({(entry.meaning, entry.name) for entry in found}) == 1
    meaning = _told(first) if same else "; ".join(f"{entry.protocol}: {_told(entry)}" for entry in found[:4])
    classes = {entry.arb_class for entry in found}
    arb_class = first.arb_class if len(classes) == 1 else "ambiguous" if len(classes) > 1 else "unknown"
    advice = (
        ADVICE[arb_class]
        if len(classes) == 1
        else "Several protocols say this; the lender or pool tells which."
    )
    protocols = tuple(dict.fromkeys(entry.protocol for entry in found))
    return Revert(
        kind, name, args, " or ".join(protocols[:4]), meaning, arb_class, advice, protocols, malformed
    )


def _told(entry: _Entry) -> str:
    named = entry.name and "(" not in entry.name
    return safe_text(f"{entry.name}: {entry.meaning}" if named else entry.meaning, 300)


def _choose(found: Sequence[_Entry], protocol: str | None) -> Sequence[_Entry]:
    if protocol:
        wanted = _fold(protocol)
        for fits in (_is, _begins):
            chosen = [entry for entry in found if fits(wanted, entry)]
            if chosen:
                return chosen
    return found


def _is(wanted: str, entry: _Entry) -> bool:
    return wanted in (_fold(entry.family), _fold(entry.protocol))


def _begins(wanted: str, entry: _Entry) -> bool:
    family = _fold(entry.family)
    return bool(family) and (wanted.startswith(family) or _fold(entry.protocol).startswith(wanted))


def _fold(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _signature(text: str) -> tuple[str, tuple[str, ...]]:
    name, _, rest = text.partition("(")
    inner = rest.rstrip(")")
    return name, tuple(inner.split(",")) if inner else ()


def _arguments(types: Sequence[str], body: bytes) -> tuple[str, ...] | None:
    if not types:
        return ()
    try:
        values = decode(types, body)
    except (MalformedAnswer, ValueError, TypeError):
        return None
    return tuple(
        "0x" + value[:100].hex() if isinstance(value, bytes) else safe_text(value, 200)
        for value in values[:_MAX_ARGS]
    )
