"""What a window of time and a choice of lenders leave of a store: exact figures, by the report's own fold.

Amounts are Python ints: wei of the native coin, or base units of the token that stands beside them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from arbtui.domain import NATIVE, DecisionKind, Token
from arbtui.errors import StoreError, UsageError
from arbtui.monitor.performance import ExecutionFacts, Performance, curve, fold
from arbtui.monitor.report import ETH, Window, build_report, execution_rows, facts_of, rolled_up
from arbtui.store.driver import utc_now
from arbtui.store.queries import Row, StoreReader
from arbtui.text import safe_text
from arbtui.units import mul_div_up

APPROVED = tuple(kind for kind in DecisionKind if kind.value.startswith("approved"))
MISSED = tuple(kind for kind in DecisionKind if kind not in APPROVED)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the figures come from. `problem` is why there are none, one line, where the store could not be read."""

    family: str
    path: str = ""
    chains: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    runs: int = 0
    lenders: tuple[str, ...] = ()
    native: Token = ETH
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Waterfall:
    """gross - loan_fee - gas = net, in base units of `token`; `net` is the sum of settled deltas, to the last unit."""

    token: Token
    gross: int
    loan_fee: int
    gas: int
    net: int


@dataclass(frozen=True, slots=True)
class Point:
    """One settled execution on the curve: `net` and the running `total` in wei, at its receipt."""

    at: datetime
    execution: str
    lender: str
    status: str
    net: int
    total: int


@dataclass(frozen=True, slots=True)
class Group:
    """The executions that share a lender or a path."""

    name: str
    label: str
    performance: Performance
    loan_fee_wei: int

    @property
    def net(self) -> int:
        return int(self.performance.net_profit)

    @property
    def gross(self) -> int:
        return self.net + self.loan_fee_wei + self.performance.gas_spent


@dataclass(frozen=True, slots=True)
class Missed:
    """Tickets whose last word was no approval. `expected_net_wei`: their simulations' promises, added up.

    An upper bound of what was missed: two tickets may have been after the same money, and none was tried.
    """

    tickets: int = 0
    expected_net_wei: int = 0
    moved_by_others: int = 0


@dataclass(frozen=True, slots=True)
class Funnel:
    """What became of the opportunities seen and the tickets made in the window.

    `seen` and `dropped` are None under a choice of lenders: an opportunity has none yet. Each step from `tickets` on
    is a part of the one before; `waiting` tickets have no decision yet.
    """

    seen: int | None
    dropped: int | None
    tickets: int
    waiting: int
    approved: int
    sent: int
    mined: int
    profitable: int


