from __future__ import annotations

import asyncio

import click

from arbtui.bootstrap import Finding, diagnose
from arbtui.cli.common import config_option, emit, json_option
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
        for finding in _grouped(findings):
            click.echo(f"{'ok' if finding.ok else 'NO'}  {finding.check}: {finding.detail}")
    return 0 if ok else 3


def _grouped(findings: list[Finding]) -> list[Finding]:
    """Tokens and pools as one line each while nothing is wrong with them."""
    shown = list(findings)
    for kind in ("tokens", "pools"):
        mine = [finding for finding in shown if finding.check.startswith(f"{kind} ")]
        if mine and all(finding.ok for finding in mine):
            first = shown.index(mine[0])
            shown = [finding for finding in shown if finding not in mine]
            shown.insert(first, Finding(kind, True, f"{len(mine)}, each with code"))
    return shown
