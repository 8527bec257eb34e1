"""What ``stack.json`` gives back, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.settings import Address
from qmtl_sdk.local.state import SCHEMA, Endpoint, Layout, StackState, endpoints_of, load, save


def endpoints(address: object) -> bytes:
    """Return a file that is whole but for one address."""
    nats = {"address": address, "metrics_address": "", "launch": ""}
    return json.dumps({"schema": SCHEMA, "endpoints": {"nats": nats}}).encode()


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    state = StackState(
        {
            "postgres": Endpoint("postgresql://qmtl@/qmtl?host=%2Ftmp%2Fé&port=5432"),
            "world": Endpoint("127.0.0.1:65535", "127.0.0.1:1", "ab"),
        }
    )
    save(Layout(tmp_path), state)
    assert load(Layout(tmp_path)) == state


def test_directory_without_a_file_has_an_empty_state(tmp_path: Path) -> None:
    assert load(Layout(tmp_path)) == StackState()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        json.dumps({"schema": "other"}).encode(),
        endpoints("127.0.0.1:99999"),
        endpoints("127.0.0.1:x"),
        endpoints("127.0.0.1:-1"),
        endpoints(5),
    ],
)
def test_damaged_file_is_refused_with_the_mend(tmp_path: Path, content: bytes) -> None:
    Layout(tmp_path).state_file.write_bytes(content)
    with pytest.raises(QmtlError, match=r"stack\.json is damaged .*`qmtl up` makes it anew") as refused:
        load(Layout(tmp_path))
    assert refused.value.reason is Reason.NOT_CONFIGURED
    assert refused.value.metadata["path"] == str(tmp_path / "stack.json")


def test_a_damaged_file_is_nothing_to_who_asks_of_a_gateway_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QMTL_STATE_DIR", str(tmp_path))
    Layout(tmp_path).state_file.write_text("spoilt")
    assert endpoints_of(Address("prod", 9_000)) == {}
    with pytest.raises(QmtlError, match="is damaged"):
        endpoints_of(Address("127.0.0.1", 9_000))