@dataclass(frozen=True)
class Review:
    """The figures of a window: an execution is in it by its decision, from `since` up to, without, `until`.

    `lenders` empty: all of them; else an execution counts by the lender it used, a ticket by the one it was made for.
    `native_flow` is the wei waterfall, with loan fees at each ticket's rate (rounded up); `by_token` has the same for
    each token's own settled deltas.
    """

    source: Source
    since: str | None
    until: str | None
    lenders: tuple[str, ...]
    read_at: str
    performance: Performance
    native_flow: Waterfall
    by_token: tuple[Waterfall, ...] = ()
    curve: tuple[Point, ...] = ()
    by_lender: tuple[Group, ...] = ()
    by_path: tuple[Group, ...] = ()
    by_status: Mapping[str, int] = field(default_factory=dict)
    decisions: Mapping[str, int] = field(default_factory=dict)
    missed: Mapping[str, Missed] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    funnel: Funnel = Funnel(0, 0, 0, 0, 0, 0, 0, 0)
    seconds: tuple[float, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    unreconciled: int = 0
    not_yet_reconciled: int = 0
    unreconciled_named: tuple[Row, ...] = ()

    @classmethod
    def nothing(cls, family: str, problem: str = "", now: str | None = None) -> Review:
        """A review of no store at all."""
        source = Source(family, problem=problem)
        return cls(source, None, None, (), now or utc_now(), fold(()), Waterfall(ETH, 0, 0, 0, 0))

    @classmethod
    def read(
        cls,
        reader: StoreReader,
        since: str | None = None,
        until: str | None = None,
        lenders: Collection[str] = (),
        *,
        now: str | None = None,
    ) -> Review:
        """All of one state of the file. `since` and `until` are as `arbtui.monitor.parse_since` gives them."""
        if since is not None and until is not None and until < since:
            raise UsageError(f"the window ends at {until}, before it begins at {since}")
        with reader.snapshot():
            return _read(cls, reader, since, until, tuple(sorted(lenders)), now or utc_now())

    @property
    def net(self) -> int:
        """Wei over all that settled, gas of reverts included."""
        return int(self.performance.net_profit)

    @property
    def net_without_best(self) -> int:
        """Net without the one best execution: 0 where there is none, never more than `net`."""
        return int(self.performance.profit.without_best)

    @property
    def wins(self) -> int:
        return self.performance.profit.wins

    @property
    def losses(self) -> int:
        return self.performance.profit.losses

    @property
    def profit_factor(self) -> float | None:
        """Wei won ÷ wei lost: inf where nothing was lost, None where nothing was won or lost."""
        return self.performance.profit.factor

    @property
    def drawdown(self) -> int:
        """The deepest fall of the curve below an earlier height (or 0), in wei; 0 where it never fell."""
        return int(self.performance.profit.drawdown)

    @property
    def success_interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the success rate, None where nothing was delivered."""
        return self.performance.success_interval

    @property
    def daily(self) -> dict[date, int]:
        """Net in wei for each UTC day with a settlement."""
        days: dict[date, int] = {}
        for point in self.curve:
            days[point.at.date()] = days.get(point.at.date(), 0) + point.net
        return days

    @property
    def missed_total(self) -> Missed:
        entries = self.missed.values()
        return Missed(
            sum(entry.tickets for entry in entries),
            sum(entry.expected_net_wei for entry in entries),
            sum(entry.moved_by_others for entry in entries),
        )


def net_here_and_in_report(reader: StoreReader | None) -> tuple[int, int]:
    """Net over the whole store in wei, by this module and by `arbtui report`, of one and the same state of it."""
    if reader is None:
        return 0, 0
    for _ in range(20):
        before = reader.data_version()
        here = Review.read(reader).net
        reported = int(build_report(reader)["net_profit"])
        if reader.data_version() == before:
            return here, reported
    raise StoreError(f"{reader.path}: it changes faster than it can be read twice; try again")


def _read(
    cls: type[Review],
    reader: StoreReader,
    since: str | None,
    until: str | None,
    lenders: tuple[str, ...],
    now: str,
) -> Review:
    def kept(row: Row, at: str) -> bool:
        return (until is None or row[at] < until) and (not lenders or row["lender"] in lenders)

    every = execution_rows(reader, since)
    rows = [row for row in every if kept(row, "decided_at")]
    settlements = [row for row in reader.settlements(since) if kept(row, "decided_at")]
    facts = [(row, facts_of(row)) for row in rows]
    performance = fold(fact for _, fact in facts)
    unsound = reader.unsound(settlements)
    fees = _loan_fees_wei(reader, rows)
    native = _native(reader)
    loan_fee_wei = sum(fees.values())
    net = int(performance.net_profit)
    tickets = [row for row in _tickets(reader, since) if kept(row, "created_at")]
    decisions = [row for row in _decisions(reader, since) if kept(row, "at")]
    seen = _opportunities(reader, since, until)
    labels = _path_labels(reader)
    return cls(
        source=_source(reader, since, until, native),
        since=since,
        until=until,
        lenders=lenders,
        read_at=now,
        performance=performance,
        native_flow=Waterfall(
            native, net + loan_fee_wei + performance.gas_spent, loan_fee_wei, performance.gas_spent, net
        ),
        by_token=_by_token(settlements, rows, native),
        curve=_curve(facts),
        by_lender=_groups(facts, fees, lambda row: str(row["lender"]), pretty),
        by_path=_groups(
            facts, fees, lambda row: str(row["path_id"] or "unknown"), lambda name: labels.get(name, name)
        ),
        by_status=_count(str(row["status"]) for row in rows if not row["filler"]),
        decisions={kind.value: sum(row["kind"] == kind for row in decisions) for kind in DecisionKind},
        missed=_missed(decisions),
        dropped={}
        if lenders
        else {reason: n for (outcome, reason), n in seen.items() if outcome == "dropped"},
        funnel=_funnel(tickets, every, seen, bool(lenders)),
        seconds=tuple(
            sorted(fact.seconds for _, fact in facts if fact.seconds is not None and not fact.filler)
        ),
        rows={
            "executions": len(rows),
            "settlements": len(settlements),
            "tickets": len(tickets),
            "decisions": len(decisions),
            "opportunities": sum(seen.values()),
        },
        unreconciled=len(unsound),
        unreconciled_named=tuple(unsound),
        not_yet_reconciled=sum(row["reconciled"] is None and row["sealed"] for row in settlements),
    )


def pretty(name: str) -> str:
    """A lender's or an exchange's name for a person: `aave_v3` is Aave v3."""
    words = safe_text(name, 40).replace("_", " ")
    return words[:1].upper() + words[1:]


def _source(reader: StoreReader, since: str | None, until: str | None, native: Token) -> Source:
    runs = reader.runs_within(since, until)
    return Source(
        family=reader.family,
        path=str(reader.path),
        chains=tuple(sorted({f"{safe_text(run['chain'])} ({run['chain_id']})" for run in runs})),
        stages=tuple(sorted({str(run["stage"]) for run in runs})),
        runs=len(runs),
        lenders=tuple(
            str(row["lender"])
            for row in reader.query("SELECT lender FROM execution UNION SELECT lender FROM ticket ORDER BY 1")
        ),
        native=native,
    )


def _native(reader: StoreReader) -> Token:
    rows = reader.query("SELECT token_symbol FROM settlement_delta WHERE token = ? LIMIT 1", (NATIVE,))
    return Token(NATIVE, safe_text(rows[0]["token_symbol"], 16), 18) if rows else ETH


def _loan_fees_wei(reader: StoreReader, rows: Iterable[Row]) -> dict[str, int]:
    """Settled loan fees by execution, at the ticket's rate, rounded up: what is owed."""
    rates = {
        str(row["id"]): (int(row["rate_numerator"]), int(row["rate_denominator"]))
        for row in reader.query("SELECT id, rate_numerator, rate_denominator FROM ticket")
    }
    fees: dict[str, int] = {}
    for row in rows:
        numerator, denominator = rates.get(str(row["ticket_id"]), (0, 0))
        if row["loan_fee"] is not None and numerator:
            fees[str(row["id"])] = mul_div_up(int(row["loan_fee"]), denominator, numerator)
    return fees


def _by_token(settlements: Sequence[Row], executions: Iterable[Row], native: Token) -> tuple[Waterfall, ...]:
    assets = {str(row["id"]): str(row["token"]) for row in executions}
    tokens: dict[str, Token] = {}
    nets: dict[str, int] = {}
    fees: dict[str, int] = {}
    gas = 0
    for settled in settlements:
        gas += int(settled["gas_cost"]) + int(settled["l1_fee"])
        if settled["loan_fee"] is not None:
            asset = assets[str(settled["execution_id"])].lower()
            fees[asset] = fees.get(asset, 0) + int(settled["loan_fee"])
        for delta in settled["deltas"]:
            told = delta["token"]
            key = str(told["address"]).lower()
            tokens.setdefault(key, Token(told["address"], safe_text(told["symbol"], 16), told["decimals"]))
            nets[key] = nets.get(key, 0) + int(delta["amount"])
    found = []
    for key, token in tokens.items():
        paid = gas if key == native.address.lower() else 0
        fee = fees.get(key, 0)
        found.append(Waterfall(token, nets[key] + fee + paid, fee, paid, nets[key]))
    return tuple(sorted(found, key=lambda flow: (flow.token.symbol, flow.token.address)))


def _curve(facts: Iterable[tuple[Row, ExecutionFacts]]) -> tuple[Point, ...]:
    rows = {fact.key: row for row, fact in facts}
    points = curve(fact for _, fact in facts)
    return tuple(
        Point(
            datetime.fromisoformat(fact.at),
            fact.key,
            str(rows[fact.key]["lender"]),
            str(rows[fact.key]["status"]),
            int(net),
            int(total),
        )
        for fact, net, total in points
    )


def _groups(
    facts: Iterable[tuple[Row, ExecutionFacts]],
    fees: Mapping[str, int],
    key: Callable[[Row], str],
    label: Callable[[str], str],
) -> tuple[Group, ...]:
    """Largest net first."""
    members: dict[str, list[tuple[Row, ExecutionFacts]]] = {}
    for row, fact in facts:
        members.setdefault(key(row), []).append((row, fact))
    groups = [
        Group(
            name,
            label(name),
            fold(fact for _, fact in own),
            sum(fees.get(str(row["id"]), 0) for row, _ in own),
        )
        for name, own in members.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-group.net, group.name)))


