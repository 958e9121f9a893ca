"""Alerts over a real SMTP server and a real webhook on loopback, failing ones too, and as a process of its own."""

from __future__ import annotations

import email
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from pydantic import SecretStr
from tenacity import wait_none

from arbtui.cli import main
from arbtui.domain import ExecutionStatus
from arbtui.errors import UsageError
from arbtui.monitor.channels import Channel, Sent, open_channels
from arbtui.monitor.lookout import Lookout
from arbtui.monitor.policy import AlertsPolicy
from arbtui.monitor.watch import BACKOFF_S, GIVE_UP_S, Watch
from arbtui.store import Store, StoreLock, open_store
from arbtui.store.alerts import AlertsLock, AlertStore
from tests import factories as make

S = ExecutionStatus


@dataclass
class Mailbox:
    """An aiosmtpd handler."""

    mails: list[str] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        message = email.message_from_bytes(envelope.content)
        parts = [part for part in message.walk() if not part.is_multipart()]
        body = parts[0].get_payload(decode=True)
        assert isinstance(body, bytes)
        self.mails.append(f"{message['Subject']}\n{body.decode()}")
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    box = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box, f"mailto://127.0.0.1:{port}/?from=desk@test.example&to=me@test.example&mode=insecure"
    finally:
        controller.stop()


