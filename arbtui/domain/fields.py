"""Field types that configuration models of every room share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from arbtui.errors import UsageError
from arbtui.units import Address, parse_address


def _address(value: object) -> object:
    try:
        return parse_address(value) if isinstance(value, str) else value
    except UsageError as error:
        raise ValueError(str(error)) from error


AddressField = Annotated[Address, BeforeValidator(_address)]
"""An address in any case; a wrong mixed-case checksum is a violation."""
