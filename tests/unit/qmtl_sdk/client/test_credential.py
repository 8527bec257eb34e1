"""Which token goes to which gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.settings import Address
from qmtl_sdk.client.credential import token_source
from qmtl_sdk.local.state import Endpoint, Layout, StackState, save

LOCAL = Address("127.0.0.1", 5_001)


@pytest.fixture(autouse=True)
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """Give a local stack's directory whose gateway is at LOCAL, and an environment that names no token."""
    for name in ("QMTL_TOKEN", "QMTL_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QMTL_STATE_DIR", str(tmp_path))
    layout = Layout(tmp_path)
    layout.auth.mkdir()
    layout.user_token.write_text("local\n")
    save(layout, StackState({"gateway": Endpoint(str(LOCAL))}))
    return layout


def test_the_local_stacks_token_goes_to_its_own_gateway_only() -> None:
    assert token_source(LOCAL)() == "local"
    assert token_source(Address("localhost", LOCAL.port))() == "local"
    assert token_source(Address("127.0.0.1", 5_002))() == ""
    assert token_source(Address("gateway.example", 5_001))() == ""


def test_what_the_environment_states_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own"
    file.write_text("from a file")
    monkeypatch.setenv("QMTL_TOKEN_FILE", str(file))
    assert token_source(LOCAL)() == "from a file"
    monkeypatch.setenv("QMTL_TOKEN", " stated ")
    assert token_source(LOCAL)() == "stated"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QMTL_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(QmtlError, match="QMTL_TOKEN_FILE") as caught:
        token_source(LOCAL)
    assert caught.value.reason is Reason.NOT_CONFIGURED


def test_a_stack_that_is_damaged_or_has_no_token_yet_leaves_the_answer_to_the_gateway(local: Layout) -> None:
    local.user_token.unlink()
    assert token_source(LOCAL)() == ""
    local.state_file.write_text("spoilt")
    assert token_source(LOCAL)() == ""