@dataclass
class Hook:
    """A webhook that takes JSON, or answers an error while it is `broken`, or hangs."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    broken: int = 0
    hang_s: float = 0.0


@pytest.fixture
def hook() -> Iterator[Hook]:
    with hooked() as told:
        yield told


@pytest.fixture
def sound_hook() -> Iterator[Hook]:
    with hooked() as told:
        yield told


@contextmanager
def hooked() -> Iterator[Hook]:
    told = Hook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.asked += 1
            data = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(told.hang_s)
            if told.broken > 0:
                told.broken -= 1
                self.send_response(500)
            else:
                told.bodies.append(json.loads(data))
                self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    told.url = f"json://127.0.0.1:{server.server_address[1]}/hooks/very-secret-token"
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def channel(url: str, number: int = 1) -> Channel:
    return Channel(number, SecretStr(url), wait=wait_none())


def test_a_mail_arrives_as_it_was_written(mailbox: tuple[Mailbox, str]) -> None:
    box, url = mailbox
    sent = channel(url).send("error", "ARBTUI test: error", "first line\nsecond (at) line, 0.1 ETH")
    assert sent == Sent(True, 1, "")
    (mail,) = box.mails
    assert "ARBTUI test: error" in mail
    assert "first line" in mail
    assert "second (at) line, 0.1 ETH" in mail


def test_a_webhook_is_tried_again_until_it_takes_it(hook: Hook) -> None:
    hook.broken = 2
    assert channel(hook.url).send("warning", "title", "body") == Sent(True, 3, "")
    assert hook.asked == 3
    (body,) = hook.bodies
    assert (body["title"], body["message"], body["type"]) == ("title", "body", "warning")


def test_a_channel_that_fails_says_so_without_its_address(
    hook: Hook, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    hook.broken = 100
    sent = channel(hook.url).send("info", "t", "b")
    assert (sent.ok, sent.attempts) == (False, 3)
    assert sent.error
    dead = channel("json://user:hunter2@127.0.0.1:1/very-secret-token").send("info", "t", "b")
    assert not dead.ok
    shown = sent.error + dead.error + caplog.text + "".join(capfd.readouterr())
    assert "very-secret-token" not in shown
    assert "hunter2" not in shown


def test_no_part_of_an_address_is_left_in_what_a_service_said() -> None:
    one = channel("json://user:hunter2@hooks.example/very-secret-token?key=swordfish")
    said = one._scrubbed(
        ["user failed at https://hooks.example/very-secret-token with hunter2 and swordfish"]
    )
    assert not [part for part in ("user", "hunter2", "hooks.example", "secret", "swordfish") if part in said]
    assert "failed at" in said


def test_an_address_that_is_none_is_refused_without_being_shown() -> None:
    with pytest.raises(UsageError) as error:
        open_channels([SecretStr("json://127.0.0.1/ok"), SecretStr("nonsense://hunter2")])
    assert "number 2 (nonsense)" in str(error.value)
    assert "hunter2" not in str(error.value)


@dataclass
class Clock:
    seconds: float = 15.0

    def __call__(self) -> str:
        return make.at(self.seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Store]:
    """A store whose engine runs."""
    with StoreLock(tmp_path), Store.open(tmp_path, "live", clock=make.Ticking()) as store:
        store.start_run(make.run_info())
        with store.batch() as batch:
            batch.block(make.block_ref(make.HEAD + 1), 40, 96, 3.5, 10**18)
        yield store


Watching = Callable[..., Watch]


@pytest.fixture
def watching(tmp_path: Path, engine: Store, clock: Clock) -> Iterator[Watching]:
    opened: list[Any] = []

    def start(*channels: Channel) -> Watch:
        reader = open_store(tmp_path)
        alerts = AlertStore(tmp_path, writing=True)
        policy = AlertsPolicy(summary_hour=-1, disk_free_mb=0, stale_blocks=10_000)
        watch = Watch(
            Lookout(reader, policy, now=clock), alerts, channels, cooldown_s=60, who="ARBTUI test", now=clock
        )
        opened.extend([watch, alerts, reader])
        watch.tick()
        return watch

    yield start
    for one in opened:
        one.close()


def incidents(engine: Store, count: int = 1, kind: str = "reorg") -> None:
    with engine.batch() as batch:
        for number in range(count):
            batch.incident(kind, f"number {number}")


def test_every_channel_gets_what_happened_grouped(
    engine: Store, watching: Watching, hook: Hook, mailbox: tuple[Mailbox, str], tmp_path: Path
) -> None:
    watch = watching(channel(hook.url), channel(mailbox[1], 2))
    incidents(engine)
    incidents(engine, kind="foreign_nonce")
    assert watch.tick() == 1
    watch.drain()
    (body,) = hook.bodies
    assert body["title"] == "ARBTUI test: 2 alerts, error first"
    assert body["message"].splitlines() == ["foreign nonce: number 0", "reorg: number 0"]
    assert len(mailbox[0].mails) == 1
    with AlertStore(tmp_path, writing=False) as told:
        (message,) = told.messages()
        assert [d["state"] for d in message["deliveries"]] == ["delivered", "delivered"]
    assert hook.url.rpartition("/")[2] not in (tmp_path / "alerts.sqlite").read_bytes().decode("latin-1")


def test_a_storm_through_a_real_webhook(engine: Store, watching: Watching, hook: Hook, clock: Clock) -> None:
    """10,000 events in ten looks: each kind's first is there, messages are few."""
    watch = watching(channel(hook.url))
    kinds = [f"kind {n}" for n in range(50)]
    for look in range(10):
        with engine.batch() as batch:
            for number in range(1_000):
                batch.incident(kinds[(number + look) % 50], f"number {number}")
        clock.seconds += 5
        watch.tick()
    watch.drain()
    told = "\n".join(body["message"] for body in hook.bodies)
    assert all(f"{kind}: number" in told for kind in kinds)
    assert len(hook.bodies) <= 5


def test_a_dead_channel_keeps_nobody_waiting_and_gets_all_of_it_later(
    engine: Store, watching: Watching, hook: Hook, sound_hook: Hook, clock: Clock, tmp_path: Path
) -> None:
    hook.broken = 3
    watch = watching(channel(hook.url), channel(sound_hook.url, 2))
    for number in range(8):
        incidents(engine, kind=f"kind {number}")
        watch.tick()
        watch.drain(5)
    assert len(sound_hook.bodies) == 8
    assert hook.bodies == []
    with AlertStore(tmp_path, writing=False) as told:
        (failing,) = [c for c in told.channels() if c["channel"].startswith("json") and c["waiting"]]
    assert (failing["delivered"], failing["waiting"], failing["attempts"]) == (0, 8, 3)
    assert failing["error"]
    clock.seconds += BACKOFF_S + 1
    watch.tick()
    watch.drain(5)
    (body,) = hook.bodies
    assert body["title"] == "ARBTUI test: 8 messages that were late"
    assert all(f"kind {number}: number 0" in body["message"] for number in range(8))
    with AlertStore(tmp_path, writing=False) as told:
        assert [c["waiting"] for c in told.channels()] == [0, 0]


