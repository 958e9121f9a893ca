"""What is said about one ticket, opportunity, execution or log line, as lines of a given width. No widgets here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rich.cells import cell_len
from textual.content import Content

from arbtui.tui.look import (
    Look,
    Row,
    Tone,
    age,
    clock_of,
    compact,
    cut,
    figure,
    fit,
    gwei,
    paint,
    seconds_between,
    short,
    significant,
    wrap,
)
from arbtui.units import format_amount, format_gwei

Draw = Callable[[int], Content]


class Page:
    """Lines under construction, none wider than `width`; what is clipped ends in an ellipsis."""

    def __init__(self, look: Look, width: int) -> None:
        self.look = look
        self.width = max(20, width)
        self._lines: list[Content] = []

    def line(self, *parts: str | tuple[str, Tone]) -> None:
        told = [
            (self.look.text(p), "") if isinstance(p, str) else (self.look.text(p[0]), p[1]) for p in parts
        ]
        line = paint(*told)  # type: ignore[arg-type]
        self._lines.append(cut(line, self.width, self.look.more))

    def blank(self) -> None:
        if self._lines and self._lines[-1].plain:
            self._lines.append(Content(""))

    def title(self, text: str, note: str = "") -> None:
        self.blank()
        parts: list[str | tuple[str, Tone]] = [(text.upper(), "accent")]
        if note:
            parts.append((f"  {note}", "dim"))
        self.line(*parts)

    def pair(self, label: str, value: str, tone: Tone = "", note: str = "", *, label_width: int = 10) -> None:
        """A label and a value that starts in a column of its own; the note follows, or goes below if too long."""
        room = self.width - label_width - 1
        first, *rest = wrap(value, room) if cell_len(value) > room else [value]
        together = bool(note) and not rest and cell_len(first) + cell_len(note) + 2 <= room
        self.line(
            (fit(label, label_width) + " ", "dim"), (first, tone), (f"  {note}" if together else "", "dim")
        )
        for line in rest:
            self.line(" " * (label_width + 1), (line, tone))
        if note and not together:
            self.text(note, indent=label_width + 1, tone="dim")

    def money(
        self, label: str, value: str, unit: str, tone: Tone = "", note: str = "", *, label_width: int = 10
    ) -> None:
        """A figure that ends where the figures above and below it end."""
        size = 14
        parts = [(fit(label, label_width), "dim"), (fit(value, size, True), tone), (f" {unit}", "")]
        used = sum(cell_len(text) for text, _ in parts)
        if note and used + 2 + cell_len(note) <= self.width:
            parts.append((f"  {note}", "dim"))
            note = ""
        self.line(*parts)
        if note:
            self.text(note, indent=label_width + 1, tone="dim")

    def text(self, text: str, indent: int = 0, tone: Tone = "") -> None:
        for line in wrap(self.look.text(text), self.width - indent):
            self.line((" " * indent + line, tone))

    def content(self) -> Content:
        return Content("\n").join(self._lines)


def ticket_page(page: Page, detail: Row, now: Row | None, *, left: str = "") -> None:
    """A ticket or a dropped opportunity: from what it earns down to where its rate came from."""
    is_ticket = detail["what"] == "ticket"
    page.line((page.look.path(detail["path"]), "strong"), ("  " + page.look.venues(detail["path"]), "dim"))
    if is_ticket:
        identity = f"ticket {detail['digest'][:10]}"
        page.line((identity, "dim"), (f"  {left}", "warn"))
    else:
        page.line(
            (f"block {detail['block']:,}  ", "dim"), ("dropped: ", "warn"), detail["reason"].replace("_", " ")
        )
    _waterfall(page, detail, now)
    _path(page, detail)
    _lenders(page, detail)
    if is_ticket:
        _ladder(page, detail)
        _bounds(page, detail)
    _checks(page, detail["checks"], detail["token"]["decimals"])
    _decisions(page, detail.get("decisions", ()))
    _moved_by(page, detail)
    _place(page, detail)


def approval_page(page: Page, detail: Row) -> None:
    """What a person approves, in the order in which they ask about it; the ticket is frozen."""
    _path(page, detail)
    _bounds(page, detail)
    _ladder(page, detail)
    _checks(page, detail["checks"], detail["token"]["decimals"])
    _lenders(page, detail)


def loan_fee(detail: Row) -> int | None:
    """Of the lender chosen, in base units of the token."""
    chosen = next((quote for quote in detail["quotes"] if quote["chosen"]), None)
    return None if chosen is None or chosen["fee"] is None else int(chosen["fee"])


def gas_wei(detail: Row) -> int:
    """What the simulation's gas costs: the difference between profit at the ticket's rate and net."""
    profit = int(detail["expected_profit"]) * int(detail["rate_denominator"]) // int(detail["rate_numerator"])
    return profit - int(detail["expected_net_wei"])


def _waterfall(page: Page, detail: Row, now: Row | None) -> None:
    look, token = page.look, detail["token"]
    decimals, symbol = token["decimals"], token["symbol"]
    page.title("money")
    page.money("gross", look.signed(int(detail["gross_profit"]), decimals), symbol)
    if detail["what"] != "ticket":
        net = detail["net_wei"]
        if net is None:
            page.pair("net", "cannot be computed", "dim")
        else:
            page.money(
                "net", look.signed(int(net)), look.native, "good" if int(net) > 0 else "bad", "would earn"
            )
        return
    fee = loan_fee(detail)
    if fee is not None:
        page.money("loan fee", look.signed(-fee, decimals), symbol, "", detail["lender"])
    page.money("gas", look.signed(-gas_wei(detail)), look.native, "", f"{detail['expected_gas']:,} gas")
    expected = int(detail["expected_net_wei"])
    page.money(
        "net",
        look.signed(expected),
        look.native,
        "good" if expected > 0 else "bad",
        f"at #{detail['block']:,}",
    )
    if now is not None and now.get("now_net_wei") is not None:
        fresh = int(now["now_net_wei"])
        page.money(
            "net now",
            look.signed(fresh),
            look.native,
            "good" if fresh > 0 else "bad",
            f"at #{now['now_block']:,}",
        )


def _path(page: Page, detail: Row) -> None:
    look = page.look
    page.title("path")
    places = [
        f"    ↓ {hop['dex']} {significant(int(hop['fee_ppm']), 4)} %  impact {hop['impact_bps']} bps"
        for hop in detail["path"]
    ]
    room = page.width - 2 - max((cell_len(place) for place in places), default=0)
    for number, hop in enumerate(detail["path"]):
        if number == 0:
            page.line(("in  ", "dim"), look.amount(int(hop["amount_in"]), hop["token_in"]))
        pool = hop["pool"] if room >= 42 else short(hop["pool"]) if room >= 11 else ""
        page.line((places[number], "dim"), (f"  {pool}" if pool else "", "dim"))
        last = number == len(detail["path"]) - 1
        page.line(("out " if last else "    ", "dim"), look.amount(int(hop["amount_out"]), hop["token_out"]))


def _lenders(page: Page, detail: Row) -> None:
    """Side by side: fee, what is there to borrow, gas, all-in; below it why one lost or cannot."""
    quotes = detail["quotes"]
    page.title("lenders", f"for {detail['token']['symbol']}, figures in it")
    if not quotes:
        page.line(("none was asked", "dim"))
        return
    decimals = detail["token"]["decimals"]
    name = max(9, *(len(quote["lender"]) for quote in quotes))
    size = max(6, min(14, (page.width - name - 2) // 4 - 1))
    heads = ("fee", "available" if size >= 9 else "avail", "gas", "all-in")
    page.line(("  " + fit("lender", name), "dim"), *((" " + fit(head, size, True), "dim") for head in heads))
    for quote in quotes:
        mark: tuple[str, Tone] = (
            ("● ", "good") if quote["chosen"] else ("  ", "") if quote["usable"] else ("× ", "dim")
        )
        cells = [
            _figure(quote[key], decimals, size) for key in ("fee", "available", "gas_cost", "total_cost")
        ]
        tone: Tone = "strong" if quote["chosen"] else "" if quote["usable"] else "dim"
        page.line(mark, (fit(quote["lender"], name), tone), *((" " + cell, tone) for cell in cells))
        why = quote["why_lost"]
        if not quote["usable"]:
            reason = str(quote["reason"] or "unusable").replace("_", " ")
            why = f"{reason}: {quote['detail']}" if quote["detail"] else reason
        if why and not quote["chosen"]:
            page.text(why, indent=4, tone="dim")


def _figure(value: str | None, decimals: int, size: int) -> str:
    if value is None:
        return fit("-", size, True)
    return fit(compact(int(value), decimals, size), size, True)


def _ladder(page: Page, detail: Row) -> None:
    ladder = detail["ladder"]
    page.title("gas ladder", f"{ladder['strategy']}, limit {ladder['gas_limit']:,}")
    if ladder.get("why"):
        page.text(ladder["why"], tone="dim")
    shares = any(step.get("observed_share") is not None for step in ladder["steps"])
    for step in ladder["steps"]:
        when = "at once" if not step["after_s"] else f"after {step['after_s']:g} s"
        share = step.get("observed_share")
        page.line(
            (f"{step['attempt']}  ", "dim"),
            fit(when, 11),
            (" max ", "dim"),
            fit(gwei(int(step["max_fee_per_gas"])), 7, True),
            (" tip ", "dim"),
            fit(gwei(int(step["max_priority_fee_per_gas"])), 6, True),
            (" gwei", "dim"),
            ("" if share is None else f"  {share:.0%}", "dim"),
        )
    page.text(
        f"base fee {gwei(int(ladder['base_fee_per_gas']))} gwei; whatever it does, the first step covers"
        f" {_count(ladder['guaranteed_blocks'], 'block')}"
        + ("; %: recent blocks that would have taken the step" if shares else ""),
        tone="dim",
    )
    if "ceiling" in ladder and int(ladder["ceiling"]):
        page.text(_spend(ladder), tone="dim")


def _spend(ladder: Row) -> str:
    """The worst case in words: what the last step and a cancel after it could cost."""
    worst, cancel = int(ladder["worst_cost"]), int(ladder["cancel_headroom"])
    ends = "the ceiling ends it" if ladder.get("capped") else f"ceiling {gwei(int(ladder['ceiling']))} gwei"
    return f"at worst {format_amount(worst, 18, 6)}, {format_amount(cancel, 18, 6)} kept for a cancel; {ends}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def _bounds(page: Page, detail: Row) -> None:
    """The worst that can come of it, the least it must bring, and the other leg."""
    look, token = page.look, detail["token"]
    decimals, symbol = token["decimals"], token["symbol"]
    page.title("bounds", "enforced by the contract")
    page.money("worst case", look.signed(-int(detail["worst_cost"])), look.native, "bad", "if it reverts")
    page.money("floor", look.signed(int(detail["min_profit"]), decimals), symbol, "", "else it reverts")
    page.pair("last block", f"{detail['last_block']:,}", "", "later it reverts")
    chosen = next((quote for quote in detail["quotes"] if quote["chosen"]), None)
    if chosen is not None and chosen["total_cost"] is not None:
        all_in = f"all-in {significant(int(chosen['total_cost']), decimals)} {symbol}"
        page.pair("lender", detail["lender"], "strong", all_in)
    leg = detail["fallback"]
    if leg is None:
        page.pair("fallback", "none", "dim")
    else:
        net = look.signed(int(leg["expected_net_wei"]))
        floor = look.signed(int(leg["min_profit"]), decimals)
        page.pair("fallback", leg["lender"], "strong", f"net {net} {look.native}, floor {floor} {symbol}")
    page.pair("digest", detail["digest"] if page.width >= 80 else short(detail["digest"], 14, 8))
    rate = _rate(detail)
    if rate:
        page.pair("rate", rate, "dim")


def _rate(detail: Row) -> str:
    numerator, denominator = int(detail["rate_numerator"]), int(detail["rate_denominator"])
    if numerator == denominator and detail["token"]["decimals"] == 18 and not detail["rate_pools"]:
        return "the token is the wrapped native coin"
    per_coin = 10**18 * numerator // denominator
    pools = " ".join(short(pool) for pool in detail["rate_pools"])
    figure_ = significant(per_coin, detail["token"]["decimals"])
    return f"{figure_} {detail['token']['symbol']} a coin, block {detail['rate_block']:,}, {pools}".rstrip(
        ", "
    )


def _checks(page: Page, checks: Iterable[Row], decimals: int) -> None:
    checks = list(checks)
    phase = "of the send" if checks and checks[0]["phase"] == "send" else ""
    page.title("checks", phase)
    if not checks:
        page.line(("none were made", "dim"))
        return
    name = max(len(check["check"]) for check in checks)
    for check in checks:
        mark: tuple[str, Tone] = ("✓ ", "good") if check["passed"] else ("✗ ", "bad")
        observed = figure(int(check["observed"]), check["unit"], page.look, decimals)
        limit, spare = (
            figure(value, check["unit"], page.look, decimals).rpartition(" ")[0]
            if check["unit"] != "usable lenders"
            else str(value)
            for value in (int(check["limit"]), abs(int(check["margin"])))
        )
        told = f"{observed}, limit {limit}, {'margin' if check['passed'] else 'short by'} {spare}"
        label = fit(check["check"].replace("_", " "), name) + " "
        lines = wrap(page.look.text(told), page.width - name - 3)
        page.line(mark, label, (lines[0], "" if check["passed"] else "bad"))
        for line in lines[1:]:
            page.line((" " * (name + 3) + line, "" if check["passed"] else "bad"))
        if check["detail"]:
            page.text(check["detail"], indent=name + 3, tone="dim")


def _decisions(page: Page, decisions: Iterable[Row]) -> None:
    decisions = list(decisions)
    if decisions:
        page.title("decisions")
    for decision in decisions:
        word, tone = page.look.state(decision["kind"])
        page.line((f"{clock_of(decision['at'])} ", "dim"), (word, tone))
        if decision["reason"]:
            page.text(decision["reason"], indent=9, tone="dim")
        _moved_by(page, decision)


def _moved_by(page: Page, row: Row) -> None:
    if row.get("moved_by_tx"):
        page.text(
            f"its pool {short(row['moved_by_pool'])} was moved in block {row['moved_by_block']:,}"
            f" by {short(row['moved_by_tx'], 10, 6)}",
            tone="warn",
        )


def _place(page: Page, row: Row) -> None:
    """Where it stood in its block, on whose liquidity, and who ended it."""
    if row.get("place"):
        page.text(f"place {row['place']} of its block, by net", tone="dim")
    if row.get("behind"):
        page.text(
            f"trades on a pool of the better opportunity {row['behind']}: only one can have it", tone="warn"
        )
    closing = row.get("closing")
    if closing:
        page.text(closing_text(closing), tone="warn" if closing["closed_by"] == "foreign" else "dim")


def closing_text(closing: Row) -> str:
    """Which transaction ended an opportunity, in one sentence, who first."""
    blocks = closing["last_block"] - closing["first_block"] + 1
    lived = f"open for {blocks} block{'s' if blocks != 1 else ''}, ended in block {closing['closed_block']:,}"
    if closing["closed_by"] == "nobody":
        return f"no swap on its pools, so liquidity or the price of gas moved; {lived}"
    who = f"by {'our own ' if closing['closed_by'] == 'ours' else ''}{short(closing['tx'], 6, 4)}"
    if closing["sender"]:
        who += f" of {short(closing['sender'])}"
    if closing["tx_index"] is not None:
        who += f" at position {closing['tx_index']}"
    if closing["tip_per_gas"] is not None:
        who += f", tip {format_gwei(int(closing['tip_per_gas']))}"
    return f"{who}; {lived}"


def execution_page(page: Page, detail: Row, now: str, unsound: Row | None = None, family: str = "") -> None:
    """An execution's life: what was expected, what happened, to the unit. `now` is UTC as the store has it.

    `unsound`: the entry of `DeskView.unreconciled_named` that is about it.
    """
    look = page.look
    word, tone = look.state(detail["status"])
    trade = detail["trade"]
    page.line((word, tone), (f"  {detail['id']}", "dim"))
    if trade:
        page.line((look.path(trade["path"]), "strong"), ("  " + look.venues(trade["path"]), "dim"))
    if detail["reason"] or detail["error_class"]:
        page.text(": ".join(part for part in (detail["error_class"], detail["reason"]) if part), tone="dim")
    page.title("money")
    expected = detail["expected_net_wei"]
    if expected is not None:
        page.money("expected", look.signed(int(expected)), look.native, "", "simulated")
    settled = detail["settlement"]
    if settled is None:
        page.pair("settled", "not yet", "dim")
    else:
        net = int(settled["net_wei"])
        page.money("net", look.signed(net), look.native, "good" if net > 0 else "bad", "by the receipt")
        if expected is not None:
            page.money("difference", look.signed(net - int(expected)), look.native, "dim")
    _timeline(page, detail)
    _attempts(page, detail["attempts"])
    _recovery(page, detail, now)
    if settled is not None:
        _settlement(page, settled)
    if unsound is not None:
        said, command = way_out(unsound, family)
        page.text(said, tone="warn")
        if command:
            # On a line of its own, to be copied.
            page.line((f"  {command}", "warn"))
    for incident in detail["incidents"]:
        page.blank()
        page.line(
            ("! ", "bad"), (f"{clock_of(incident['at'])} {incident['kind']} {incident['error_class']}", "bad")
        )
        page.text(incident["detail"], indent=2, tone="dim")
    if trade:
        _path(page, trade)
        _bounds(page, trade)
        _checks(page, trade["checks"], trade["token"]["decimals"])
        _lenders(page, trade)


def _timeline(page: Page, detail: Row) -> None:
    page.title("timeline", detail["decided_at"][:19].replace("T", " ") + " UTC")
    for event in detail["events"]:
        word, tone = page.look.state(event["to_status"])
        since = seconds_between(detail["decided_at"], event["at"])
        page.line(
            (fit(f"+{since:.1f}s", 8, True) + " ", "dim"),
            (fit(word, 12), tone),
            (f" #{event['block']:,}" if event["block"] is not None else "", "dim"),
        )
        if event["reason"]:
            page.text(event["reason"], indent=9, tone="dim")


def _attempts(page: Page, attempts: Iterable[Row]) -> None:
    page.title("attempts")
    attempts = list(attempts)
    if not attempts:
        page.line(("nothing was signed", "dim"))
    for attempt in attempts:
        delivery = attempt["delivery"].replace("_", " ")
        tone: Tone = (
            "good" if delivery == "delivered" else "warn" if delivery in ("ambiguous", "unsent") else "bad"
        )
        page.line(
            (f"{attempt['number']} {attempt['kind']} ", "strong"),
            (f"nonce {attempt['nonce']}  ", "dim"),
            (delivery, tone),
        )
        page.line(
            ("  max ", "dim"),
            gwei(int(attempt["max_fee_per_gas"])),
            (" tip ", "dim"),
            gwei(int(attempt["max_priority_fee_per_gas"])),
            (" gwei", "dim"),
        )
        page.line(
            ("  " + (attempt["tx_hash"] if page.width >= 70 else short(attempt["tx_hash"], 20, 12)), "dim")
        )
        if attempt["error"]:
            page.text(attempt["error"], indent=2, tone="bad")


def _recovery(page: Page, detail: Row, now: str) -> None:
    """What was decided about each error, why, and when that is due."""
    if not detail["recovery"]:
        return
    page.title("recovery")
    open_still = detail["status"] in ("prepared", "submitted")
    for row in detail["recovery"]:
        since = seconds_between(detail["decided_at"], row["at"])
        tone: Tone = "bad" if row["alarm"] else "warn"
        last = row is detail["recovery"][-1]
        page.line(
            (fit(f"+{since:.1f}s", 8, True) + " ", "dim"),
            (row["error_class"].replace("_", " "), tone),
            (f" while {row['phase'].replace('_', ' ')}", "dim"),
        )
        page.line(
            (" " * 9 + "→ ", "dim"),
            (row["action"].replace("_", " "), "strong"),
            (f", nonce: {row['nonce_rule'].replace('_', ' ')}", "dim"),
            (f", try {row['tries']}" if row["tries"] > 1 else "", "dim"),
            (due_text(row, now) if last and open_still else "", "warn"),
        )
        page.text(row["reason"], indent=9, tone="dim")


def due_text(row: Row, now: str) -> str:
    """When a recovery is due, as far as that is ahead: `, in 2.4 s`, `, from block 9`; empty where it is due."""
    parts = ""
    if row["next_at"] is not None and (left := seconds_between(now, row["next_at"])) > 0:
        parts += f", in {left:.1f} s"
    if row["next_block"] is not None:
        parts += f", from block {row['next_block']:,}"
    return parts


def _settlement(page: Page, settled: Row) -> None:
    look = page.look
    sound = settled["reconciled"] and settled["sealed"]
    page.title("settlement", f"block {settled['block']:,}")
    if sound:
        page.line(("✓ reconciled to the unit with the balances", "good"))
    else:
        altered = "" if settled["sealed"] else "the row was altered after it was written; "
        page.text(f"✗ not reconciled: {altered}{settled['difference']}", tone="bad")
    for delta in settled["deltas"]:
        token = delta["token"]
        amount = int(delta["amount"])
        exact = look.exact(abs(amount), token["decimals"])
        sign = look.text("+" if amount >= 0 else "−")
        page.line(
            (fit(delta["role"], 10), "dim"),
            (f"{sign}{exact} ", "good" if amount > 0 else ""),
            token["symbol"],
            (f"  {short(delta['account'])}", "dim"),
        )
    gas = f"{settled['gas_used']:,} at {gwei(int(settled['effective_gas_price']))} gwei"
    page.pair("gas", gas, "", f"{look.exact(int(settled['gas_cost']), 18)} {look.native}")
    if int(settled["l1_fee"]):
        page.pair("L1 fee", f"{look.exact(int(settled['l1_fee']), 18)} {look.native}")


def unsound_place(row: Row) -> str:
    """Where an entry of `DeskView.unreconciled_named` is: `blocks 11-12`, `execution x0123…, block 12`."""
    if row["what"] == "balances":
        return f"blocks {row['from_block'] + 1:,}-{row['to_block']:,}"
    return f"execution {str(row['execution'])[:9]}, block {row['block']:,}"


def acknowledging(row: Row, family: str) -> str | None:
    """The command that says it is all right; None where none does: the row was altered, or was acknowledged already."""
    if row["reconciliation"] is None:
        return None
    which = "" if family == "live" else f" --family {family}"
    return f'arbtui acknowledge {row["reconciliation"]} --reason "why"{which}'


def way_out(row: Row, family: str) -> tuple[str, str]:
    """What a person can do about it: in words, and the command, empty where there is none."""
    command = acknowledging(row, family)
    if command is None:
        return "counts for ever: nothing acknowledges it (any more)", ""
    return "nothing is sent; if it is all right:", command


def unsound_lines(look: Look, width: int, rows: Iterable[Row], family: str) -> Content:
    """What stops sending until somebody acknowledges, over every list: the oldest, by how much, and the way out."""
    page = Page(look, width)
    held = sorted(
        (row for row in rows if row["reconciliation"] is not None), key=lambda row: int(row["reconciliation"])
    )
    for row in held[:1]:
        more = f"  and {len(held) - 1} more: 7 Log" if len(held) > 1 else ""
        page.line(look.state("unsound"), (f"  {unsound_place(row)}", "strong"), (more, "warn"))
        told = wrap(look.text(row["difference"]), page.width)
        page.line((told[0], "bad"))
        if len(told) > 1:
            page.line((" ".join(told[1:]), "bad"))
        page.line((" ".join(way_out(row, family)), "warn"))
    return page.content()


def log_page(page: Page, entry: dict[str, Any]) -> None:
    """One line of the log, whole."""
    word, tone = page.look.state(entry["state"])
    page.line((word, tone))
    if entry["at"] is not None:
        block = "" if entry["block"] is None else f"  block {entry['block']}"
        page.line((entry["at"][:19].replace("T", " ") + " UTC" + block, "dim"))
    page.blank()
    for label, value in entry["facts"]:
        page.pair(label, value)
    if entry["text"]:
        page.blank()
        page.text(entry["text"])


def flight_lines(look: Look, width: int, flights: Iterable[Any], last: Row | None, now: str) -> Content:
    """Two lines: what is in flight with where it stands, and how the last one ended."""
    page = Page(look, width)
    flights = list(flights)
    if not flights:
        page.line(("in flight ", "dim"), ("nothing", "dim"))
    for flight in flights[:1]:
        row, attempts = flight.execution, flight.attempts
        word, tone = look.state(row["status"])
        parts: list[str | tuple[str, Tone]] = [("in flight ", "dim"), (word, tone)]
        if attempts:
            latest = attempts[-1]
            parts.append(f"  {latest['kind']} {latest['number']}, {latest['delivery'].replace('_', ' ')}")
            parts.append((f"  nonce {latest['nonce']}  {short(latest['tx_hash'])}", "dim"))
        parts.append((f"  {age(seconds_between(row['decided_at'], now))}", ""))
        if row["last_block"] is not None:
            parts.append((f"  last block {row['last_block']:,}", "dim"))
        if flight.recovery is not None:
            row = flight.recovery
            what = f"{row['error_class']}: {row['action']}".replace("_", " ")
            parts.append((f"  ! {what}{due_text(row, now)}", "bad" if row["alarm"] else "warn"))
        elif flight.incident is not None:
            parts.append((f"  ! {flight.incident['kind']}: {flight.incident['detail']}", "bad"))
        elif flight.event is not None and flight.event["reason"]:
            parts.append((f"  {flight.event['reason']}", "dim"))
        page.line(*parts)
    if last is None:
        page.line(("last      ", "dim"), ("no execution yet", "dim"))
    else:
        word, tone = look.state(last["status"])
        net = last["net_profit"]
        figures = "" if net is None else f"  {look.signed(int(net))} {look.native}"
        if net is None and last["reason"]:
            figures = f"  {last['reason']}"
        ago = age(seconds_between(last["mined_at"] or last["decided_at"], now))
        checked: tuple[str, Tone] = ("", "")
        if net is not None:
            checked = ("  ✓ reconciled", "good") if last["reconciled"] else ("  ✗ not reconciled", "bad")
        page.line(
            ("last      ", "dim"),
            (word, tone),
            (figures, "dim" if net is None else "good" if int(net) > 0 else "bad"),
            (f"  {last['lender']}", "dim"),
            checked,
            (f"  {ago} ago", "dim"),
        )
    return page.content()
