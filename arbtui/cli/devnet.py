"""`arbtui devnet`: the local chain, up and down."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import click

from arbtui.devnet import runs
from arbtui.devnet.anvil import end_with_parent, require_free, state_root
from arbtui.devnet.chain import Devnet, start
from arbtui.devnet.plan import DEFAULT_SEED
from arbtui.devnet.runs import DEFAULT_PORT, ProcessId, Run
from arbtui.devnet.traffic import Traffic
from arbtui.errors import DevnetError

PDEATHSIG = "ARBTUI_DEVNET_PDEATHSIG"
DETACH_TIMEOUT_S = 90.0
_ANVIL_POLL_S = 0.25


@click.group()
def devnet() -> None:
    """The local chain: real protocols on anvil, with traders."""


@devnet.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: any."
)
@click.option(
    "--block-time",
    type=click.IntRange(0, 600),
    default=2,
    show_default=True,
    help="Seconds between blocks; 0: one for each transaction.",
)
@click.option(
    "--seed", type=int, default=DEFAULT_SEED, show_default=True, help="Liquidity and traders' draws."
)
@click.option("--traffic/--no-traffic", default=True, show_default=True, help="Traders that move the prices.")
@click.option("--detach", is_flag=True, help="Leave it running in the background; ended by `devnet down`.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line on standard output when it is ready.")
def up(port: int, block_time: int, seed: int, traffic: bool, detach: bool, as_json: bool) -> None:
    """Start the local chain and keep it until interrupted."""
    if detach:
        _up_in_background(port, block_time, seed, traffic, as_json)
    else:
        if os.environ.get(PDEATHSIG) == "1":
            end_with_parent(signal.SIGTERM)
            if os.getppid() == 1:
                raise DevnetError("the process that asked for a local chain is gone; nothing was started")
        asyncio.run(_up(port, block_time, seed, traffic, as_json))


@devnet.command()
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="Default: 8545, or the only one.")
def down(port: int | None) -> None:
    """End a local chain that runs in the background (or elsewhere)."""
    run = runs.find(port)
    if run is None:
        where = f" on port {port}" if port else ""
        raise DevnetError(f"no local chain is running{where}; start one with `arbtui devnet up`")
    runs.end(run)
    click.echo(f"local chain on port {run.port} ended", err=True)


@devnet.command()
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="Default: 8545, or the only one.")
@click.option("--json", "as_json", is_flag=True, help="The address book as JSON.")
def status(port: int | None, as_json: bool) -> None:
    """Say whether a local chain is running, and where."""
    run = runs.find(port)
    if as_json:
        click.echo(json.dumps({"running": run is not None, **(run.to_json() if run else {})}))
    elif run is None:
        click.echo("no local chain is running")
    else:
        _tell(run)


async def _up(port: int, block_time: int, seed: int, traffic: bool, as_json: bool) -> None:
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None  # noqa: S101
    asked_to_end = False

    def end() -> None:
        nonlocal asked_to_end
        if not asked_to_end:
            asked_to_end = True
            me.cancel()

    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(sig, end)
    try:
        async with start(port, seed=seed, block_time=block_time, notice=_notice) as chain:
            run = Run(
                chain.port,
                ProcessId.of(os.getpid()),
                ProcessId.of(chain.anvil_pid),
                chain.book,
                traffic,
                block_time,
            )
            runs.record(run)
            how = "from the cache" if chain.from_cache else f"{chain.book.transactions} transactions"
            _notice(f"ready in {chain.seconds:.1f} s ({how})")
            if as_json:
                click.echo(json.dumps(run.to_json()))
            else:
                _tell(run)
            sys.stdout.flush()
            try:
                await _keep(chain, seed, traffic)
            finally:
                runs.erase(chain.port)
    except asyncio.CancelledError:
        if not asked_to_end:
            raise


async def _keep(chain: Devnet, seed: int, traffic: bool) -> None:
    """Run the traders until anvil ends; ended itself by cancellation."""
    actor = asyncio.create_task(Traffic(chain.rpc_url, chain.book, seed, _notice).run()) if traffic else None
    try:
        while chain.running():
            await asyncio.sleep(_ANVIL_POLL_S)
            if actor is not None and actor.done():
                await actor
    finally:
        if actor is not None:
            actor.cancel()
            await asyncio.gather(actor, return_exceptions=True)
    raise DevnetError(f"anvil on port {chain.port} ended by itself; the last lines of anvil.log tell why")


def _up_in_background(port: int, block_time: int, seed: int, traffic: bool, as_json: bool) -> None:
    if port:
        require_free(port)
    root = state_root()
    out, err = (root / f".up-{os.getpid()}-{secrets.token_hex(4)}.{kind}" for kind in ("out", "err"))
    arguments = [sys.executable, "-m", "arbtui", "devnet", "up", "--json", "--port", str(port)]
    arguments += ["--block-time", str(block_time), "--seed", str(seed)]
    arguments += ["--traffic" if traffic else "--no-traffic"]
    environment = {name: value for name, value in os.environ.items() if name != PDEATHSIG}
    try:
        root.mkdir(parents=True, exist_ok=True)
        with out.open("wb") as stdout, err.open("wb") as stderr:
            child = subprocess.Popen(  # noqa: S603
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=environment,
                start_new_session=True,
            )
        line = _await_line(child, out, err)
        book = json.loads(line)
        err.replace(root / str(book["port"]) / "up.log")
    except OSError as error:
        raise DevnetError(
            f"{root}: {error.strerror}; set ARBTUI_STATE to a folder that can be written"
        ) from error
    finally:
        for path in (out, err):
            path.unlink(missing_ok=True)
    if as_json:
        click.echo(line)
    else:
        ready = runs.find(int(book["port"]))
        if ready is not None:
            _tell(ready)
    # It outlives this process on purpose.
    child.returncode = 0


def _await_line(child: subprocess.Popen[bytes], out: Path, err: Path) -> str:
    deadline = time.monotonic() + DETACH_TIMEOUT_S
    while time.monotonic() < deadline:
        ended = child.poll() is not None
        text = out.read_text("utf-8")
        if text.endswith("\n"):
            return text.strip()
        if ended:
            said = err.read_text("utf-8", "replace").strip().splitlines()
            raise DevnetError(said[-1].removeprefix("error: ") if said else "the local chain ended at once")
        time.sleep(0.02)
    child.terminate()
    raise DevnetError(f"the local chain was not ready within {DETACH_TIMEOUT_S:g} s; it was ended")


def _notice(text: str) -> None:
    click.echo(f"devnet: {text}", err=True)


def _tell(run: Run) -> None:
    book = run.book
    click.echo(f"local chain {book.chain_id} at {book.rpc_url} (process {run.keeper.pid})")
    click.echo(f"  {len(book.tokens)} tokens, {len(book.pools)} pools, lenders {', '.join(book.lenders)}")
    click.echo(f"  configuration {book.config}")
