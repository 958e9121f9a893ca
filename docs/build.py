"""Writes what is generated in docs/ and checks every relative link: `make docs`, or `--check` to change nothing.

Generated: commands.md from click, the table of keys in configuration.md from the pydantic models, and the table of
moves in architecture.md from domain/execution.py, the classes and the playbook in errors.md from recovery/, and the
replacement rules in gas.md from gas/replacement.py.
"""

from __future__ import annotations

import argparse
import re
import sys
import types
import typing
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import click
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from arbtui.cli import cli
from arbtui.config import Config
from arbtui.domain import ExecutionStatus
from arbtui.domain.execution import ALLOWED_MOVES, FINAL_STATUSES
from arbtui.gas.replacement import RULES, Measure
from arbtui.recovery.classes import MEANINGS
from arbtui.recovery.playbook import PLAYBOOK, Rule

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
WIDTH = 100

#: key -> (unit, meaning). A key without a note, and a note without a key, fail the build.
NOTES: dict[str, tuple[str, str]] = {
    "chain.preset": ("", "a public chain whose [data file](lenders.md#presets) fills in what is left out"),
    "chain.name": ("", "how this chain is called in output and store"),
    "chain.chain_id": ("", "the node must answer this id"),
    "chain.rpc_url": ("", "http:// or https://; may carry a key and is never shown whole"),
    "chain.fallback_urls": (
        "",
        "further nodes, asked where the first one fails, and for agreement; secret too",
    ),
    "chain.agree_least": (
        "nodes",
        "that have to say the same before anything is sent; none: two, or the only one "
        "([why](nodes.md#agreement))",
    ),
    "chain.push_url": ("", "ws://, wss://, or the path of a unix socket: rings for new heads; secret too"),
    "chain.wrapped_native": ("", "the wrapped native coin; must be one of `tokens`"),
    "chain.native_symbol": ("", "symbol of the native coin"),
    "chain.multicall": ("", "Multicall3, or a contract with its `aggregate3`"),
    "chain.local": ("", "a remark for readers; whether a chain is local is asked of the node"),
    "chain.block_time_s": ("s", "between blocks; the simulation's next timestamp and the ladder's pace"),
    "chain.poll_interval_s": ("s", "between looks for a new head"),
    "chain.timeout_s": ("s", "for one request to the node"),
    "wallet.address": ("", "sends the transactions and pays the gas; the executor's operator"),
    "wallet.executor": ("", "the contract that trades"),
    "wallet.treasury": ("", "receives every profit; must be what the executor says"),
    "store.directory": ("", "folder of the store; a relative one stands beside the file"),
    "store.keep_days": (
        "days",
        "the engine [prunes](maintenance.md#store-growth) whole UTC days older than that; 0: none, ever",
    ),
    "search.base_tokens": ("", "symbols or addresses; a cycle starts and ends in one of these"),
    "search.max_hops": ("hops", "longest cycle that `run` looks for; 4 hops over the most liquid pools"),
    "search.top": ("", "opportunities a block that are quoted and simulated, best net first"),
    "search.record": ("", "opportunities a block that get a row of their own; the others are counted"),
    "watch.check_blocks": ("blocks", "how often some pools are compared with what the node says of them"),
    "watch.check_pools": ("", "how many pools, in turn, are compared each time"),
    "watch.whole_ticks_spacing": (
        "ticks",
        "Uniswap V3 pools of at least this spacing are read with all their ticks",
    ),
    "tickets.floor_share_bps": ("bps", "least share of the hoped profit that goes into the floor"),
    "tickets.auto_ttl_blocks": ("blocks", "life of a ticket that approves by itself"),
    "tickets.manual_ttl_s": ("s", "life of a ticket that waits for a person"),
    "tickets.per_block": ("", "tickets that may wait at once"),
    "gas.strategy": ("", "one of `gas.strategies`, or `dynamic`, which chooses one of them for each ticket"),
    "gas.strategies": ("", "see below; a table given here takes the place of all three"),
    "gas.max_fee_per_gas": ("wei per gas", "never pay more, whatever the strategy says"),
    "gas.min_priority_fee_per_gas": ("wei per gas", "least tip"),
    "gas.max_priority_fee_per_gas": ("wei per gas", "highest first tip"),
    "gas.max_cost_wei": (
        "wei",
        "gas limit × max fee never passes this: nodes refuse above 1 coin by default",
    ),
    "gas.gas_limit_buffer": ("factor", "gas limit over the simulated gas"),
    "relays.url": (
        "",
        "a private relay (eth_sendPrivateTransaction): trades go there and "
        "[nowhere else](transactions.md#private-relays)",
    ),
    "validation.min_liquidity_wei": ("wei", "check `liquidity`"),
    "validation.max_price_impact_bps": ("bps", "check `price_impact`"),
    "validation.min_net_profit_wei": ("wei", "check `gas_cost`, and part of the floor"),
    "validation.max_head_age_s": ("s", "check `freshness`"),
    "validation.max_hops": ("hops", "check `path`"),
    "lenders.aave_v2.address": ("", "LendingPool; this or `registry`"),
    "lenders.aave_v2.registry": ("", "LendingPoolAddressesProvider: it is asked where the pool is"),
    "lenders.aave_v2.enabled": ("", "use it; if not it is quoted as `disabled`"),
    "lenders.aave_v3.address": ("", "Pool; this or `registry`"),
    "lenders.aave_v3.registry": ("", "PoolAddressesProvider: it is asked where the pool is"),
    "lenders.aave_v3.enabled": ("", "use it; if not it is quoted as `disabled`"),
    "lenders.spark.address": ("", "Spark's Pool; this or `registry`"),
    "lenders.spark.registry": ("", "its PoolAddressesProvider: it is asked where the pool is"),
    "lenders.spark.enabled": ("", "use it; if not it is quoted as `disabled`"),
    "lenders.prime.address": ("", "the Pool of Aave's Prime market; this or `registry`"),
    "lenders.prime.registry": ("", "its PoolAddressesProvider: it is asked where the pool is"),
    "lenders.prime.enabled": ("", "use it; if not it is quoted as `disabled`"),
    "lenders.balancer_v2.address": ("", "Vault"),
    "lenders.balancer_v2.enabled": ("", "use it"),
    "lenders.maker.address": ("", "DssFlash; this or `registry`"),
    "lenders.maker.registry": ("", "Maker's chainlog: it is asked for MCD_FLASH"),
    "lenders.maker.enabled": ("", "use it"),
    "lenders.maker.stand_in": ("", "it is the local chain's stand-in, and is called so"),
    "lenders.erc3156.address": ("", "any ERC-3156 lender that pulls its repayment"),
    "lenders.erc3156.enabled": ("", "use it"),
    "lenders.morpho.address": ("", "Morpho Blue"),
    "lenders.morpho.enabled": ("", "use it"),
    "lenders.uniswap_v3.dexes": ("", "exchanges, as `pools[].dex` has them, whose pools may lend"),
    "lenders.uniswap_v3.enabled": ("", "use it"),
    "lenders.uniswap_v2.dexes": ("", "exchanges, as `pools[].dex` has them, whose pools may lend"),
    "lenders.uniswap_v2.enabled": ("", "use it"),
    "lenders.flash_swap.dexes": ("", "exchanges whose pairs may pay first, as the last pair of a path"),
    "lenders.flash_swap.enabled": ("", "use it"),
    "lenders.own.limit": ("base units", "of any one token; 0: own capital is never used"),
    "discovery.factories[].dex": ("", "how the exchange of its pools is called"),
    "discovery.factories[].kind": ("", "the pool family"),
    "discovery.factories[].address": ("", "the factory"),
    "discovery.factories[].fee_ppm": (
        "ppm",
        "of a `uniswap_v2` fork, and needed there; V3 pools carry their own",
    ),
    "discovery.factories[].from_block": ("block", "of its deployment: no log is looked for below"),
    "discovery.factories[].listing": (
        "",
        "of a `uniswap_v2` fork: by number (default) or by PairCreated logs",
    ),
    "discovery.min_liquidity_wei": ("wei", "least that a pool holds on its thinner side"),
    "discovery.max_pools": ("pools", "the most valuable so many are kept"),
    "discovery.allow_tokens": ("", "addresses: used although they look like another token"),
    "discovery.block_tokens": ("", "addresses: no pool with one of these"),
    "discovery.allow_pools": ("", "addresses: kept whatever they hold and wherever they lead"),
    "discovery.block_pools": ("", "addresses: never kept"),
    "discovery.only_allowed": (
        "",
        "keep nothing but `allow_pools`, and pools of base tokens and `allow_tokens`",
    ),
    "discovery.log_blocks": ("blocks", "widest range of one request for logs; shrinks by itself"),
    "discovery.refresh_blocks": ("blocks", "age at which what pools hold is read again"),
    "reconciliation.depth_blocks": (
        "blocks",
        "a block with so many above it counts as final: 64 on Ethereum",
    ),
    "reconciliation.stop_on_gain": ("", "whether a gain that no settlement explains stops sending too"),
    "alerts.urls": ("", "apprise addresses, each a secret: [alerts.md](alerts.md)"),
    "alerts.every_s": ("s", "between looks at the store"),
    "alerts.cooldown_s": ("s", "between messages about one thing that is not urgent"),
    "alerts.off": ("", "rules that are not wanted"),
    "alerts.ticket_above_wei": ("wei", "rule `ticket_waits`"),
    "alerts.loss_above_wei": ("wei", "rule `loss`, for reverts and cancels"),
    "alerts.low_gas_wei": ("wei", "rule `low_gas`"),
    "alerts.stale_blocks": ("blocks", "rule `node_stale`"),
    "alerts.stuck_s": ("s", "rule `stuck`"),
    "alerts.min_success_rate": ("share", "rule `success_rate`"),
    "alerts.min_realised_share": ("share", "rule `realised`"),
    "alerts.window_s": ("s", "what the two bounds before are over"),
    "alerts.at_least": ("", "executions below which they say nothing"),
    "alerts.disk_free_mb": ("MiB", "rule `disk_low`"),
    "alerts.summary_hour": ("h, UTC", "rule `summary`; -1: none"),
    "tokens[].address": ("", ""),
    "tokens[].symbol": ("", "how it is shown; may be shared"),
    "tokens[].decimals": ("", ""),
    "pools[].address": ("", ""),
    "pools[].dex": ("", "how its exchange is called"),
    "pools[].kind": ("", "the pool family"),
    "pools[].token0": ("", "the lower address of the two; must be in `tokens`"),
    "pools[].token1": ("", "must be in `tokens`"),
    "pools[].fee_ppm": ("ppm", "fee on the input"),
    "pools[].tick_spacing": ("ticks", "for `uniswap_v3` alone, and needed there"),
}


