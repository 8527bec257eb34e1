"""Fixtures of the whole loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qmtl_foundation.settings import Address
from qmtl_sdk.cli.main import run
from qmtl_sdk.client.credential import file_source
from qmtl_sdk.client.presets import register_builtin_presets
from qmtl_sdk.local.progress import StackStatus
from qmtl_sdk.local.stack import up
from tests.support.command_line import Ended, Qmtl
from tests.support.stack import lasting_dir

__all__ = ["lasting_dir"]


@pytest.fixture
def stack(lasting_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackStatus]:
    """Give the module's stack, whole before and after, as the environment's."""
    monkeypatch.setenv("QMTL_STATE_DIR", str(lasting_dir))
    monkeypatch.setenv("QMTL_CACHE_DIR", str(lasting_dir / "cache"))
    monkeypatch.setenv("QMTL_AUTHOR", "ana")
    for name in ("QMTL_GATEWAY", "QMTL_TOKEN", "QMTL_TOKEN_FILE", "QMTL_TLS_CA"):
        monkeypatch.delenv(name, raising=False)
    status = up(lasting_dir)
    register_builtin_presets(Address.parse(status.gateway_address), file_source(status.token_file))
    yield status
    up(lasting_dir)


@pytest.fixture
def qmtl(stack: StackStatus, capsys: pytest.CaptureFixture[str]) -> Qmtl:
    """Give a function that runs one command line whose answer is JSON."""

    def call(*arguments: str) -> Ended:
        code = run([*arguments, "--output", "json"])
        return Ended(code, *capsys.readouterr())

    return call
