"""What requests have in common: names, pages, and settings read from the environment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmtl_foundation import requests
from qmtl_foundation.clock import format_rfc3339, parse_rfc3339
from qmtl_foundation.errors import FieldViolation, QmtlError, Reason, invalid_field, within
from qmtl_foundation.settings import Address, Secret, read_settings

COMPLETE = {"QMTL_DSN": "postgresql://ann:secret@db/qmtl", "QMTL_LISTEN": "[::1]:8443"}


@dataclass(frozen=True, slots=True)
class SomeSettings:
    """Have a field of each kind."""

    dsn: Secret
    listen: Address
    replicas: int = 1
    factor: float = 0.5
    switch: bool = False
    name: str = "paper"
    elsewhere: Address | None = None


def test_settings_are_read_by_name_with_their_defaults() -> None:
    settings = read_settings(SomeSettings, {**COMPLETE, "QMTL_REPLICAS": "3", "QMTL_SWITCH": "TRUE", "QMTL_FACTOR": ""})
    assert settings == SomeSettings(Secret(COMPLETE["QMTL_DSN"]), Address("[::1]", 8443), 3, 0.5, True)
    assert str(settings.listen) == "[::1]:8443"


def test_a_text_that_is_said_to_be_empty_is_empty_and_one_that_is_not_said_has_its_default() -> None:
    assert read_settings(SomeSettings, COMPLETE).name == "paper"
    assert read_settings(SomeSettings, {**COMPLETE, "QMTL_NAME": ""}).name == ""


def test_an_address_that_may_be_left_out_is_read_where_it_is_stated() -> None:
    assert read_settings(SomeSettings, COMPLETE).elsewhere is None
    stated = read_settings(SomeSettings, {**COMPLETE, "QMTL_ELSEWHERE": "0.0.0.0:9002"})
    assert stated.elsewhere == Address("0.0.0.0", 9002)  # noqa: S104  # nothing listens


def test_secrets_are_never_shown() -> None:
    settings = read_settings(SomeSettings, COMPLETE)
    assert "secret" not in f"{settings} {settings!r} {settings.dsn}"


def test_every_fault_of_the_settings_is_named_at_once() -> None:
    bad = {"QMTL_LISTEN": "8443", "QMTL_REPLICAS": "many", "QMTL_SWITCH": "yes", "QMTL_FACTOR": "half"}
    with pytest.raises(QmtlError) as caught:
        read_settings(SomeSettings, bad)
    assert caught.value.reason is Reason.NOT_CONFIGURED
    assert caught.value.metadata == {"setting": "QMTL_DSN"}
    for name in ("QMTL_DSN", "QMTL_LISTEN", "QMTL_REPLICAS", "QMTL_SWITCH", "QMTL_FACTOR"):
        assert name in caught.value.message


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:65536", "host:-1", "host:1.5", "host:²"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|invalid literal"):
        Address.parse(text)


@pytest.mark.parametrize("name", ["", "Upper", "1st", "a b", "a/b", "a" * 64, "a\n", "é"])
def test_a_malformed_resource_name_is_refused_by_field(name: str) -> None:
    with pytest.raises(QmtlError) as caught:
        requests.check_resource_name("world", name)
    assert caught.value.violations[0].field == "world"


@pytest.mark.parametrize("text", ["", "ann", "ann/", "/x", "a/b/c", "ann/x y", "ann/x\n"])
def test_a_strategy_is_author_and_name(text: str) -> None:
    with pytest.raises(QmtlError, match="must be author/name"):
        requests.check_strategy_id(text)
    assert requests.check_strategy_id("ann/Trend-1.0_x") == "ann/Trend-1.0_x"


def test_a_page_size_of_0_is_the_default() -> None:
    assert requests.check_page_size(0) == requests.DEFAULT_PAGE_SIZE
    assert requests.check_page_size(1000) == 1000
    for size in (-1, 1001):
        with pytest.raises(QmtlError, match="page_size"):
            requests.check_page_size(size)


@given(st.text(st.characters(codec="utf-8")))
def test_a_page_token_leads_back_or_is_refused(text: str) -> None:
    if text.isprintable():
        assert requests.decode_page_token(requests.encode_page_token(text)) == text
    else:
        with pytest.raises(QmtlError, match="page_token"):
            requests.decode_page_token(requests.encode_page_token(text))


@given(st.text())
def test_any_text_is_a_token_or_an_invalid_field(token: str) -> None:
    refused = []
    for decode in (requests.decode_page_token, lambda text: requests.decode_number_token(text, 2**63 - 1)):
        try:
            decode(token)
        except QmtlError as error:
            refused.append(error.metadata["field"])
    assert set(refused) <= {"page_token"}


def test_a_number_token_never_passes_the_newest() -> None:
    assert requests.decode_number_token("", 9) == 9
    assert requests.decode_number_token(requests.encode_page_token("7"), 9) == 7
    assert requests.decode_number_token(requests.encode_page_token("9" * 300), 9) == 9
    with pytest.raises(QmtlError, match="page_token"):
        requests.decode_number_token(requests.encode_page_token("²"), 9)


@given(st.datetimes(timezones=st.timezones()))
def test_a_moment_has_one_text(moment: datetime) -> None:
    try:
        expected = moment.astimezone(UTC)
    except OverflowError:
        return
    assert parse_rfc3339(format_rfc3339(moment)) == expected
    assert format_rfc3339(parse_rfc3339(format_rfc3339(moment))) == format_rfc3339(moment)


@pytest.mark.parametrize("text", ["", "now", "2013-03-01", "2013-03-01T21:00:00", "0001-01-01T00:00:00+23:00"])
def test_a_moment_without_offset_or_beyond_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"offset|isoformat|before the year 1"):
        parse_rfc3339(text)


def test_a_refusal_of_a_part_names_its_place() -> None:
    with pytest.raises(QmtlError) as caught, within("world"), within("execution_model"):
        raise invalid_field("fee_bp", "is bad", value="-1")
    assert caught.value.metadata == {"field": "world.execution_model.fee_bp", "value": "-1"}
    assert caught.value.violations == (FieldViolation("world.execution_model.fee_bp", "is bad"),)
    assert caught.value.message == "world.execution_model.fee_bp: is bad"
