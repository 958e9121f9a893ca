from __future__ import annotations

import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbtui.errors import UsageError
from arbtui.text import REPLACEMENT, redact, redact_url, safe_text
from arbtui.units import (
    _address,
    div_up,
    format_amount,
    mul_div_down,
    mul_div_up,
    parse_address,
    parse_amount,
)

CHECKSUMMED = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"


@pytest.mark.parametrize("text", [CHECKSUMMED, CHECKSUMMED.lower(), "0x" + CHECKSUMMED[2:].upper()])
def test_an_address_is_taken_in_any_case_and_goes_out_checksummed(text: str) -> None:
    assert parse_address(text) == CHECKSUMMED


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (CHECKSUMMED.replace("C02a", "c02a"), "wrong checksum"),
        (CHECKSUMMED[:-1], "not an address"),
        (CHECKSUMMED[2:], "not an address"),
        ("", "not an address"),
    ],
)
def test_a_bad_address_is_refused_by_name(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"treasury.*{why}"):
        parse_address(text, "treasury")


def test_what_an_address_was_called_is_not_kept() -> None:
    """Each receipt's name beside its address was an entry of the cache: two kilobytes a block."""
    parse_address(CHECKSUMMED)
    kept = _address.cache_info().currsize
    for number in range(100):
        parse_address(CHECKSUMMED, f"receipt {number}")
    assert _address.cache_info().currsize == kept
    with pytest.raises(UsageError, match="owner: .* is not an address"):
        parse_address([], "owner")  # type: ignore[arg-type]


@given(st.integers(0, 2**256), st.integers(0, 2**256), st.integers(1, 2**256))
def test_rounding_is_in_the_name(a: int, b: int, denominator: int) -> None:
    down, up = mul_div_down(a, b, denominator), mul_div_up(a, b, denominator)
    assert down * denominator <= a * b <= up * denominator
    assert up - down == (1 if a * b % denominator else 0)
    assert div_up(a, denominator) == mul_div_up(a, 1, denominator)


@given(st.integers(0, 2**256 - 1), st.integers(0, 30))
def test_amounts_survive_text(amount: int, decimals: int) -> None:
    assert parse_amount(format_amount(amount, decimals).replace(",", ""), decimals) == amount


@pytest.mark.parametrize("text", ["-1", "1e3", "nan", "inf", "", "1.2.3", "0x10", "1,5", "--"])
def test_what_is_no_plain_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="plain positive number"):
        parse_amount(text, 18)


def test_an_amount_is_never_rounded_in() -> None:
    with pytest.raises(UsageError, match="more than the 6 decimals"):
        parse_amount("0.0000001", 6)
    assert parse_amount("1.5000000", 6) == 1_500_000


def test_places_cut_towards_minus_infinity() -> None:
    assert format_amount(1_999_999, 6, 2) == "1.99"
    assert format_amount(-1, 6, 2) == "-0.01"


@given(st.text(max_size=80))
def test_foreign_text_never_acts(text: str) -> None:
    shown = safe_text(text, 16)
    assert len(shown) <= 16
    assert not any(ord(ch) < 0x20 or 0x7F <= ord(ch) < 0xA0 or ch in "\u202e\u2066\u2028" for ch in shown)


def test_escape_codes_become_visible() -> None:
    assert safe_text("US\x1b[31mDC\u202e") == f"US{REPLACEMENT}[31mDC{REPLACEMENT}"


@pytest.mark.parametrize(
    "url",
    [
        "https://eth.example/v2/SECRETKEY",
        "https://user:SECRETKEY@eth.example:8545/x?key=SECRETKEY",
        "wss://eth.example/?apikey=SECRETKEY",
    ],
)
def test_keys_in_urls_are_cut(url: str) -> None:
    assert "SECRETKEY" not in redact_url(url)
    assert "eth.example" in redact_url(url)
    assert "SECRETKEY" not in redact(f"POST {url} failed: {url}")


def test_what_is_no_url_is_hidden_whole() -> None:
    assert "SECRET" not in redact_url("SECRET")


def test_text_without_end_is_cut_before_it_is_brought_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    plain = unicodedata.normalize

    def normalize(form: Literal["NFC"], text: str) -> str:
        seen.append(len(text))
        return plain(form, text)

    monkeypatch.setattr("arbtui.text.unicodedata.normalize", normalize)
    assert safe_text("\u0301\u0323" * 20_000, 4) == REPLACEMENT * 3 + "…"
    assert max(seen) <= 20


def test_what_is_composed_of_many_characters_is_still_cut_where_it_was() -> None:
    # Four characters make one.
    one = "\u03b1\u0313\u0300\u0345"
    assert safe_text(one * 4, 4) == "\u1f82" * 4
    assert safe_text(one * 40, 4) == "\u1f82" * 3 + "…"
