from __future__ import annotations

import signal
import threading
import time

import click

from arbtui.cli.common import config_option
from arbtui.config import load_config
from arbtui.domain import NATIVE, Token
from arbtui.monitor.metrics import Gauges, open_server


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=9_469, show_default=True, help="0: a free one."
)
@click.option("--family", type=click.Choice(["live", "paper"]), default="live", show_default=True)
@click.option(
    "--for", "seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after so many seconds."
)
@config_option
def metrics(port: int, family: str, seconds: float | None, config_file: str | None) -> int:
    """Serve /metrics and /healthz on 127.0.0.1, from the store, until SIGINT or SIGTERM. Never part of the engine."""
    config = load_config(config_file)
    gauges = Gauges(
        config.store.directory,
        "live" if family == "live" else "paper",
        Token(NATIVE, config.chain.native_symbol, 18),
        stale_s=max(15.0, config.alerts.stale_blocks * config.chain.block_time_s),
    )
    server = open_server(gauges, port)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    click.echo(f"http://127.0.0.1:{server.server_address[1]}/metrics and /healthz", err=True)
    end = None if seconds is None else time.monotonic() + seconds
    while not stop.wait(0.1) and (end is None or time.monotonic() < end):
        pass
    server.shutdown()
    server.server_close()
    gauges.close()
    return 0