# ---- commands


def commands_page() -> str:
    """docs/commands.md."""
    parts = [
        "# Commands\n\nWritten by `make docs` from the program itself; do not edit.\n\n"
        "Exit codes: 0 done; 1 the answer is no; 2 bad usage or configuration, or refused; 3 a node, a file or a "
        "database could not be reached; 130 interrupted. An error is one line on standard error.\n"
    ]
    for path, text in _helps(cli, "arbtui", None):
        parts.append(f"## {path}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _helps(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    context = click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        **command.context_settings,
    )
    yield context.command_path, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None:
                yield from _helps(found, child, context)


# ---- configuration


def configuration_table() -> str:
    """A row for every key of every model."""
    rows = list(_keys(Config, ""))
    known = {row[0] for row in rows}
    if known != set(NOTES):
        lacking, left = sorted(known - set(NOTES)), sorted(set(NOTES) - known)
        raise SystemExit(f"docs/build.py: NOTES lacks {lacking}, and has {left} for which there is no key")
    out = ["| key | type | default | unit | meaning |", "|---|---|---|---|---|"]
    for key, kind, default in rows:
        unit, meaning = NOTES[key]
        out.append(f"| `{key}` | {kind} | {default} | {unit} | {meaning} |")
    return "\n".join(out)


def _keys(model: type[BaseModel], prefix: str, table: str = "") -> Iterator[tuple[str, str, str]]:
    for name, info in model.model_fields.items():
        inner, many = _model_in(info.annotation)
        if inner is None:
            default = _default(info)
            where = f" where `{table}` is there" if table and info.is_required() else ""
            yield f"{prefix}{name}", _type(info), default + where
        elif many and _origin(info.annotation) == "dict":
            yield f"{prefix}{name}", "tables", "three strategies"
        else:
            optional = type(None) in typing.get_args(info.annotation)
            table = f"[{prefix}{name}]" if optional else ""
            yield from _keys(inner, f"{prefix}{name}{'[]' if many else ''}.", table)


