"""The report's figures for Prometheus, and a health answer, over HTTP on loopback; read from the store alone."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from arbtui.domain import Token
from arbtui.errors import StoreError, UsageError
from arbtui.monitor.report import ETH, build_report
from arbtui.store import engine_pid, open_store, utc_now
from arbtui.store.alerts import AlertStore
from arbtui.store.database import Family
from arbtui.store.queries import StoreReader

#: name -> what it is, and its label, if it has one. Sums are over the whole store, wei to the nearest double.
METRICS: dict[str, tuple[str, str]] = {
    "arbtui_executions": ("approved tickets by state", "status"),
    "arbtui_delivered": ("executions of which a node had a transaction", ""),
    "arbtui_successes": ("executions mined with status 1", ""),
    "arbtui_success_rate": ("successes over delivered", ""),
    "arbtui_net_profit_wei": ("net over all that settled", ""),
    "arbtui_won_wei": ("net of those that won", ""),
    "arbtui_lost_wei": ("net of those that lost, above 0", ""),
    "arbtui_expectancy_wei": ("mean net of one that settled", ""),
    "arbtui_drawdown_wei": ("deepest fall of the running sum", ""),
    "arbtui_gas_spent_wei": ("gas and L1 fee of all that settled", ""),
    "arbtui_gas_wasted_wei": ("the part of it on those that did not succeed", ""),
    "arbtui_expected_wei": ("what the sends' simulations promised of successes", ""),
    "arbtui_realised_wei": ("what the receipts of the same say", ""),
    "arbtui_fillers": ("self-transfers that filled a nonce gap; in no other count", ""),
    "arbtui_lender_executions": ("executions by lender", "lender"),
    "arbtui_lender_net_profit_wei": ("net by lender", "lender"),
    "arbtui_stage_seconds_p50": ("median time of a step", "step"),
    "arbtui_stage_seconds_p95": ("95th percentile of a step's time", "step"),
    "arbtui_decisions": ("decisions on tickets", "kind"),
    "arbtui_missed_tickets": ("tickets whose last word was no approval", ""),
    "arbtui_missed_expected_wei": ("what their simulations promised", ""),
    "arbtui_closed_opportunities": ("opportunities that ended, by who ended them", "by"),
    "arbtui_dropped": ("opportunities by the check that failed", "check"),
    "arbtui_errors": ("errors by class", "class"),
    "arbtui_incidents": ("incidents by kind", "kind"),
    "arbtui_unreconciled": ("what does not fit; should be 0", ""),
    "arbtui_not_yet_reconciled": ("settlements not compared with their block's balances", ""),
    "arbtui_sending_stopped": ("1 while a difference is open that nobody has acknowledged", ""),
    "arbtui_engine_up": ("1 while a process holds the store", ""),
    "arbtui_head_number": ("newest block the engine decided on", ""),
    "arbtui_head_age_seconds": ("wall clock less that block's own time", ""),
    "arbtui_base_fee_wei": ("its base fee per gas", ""),
    "arbtui_wallet_wei": ("what the wallet held for gas at it", ""),
    "arbtui_block_work_seconds": ("wall time of its decision", ""),
    "arbtui_tickets_waiting": ("tickets without a decision that the head has not passed", ""),
    "arbtui_in_flight": ("executions that are prepared or submitted", ""),
    "arbtui_store_bytes": ("size of the metrics file and its log", ""),
    "arbtui_disk_free_bytes": ("what is free where it is", ""),
    "arbtui_alerts_standing": ("alerts that hold now, by rule", "rule"),
    "arbtui_alert_deliveries": ("messages delivered, waiting and given up, over all channels", "state"),
}
Sample = tuple[str, str, float]
"""Name, value of its label ("" without one), value."""
STALE_S = 60.0


class Gauges:
    """Reads one store for whoever scrapes it. Thread-safe; it opens the store when there is one."""

    def __init__(
        self,
        directory: Path,
        family: Family,
        native: Token = ETH,
        *,
        now: Callable[[], str] = utc_now,
        stale_s: float = STALE_S,
    ) -> None:
        self._directory = directory
        self._family = family
        self._native = native
        self._now = now
        self._stale_s = stale_s
        self._lock = threading.Lock()
        self._reader: StoreReader | None = None
        self._report: tuple[int, dict[str, Any]] = (-1, {})

    def close(self) -> None:
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def samples(self) -> list[Sample]:
        """Every metric there is a value for. Raises StoreError."""
        with self._lock:
            reader = self._open()
            report = self._of(reader)
            return [*_of_report(report), *self._live(reader), *self._alerts()]

    def health(self) -> dict[str, Any]:
        """`ok` where an engine runs, its head is fresh, all is reconciled and sending goes on. Raises StoreError."""
        with self._lock:
            reader = self._open()
            live = {name: value for name, _, value in self._live(reader)}
            unreconciled = int(self._of(reader)["unreconciled"])
        age = live.get("arbtui_head_age_seconds")
        found = {
            "engine": bool(live["arbtui_engine_up"]),
            "head_age_s": age,
            "fresh": age is not None and age <= self._stale_s,
            "unreconciled": unreconciled,
            "sending_stopped": bool(live["arbtui_sending_stopped"]),
        }
        ok = found["engine"] and found["fresh"] and not unreconciled and not found["sending_stopped"]
        return {"ok": ok, **found}

    def _open(self) -> StoreReader:
        if self._reader is None:
            self._reader = open_store(self._directory, self._family)
        return self._reader

    def _of(self, reader: StoreReader) -> dict[str, Any]:
        version = reader.data_version()
        if version != self._report[0]:
            self._report = (version, build_report(reader, None, self._native, now=self._now()))
        return self._report[1]

    def _live(self, reader: StoreReader) -> Iterator[Sample]:
        yield "arbtui_engine_up", "", float(engine_pid(self._directory) is not None)
        yield "arbtui_sending_stopped", "", float(bool(reader.open_differences()))
        rows = reader.query(
            "SELECT b.* FROM block AS b WHERE b.run = (SELECT id FROM run ORDER BY started_at DESC, rowid DESC LIMIT 1)"
            " ORDER BY b.rowid DESC LIMIT 1"
        )
        if rows:
            head = rows[0]
            yield "arbtui_head_number", "", float(head["number"])
            age = datetime.fromisoformat(self._now()).timestamp() - int(head["timestamp"])
            yield "arbtui_head_age_seconds", "", age
            yield "arbtui_base_fee_wei", "", float(head["base_fee_per_gas"])
            yield "arbtui_block_work_seconds", "", float(head["elapsed_ms"]) / 1000
            if head["wallet_balance"] is not None:
                yield "arbtui_wallet_wei", "", float(head["wallet_balance"])
            waiting = reader.query(
                "SELECT count(*) AS n FROM ticket AS t WHERE t.run = ? AND t.last_block >= ?"
                " AND NOT EXISTS (SELECT 1 FROM decision AS d WHERE d.ticket_id = t.id)",
                (head["run"], head["number"]),
            )
            yield "arbtui_tickets_waiting", "", float(waiting[0]["n"])
        flying = reader.query("SELECT count(*) AS n FROM execution WHERE status IN ('prepared', 'submitted')")
        yield "arbtui_in_flight", "", float(flying[0]["n"])
        size = 0
        for suffix in ("", "-wal"):
            with suppress(OSError):
                size += reader.path.with_name(reader.path.name + suffix).stat().st_size
        yield "arbtui_store_bytes", "", float(size)
        yield "arbtui_disk_free_bytes", "", float(shutil.disk_usage(self._directory).free)

    def _alerts(self) -> Iterator[Sample]:
        try:
            with AlertStore(self._directory, writing=False, family=self._family) as store:
                alarms, channels = store.alarms(), store.channels()
        except StoreError:
            return
        rules: dict[str, int] = {}
        for alarm in alarms:
            rules[alarm["rule"]] = rules.get(alarm["rule"], 0) + int(alarm["standing"])
        for rule, count in sorted(rules.items()):
            yield "arbtui_alerts_standing", rule, float(count)
        for state in ("delivered", "waiting", "given_up"):
            yield "arbtui_alert_deliveries", state, float(sum(row[state] for row in channels))


def _of_report(report: Mapping[str, Any]) -> Iterator[Sample]:
    plain = {
        "arbtui_delivered": report["delivered"],
        "arbtui_successes": report["successes"],
        "arbtui_fillers": report["fillers"],
        "arbtui_success_rate": report["success_rate"],
        "arbtui_net_profit_wei": report["net_profit"],
        "arbtui_won_wei": report["profit"]["won_wei"],
        "arbtui_lost_wei": report["profit"]["lost_wei"],
        "arbtui_expectancy_wei": report["profit"]["expectancy_wei"],
        "arbtui_drawdown_wei": report["profit"]["max_drawdown_wei"],
        "arbtui_gas_spent_wei": report["gas_spent_wei"],
        "arbtui_gas_wasted_wei": report["gas"]["wasted_wei"],
        "arbtui_expected_wei": report["expected"]["successes"]["expected_wei"],
        "arbtui_realised_wei": report["expected"]["successes"]["realised_wei"],
        "arbtui_missed_tickets": report["missed"]["tickets"],
        "arbtui_missed_expected_wei": report["missed"]["expected_net_wei"],
        "arbtui_unreconciled": report["unreconciled"],
        "arbtui_not_yet_reconciled": report["not_yet_reconciled"],
    }
    for name, value in plain.items():
        if value is not None:
            yield name, "", float(value)
    by_label: dict[str, Mapping[str, Any]] = {
        "arbtui_executions": report["by_status"],
        "arbtui_lender_executions": {n: row["executions"] for n, row in report["by_lender"].items()},
        "arbtui_lender_net_profit_wei": {n: row["net_profit"] for n, row in report["by_lender"].items()},
        "arbtui_stage_seconds_p50": {n: entry["p50_s"] for n, entry in report["times"].items() if entry},
        "arbtui_stage_seconds_p95": {n: entry["p95_s"] for n, entry in report["times"].items() if entry},
        "arbtui_decisions": report["decisions"],
        "arbtui_closed_opportunities": {
            who: entry["opportunities"] for who, entry in report["missed"]["closed"]["by"].items()
        },
        "arbtui_dropped": report["dropped"],
        "arbtui_errors": report["error_counts"],
        "arbtui_incidents": {kind: entry["count"] for kind, entry in report["incidents"].items()},
    }
    for name, values in by_label.items():
        for label, value in values.items():
            yield name, str(label), float(value)


class _Collector:
    """What prometheus-client asks at each scrape."""

    def __init__(self, gauges: Gauges, family: Any) -> None:
        self._gauges = gauges
        self._family = family

    def collect(self) -> Iterator[Any]:
        families: dict[str, Any] = {}
        for name, label, value in self._gauges.samples():
            told, key = METRICS[name]
            if name not in families:
                families[name] = self._family(name, told, labels=[key] if key else [])
            families[name].add_metric([label] if key else [], value)
        yield from families.values()


def open_server(gauges: Gauges, port: int) -> ThreadingHTTPServer:
    """A server on 127.0.0.1 with `/metrics` and `/healthz`; port 0 takes a free one. It is not started yet.

    Raises UsageError without prometheus-client, or where the port is taken.
    """
    try:
        from prometheus_client import CollectorRegistry
        from prometheus_client.core import GaugeMetricFamily
        from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
    except ImportError:
        raise UsageError("metrics need the extra: pip install 'arbtui[metrics]'") from None
    # Not described: it would be asked while it is registered, and there may be no store yet.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(gauges, GaugeMetricFamily))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
            # A page in a browser must not read this through a name that leads here.
            if host not in ("127.0.0.1", "localhost", "[::1]"):
                self._answer(403, "text/plain", b"only for 127.0.0.1 and localhost\n")
                return
            try:
                if self.path.partition("?")[0] == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                elif self.path.partition("?")[0] == "/healthz":
                    health = gauges.health()
                    body = json.dumps(health).encode() + b"\n"
                    self._answer(200 if health["ok"] else 503, "application/json", body)
                else:
                    self._answer(404, "text/plain", b"there are /metrics and /healthz\n")
            except StoreError as error:
                body = json.dumps({"ok": False, "problem": type(error).__name__}).encode() + b"\n"
                self._answer(503, "application/json", body)

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise UsageError(
            f"port {port} cannot be had ({error.strerror}); choose another with --port"
        ) from error
    server.daemon_threads = True
    return server
