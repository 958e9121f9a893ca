from __future__ import annotations

import asyncio

import click

from arbtui.approval import ApproveMode
from arbtui.cli.common import config_option, emit, json_option
from arbtui.cli.report import show_report
from arbtui.cli.running import report_of, run_headless
from arbtui.config import load_config
from arbtui.domain import Stage
from arbtui.errors import RefusedError
from arbtui.store import utc_now


@click.command()
@click.option("--headless", is_flag=True, help="Without the desk: lines on standard error, then the report.")
@click.option("--stage", type=click.Choice([str(s) for s in Stage]), default="observe", show_default=True)
@click.option(
    "--approve", type=click.Choice([str(m) for m in ApproveMode]), default="none", show_default=True
)
@click.option(
    "--for", "seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after so many seconds."
)
@config_option
@json_option
def run(
    headless: bool, stage: str, approve: str, seconds: float | None, config_file: str | None, as_json: bool
) -> int:
    """Watch, decide, and as far as the stage allows, execute. Sends nothing unless --stage live."""
    if not headless:
        raise RefusedError("there is no desk yet: add --headless")
    config = load_config(config_file)
    began = utc_now()
    asyncio.run(run_headless(config, Stage(stage), ApproveMode(approve), seconds))
    answer = report_of(config, Stage(stage), began)
    if as_json:
        emit(answer)
    else:
        show_report(answer)
    return 0