def _origin(annotation: Any) -> str:
    """Name of a generic's origin: "tuple", "dict", or ""."""
    return getattr(typing.get_origin(annotation), "__name__", "")


def _model_in(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model an annotation holds, and whether it may hold several."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for part in typing.get_args(annotation):
        found, _ = _model_in(part)
        if found is not None:
            return found, typing.get_origin(annotation) not in (typing.Union, types.UnionType)
    return None, False


_NAMES = {"Decimal": "decimal", "float": "number", "Path": "path", "SecretStr": "address (secret)"}


def _type(info: FieldInfo) -> str:
    annotation = info.annotation
    parts = [a for a in typing.get_args(annotation) if a is not type(None)]
    if _origin(annotation) == "tuple":
        secret = SecretStr in typing.get_args(annotation)
        name = "list of addresses (secret)" if secret else "list of text"
    else:
        bare = parts[0] if parts else annotation
        name = getattr(bare, "__name__", str(bare))
        values = (
            [member.value for member in bare] if isinstance(bare, type) and issubclass(bare, Enum) else []
        )
        text = "text" if name == "str" else name
        name = " or ".join(f"`{v}`" for v in values) or _NAMES.get(
            name, {"Address": "address"}.get(name, text)
        )
    bounds = []
    for rule in info.metadata:
        match rule:
            case Ge():
                bounds.append(f"≥ {_number(rule.ge)}")
            case Gt():
                bounds.append(f"> {_number(rule.gt)}")
            case Le():
                bounds.append(f"≤ {_number(rule.le)}")
            case Lt():
                bounds.append(f"< {_number(rule.lt)}")
            case MinLen() if rule.min_length and name == "list of text":
                bounds.append("not empty")
            case MaxLen() if name.startswith("list"):
                bounds.append(f"at most {rule.max_length}")
            case MaxLen():
                bounds.append(f"at most {rule.max_length} characters")
            case _:
                pass
    return f"{name}, {', '.join(bounds)}" if bounds else name


def _number(value: Any) -> str:
    # TOML takes the underscores.
    return str(value) if isinstance(value, Decimal) else f"{value:_}"


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "needed"
    value = info.get_default(call_default_factory=True)
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float, Decimal)):
        return _number(value)
    return f"`{value}`"


