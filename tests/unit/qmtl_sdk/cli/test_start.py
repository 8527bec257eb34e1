"""What the command line costs before a command runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HEAVY = frozenset(
    {"asyncio", "betterproto2", "exchange_calendars", "grpc", "grpclib", "numba", "numpy", "obstore", "polars"}
    | {"psutil", "yaml"}
)
# Typer reads the values of options with pydantic; the first page has none to read.
FIRST_PAGE_HEAVY = HEAVY | {"pydantic", "rich"}
PROBE = """
import json, sys
from qmtl_sdk.cli.main import run
code = run(json.loads(sys.argv[1]))
sys.stderr.write(json.dumps([code, sorted(sys.modules)]))
"""


def imported(*arguments: str) -> set[str]:
    """Return the modules that a command line imports in a process of its own."""
    ended = subprocess.run((sys.executable, "-c", PROBE, json.dumps(arguments)), capture_output=True, check=True)
    code, modules = json.loads(ended.stderr)
    assert code == 0
    return set(modules)


def test_help_imports_nothing_heavy() -> None:
    assert not FIRST_PAGE_HEAVY & imported("--help")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["submit", "--help"],
        ["run", "--help"],
        ["world", "create", "--help"],
        ["apply", "start", "--help"],
    ],
)
def test_help_of_a_command_imports_none_of_its_work(arguments: list[str]) -> None:
    assert not HEAVY & imported(*arguments)


def test_reader_that_has_gone_is_no_fault() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program = "import sys; from qmtl_sdk.cli.main import run; sys.exit(run(['--help']))"
    ended = subprocess.run((sys.executable, "-c", program), stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, b"")
