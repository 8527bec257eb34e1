"""Where gateways are: one, or several separated by commas."""

from __future__ import annotations

import pytest

from qmtl_foundation.errors import QmtlError
from qmtl_foundation.settings import Address
from qmtl_sdk.client.gateway import gateway_address, gateway_addresses


def test_several_addresses_are_read_and_the_first_is_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = (Address("one", 5051), Address("two", 5052))
    assert gateway_addresses("one:5051, two:5052") == expected
    monkeypatch.setenv("QMTL_GATEWAY", "one:5051,two:5052")
    assert gateway_addresses() == expected
    assert gateway_address() == expected[0]


@pytest.mark.parametrize("text", ["", "one", "one:5051,", "one:5051,,two:5052"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(QmtlError, match="gateway"):
        gateway_addresses(text)
