"""Fixtures of the command line's tests: the whole stack, and a ``qmtl`` that talks to it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qmtl_foundation.settings import Address
from qmtl_sdk.cli.main import run
from qmtl_sdk.client.credential import file_source
from qmtl_sdk.client.presets import register_builtin_presets
from qmtl_sdk.local.progress import StackStatus
from tests.support.command_line import Ended, Qmtl
from tests.support.stack import state_dir

__all__ = ["state_dir"]


@pytest.fixture(scope="session")
def gateway(stack: StackStatus) -> str:
    """Give the gateway's address, with the built-in presets registered."""
    register_builtin_presets(Address.parse(stack.gateway_address), file_source(stack.token_file))
    return stack.gateway_address


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a cache that the tests share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def environment(gateway: str, stack: StackStatus, cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set what the command line reads."""
    stated = {"QMTL_GATEWAY": gateway, "QMTL_CACHE_DIR": str(cache), "QMTL_AUTHOR": "ana"}
    stated["QMTL_TOKEN_FILE"] = str(stack.token_file)
    for name, value in stated.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **stated}


@pytest.fixture
def qmtl(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Qmtl:
    """Give a function that runs one command line."""

    def call(*arguments: str) -> Ended:
        code = run(arguments)
        return Ended(code, *capsys.readouterr())

    return call


@pytest.fixture
def qmtl_json(qmtl: Qmtl) -> Qmtl:
    """Give a function that runs one command line whose answer is JSON."""
    return lambda *arguments: qmtl(*arguments, "--output", "json")


_numbers = itertools.count()


@pytest.fixture
def world_name() -> str:
    """Give the name of a world that there is not yet."""
    return f"world_{next(_numbers)}"


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str], str]:
    """Give a function that writes a file and returns its path."""

    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write
