"""`run`, `engine` and `attach`: engine and desk are processes of their own, with the store between them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from arbtui.approval import ApproveMode, require_stage
from arbtui.cli.common import config_option, emit, json_option
from arbtui.cli.report import show_report
from arbtui.cli.running import report_of, run_headless
from arbtui.config import Config, find_config, load_config
from arbtui.devnet.anvil import end_with_parent
from arbtui.discovering import known
from arbtui.domain import Stage
from arbtui.errors import RefusedError, StoreError
from arbtui.store import engine_pid, utc_now
from arbtui.store.database import family_of

F = TypeVar("F", bound=Callable[..., Any])

#: How long a starting engine may take to hold its store, and a stopping one to let go (it drains for 10 s).
START_S = 20.0
STOP_S = 15.0
LOG = "engine.log"
TIED = "ARBTUI_ENGINE_PDEATHSIG"


def stage_options(command: F) -> F:
    """--stage and --approve; the defaults send nothing."""
    command = click.option(
        "--approve", type=click.Choice([str(m) for m in ApproveMode]), default="none", show_default=True
    )(command)
    return click.option(
        "--stage", type=click.Choice([str(s) for s in Stage]), default="observe", show_default=True
    )(command)


@click.command()
@click.option("--headless", is_flag=True, help="Without the desk: lines on standard error, then the report.")
@stage_options
@click.option(
    "--for", "seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after so many seconds."
)
@config_option
@json_option
def run(
    headless: bool, stage: str, approve: str, seconds: float | None, config_file: str | None, as_json: bool
) -> int:
    """Watch, decide, and as far as the stage allows, execute. Sends nothing unless --stage live.

    Opens the desk on an engine of its own; losing the terminal ends the desk only.
    """
    config = load_config(config_file)
    if headless:
        began = utc_now()
        asyncio.run(run_headless(config, Stage(stage), ApproveMode(approve), seconds))
        answer = report_of(config, Stage(stage), began)
        if as_json:
            emit(answer)
        else:
            show_report(answer)
        return 0
    require_terminal("add --headless")
    require_stage(Stage(stage), ApproveMode(approve), local=True)
    child = start_engine(config, find_config(config_file), Stage(stage), ApproveMode(approve))
    if open_desk_on(config, Stage(stage), owns_engine=True):
        stop_engine(child)
    else:
        click.echo(
            f"the engine goes on as process {child.pid}; `arbtui attach` opens the desk again", err=True
        )
    return 0


@click.command()
@stage_options
@config_option
def engine(stage: str, approve: str, config_file: str | None) -> int:
    """The engine alone, until SIGINT or SIGTERM; lines on standard error. `arbtui attach` opens a desk on it."""
    if os.environ.pop(TIED, ""):
        end_with_parent(signal.SIGTERM)
    asyncio.run(run_headless(load_config(config_file), Stage(stage), ApproveMode(approve), None))
    return 0


@click.command()
@click.option(
    "--stage",
    type=click.Choice([str(s) for s in Stage]),
    default="live",
    show_default=True,
    help="Which store file.",
)
@click.option("--read-only", is_flag=True, help="Look only: nothing can be approved or rejected.")
@config_option
def attach(stage: str, read_only: bool, config_file: str | None) -> int:
    """Open the desk on the store of an engine that runs, or ran. It holds no key and opens no node."""
    require_terminal("`arbtui tickets`, `executions` and `report` read the same store")
    open_desk_on(load_config(config_file), Stage(stage), owns_engine=False, read_only=read_only)
    return 0


def require_terminal(instead: str) -> None:
    """Raise RefusedError where there is no terminal to draw a desk in."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise RefusedError(f"there is no terminal for the desk: {instead}")


def spawn_engine(
    config: Config, config_path: Path, stage: Stage, approve: ApproveMode, *, tied: bool = False
) -> subprocess.Popen[bytes]:
    """An engine in a session of its own; its lines go to `engine.log` in the store.

    A `tied` one drains and ends when this process is gone, however it went.
    """
    directory = config.store.directory
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOG).open("ab") as sink:
        return subprocess.Popen(  # noqa: S603 - our own program
            [
                *(sys.executable, "-m", "arbtui", "engine", "--config", str(config_path)),
                *("--stage", str(stage), "--approve", str(approve)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={**os.environ, **({TIED: "1"} if tied else {})},
            start_new_session=True,
        )


def start_engine(
    config: Config, config_path: Path, stage: Stage, approve: ApproveMode
) -> subprocess.Popen[bytes]:
    """`spawn_engine`, returning once it holds the store; raises StoreError with its last line where it ends before."""
    directory = config.store.directory
    log = directory / LOG
    start = log.stat().st_size if log.exists() else 0
    child = spawn_engine(config, config_path, stage, approve)
    end = time.monotonic() + START_S
    while time.monotonic() < end and engine_pid(directory) != child.pid:
        if child.poll() is not None:
            said = log.read_bytes()[start:].decode("utf-8", "replace").strip().splitlines()
            raise StoreError((said[-1] if said else f"the engine ended; see {log}").removeprefix("error: "))
        time.sleep(0.02)
    return child


def stop_engine(child: subprocess.Popen[bytes]) -> None:
    """Drain and end it: what is in flight may end first."""
    child.send_signal(signal.SIGTERM)
    click.echo("the engine drains and stops …", err=True)
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def open_desk_on(config: Config, stage: Stage, *, owns_engine: bool, read_only: bool = False) -> bool:
    """The desk in this terminal; whether the engine is to be stopped."""
    from arbtui.tui import DeskSettings, run_desk

    done = run_desk(
        DeskSettings(
            directory=config.store.directory,
            family=family_of(stage),
            chain_name=config.chain.name,
            native_symbol=config.chain.native_symbol,
            block_time_s=config.chain.block_time_s,
            owns_engine=owns_engine,
            read_only=read_only,
            tokens={**known(config).tokens, **config.token_map()},
            ascii="UTF-8" not in os.environ.get("LC_ALL", os.environ.get("LANG", "C.UTF-8")).upper(),
        )
    )
    return done.stop_engine
