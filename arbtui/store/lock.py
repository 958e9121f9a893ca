"""One engine per store and per wallet, held by the operating system: it goes when the process goes."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import platformdirs
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from arbtui.errors import LockHeld
from arbtui.store.driver import mapped
from arbtui.units import Address

#: Seconds; a look at a lock takes microseconds.
PATIENCE_S = 0.25


class FileLock:
    """An exclusive lock on a file that names its holder's process id. The file itself is left behind.

    It is tried for PATIENCE_S: whoever only asks after the holder has it shared for a moment.
    Raises LockHeld where another process (or this one, a second time) has it; `advice` says how to mend it and
    `holder` what holds it.
    """

    def __init__(self, path: Path, advice: str, holder: str = "engine") -> None:
        self.path = path
        with mapped(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            for attempt in Retrying(
                retry=retry_if_exception_type(BlockingIOError),
                stop=stop_after_delay(PATIENCE_S),
                wait=wait_fixed(0.01),
                reraise=True,
            ):
                with attempt:
                    fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise LockHeld(f"another {holder} (pid {pid}) holds {path}; {advice}") from None
        except OSError as error:
            os.close(self._descriptor)
            raise LockHeld(f"{path} cannot be locked ({error.strerror}); {advice}") from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Let go. Closing twice is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class StoreLock(FileLock):
    """The lock of a store directory, which is made if it is missing."""

    def __init__(self, directory: Path) -> None:
        super().__init__(Path(directory) / "engine.lock", "stop it or choose another store.directory")


class MarketLock(FileLock):
    """The lock of a store's `market.sqlite`: an engine and `arbtui pools discover` take turns."""

    def __init__(self, directory: Path) -> None:
        super().__init__(Path(directory) / "market.lock", "wait until it is done, or stop it", "discovery")


def engine_pid(directory: Path) -> int | None:
    """Process id of the engine that holds the store at `directory`; None where none does."""
    try:
        descriptor = os.open(Path(directory) / "engine.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        return int(holder) if holder.isdigit() else 0
    finally:
        os.close(descriptor)
    return None


class WalletLock(FileLock):
    """The lock of a wallet on a chain, wherever the stores are.

    `scope` tells apart chains that share an id, as local ones do: the hash of block 0, say.
    """

    def __init__(
        self, chain_id: int, wallet: Address, *, scope: str = "", directory: Path | None = None
    ) -> None:
        root = os.environ.get("ARBTUI_STATE")
        where = directory or (Path(root) if root else platformdirs.user_state_path("arbtui")) / "locks"
        name = "-".join(part for part in ("wallet", str(chain_id), wallet.lower(), scope) if part)
        super().__init__(where / f"{name}.lock", "stop it or choose another wallet")