def strategies_table() -> str:
    """The strategies there are without configuration."""
    default = Config.model_fields["gas"].default
    out = ["| strategy | buffer | max_tries | timeout (s) |", "|---|---|---|---|"]
    for name, strategy in default.strategies.items():
        mark = " (default)" if name == default.strategy else ""
        out.append(f"| `{name}`{mark} | {strategy.buffer} | {strategy.max_tries} | {strategy.timeout:g} |")
    return "\n".join(out)


# ---- moves


def moves_table() -> str:
    """Rows: from; columns: to. A dot is a move that is allowed."""
    columns = [status for status in ExecutionStatus if any(status in to for to in ALLOWED_MOVES.values())]
    out = [
        "| from \\ to | " + " | ".join(columns) + " | final |",
        "|---|" + ":-:|" * (len(columns) + 1),
    ]
    for status in ExecutionStatus:
        cells = ["●" if column in ALLOWED_MOVES[status] else "" for column in columns]
        final = "yes" if status in FINAL_STATUSES else ""
        out.append(f"| **{status}** | " + " | ".join([*cells, final]) + " |")
    return "\n".join(out)


# ---- errors and gas


def classes_table() -> str:
    """Every class of errors: what it means, what it proves of a send, what is done first."""
    out = ["| class | means | proves of a send | first action |", "|---|---|---|---|"]
    for name, meaning in MEANINGS.items():
        proof = str(meaning.delivery).replace("_", " ")
        out.append(f"| `{name}` | **{meaning.title}.** {meaning.explain} | {proof} | `{meaning.action}` |")
    return "\n".join(out)