def _tickets(reader: StoreReader, since: str | None) -> list[Row]:
    return reader.query(
        "SELECT t.id, t.lender, t.created_at,"
        " EXISTS (SELECT 1 FROM decision AS d WHERE d.ticket_id = t.id) AS decided,"
        " EXISTS (SELECT 1 FROM decision AS d WHERE d.ticket_id = t.id AND d.kind LIKE 'approved%') AS approved"
        " FROM ticket AS t WHERE ?1 IS NULL OR t.created_at >= ?1",
        (since,),
    )


def _decisions(reader: StoreReader, since: str | None) -> list[Row]:
    return reader.query(
        "SELECT d.kind, d.at, d.moved_by_tx, t.lender, t.expected_net_wei,"
        " d.id = (SELECT max(l.id) FROM decision AS l WHERE l.ticket_id = d.ticket_id) AS last_word"
        " FROM decision AS d JOIN ticket AS t ON t.id = d.ticket_id WHERE ?1 IS NULL OR d.at >= ?1",
        (since,),
    )


def _opportunities(reader: StoreReader, since: str | None, until: str | None) -> dict[tuple[str, str], int]:
    """How many by outcome and reason, those that were pruned with their whole days too."""
    rows = reader.query(
        "SELECT outcome, reason, count(*) AS n FROM opportunity"
        " WHERE (?1 IS NULL OR at >= ?1) AND (?2 IS NULL OR at < ?2) GROUP BY outcome, reason ORDER BY 1, 2",
        (since, until),
    )
    seen = {(str(row["outcome"]), str(row["reason"])): int(row["n"]) for row in rows}
    for row in rolled_up(reader, Window(since, until), "dropped"):
        key = ("dropped", str(row["name"]))
        seen[key] = seen.get(key, 0) + int(row["count"])
    return dict(sorted(seen.items()))


