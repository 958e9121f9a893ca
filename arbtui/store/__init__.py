"""What happened, on disk: the journal (what must not be lost) and the metrics files (what is read)."""

from arbtui.store.commands import CommandPost
from arbtui.store.database import Batch, RunInfo, Store
from arbtui.store.discovered import MarketReader, MarketStore, open_market
from arbtui.store.driver import library_version, utc_now
from arbtui.store.journal import SqliteJournal
from arbtui.store.lock import MarketLock, StoreLock, WalletLock, engine_pid
from arbtui.store.queries import StoreReader, open_store

__all__ = [
    "Batch",
    "CommandPost",
    "MarketLock",
    "MarketReader",
    "MarketStore",
    "RunInfo",
    "SqliteJournal",
    "Store",
    "StoreLock",
    "StoreReader",
    "WalletLock",
    "engine_pid",
    "library_version",
    "open_market",
    "open_store",
    "utc_now",
]
