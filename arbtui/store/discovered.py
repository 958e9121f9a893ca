"""What was found of the market, in a file of its own: `market.sqlite`, one writer at a time under `market.lock`.

An engine writes it when it starts, `arbtui pools discover` when asked; readers look at any time. All of it can be
read again from the chain, so nothing here is precious.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from arbtui.domain import PoolKind
from arbtui.errors import StoreError
from arbtui.market.discovered import Cursor, FoundPool, FoundToken, Holding
from arbtui.market.filters import Choice, Dropped
from arbtui.store import migrations
from arbtui.store.driver import mapped, open_reader, open_writer, sqlite3, transaction, utc_now
from arbtui.units import Address

FILE_NAME = "market.sqlite"


def market_path(directory: Path) -> Path:
    return Path(directory) / FILE_NAME


@dataclass(frozen=True, slots=True)
class Progressed:
    """A factory as the store has it, for showing."""

    address: Address
    listing: str
    pools: int
    cursor: Cursor
    updated_at: str


class MarketStore:
    """The writer of `market.sqlite`; hold a MarketLock meanwhile. Every method is one synced transaction.

    Raises StoreError, one line, for a file of another chain, of a newer ARBTUI, or damaged.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path, clock: Callable[[], str] = utc_now
    ) -> None:
        self.path = path
        self._connection = connection
        self._clock = clock
        self._mutex = threading.Lock()

    @classmethod
    def open(cls, directory: Path, chain_id: int, genesis: str) -> Self:
        """Open or make the file, bound to a chain by its id and the hash of block 0."""
        path = market_path(directory)
        with mapped(path):
            Path(directory).mkdir(parents=True, exist_ok=True)
            connection = open_writer(path)
            try:
                migrations.migrate(connection, path, migrations.MARKET)
                with transaction(connection):
                    row = connection.execute("SELECT chain_id, genesis FROM identity").fetchone()
                    if row is None:
                        connection.execute(
                            "INSERT INTO identity (chain_id, genesis) VALUES (?, ?)", (chain_id, genesis)
                        )
                _require_same(path, row, chain_id, genesis)
            except BaseException:
                connection.close()
                raise
        return cls(connection, path)

    def cursor(self, factory: Address, kind: PoolKind, listing: str, from_block: int) -> Cursor:
        """Where to go on. A factory that is new, or is to be listed another way or from earlier on, starts over."""
        with self._mutex, mapped(self.path), transaction(self._connection):
            row = self._connection.execute(
                "SELECT kind, listing, from_block, next_index, block, block_hash, anchor, anchor_hash"
                " FROM factory WHERE address = ?",
                (factory,),
            ).fetchone()
            if row is not None and (row[0], row[1]) == (kind.value, listing) and row[2] <= from_block:
                return Cursor(*row[3:])
            self._connection.execute("DELETE FROM pool WHERE factory = ?", (factory,))
            self._connection.execute(
                "INSERT OR REPLACE INTO factory (address, kind, listing, from_block, updated_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (factory, kind.value, listing, from_block, self._clock()),
            )
        return Cursor()

    def advance(
        self, factory: Address, cursor: Cursor, found: Sequence[FoundPool], since_place: int | None = None
    ) -> None:
        """What was found and how far that goes, together. With `since_place` all from that place on is replaced."""
        with self._mutex, mapped(self.path), transaction(self._connection):
            if since_place is not None:
                self._connection.execute(
                    "DELETE FROM pool WHERE factory = ? AND place >= ?", (factory, since_place)
                )
            self._connection.executemany(
                "INSERT OR REPLACE INTO pool (factory, place, address, kind, token0, token1, fee_ppm, tick_spacing,"
                " block, fault) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        p.factory,
                        p.place,
                        p.address,
                        p.kind.value,
                        p.token0,
                        p.token1,
                        p.fee_ppm,
                        p.tick_spacing,
                        p.block,
                        p.fault,
                    )
                    for p in found
                ],
            )
            self._connection.execute(
                "UPDATE factory SET next_index = ?, block = ?, block_hash = ?, anchor = ?, anchor_hash = ?,"
                " updated_at = ? WHERE address = ?",
                (
                    cursor.next_index,
                    cursor.block,
                    cursor.block_hash,
                    cursor.anchor,
                    cursor.anchor_hash,
                    self._clock(),
                    factory,
                ),
            )
            if found or since_place is not None:
                self._connection.execute("UPDATE identity SET judged = ''")

    def addresses(self, factory: Address, first: int, last: int) -> list[Address]:
        """A numbered list's addresses from place `first` up to, not including, `last`."""
        with self._mutex, mapped(self.path):
            rows = self._connection.execute(
                "SELECT address FROM pool WHERE factory = ? AND place >= ? AND place < ? ORDER BY place",
                (factory, first, last),
            ).fetchall()
        return [Address(row[0]) for row in rows]

    def save_tokens(self, tokens: Iterable[FoundToken], block: int) -> None:
        with self._mutex, mapped(self.path), transaction(self._connection):
            self._connection.executemany(
                "INSERT OR REPLACE INTO token (address, symbol, decimals, fault, block) VALUES (?, ?, ?, ?, ?)",
                [(t.address, t.symbol, t.decimals, t.fault, block) for t in tokens],
            )
            self._connection.execute("UPDATE identity SET judged = ''")

    def save_holdings(self, holdings: Mapping[Address, Holding]) -> None:
        with self._mutex, mapped(self.path), transaction(self._connection):
            self._connection.executemany(
                "INSERT OR REPLACE INTO holding (pool, reserve0, reserve1, held0, held1, block, fault)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (a, str(h.reserve0), str(h.reserve1), str(h.held0), str(h.held1), h.block, h.fault)
                    for a, h in holdings.items()
                ],
            )
            self._connection.execute("UPDATE identity SET judged = ''")

    def save_choice(self, choice: Choice, digest: str) -> None:
        """Which pools are kept under the filters with that digest; readers then need no second judgement."""
        rows: list[tuple[str, str | None, Address, int]] = [
            ("", str(choice.value[p.address]), p.factory, p.place) for p in choice.kept
        ]
        rows += [(reason.value, None, p.factory, p.place) for p, reason in choice.dropped]
        with self._mutex, mapped(self.path), transaction(self._connection):
            self._connection.execute("UPDATE pool SET verdict = NULL, value = NULL")
            self._connection.executemany(
                "UPDATE pool SET verdict = ?, value = ? WHERE factory = ? AND place = ?", rows
            )
            self._connection.execute("UPDATE identity SET judged = ?", (digest,))

    def read(self) -> MarketReader:
        """The same file's reading side, on this connection; not to be closed by itself."""
        return MarketReader(self._connection, self.path)

    def close(self) -> None:
        with self._mutex, mapped(self.path):
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MarketReader:
    """What is in `market.sqlite`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with mapped(self.path):
            return self._connection.execute(sql, values).fetchall()

    def judged(self) -> str:
        """Digest of the filters whose verdicts are in the file; empty where something came after them."""
        rows = self._rows("SELECT judged FROM identity")
        return str(rows[0][0]) if rows else ""

    def factories(self) -> list[Progressed]:
        rows = self._rows(
            "SELECT f.address, f.listing, (SELECT count(*) FROM pool AS p WHERE p.factory = f.address), f.next_index,"
            " f.block, f.block_hash, f.anchor, f.anchor_hash, f.updated_at FROM factory AS f ORDER BY f.address"
        )
        return [Progressed(Address(row[0]), row[1], row[2], Cursor(*tuple(row)[3:8]), row[8]) for row in rows]

    def pools(self, factories: Sequence[Address]) -> list[FoundPool]:
        """All pools of `factories`, in that order and each in its list's."""
        return [
            _pool(row)
            for factory in factories
            for row in self._rows(f"SELECT {_POOL} FROM pool WHERE factory = ? ORDER BY place", (factory,))  # noqa: S608
        ]

    def kept(self, factories: Sequence[Address]) -> list[tuple[FoundPool, int]]:
        """Pools kept by the last judgement with their value in wei, most valuable first."""
        wanted = frozenset(factories)
        rows = self._rows(f"SELECT {_POOL}, value FROM pool WHERE verdict = ''")  # noqa: S608 - names are ours
        found = [(_pool(row), int(row[10])) for row in rows if row[0] in wanted]
        return sorted(found, key=lambda item: (-item[1], item[0].address))

    def dropped(self, factories: Sequence[Address]) -> list[tuple[FoundPool, Dropped]]:
        """Pools left out by the last judgement, each with its reason."""
        wanted = frozenset(factories)
        rows = self._rows(
            f"SELECT {_POOL}, verdict FROM pool WHERE verdict <> '' ORDER BY factory, place"  # noqa: S608
        )
        return [(_pool(row), Dropped(row[10])) for row in rows if row[0] in wanted]

    def verdicts(self, factories: Sequence[Address]) -> dict[str, int]:
        """How many pools have each verdict ("": kept), the most frequent first."""
        marks = ", ".join("?" * len(factories))
        rows = self._rows(
            f"SELECT verdict, count(*) FROM pool WHERE factory IN ({marks}) AND verdict IS NOT NULL"  # noqa: S608
            " GROUP BY verdict ORDER BY count(*) DESC, verdict",
            factories,
        )
        return {row[0]: row[1] for row in rows}

    def token_count(self) -> int:
        return int(self._rows("SELECT count(*) FROM token")[0][0])

    def tokens(self) -> dict[Address, FoundToken]:
        rows = self._rows("SELECT address, symbol, decimals, fault FROM token")
        return {Address(row[0]): FoundToken(Address(row[0]), row[1], row[2], row[3]) for row in rows}

    def unread_tokens(self) -> list[Address]:
        """Tokens of sound pools of which nothing has been asked yet."""
        rows = self._rows(
            "SELECT token FROM (SELECT token0 AS token FROM pool WHERE fault = ''"
            " UNION SELECT token1 FROM pool WHERE fault = '')"
            " WHERE token NOT IN (SELECT address FROM token) ORDER BY token"
        )
        return [Address(row[0]) for row in rows]

    def oldest_reading(self) -> int | None:
        """Block of the oldest reading among the pools that are kept; None where none is kept."""
        rows = self._rows(
            "SELECT min(h.block) FROM pool AS p JOIN holding AS h ON h.pool = p.address WHERE p.verdict = ''"
        )
        return None if rows[0][0] is None else int(rows[0][0])

    def holdings(self) -> dict[Address, Holding]:
        rows = self._rows("SELECT pool, reserve0, reserve1, held0, held1, block, fault FROM holding")
        return {
            Address(row[0]): Holding(int(row[1]), int(row[2]), int(row[3]), int(row[4]), row[5], row[6])
            for row in rows
        }