def test_a_channel_that_hangs_does_not_hold_up_the_watch(
    engine: Store, watching: Watching, hook: Hook, mailbox: tuple[Mailbox, str]
) -> None:
    hook.hang_s = 1.0
    watch = watching(channel(hook.url), channel(mailbox[1], 2))
    incidents(engine)
    watch.tick()
    # The other channel has it, and a second look is taken, while the first still hangs.
    end = time.monotonic() + 20
    while not mailbox[0].mails and time.monotonic() < end:
        time.sleep(0.01)
        watch.tick()
    assert mailbox[0].mails
    assert hook.bodies == []
    watch.drain()
    assert len(hook.bodies) == 1


def test_what_is_too_old_is_given_up_and_counted(
    engine: Store, watching: Watching, hook: Hook, clock: Clock, tmp_path: Path
) -> None:
    hook.broken = 3
    watch = watching(channel(hook.url))
    incidents(engine)
    watch.tick()
    watch.drain(5)
    clock.seconds += GIVE_UP_S + 1
    watch.tick()
    with AlertStore(tmp_path, writing=False) as told:
        assert told.channels()[0]["given_up"] == 1
    assert hook.bodies == []


def test_a_watch_that_died_goes_on_where_it_was(
    engine: Store, watching: Watching, hook: Hook, clock: Clock
) -> None:
    hook.broken = 3
    first = watching(channel(hook.url))
    incidents(engine)
    first.tick()
    first.drain(5)
    incidents(engine, kind="later")
    first.close()
    clock.seconds += 30
    second = watching(channel(hook.url))
    second.tick()
    second.drain(5)
    told = "\n".join(body["message"] for body in hook.bodies)
    assert "reorg: number 0" in told
    assert "later: number 0" in told, "what happened while nobody watched"
    incidents(engine)
    second.tick()
    second.drain(5)
    assert told == "\n".join(body["message"] for body in hook.bodies), "the reorg is not a first one again"


def test_what_stands_and_ends(engine: Store, watching: Watching, hook: Hook, clock: Clock) -> None:
    watch = watching(channel(hook.url))
    with engine.batch() as batch:
        batch.block(make.block_ref(make.HEAD + 2), 40, 96, 3.5, 1)
    watch.tick()
    clock.seconds += 30
    with engine.batch() as batch:
        batch.block(make.block_ref(make.HEAD + 3), 40, 96, 3.5, 10**18)
    watch.tick()
    watch.drain(5)
    first, second = [body["message"] for body in hook.bodies]
    assert first == "the wallet holds 0.000000 ETH for gas; bound 0.100000 ETH"
    assert second == f"over after 30 s: {first}"


