"""Who submits, and where to: refused by name before anything is asked."""

from __future__ import annotations

from typing import Any

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.client.gateway import gateway_address
from qmtl_sdk.settings import checked_author


@pytest.mark.parametrize(
    ("author", "message"),
    [(5, "author: 5 is no text; write such as 'ana'"), ("", "author: '' must be 1 to 64 characters")],
)
def test_author_that_is_no_name_is_refused(author: Any, message: str) -> None:
    with pytest.raises(QmtlError) as caught:
        checked_author(author)
    assert caught.value.reason is Reason.INVALID_FIELD
    assert caught.value.message.startswith(message)


def test_author_is_by_default_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QMTL_AUTHOR", "bo")
    assert (checked_author(None), checked_author("ana")) == ("bo", "ana")


@pytest.mark.parametrize(
    ("gateway", "message"),
    [(5, "gateway: 5 is no text; write host:port"), ("", "gateway: '' is not host:port")],
)
def test_gateway_that_is_no_address_is_refused(gateway: Any, message: str) -> None:
    with pytest.raises(QmtlError) as caught:
        gateway_address(gateway)
    assert (caught.value.reason, caught.value.message) == (Reason.INVALID_FIELD, message)
