from __future__ import annotations

import subprocess
import sys

import arbtui


def test_the_flat_names_are_there_documented_and_sorted() -> None:
    assert arbtui.__all__ == sorted(arbtui.__all__, key=lambda name: (name[0].islower(), name))
    for name in arbtui.__all__:
        assert getattr(arbtui, name).__doc__, name
        assert name in (arbtui.__doc__ or "")
    assert set(arbtui.__all__) <= set(dir(arbtui))


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, arbtui; print([m for m in ('web3', 'aiohttp', 'pydantic', 'sqlite3') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(arbtui, "nothing_of_that_name")
