"""`arbtui`: one file a command group, loaded when it is called."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import sys
from typing import Any

import click

from arbtui import __version__
from arbtui.errors import ArbtuiError, ConfigError
from arbtui.text import redact

#: command -> module and attribute, and the line `arbtui --help` shows without loading it.
_COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("arbtui.cli.demo:demo", "The whole thing on a local chain: traffic, engine, report."),
    "drill": ("arbtui.cli.drill:drill", "Rehearse a fault on a local chain of its own."),
    "devnet": ("arbtui.cli.devnet:devnet", "Start, show and stop the local chain."),
    "doctor": ("arbtui.cli.doctor:doctor", "Look at configuration, node, contracts and store."),
    "nodes": ("arbtui.cli.nodes:nodes", "The nodes as the engine sees them."),
    "engine": ("arbtui.cli.run:engine", "The engine alone, until it is stopped."),
    "attach": ("arbtui.cli.run:attach", "Open the desk on a running engine's store."),
    "run": ("arbtui.cli.run:run", "Watch, decide, and as far as the stage allows, execute."),
    "scan": ("arbtui.cli.scan:scan", "Find cycles that pay, on a node or in a snapshot."),
    "pools": ("arbtui.cli.pools:pools", "Discover pools, list them, write the market to a file."),
    "swap": ("arbtui.cli.swap:swap", "Price one pool exactly, with the state after it."),
    "quote": ("arbtui.cli.quote:quote", "Quote every flash lender for an amount of a token."),
    "classify": ("arbtui.cli.classify:classify", "Say what an error or revert data means."),
    "tickets": ("arbtui.cli.records:tickets", "The newest tickets and what became of each."),
    "approve": ("arbtui.cli.decide:approve", "Approve a waiting ticket."),
    "strategy": ("arbtui.cli.decide:strategy", "Make a waiting ticket anew with another gas strategy."),
    "reject": ("arbtui.cli.decide:reject", "Reject a waiting ticket, with a reason."),
    "acknowledge": (
        "arbtui.cli.decide:acknowledge",
        "Say why balances differ from settlements: sending goes on.",
    ),
    "executions": ("arbtui.cli.records:executions", "Executions with status, lender and profit."),
    "recover": ("arbtui.cli.recover:recover", "What is not final, and what a start will do about it."),
    "report": ("arbtui.cli.report:report", "What was earned, what was missed and why."),
    "alert": ("arbtui.cli.alert:alert", "Tell somebody: channels, watch, what was told."),
    "metrics": ("arbtui.cli.metrics:metrics", "Figures for Prometheus, and /healthz, on loopback."),
    "db": ("arbtui.cli.db:db", "Check the store, or bring it up to this version."),
    "config": ("arbtui.cli.config:config", "Show or check the configuration."),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="arbtui", message="%(prog)s %(version)s")
@click.option("-v", "--verbose", count=True, help="Log to standard error; twice for more.")
def cli(verbose: int) -> None:
    """An operator's console and execution toolkit for on-chain DEX arbitrage with flash loans."""
    level = (logging.ERROR, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


def main(argv: list[str] | None = None) -> Any:
    """Run a command; every error of ours becomes one line and its exit code."""
    try:
        code = cli.main(argv, prog_name="arbtui", standalone_mode=False) or 0
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:
        # The reader has gone away (`| head -1`); what is left in the buffer must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        what = error.filename or "the output"
        click.echo(f"error: {what} cannot be read or written ({error.strerror})", err=True)
        sys.exit(3)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except ConfigError as error:
        lines = error.problems if len(error.problems) > 1 else ()
        click.echo(f"error: {redact(str(error))}" if not lines else _listed(error), err=True)
        sys.exit(error.exit_code)
    except ArbtuiError as error:
        click.echo(f"error: {redact(str(error))}", err=True)
        sys.exit(error.exit_code)


def _listed(error: ConfigError) -> str:
    head = str(error).partition(": ")[0]
    return "\n".join(f"error: {head}: {redact(problem)}" for problem in error.problems)
