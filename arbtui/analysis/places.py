"""Where a notebook finds its store, without the rest of the configuration."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from platformdirs import user_config_path

from arbtui.errors import UsageError

FILE_NAME = "arbtui.toml"


def find_store(given: str | Path = "", start: Path | None = None) -> Path:
    """The store directory: `given`, else `$ARBTUI_STORE__DIRECTORY`, else `store.directory` of the configuration.

    The configuration is `$ARBTUI_CONFIG`, else `arbtui.toml` in `start` (here) or the folder above it, else the user's.
    Raises UsageError naming where it was looked for.
    """
    named = str(given) or os.environ.get("ARBTUI_STORE__DIRECTORY")
    if named:
        return Path(named).expanduser()
    here = (start or Path.cwd()).resolve()
    candidates = [here / FILE_NAME, here.parent / FILE_NAME, user_config_path("arbtui") / FILE_NAME]
    if env := os.environ.get("ARBTUI_CONFIG"):
        candidates = [Path(env).expanduser()]
    for file in candidates:
        if file.is_file():
            return _directory(file)
    raise UsageError(
        f"no store: $ARBTUI_STORE__DIRECTORY is not set and there is no {', '.join(map(str, candidates))}; "
        "put the store's directory into the notebook's parameter STORE"
    )


def _directory(file: Path) -> Path:
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from None
    section = values.get("store")
    directory = section.get("directory") if isinstance(section, dict) else None
    if not isinstance(directory, str) or not directory:
        raise UsageError(f"{file}: there is no store.directory in it")
    return file.resolve().parent / Path(directory).expanduser()