def _missed(decisions: Iterable[Row]) -> dict[str, Missed]:
    found = {kind.value: Missed() for kind in MISSED}
    for row in decisions:
        if row["last_word"] and row["kind"] in found:
            entry = found[row["kind"]]
            found[row["kind"]] = Missed(
                entry.tickets + 1,
                entry.expected_net_wei + int(row["expected_net_wei"]),
                entry.moved_by_others + (row["moved_by_tx"] is not None),
            )
    return found


def _funnel(
    tickets: Iterable[Row], executions: Iterable[Row], seen: Mapping[tuple[str, str], int], chosen: bool
) -> Funnel:
    tickets = list(tickets)
    approved = {str(row["id"]) for row in tickets if row["approved"]}
    own = [row for row in executions if row["ticket_id"] in approved]
    sent = [row for row in own if facts_of(row).delivered]
    mined = [row for row in sent if row["status"] == "mined"]
    return Funnel(
        seen=None if chosen else sum(seen.values()),
        dropped=None if chosen else sum(n for (outcome, _), n in seen.items() if outcome == "dropped"),
        tickets=len(tickets),
        waiting=sum(not row["decided"] for row in tickets),
        approved=len(approved),
        sent=len({row["ticket_id"] for row in sent}),
        mined=len({row["ticket_id"] for row in mined}),
        profitable=len({row["ticket_id"] for row in mined if row["net_wei"] and int(row["net_wei"]) > 0}),
    )


def _path_labels(reader: StoreReader) -> dict[str, str]:
    """A path as the tokens it runs through and the exchanges it uses; two alike are told apart by their id."""
    symbols: dict[str, str] = {}
    for table in ("opportunity", "settlement_delta"):
        for row in reader.query(f"SELECT DISTINCT token, token_symbol FROM {table}"):  # noqa: S608 - of two names
            symbols.setdefault(str(row["token"]).lower(), safe_text(row["token_symbol"], 12))

    def name(address: str) -> str:
        return symbols.get(address.lower(), f"{address[:6]}…{address[-4:]}")

    labels: dict[str, str] = {}
    for row in reader.query(
        "SELECT path_id, path FROM opportunity AS o WHERE EXISTS (SELECT 1 FROM ticket AS t WHERE t.run = o.run"
        " AND t.opportunity_id = o.id) GROUP BY path_id"
    ):
        hops: list[dict[str, Any]] = json.loads(row["path"])
        tokens = " → ".join(name(str(hop["token_in"])) for hop in [*hops, hops[0]])
        exchanges = ", ".join(
            safe_text(f"{hop['dex']} {str(hop['kind']).rpartition('_')[2]}", 24) for hop in hops
        )
        labels[str(row["path_id"])] = f"{tokens} ({exchanges})"
    uses = _count(labels.values())
    return {
        path_id: label if uses[label] == 1 else f"{label} #{path_id[:4]}" for path_id, label in labels.items()
    }


def _count(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return dict(sorted(counts.items()))
