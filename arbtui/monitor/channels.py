"""Where alerts go: apprise, kept to plain text, its errors without secrets."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from pydantic import SecretStr
from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_exponential_jitter
from tenacity.wait import wait_base

from arbtui.errors import UsageError
from arbtui.text import redact, safe_text

ATTEMPTS = 3
_ROUNDS = 100_000
#: Libraries that log the path of what they ask for, which for many services is the password.
_TALKERS = ("apprise", "requests", "requests_oauthlib", "urllib3")
_WAIT = wait_exponential_jitter(multiplier=0.5, max=5, jitter=0.2)


@dataclass(frozen=True, slots=True)
class Sent:
    """Whether a channel took a message, after how many attempts, and what it said last where not."""

    ok: bool
    attempts: int
    error: str


class Channel:
    """One address, which is never shown. `name` is its number and kind, such as "1 (mailto)".

    `key` names it in the alerts file, wherever it stands in the list: its kind and a slow, short digest of it.
    """

    def __init__(self, number: int, url: SecretStr, *, wait: wait_base = _WAIT) -> None:
        apprise = _apprise()
        self._url = url.get_secret_value()
        self._wait = wait
        self._apprise = apprise.Apprise()
        kind = self._url.partition("://")[0]
        self.name = f"{number} ({safe_text(kind, 16)})"
        digest = hashlib.pbkdf2_hmac("sha256", self._url.encode(), b"arbtui alerts", _ROUNDS, 4)
        self.key = f"{safe_text(kind, 16)} {digest.hex()}"
        with _SAID.here(), warnings.catch_warnings():
            # The first address loads every plugin, and with them what they import.
            warnings.simplefilter("ignore", DeprecationWarning)
            added = self._apprise.add(self._url)
        if not added:
            raise UsageError(
                f"alerts.urls: number {number} ({safe_text(kind, 16)}) is no address that apprise understands"
            )
        for service in self._apprise:
            # By default a text that is too long for the service is left to it, and it refuses.
            service.overflow_mode = apprise.OverflowMode.SPLIT

    def send(self, level: str, title: str, body: str) -> Sent:
        """Up to ATTEMPTS times, with growing pauses; it never raises for what the service does."""
        apprise = _apprise()
        kinds = {"info": "info", "warning": "warning", "error": "failure"}
        error = ""

        def once() -> bool:
            nonlocal error
            with _SAID.here() as said:
                try:
                    ok = bool(
                        self._apprise.notify(
                            body=body,
                            title=title,
                            notify_type=apprise.NotifyType(kinds.get(level, "info")),
                            # As text: the plugin escapes what its service would take for markup.
                            body_format=apprise.NotifyFormat.TEXT,
                            interpret_escapes=False,
                        )
                    )
                except Exception as fault:  # noqa: BLE001 - a service's plugin may raise anything; alerts must go on
                    ok = False
                    said.append(f"{type(fault).__name__}: {fault}")
            error = "" if ok else self._scrubbed(said)
            return ok

        retrying = Retrying(
            retry=retry_if_result(lambda ok: not ok),
            stop=stop_after_attempt(ATTEMPTS),
            wait=self._wait,
            retry_error_callback=lambda _: False,
        )
        ok = bool(retrying(once))
        return Sent(ok, int(retrying.statistics.get("attempt_number", 1)), error)

    def _scrubbed(self, said: Sequence[str]) -> str:
        """What apprise said, without any part of the address but its kind."""
        text = redact(said[-1]) if said else "the service did not take it"
        address = self._url.partition("://")[2]
        parts = re.split(r"[:/?&=@#,]+", address)
        # Decoded before it is cut, too: a path may hold an address of its own.
        parts += [unquote_plus(part) for part in parts] + re.split(r"[:/?&=@#,]+", unquote_plus(address))
        for part in sorted(set(parts), key=len, reverse=True):
            if len(part) >= 3:
                text = text.replace(part, "…")
        return safe_text(text, 200)


def open_channels(urls: Sequence[SecretStr], **changes: Any) -> list[Channel]:
    """A channel for each address, once. Raises UsageError for one that apprise does not know, or without apprise."""
    found: dict[str, Channel] = {}
    for number, url in enumerate(urls, 1):
        channel = Channel(number, url, **changes)
        found.setdefault(channel.key, channel)
    return list(found.values())


def _apprise() -> Any:
    try:
        import apprise
    except ImportError:
        raise UsageError("alerts need the extra: pip install 'arbtui[alerts]'") from None
    for name in _TALKERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    return apprise


class _Said(logging.Handler):
    """Keeps apprise's log, which may hold addresses, from everybody; each thread reads what it was warned of itself."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._of = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        if (said := getattr(self._of, "said", None)) is not None:
            said.append(record.getMessage())

    @contextmanager
    def here(self) -> Iterator[list[str]]:
        """The warnings of this thread while it is within."""
        logger = logging.getLogger("apprise")
        logger.propagate = False
        if self not in logger.handlers:
            logger.addHandler(self)
        self._of.said = []
        try:
            yield self._of.said
        finally:
            self._of.said = None


_SAID = _Said()
