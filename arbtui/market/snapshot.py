"""Market snapshots: one JSON object a line (`block`, `token`, `pool`), plain or gzip; the format is in the docs.

A line that cannot be used is reported by number and reason and never stops the rest.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from arbtui.domain import BlockRef, PoolKind, Token
from arbtui.errors import SnapshotError
from arbtui.market.families import FAMILIES
from arbtui.market.fields import BadField, Fields, parse_row
from arbtui.market.pool import Pool
from arbtui.market.state import MarketState
from arbtui.text import safe_text
from arbtui.units import PPM, Address, Ppm, Wei

MAX_LINE_BYTES = 4 << 20
#: Unpacked. A market of 40,000 pairs has 10 MB; what lies beyond is not read, whatever a compressed file unpacks to.
MAX_FILE_BYTES = 256 << 20
MAX_LINES = 1_000_000
MAX_POOLS = 250_000
MAX_TOKENS = 250_000
#: More decimals than any token has that can be traded.
MAX_DECIMALS = 36
#: So many problems are kept word for word; the rest are counted.
PROBLEMS_KEPT = 1_000
_NAMED_AT_MOST = 3
_KINDS = {kind.value: kind for kind in PoolKind}
_UINT64_MAX = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that was not used; `line` counts from 1."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Lines seen (empty ones left out), and what became of them."""

    lines: int
    tokens: int
    pools: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`chain_id` is None where the file does not say. `problems` has the first PROBLEMS_KEPT; `counts.skipped` all."""

    state: MarketState
    chain_id: int | None
    problems: tuple[Problem, ...]
    counts: Counts


class _Reader:
    def __init__(self) -> None:
        self.block: BlockRef | None = None
        self.chain_id: int | None = None
        self.tokens: dict[Address, Token] = {}
        self.pools: dict[Address, Pool] = {}

    def take(self, text: str) -> None:
        """One line into the model; raises BadField with the reason where it cannot be used."""
        fields = Fields(parse_row(text))
        what = fields.text("type")
        if what == "pool":
            self._pool(fields)
        elif what == "token":
            self._token(fields)
        elif what == "block":
            self._block(fields)
        else:
            raise BadField(f"unknown type {safe_text(what)!r}")

    def _block(self, fields: Fields) -> None:
        if self.block is not None:
            raise BadField("a second block line")
        number = fields.integer("number", 0, _UINT64_MAX)
        chain_id = fields.integer("chain_id", 1, _UINT64_MAX) if fields.has("chain_id") else None
        timestamp = fields.integer("timestamp", 0, _UINT64_MAX) if fields.has("timestamp") else 0
        base_fee = fields.integer("base_fee_per_gas", 0, 2**128) if fields.has("base_fee_per_gas") else 0
        self.block = _placeholder(number, timestamp, base_fee)
        self.chain_id = chain_id

    def _token(self, fields: Fields) -> None:
        address = fields.address("address")
        symbol = fields.text("symbol") if fields.has("symbol") else ""
        if len(symbol) > 32 or not (symbol.isascii() and symbol.isprintable()):
            symbol = safe_text(symbol)
        decimals = fields.integer("decimals", 0, MAX_DECIMALS)
        if address in self.tokens:
            raise BadField(f"duplicate token {address}")
        if len(self.tokens) >= MAX_TOKENS:
            raise BadField(f"more than {MAX_TOKENS} tokens")
        self.tokens[address] = Token(address, symbol, decimals)

    def _pool(self, fields: Fields) -> None:
        kind_text = fields.text("kind")
        kind = _KINDS.get(kind_text)
        if kind is None:
            raise BadField(f"unknown kind {safe_text(kind_text)!r}")
        address = fields.address("address")
        dex = fields.text("dex")
        if len(dex) > 32 or not (dex.isascii() and dex.isprintable()):
            dex = safe_text(dex)
        token0, token1 = fields.address("token0"), fields.address("token1")
        if token0 == token1:
            raise BadField("a token paired with itself")
        if token0.lower() > token1.lower():
            raise BadField("token0 and token1 are not in the order of their addresses")
        fee_ppm = Ppm(fields.integer("fee_ppm", 0, PPM - 1))
        pool = FAMILIES[kind].from_fields(fields, address, dex, token0, token1, fee_ppm)
        if address in self.pools:
            raise BadField(f"duplicate pool {address}")
        if len(self.pools) >= MAX_POOLS:
            raise BadField(f"more than {MAX_POOLS} pools")
        self.pools[address] = pool


def _placeholder(number: int = 0, timestamp: int = 0, base_fee: int = 0) -> BlockRef:
    """A snapshot names its block by number alone; the hash is left empty."""
    return BlockRef(number, "", "", timestamp, Wei(base_fee), 0, 0)


def load_snapshot(source: str | Path | IO[bytes], strict: bool = False) -> Snapshot:
    """Read a snapshot from a path or an open binary file; gzip is known by its content.

    Raises SnapshotError where the file cannot be read at all, and, with `strict`, where any line cannot be used.
    """
    name = str(source) if isinstance(source, str | Path) else str(getattr(source, "name", "the snapshot"))
    reader = _Reader()
    problems = _Problems()
    lines = 0
    with ExitStack() as stack:
        try:
            plain = stack.enter_context(Path(name).open("rb")) if isinstance(source, str | Path) else source
            stream = _unzipped(plain)
            for number, raw in _lines(stream, problems):
                line = raw.strip()
                if not line:
                    continue
                lines += 1
                try:
                    reader.take(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                except UnicodeDecodeError:
                    problems.add(number, "not UTF-8")
                except BadField as bad:
                    problems.add(number, str(bad))
        except OSError as error:
            raise SnapshotError(f"snapshot {name}: {error.strerror or error}") from error
    if strict and problems.count:
        first = "; ".join(f"line {p.line}: {p.reason}" for p in problems.kept[:_NAMED_AT_MOST])
        more = f"; and {problems.count - _NAMED_AT_MOST} more" if problems.count > _NAMED_AT_MOST else ""
        raise SnapshotError(f"snapshot {name}: {first}{more}")
    state = MarketState(reader.block or _placeholder(), _all_tokens(reader), reader.pools)
    counts = Counts(lines, len(reader.tokens), len(reader.pools), problems.count)
    return Snapshot(state, reader.chain_id, tuple(problems.kept), counts)


class _Problems:
    def __init__(self) -> None:
        self.kept: list[Problem] = []
        self.count = 0

    def add(self, line: int, reason: str) -> None:
        self.count += 1
        if len(self.kept) < PROBLEMS_KEPT:
            self.kept.append(Problem(line, reason))


def _all_tokens(reader: _Reader) -> dict[Address, Token]:
    tokens = dict(reader.tokens)
    for pool in reader.pools.values():
        for address in (pool.token0, pool.token1):
            if address not in tokens:
                tokens[address] = Token(address, "", 0)
    return tokens


def _unzipped(plain: IO[bytes]) -> BinaryIO:
    buffered = (
        plain if isinstance(plain, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", plain))
    )
    if buffered.peek(2)[:2] == b"\x1f\x8b":
        return io.BufferedReader(gzip.GzipFile(fileobj=buffered))
    return buffered


def _lines(stream: BinaryIO, problems: _Problems) -> Iterator[tuple[int, bytes]]:
    """Numbered lines; what is too long, or not to be unpacked, becomes a problem."""
    number = taken = 0
    while True:
        number += 1
        try:
            raw = stream.readline(MAX_LINE_BYTES + 1)
            taken += len(raw)
            too_long = len(raw) > MAX_LINE_BYTES
            while len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n") and taken <= MAX_FILE_BYTES:
                raw = stream.readline(MAX_LINE_BYTES + 1)
                taken += len(raw)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            problems.add(number, "the compressed file is damaged or ends early")
            return
        if taken > MAX_FILE_BYTES:
            problems.add(number, f"the file is longer than {MAX_FILE_BYTES >> 20} MiB: the rest is not read")
            return
        if number > MAX_LINES:
            problems.add(number, f"the file has more than {MAX_LINES} lines: the rest is not read")
            return
        if too_long:
            problems.add(number, f"longer than {MAX_LINE_BYTES} bytes")
            continue
        if not raw:
            return
        yield number, raw


def write_snapshot(state: MarketState, file: IO[str], chain_id: int | None = None) -> int:
    """Write `state` as lines that `load_snapshot` reads back to the same pools and tokens.

    Returns the number of pools left out because no line can hold them: without reserves, without a price, not read.
    """
    block: dict[str, object] = {"type": "block", "number": state.block.number}
    if chain_id is not None:
        block["chain_id"] = chain_id
    block |= {"timestamp": state.block.timestamp, "base_fee_per_gas": str(state.block.base_fee_per_gas)}
    _write(file, block)
    for token in state.tokens.values():
        if (token.symbol or token.decimals) and token.decimals <= MAX_DECIMALS:
            _write(
                file,
                {
                    "type": "token",
                    "address": token.address,
                    "symbol": token.symbol,
                    "decimals": token.decimals,
                },
            )
    left_out = 0
    for pool in state.pools.values():
        own = FAMILIES[pool.kind].own_fields(pool)
        if own is None:
            left_out += 1
            continue
        row: dict[str, object] = {
            "type": "pool",
            "address": pool.address,
            "dex": pool.dex,
            "kind": pool.kind.value,
            "token0": pool.token0,
            "token1": pool.token1,
            "fee_ppm": pool.fee_ppm,
        }
        _write(file, row | own)
    return left_out


def _write(file: IO[str], row: dict[str, object]) -> None:
    file.write(json.dumps(row, separators=(",", ":")) + "\n")


def write_snapshot_file(path: str | Path, state: MarketState, chain_id: int | None = None) -> int:
    """`write_snapshot` into a file, packed where its name ends in .gz. Whoever reads `path` sees the file that was
    there before, or all of this one.

    Returns the number of pools left out. Raises SnapshotError where the file cannot be written.
    """
    path = Path(path)
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with half.open("wb") as plain:
                if path.name.endswith(".gz"):
                    # No name and no time in it: the same market makes the same file.
                    packed = gzip.GzipFile("", "wb", compresslevel=6, fileobj=plain, mtime=0)
                    with packed, io.TextIOWrapper(packed, "utf-8") as text:
                        left_out = write_snapshot(state, text, chain_id)
                else:
                    lines = io.TextIOWrapper(plain, "utf-8")
                    left_out = write_snapshot(state, lines, chain_id)
                    lines.detach()
                plain.flush()
                os.fsync(plain.fileno())
            half.replace(path)
        finally:
            half.unlink(missing_ok=True)
    except OSError as error:
        raise SnapshotError(f"snapshot {path}: cannot be written: {error.strerror or error}") from error
    return left_out
