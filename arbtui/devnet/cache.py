"""The deployed state on disk, so that the second start of a chain is fast.

One folder a key: `state.json.gz` (anvil's dump) and `book.json` (the address book, the block at which the dump was
taken, and the dump's hash). A folder is put in place whole, by a rename. What does not fit is an empty answer with
a reason, never an error: the chain is then deployed again.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import secrets
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from arbtui.devnet.anvil import BLOCK_GAS_LIMIT, CHAIN_ID, GENESIS_TIMESTAMP, MNEMONIC
from arbtui.devnet.book import AddressBook
from arbtui.errors import DevnetError

_FORMAT = "1"
_KEPT = 6
#: The deployment is what these files say; a change in one is another chain.
_SOURCES = ("anvil.py", "artifacts.py", "book.py", "deploy.py", "plan.py")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A deployed chain at rest: `dump` is anvil's own, gzipped."""

    book: AddressBook
    block_number: int
    block_hash: str
    dump: bytes


def cache_root() -> Path:
    """Folder of the snapshots; ARBTUI_CACHE overrides it."""
    override = os.environ.get("ARBTUI_CACHE")
    base = Path(override) if override else Path(platformdirs.user_cache_dir("arbtui"))
    return base.resolve() / "devnet"


def cache_key(artifacts_digest: str, anvil: str, seed: int) -> str:
    """Hash of everything that the deployed state follows from."""
    total = hashlib.sha256()
    here = Path(__file__).parent
    parts = [_FORMAT, artifacts_digest, anvil, str(seed), MNEMONIC]
    parts += [str(number) for number in (CHAIN_ID, BLOCK_GAS_LIMIT, GENESIS_TIMESTAMP)]
    parts += [hashlib.sha256((here / name).read_bytes()).hexdigest() for name in _SOURCES]
    for part in parts:
        total.update(f"{len(part)}:{part}".encode())
    return total.hexdigest()[:32]


def load(key: str) -> Snapshot | str:
    """The snapshot of that key, or why there is none ("" where none was ever stored)."""
    folder = cache_root() / key
    try:
        index = json.loads((folder / "book.json").read_bytes())
        dump = (folder / "state.json.gz").read_bytes()
        if hashlib.sha256(dump).hexdigest() != index["state_sha256"]:
            return f"{folder}: the cached state is damaged"
        book = AddressBook.from_json(index["book"])
        return Snapshot(book, int(index["block_number"]), str(index["block_hash"]), dump)
    except FileNotFoundError:
        return f"{folder}: the cached state is incomplete" if folder.exists() else ""
    except (OSError, ValueError, KeyError, TypeError, DevnetError) as error:
        return f"{folder}: the cached state cannot be read ({type(error).__name__})"


def unpack(snapshot: Snapshot, target: Path) -> bool:
    """Write the dump where anvil can load it; False where it is no whole gzip file."""
    try:
        target.write_bytes(gzip.decompress(snapshot.dump))
    except (OSError, EOFError, zlib.error):
        return False
    return True


def save(key: str, snapshot: Snapshot) -> str:
    """Store a snapshot in place of whatever is there; "" or the reason why that was not possible."""
    root = cache_root()
    fresh = root / f".new-{os.getpid()}-{secrets.token_hex(4)}"
    index = {
        "book": snapshot.book.to_json(),
        "block_number": snapshot.block_number,
        "block_hash": snapshot.block_hash,
        "state_sha256": hashlib.sha256(snapshot.dump).hexdigest(),
    }
    try:
        fresh.mkdir(parents=True)
        (fresh / "state.json.gz").write_bytes(snapshot.dump)
        (fresh / "book.json").write_text(json.dumps(index, indent=1), "utf-8")
        forget(key)
        fresh.rename(root / key)
        _prune(root)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        # Another start may have put the same snapshot there in between.
        return (
            "" if (root / key).exists() else f"{root}: cannot be written ({error.strerror}); set ARBTUI_CACHE"
        )
    return ""


def forget(key: str) -> None:
    """Remove a snapshot, if there is one."""
    root = cache_root()
    old = root / f".old-{os.getpid()}-{secrets.token_hex(4)}"
    with contextlib.suppress(OSError):
        (root / key).rename(old)
    shutil.rmtree(old, ignore_errors=True)


def _prune(root: Path) -> None:
    kept = [item for item in root.iterdir() if item.is_dir() and not item.name.startswith(".")]
    for item in sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT:]:
        shutil.rmtree(item, ignore_errors=True)