_POOL = "factory, place, address, kind, token0, token1, fee_ppm, tick_spacing, block, fault"


def _pool(row: Any) -> FoundPool:
    return FoundPool(
        Address(row[0]),
        row[1],
        Address(row[2]),
        PoolKind(row[3]),
        Address(row[4]),
        Address(row[5]),
        row[6],
        row[7],
        row[8],
        row[9],
    )


def open_market(directory: Path, chain_id: int, genesis: str = "") -> MarketReaderContext | None:
    """The file for reading, as a context manager; None where nothing was ever discovered.

    Raises StoreError for a file of another chain (and, where given, of another block 0).
    """
    path = market_path(directory)
    if not path.exists():
        return None
    with mapped(path):
        connection = open_reader(path)
        try:
            migrations.require_known(connection, path, migrations.MARKET, complete=True)
            row = connection.execute("SELECT chain_id, genesis FROM identity").fetchone()
            _require_same(path, row, chain_id, genesis)
        except BaseException:
            connection.close()
            raise
    return MarketReaderContext(connection, path)


class MarketReaderContext(MarketReader):
    """A reader that closes its connection at the end of a `with`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()


def _require_same(path: Path, row: Any, chain_id: int, genesis: str) -> None:
    if row is None:
        return
    if row[0] != chain_id or (genesis and row[1] != genesis):
        what = f"chain {row[0]}" if row[0] != chain_id else "a chain with another block 0"
        raise StoreError(
            f"{path} was discovered on {what}; move it away (it is made anew) or choose another store.directory"
        )
