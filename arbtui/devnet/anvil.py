"""One anvil process: found, started, watched through a log file, ended."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from arbtui.devnet.artifacts import node_modules
from arbtui.errors import DevnetError
from arbtui.text import safe_text

#: Anvil's published development phrase: the keys of every account on this chain are public.
MNEMONIC = "test test test test test test test test test test test junk"
CHAIN_ID = 31337
BLOCK_GAS_LIMIT = 30_000_000
#: Unix seconds. In the past, so that the deployment's blocks never run ahead of the wall clock.
GENESIS_TIMESTAMP = 1_767_225_600
#: Blocks whose state stays readable, as with a full node. Left to itself anvil writes each older state to the disk of
#: the user's home, two megabytes a block, and leaves it there when it is killed.
STATES_KEPT = 256
START_TIMEOUT_S = 15.0
_POLL_S = 0.01
_STOP_POLLS = 500
_PR_SET_PDEATHSIG = 1
_LISTENING = re.compile(r"Listening on 127\.0\.0\.1:(\d+)")
#: Ties itself to the parent, then becomes anvil. Not a `preexec_fn`, which may hang in a process with threads.
_TIE = f"""
import ctypes, os, sys
libc = ctypes.CDLL(None)
if hasattr(libc, "prctl"):
    libc.prctl({_PR_SET_PDEATHSIG}, {int(signal.SIGKILL)}, 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def end_with_parent(sig: int = signal.SIGKILL) -> None:
    """Have the kernel send `sig` to this process when the thread that started it ends."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, int(sig), 0, 0, 0)


def state_root() -> Path:
    """Folder of running chains, one folder a port; ARBTUI_STATE overrides it."""
    override = os.environ.get("ARBTUI_STATE")
    base = Path(override) if override else Path(platformdirs.user_state_dir("arbtui"))
    return base.resolve() / "devnet"


def find_anvil() -> str:
    """Path of the anvil binary: ARBTUI_ANVIL, npm's, or the one on PATH. Raises DevnetError."""
    override = os.environ.get("ARBTUI_ANVIL")
    if override:
        if os.access(override, os.X_OK):
            return override
        raise DevnetError(f"ARBTUI_ANVIL: {override} is not an executable; correct it or unset it")
    packaged = node_modules() / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
    if os.access(packaged, os.X_OK):
        return str(packaged)
    on_path = shutil.which("anvil")
    if on_path:
        return on_path
    raise DevnetError(
        f"{packaged}: no anvil there nor on PATH; run `make setup`, or name one with ARBTUI_ANVIL"
    )


def anvil_version(binary: str) -> str:
    """First line and commit of `anvil --version`. Raises DevnetError where the binary does not run."""
    try:
        answer = subprocess.run(  # noqa: S603
            [binary, "--version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise DevnetError(f"{binary}: does not run ({type(error).__name__}); run `make setup`") from error
    return " ".join(line.strip() for line in answer.stdout.splitlines()[:2])


def require_free(port: int) -> None:
    """Raise DevnetError where something listens on 127.0.0.1:`port` already."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DevnetError(
                f"127.0.0.1:{port}: in use already ({error.strerror}); "
                f"stop what is there (`arbtui devnet down --port {port}`), or give another --port (0: any)"
            ) from error


class Anvil:
    """A started process. `directory` is its folder under the state root, named by the port."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, directory: Path) -> None:
        self.process = process
        self.port = port
        self.directory = directory

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def rpc_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def running(self) -> bool:
        return self.process.poll() is None

    async def stop(self) -> None:
        """End the process: SIGTERM, then SIGKILL after some seconds."""
        if self.running():
            self.process.terminate()
            for _ in range(_STOP_POLLS):
                if not self.running():
                    break
                await asyncio.sleep(_POLL_S)
            else:
                self.process.kill()
        self.process.wait()


async def start_anvil(binary: str, port: int = 0, extra: Sequence[str] = ()) -> Anvil:
    """Start anvil on 127.0.0.1 and wait for its port; it ends with the calling thread.

    Raises DevnetError where the port is taken or anvil does not come up.
    """
    if port:
        require_free(port)
    root = state_root()
    log = root / f".starting-{os.getpid()}-{secrets.token_hex(4)}.log"
    process = _spawn(binary, port, extra, log)
    try:
        bound = await _await_port(process, log)
        directory = root / str(bound)
        directory.mkdir(exist_ok=True)
        log.replace(directory / "anvil.log")
    except BaseException:
        process.kill()
        process.wait()
        with contextlib.suppress(OSError):
            log.unlink(missing_ok=True)
        raise
    return Anvil(process, bound, directory)


def _spawn(binary: str, port: int, extra: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    arguments = [
        *(sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid()), binary),
        *("--host", "127.0.0.1", "--port", str(port), "--chain-id", str(CHAIN_ID), "--mnemonic", MNEMONIC),
        *(
            "--gas-limit",
            str(BLOCK_GAS_LIMIT),
            "--enable-tx-gas-limit",
            "--timestamp",
            str(GENESIS_TIMESTAMP),
        ),
        *("--order", "fees", "--slots-in-an-epoch", "1", "--color", "never", "--no-request-size-limit"),
        *("--prune-history", str(STATES_KEPT)),
        *extra,
    ]
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        stream = log.open("wb")
    except OSError as error:
        raise DevnetError(f"{log.parent}: cannot be written ({error.strerror}); set ARBTUI_STATE") from error
    # Not a pipe: an undrained one stops anvil after some thousand calls.
    with stream:
        try:
            return subprocess.Popen(  # noqa: S603
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            log.unlink(missing_ok=True)
            raise DevnetError(f"{binary}: cannot be started ({error.strerror}); run `make setup`") from error


async def _await_port(process: subprocess.Popen[bytes], log: Path) -> int:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START_TIMEOUT_S
    while True:
        ended = process.poll() is not None
        port, last = _read_log(log)
        if port:
            return port
        if ended or loop.time() > deadline:
            what = (
                f"ended with code {process.returncode}" if ended else f"said no port in {START_TIMEOUT_S:g} s"
            )
            raise DevnetError(f"anvil {what}: {last}; see `arbtui devnet up --help`")
        await asyncio.sleep(_POLL_S)


def _read_log(log: Path) -> tuple[int, str]:
    """The port anvil said it listens on (0: none yet), and its last line."""
    text = log.read_text("utf-8", "replace")
    found = _LISTENING.search(text)
    last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")
    return int(found[1]) if found else 0, safe_text(last, 160)
