"""Strict reading of JSON-RPC answers: what is not exactly what the protocol allows is refused, never mis-read.

Two readers of logs give the same answer: `read_logs` takes the answer apart with the strict parser and says what is
wrong with it; `fast_logs` decodes into structs with msgspec and steps aside (None) at anything unusual.
"""

from __future__ import annotations

import json
import re
from binascii import Error as HexError
from binascii import unhexlify
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NoReturn

import msgspec

from arbtui.domain import Log
from arbtui.errors import MalformedAnswer, NodeError, UsageError
from arbtui.text import nested_too_deep, safe_text
from arbtui.units import UINT256_MAX, Address, parse_address

_SHOWN = 80


class Unfit(ValueError):
    """An answer that is refused. `kind` is how it is counted: json, envelope, size or value."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind


# ---- JSON


def parse(raw: bytes) -> Any:
    """One JSON value; raises Unfit for NaN, a key twice, too many digits, too deep, or bytes that are not UTF-8."""
    guard_depth(raw)
    try:
        return json.loads(
            raw.decode("utf-8", "strict"), parse_constant=_refuse_constant, object_pairs_hook=_unique
        )
    except UnicodeDecodeError as error:
        raise Unfit("json", "that is not UTF-8") from error
    except RecursionError as error:
        raise Unfit("json", "that is not JSON: nested too deep") from error
    except ValueError as error:
        shown = safe_text(raw[:_SHOWN].decode("utf-8", "replace"), _SHOWN)
        raise Unfit("json", f"that is not JSON: {shown}") from error


def guard_depth(raw: bytes) -> None:
    """Raise Unfit where reading `raw` could overflow the C stack."""
    if nested_too_deep(raw):
        raise Unfit("json", "that is not JSON: nested too deep")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key twice in one object")
    return out


# ---- the envelope


def result_of(answer: Any, request_id: int, method: str) -> Any:
    """The result of a parsed answer to `request_id`. Raises NodeError for an error object, Unfit for anything else."""
    if not isinstance(answer, dict):
        raise Unfit("envelope", "no JSON-RPC object")
    error = answer.get("error")
    if error is not None:
        if not isinstance(error, dict) or answer.get("result") is not None:
            # Its words may say what happened all the same.
            raise Unfit("envelope", f"an error that is no error object: {safe_text(str(error)[:400], 200)}")
        code, message = error.get("code"), error.get("message")
        if not isinstance(code, int) or isinstance(code, bool) or not isinstance(message, str):
            raise Unfit("envelope", "an error without code or message")
        # A request that could not be read is answered without its id.
        if not _same_id(answer.get("id"), request_id) and answer.get("id") is not None:
            raise Unfit("envelope", "the answer to another request")
        raise NodeError(code, safe_text(message[:4_000], 2_000), error.get("data"), method=method)
    if not _same_id(answer.get("id"), request_id):
        raise Unfit("envelope", "the answer to another request")
    if "result" not in answer:
        raise Unfit("envelope", "neither result nor error")
    return answer["result"]


def _same_id(seen: Any, asked: int) -> bool:
    return type(seen) is int and seen == asked


class Head(msgspec.Struct, gc=False):
    """What tells messages of one connection apart: the id of an answer, or the method of a notification."""

    id: int | None = None
    method: str | None = None


_HEAD = msgspec.json.Decoder(Head)


def head_of(raw: bytes) -> Head:
    """Raises Unfit for what is no JSON object with an integer id."""
    guard_depth(raw)
    try:
        return _HEAD.decode(raw)
    except msgspec.ValidationError as error:
        raise Unfit("envelope", "no JSON-RPC object with an id of ours") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unfit("json", "that is not JSON") from error


# ---- fields

_QUANTITY = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]{0,63})")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")


def shown(value: Any) -> str:
    """A foreign value as far as an error shows it."""
    if isinstance(value, str):
        return repr(safe_text(value[: 2 * _SHOWN]))
    return safe_text(repr(value)) if isinstance(value, (bool, int, float)) or value is None else "a container"


def quantity(value: Any, what: str) -> int:
    """A hex quantity (0x, no leading zero, at most 256 bits) as int; raises MalformedAnswer."""
    if isinstance(value, str) and _QUANTITY.fullmatch(value) and (number := int(value, 16)) <= UINT256_MAX:
        return number
    raise MalformedAnswer(f"{what}: {shown(value)} is not a hex quantity")


def data(value: Any, what: str) -> bytes:
    """Hex data (0x and whole bytes); raises MalformedAnswer."""
    if isinstance(value, str) and value.startswith("0x"):
        try:
            return unhexlify(value[2:])
        except (HexError, ValueError):
            pass
    raise MalformedAnswer(f"{what}: {shown(value)} is not hex data")


def hash32(value: Any, what: str) -> str:
    """A 32-byte hash as lower-case 0x text; raises MalformedAnswer."""
    if isinstance(value, str) and _HASH.fullmatch(value):
        return value.lower()
    raise MalformedAnswer(f"{what}: {shown(value)} is not a 32-byte hash")


def field(item: Any, key: str, what: str) -> Any:
    """`item[key]` of an answer; raises MalformedAnswer where it is missing."""
    if not isinstance(item, dict) or key not in item:
        raise MalformedAnswer(f"{what}: {key} is missing")
    return item[key]


def address(value: Any, what: str) -> Address:
    try:
        return parse_address(value, what)
    except (UsageError, TypeError) as error:
        raise MalformedAnswer(f"{what}: {shown(value)} is not an address") from error


# ---- logs


class LogFilter:
    """Which logs are wanted: `topics` (topic0, lower case; None: any) as the node is asked, then `addresses`.

    With `asked` the node was given the addresses too, and a log of another one is refused, not passed over.
    """

    def __init__(
        self, addresses: Iterable[Address], topics: Collection[str] | None = None, *, asked: bool = False
    ) -> None:
        self.table: Mapping[str, Address] = {item.lower(): item for item in addresses}
        self.topics = None if topics is None else frozenset(topic.lower() for topic in topics)
        self.asked = asked


def log(item: Any, what: str, *, simulated: bool = False) -> Log:
    """One log of an answer. A simulated one is of no block and no transaction."""
    topics = field(item, "topics", what)
    if not isinstance(topics, list) or len(topics) > 4:
        raise MalformedAnswer(f"{what}: topics are no list of at most 4")
    if item.get("removed", False) is not False:
        raise MalformedAnswer(f"{what}: a log that was removed from the chain, or of which that is not said")
    index = item.get("transactionIndex")
    return Log(
        address=address(field(item, "address", what), what),
        topics=tuple(hash32(topic, what) for topic in topics),
        data=data(field(item, "data", what), what),
        block_number=0 if simulated else quantity(field(item, "blockNumber", what), what),
        tx_hash="" if simulated else hash32(field(item, "transactionHash", what), what),
        log_index=0 if simulated else quantity(field(item, "logIndex", what), what),
        block_hash="" if simulated else hash32(field(item, "blockHash", what), what),
        tx_index=0 if simulated or index is None else quantity(index, what),
    )


def read_logs(answer: Any, blocks: Mapping[int, str], wanted: LogFilter, what: str) -> tuple[Log, ...]:
    """The wanted logs of an answer that may hold logs of `blocks` (number -> hash) alone, in order."""
    if not isinstance(answer, list):
        raise MalformedAnswer(f"{what}: no list")
    out = []
    last = (-1, -1)
    for item in answer:
        found = log(item, what)
        if blocks.get(found.block_number) != found.block_hash:
            raise MalformedAnswer(
                f"{what}: a log of another block ({found.block_number}, {found.block_hash})"
            )
        if (found.block_number, found.log_index) <= last:
            raise MalformedAnswer(
                f"{what}: log {found.log_index} of block {found.block_number} is out of order"
            )
        last = (found.block_number, found.log_index)
        if wanted.topics is not None and (not found.topics or found.topics[0] not in wanted.topics):
            raise MalformedAnswer(f"{what}: a log whose topic was not asked for")
        if found.address.lower() in wanted.table:
            out.append(found)
        elif wanted.asked:
            raise MalformedAnswer(f"{what}: a log of {found.address}, which was not asked for")
    return tuple(out)


class _RawLog(msgspec.Struct, gc=False, rename="camel"):
    address: str
    topics: tuple[str, ...]
    data: str
    block_hash: str
    block_number: str
    transaction_hash: str
    transaction_index: str
    log_index: str
    removed: bool
    block_timestamp: str | msgspec.UnsetType = msgspec.UNSET


class _RawLogs(msgspec.Struct, gc=False):
    jsonrpc: str
    id: int
    result: list[_RawLog]


_LOGS = msgspec.json.Decoder(_RawLogs)
#: Quantities of the usual size, by their only right spelling.
_SMALL = {hex(number): number for number in range(20_000)}


def fast_logs(
    raw: bytes, request_id: int, blocks: Mapping[int, str], wanted: LogFilter
) -> tuple[Log, ...] | None:
    """What `read_logs` would give of the answer `raw`, or None where that has to be asked."""
    if b"\\" in raw:
        return None
    try:
        guard_depth(raw)
        answer = _LOGS.decode(raw)
    except (msgspec.DecodeError, RecursionError, Unfit):
        return None
    items = answer.result
    # msgspec takes the last of two equal keys and passes over unknown ones; every key brings a colon, no value does.
    keys = 3 + 9 * len(items) + sum([item.block_timestamp is not msgspec.UNSET for item in items])
    if answer.id != request_id or raw.count(b":") != keys:
        return None
    hashes = {hex(number): (number, block_hash) for number, block_hash in blocks.items()}
    table, topics, asked = wanted.table, wanted.topics, wanted.asked
    out = []
    plain = _PLAIN_HASH.fullmatch
    block_name, block, block_hash, last = "", -1, "", -1
    tx_hash: str | None = None
    for item in items:
        if item.block_number != block_name:
            known = hashes.get(item.block_number)
            if known is None or known[0] < block:
                return None
            block_name, last = item.block_number, -1
            block, block_hash = known
        index = _SMALL.get(item.log_index, -1)
        first = item.topics[0] if item.topics else ""
        if (
            index <= last
            or item.block_hash != block_hash
            or item.removed
            or len(item.topics) > 4
            or len(item.address) != 42
            or not item.address.islower()
            or (topics is not None and first not in topics)
        ):
            return None
        last = index
        found = table.get(item.address)
        if found is None:
            if asked:
                return None
            continue
        tx_index = _SMALL.get(item.transaction_index)
        if tx_index is None or not item.data.startswith("0x"):
            return None
        # Mostly several logs a transaction; and a topic that was asked for needs no further look.
        if item.transaction_hash != tx_hash:
            tx_hash = item.transaction_hash
            if not plain(tx_hash):
                return None
        for topic in item.topics if topics is None else item.topics[1:]:
            if not plain(topic):
                return None
        try:
            payload = unhexlify(item.data[2:])
        except (HexError, ValueError):
            return None
        out.append(Log(found, item.topics, payload, block, tx_hash, index, block_hash, tx_index))
    return tuple(out)


_PLAIN_HASH = re.compile(r"0x[0-9a-f]{64}")
