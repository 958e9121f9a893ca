from __future__ import annotations

import asyncio

import click

from arbtui.bootstrap import diagnose
from arbtui.cli.common import config_option, emit, json_option, table
from arbtui.config import load_config


@click.command()
@config_option
@json_option
def doctor(config_file: str | None, as_json: bool) -> int:
    """Look at configuration, node, contracts and store; exit 3 if something is not as it should be."""
    findings = asyncio.run(diagnose(load_config(config_file)))
    ok = all(finding.ok for finding in findings)
    if as_json:
        emit({"ok": ok, "checks": [{"check": f.check, "ok": f.ok, "detail": f.detail} for f in findings]})
    else:
        table(["", "check", ""], [["ok" if f.ok else "NO", f.check, f.detail] for f in findings])
    return 0 if ok else 3