def test_a_store_that_cannot_be_read_is_itself_an_alert(
    engine: Store, watching: Watching, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arbtui.errors import StoreError
    from arbtui.store import StoreReader

    watch = watching(channel(hook.url))

    def broken(self: StoreReader) -> int:
        raise StoreError("damaged")

    monkeypatch.setattr(StoreReader, "data_version", broken)
    watch.tick()
    watch.drain(5)
    assert hook.bodies[0]["message"] == "the store cannot be read: StoreError"


# ---- the command line


def config(tmp_path: Path, *urls: str) -> Path:
    weth = make.WETH.address
    path = tmp_path / "arbtui.toml"
    path.write_text(
        f'[chain]\nname = "test"\nchain_id = 31337\nrpc_url = "http://127.0.0.1:1"\nwrapped_native = "{weth}"\n'
        f'[wallet]\naddress = "{make.WALLET}"\nexecutor = "{make.EXECUTOR}"\ntreasury = "{make.TREASURY}"\n'
        f'[store]\ndirectory = "."\n[search]\nbase_tokens = ["WETH"]\n'
        f"[alerts]\nurls = {json.dumps(urls)}\nevery_s = 0.1\ndisk_free_mb = 0\nsummary_hour = -1\n"
        f'[[tokens]]\naddress = "{weth}"\nsymbol = "WETH"\ndecimals = 18\n',
        "utf-8",
    )
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    shown = capsys.readouterr()
    return stop.value.code, shown.out, shown.err


def test_alert_test_tries_every_channel(
    hook: Hook, mailbox: tuple[Mailbox, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config(tmp_path, hook.url, mailbox[1])
    code, out, _ = run(capsys, "alert", "test", "--config", file, "--json")
    assert code == 0
    assert [c["ok"] for c in json.loads(out)["channels"]] == [True, True]
    assert len(hook.bodies) == len(mailbox[0].mails) == 1
    code, out, err = run(capsys, "config", "show", "--config", file)
    assert "very-secret-token" not in out + err


def test_alert_test_tells_which_failed(
    hook: Hook, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config(tmp_path, hook.url, "json://127.0.0.1:1/very-secret-token")
    code, out, _ = run(capsys, "alert", "test", "--config", file)
    assert code == 1
    assert "2 (json)" in out
    assert "very-secret-token" not in out


def test_without_addresses_it_says_where_to_put_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "alert", "test", "--config", config(tmp_path))
    assert (code, out) == (2, "")
    assert "alerts.urls is empty" in err


def test_the_watch_as_a_process_tells_of_an_engine_that_was_killed(
    hook: Hook, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The engine's lock goes with its process; the watchdog outside it says so."""
    file = config(tmp_path, hook.url)
    environment = {**os.environ, "ARBTUI_STATE": str(tmp_path)}
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom arbtui.store import Store, StoreLock\n"
        "from tests import factories as make\n"
        "lock = StoreLock(Path(sys.argv[1]))\nstore = Store.open(Path(sys.argv[1]), 'live')\n"
        "store.start_run(make.run_info())\nprint('up', flush=True)\ntime.sleep(60)\n"
    )
    root = Path(__file__).parents[2]
    engine = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, cwd=root, env=environment
    )
    assert engine.stdout is not None
    assert engine.stdout.readline() == b"up\n"
    watch = subprocess.Popen(
        [sys.executable, "-m", "arbtui", "alert", "watch", "--config", str(file)],
        stderr=subprocess.PIPE,
        env=environment,
    )
    try:
        assert watch.stderr is not None
        assert b"watching" in watch.stderr.readline()
        with pytest.raises(Exception, match="another alert watch"):
            AlertsLock(tmp_path)
        engine.send_signal(signal.SIGKILL)
        engine.wait()
        end = time.monotonic() + 30
        while not hook.bodies and time.monotonic() < end:
            time.sleep(0.05)
        assert [body["message"] for body in hook.bodies] == [
            "the engine is gone without a word: no process holds the store"
        ]
    finally:
        engine.kill()
        engine.wait()
        engine.stdout.close()
        watch.send_signal(signal.SIGTERM)
        assert watch.wait(20) == 0
        assert watch.stderr is not None
        watch.stderr.close()
    code, out, _ = run(capsys, "alert", "list", "--config", file, "--json")
    told = json.loads(out)
    assert code == 0
    assert [(a["rule"], a["standing"]) for a in told["alarms"]] == [("engine_stopped", 1)]
    assert told["channels"][0]["delivered"] == 1
    assert "engine_stopped" in run(capsys, "alert", "list", "--config", file)[1]


# ---- what a review found


@dataclass
class Fussy:
    """Takes everything but what has a word in it."""

    word: str
    key: str = "fussy"
    taken: list[str] = field(default_factory=list)

    def send(self, level: str, title: str, body: str) -> Sent:
        if self.word in body:
            return Sent(False, 3, "too long")
        self.taken.append(body)
        return Sent(True, 1, "")


def test_a_message_that_is_refused_keeps_no_other_waiting(
    engine: Store, watching: Watching, clock: Clock
) -> None:
    fussy = Fussy("poison")
    watch = watching(fussy)
    incidents(engine, kind="poison")
    for look in range(6):
        if look == 3:
            incidents(engine, kind="sound")
        watch.tick()
        watch.drain(5)
        clock.seconds += 50
    assert fussy.taken == ["sound: number 0"]


def test_a_long_message_is_split_for_a_service_that_takes_less() -> None:
    one = channel(f"discord://{'1' * 18}/{'a' * 60}")
    (service,) = one._apprise
    parts = service._apply_overflow("word " * 600, title="t")
    assert len(parts) > 1
    assert all(len(part["body"]) + len(part["title"]) <= 2_000 for part in parts)


def test_live_and_paper_keep_their_marks_and_alarms_apart(tmp_path: Path) -> None:
    row = {
        "rule": "node", "subject": "a", "level": "info", "text": "", "standing": 1, "count": 1, "told_count": 1,
        "first_at": make.at(), "last_at": make.at(), "told_at": None, "next_at": None,
    }  # fmt: skip
    with AlertStore(tmp_path, writing=True) as live:
        live.told({"incident": 9}, [row], [], [], make.at())
    with AlertStore(tmp_path, writing=True, family="paper") as paper:
        assert (paper.marks(), paper.alarms()) == ({}, [])
        paper.told({"incident": 100}, [], [], [], make.at())
    with AlertStore(tmp_path, writing=False) as live:
        assert live.marks() == {"incident": 9}
        assert [a["subject"] for a in live.alarms()] == ["a"]
        assert [(a["family"], a["subject"]) for a in live.all_alarms()] == [("live", "a")]


def test_while_the_alerts_file_cannot_be_written_alerts_go_out_once(
    engine: Store, watching: Watching, clock: Clock, tmp_path: Path
) -> None:
    fussy = Fussy("nothing")
    watch = watching(fussy)
    connection = watch._store._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(60):
        incidents(engine, kind=f"kind {number} {'x' * 30}")
    for _ in range(3):
        watch.tick()
        watch.drain(5)
        clock.seconds += 5
    told = "\n".join(fussy.taken)
    assert all(told.count(f"kind {number} ") == 1 for number in range(60))
    assert "the disk is full" in told
    assert str(tmp_path) not in told
    connection.execute("PRAGMA max_page_count = 1000000")
    for _ in range(2):
        watch.tick()
        watch.drain(5)
        clock.seconds += 5
    assert "\n".join(fussy.taken).count("kind 3 ") == 1
    assert "over after" in fussy.taken[-1]
    assert watch._store.marks()["incident"] == 60


def test_neither_the_path_nor_a_decoded_password_is_logged(
    hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    one = channel(hook.url.replace("json://", "json://user:p%40ssword@"))
    with caplog.at_level(logging.DEBUG):
        assert one.send("info", "t", "b").ok
    assert "very-secret-token" not in caplog.text
    assert "p@ssword" not in one._scrubbed(["login with p@ssword failed"])


def test_a_channel_is_known_by_its_address_wherever_it_stands(
    engine: Store, watching: Watching, hook: Hook, sound_hook: Hook, tmp_path: Path
) -> None:
    hook.broken = 3
    first = watching(channel(hook.url), channel("json://127.0.0.1:1/gone", 2))
    incidents(engine)
    first.tick()
    first.drain(1)
    first.close()
    second = watching(channel(sound_hook.url), channel(hook.url, 2))
    second.drain(5)
    assert sound_hook.bodies == []
    assert len(hook.bodies) == 1
    with AlertStore(tmp_path, writing=False) as told:
        assert sum(c["given_up"] for c in told.channels()) == 1
    assert len(open_channels([SecretStr(hook.url)] * 2)) == 1


def test_a_store_that_cannot_be_opened_yet_is_waited_for_and_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arbtui.cli import alert
    from arbtui.errors import StoreError

    monkeypatch.setattr(alert, "PATIENCE_S", 0.1)
    path = tmp_path / "live.sqlite"
    path.touch()
    tries: list[int] = []
    told: list[str] = []

    class Taker:
        key = "taker"

        def send(self, level: str, title: str, body: str) -> Sent:
            told.append(body)
            return Sent(True, 1, "")

    def attempt() -> str:
        tries.append(1)
        if len(tries) < 4:
            raise StoreError(f"{path} is damaged")
        return "open"

    assert alert._opened("the store", path, attempt, [Taker()], "who", lambda: False) == "open"
    assert told == [
        "nothing is watched: the store cannot be opened: is damaged",
        "the store can be opened again",
    ]
