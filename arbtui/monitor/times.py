"""Times for a person: the store has UTC, what is shown is of this place, and says so."""

from __future__ import annotations

from datetime import UTC, datetime


def local_time(text: str) -> str:
    """A time as the store writes it, in this place's time, to the second."""
    return _moment(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def zone_name(text: str) -> str:
    """How this place's time is called at `text`, with what it lies off UTC: "UTC", "CEST (UTC+02:00)"."""
    moment = _moment(text).astimezone()
    name = moment.tzname() or ""
    offset = moment.strftime("%z")
    shown = f"UTC{offset[:3]}:{offset[3:]}"
    if not moment.utcoffset():
        return "UTC"
    return f"{name} ({shown})" if name and not name.startswith(("+", "-")) else shown


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