def playbook_table() -> str:
    """Action (tries) and what follows, by class and phase."""
    out = ["| class | unsigned | prepared | pending | mined |", "|---|---|---|---|---|"]
    for name, rules in PLAYBOOK.items():
        out.append(f"| `{name}` | " + " | ".join(_rule(rule) for rule in rules) + " |")
    return "\n".join(out)


def _rule(rule: Rule) -> str:
    text = f"`{rule.action}`"
    if rule.limit:
        text += f" ×{rule.limit}, then `{rule.after}`"
    if rule.if_lost is not None:
        text += f"; lost: `{rule.if_lost}`"
    return text + (" !" if rule.alarm else "")


def replacement_table() -> str:
    """What each client's pool asks."""
    out = ["| client | compares | at least | rounding |", "|---|---|---|---|"]
    words = {
        Measure.BOTH_CAPS: "max fee and tip, each",
        Measure.EFFECTIVE: "the price paid at the base fee",
        Measure.MAX_FEE: "max fee alone",
    }
    for rule in RULES.values():
        more = "1 wei more" if not rule.permille else f"+{rule.permille / 10:g} %"
        more += " and strictly more" if rule.strictly and rule.permille else ""
        out.append(f"| {rule.client} | {words[rule.measure]} | {more} | {'up' if rule.up else 'down'} |")
    return "\n".join(out)


# ---- putting it in place

_PARTS = {
    "architecture.md": {"moves": moves_table},
    "errors.md": {"classes": classes_table, "playbook": playbook_table},
    "gas.md": {"replacement": replacement_table},
    "configuration.md": {"keys": configuration_table, "strategies": strategies_table},
}


def generated() -> dict[Path, str]:
    """Every file with generated text, as it should be."""
    files = {DOCS / "commands.md": commands_page()}
    for name, parts in _PARTS.items():
        path = DOCS / name
        text = path.read_text("utf-8")
        for mark, make in parts.items():
            begin, end = f"<!-- generated: {mark} -->\n", f"<!-- end: {mark} -->"
            if text.count(begin) != 1 or text.count(end) != 1:
                raise SystemExit(f"{path}: wants {begin.strip()} and {end} once each")
            head, _, rest = text.partition(begin)
            text = f"{head}{begin}{make()}\n{end}{rest.partition(end)[2]}"
        files[path] = text
    return files


def out_of_date() -> list[str]:
    """Generated files that are not what the code says now."""
    return [
        f"{path.relative_to(ROOT)} is out of date: run `make docs`"
        for path, text in generated().items()
        if not path.is_file() or path.read_text("utf-8") != text
    ]


# ---- links

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)


def pages() -> list[Path]:
    """The Markdown files of the project."""
    patterns = ("*.md", "docs/**/*.md", "contracts/*.md", "db/*.md", "notebooks/*.md")
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def broken_links() -> list[str]:
    """Relative links, and anchors, that lead nowhere."""
    found = []
    for page in pages():
        for target in _LINK.findall(_CODE.sub("", page.read_text("utf-8"))):
            if "://" in target or target.startswith("mailto:"):
                continue
            name, _, anchor = target.partition("#")
            path = (page.parent / name).resolve() if name else page
            where = f"{page.relative_to(ROOT)}: {target}"
            if not path.exists():
                found.append(f"{where} leads nowhere")
            elif anchor and path.suffix == ".md" and anchor not in anchors(path.read_text("utf-8")):
                found.append(f"{where}: there is no such heading")
    return found


def anchors(text: str) -> set[str]:
    """Headings as GitHub names them."""
    titles = _HEADING.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if something is amiss")
    check = parser.parse_args(arguments).check
    if check:
        problems = out_of_date()
    else:
        problems = []
        for path, text in generated().items():
            path.write_text(text, "utf-8")
    problems += broken_links()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
