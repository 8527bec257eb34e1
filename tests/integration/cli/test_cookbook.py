"""Each command of the grpcurl cookbook, in its order, by ``buf curl``: it does what the page says, or is refused."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from qmtl_sdk.local.progress import StackStatus
from tests.support.command_line import Qmtl

ROOT: Final = Path(__file__).resolve().parents[3]
PAGE: Final = ROOT / "docs" / "operations" / "cookbook.md"
BUF: Final = shutil.which("buf") or str(Path(sys.executable).with_name("buf"))
EVERYTHING_PASSES: Final = 'apply: auto\ngates: [{name: sharpe, rule: "metrics.sharpe >= -9.0"}]\nselect: {top_k: 3}\n'
EXPORTED: Final = re.compile(r"\$ export (?P<variable>[A-Z]+)=\$\((?P<command>grpcurl .*) \| jq -r \.(?P<path>\S+)\)")
REFUSED: Final = re.compile(r"ERROR: ([A-Za-z]+)")
SECONDS: Final = 60.0

Written = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hold one command of the page, the status with which the page says it is refused, empty where it is not, and the
    variable that is set to a field of its answer."""

    command: str
    status: str = ""
    variable: str = ""
    path: str = ""


def recipes() -> Iterator[Recipe]:
    """Yield the commands of the page that ask the gateway."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        exported = EXPORTED.fullmatch(line)
        if exported is not None:
            yield Recipe(exported["command"], variable=exported["variable"], path=exported["path"])
        elif line.startswith("$ grpcurl "):
            refused = REFUSED.fullmatch(after)
            yield Recipe(line.removeprefix("$ "), "" if refused is None else refused[1])


def spoken(command: str, variables: Mapping[str, str]) -> list[str]:
    """Return a grpcurl command as ``buf curl`` has it."""
    stated = re.sub(r"\$([A-Z]+)", lambda found: variables[found[1]], command)
    given = iter(shlex.split(stated)[1:])
    options, words, data = list[str](), list[str](), "{}"
    for each in given:
        if each == "-d":
            data = next(given)
        elif each == "-H":
            options += ["--header", next(given)]
        elif each != "-plaintext":
            words.append(each)
    base, gateway = [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *options], f"http://{words[0]}"
    match words[1:]:
        case ["list"]:
            return [*base, "--list-services", gateway]
        case ["list" | "describe", _]:
            return [*base, "--list-methods", gateway]
        case [method]:
            return [*base, "--data", data, f"{gateway}/{method}"]
    raise AssertionError(command)


def taken(answer: Any, path: str) -> str:
    """Return what stands at a path of jq's, such as ``strategies[0].status``."""
    for name in re.findall(r"\w+", path):
        answer = answer[int(name) if name.isdigit() else name]
    return str(answer)


@pytest.mark.timeout(420)  # forty processes, on a machine that may be loaded
def test_every_command_of_the_cookbook_does_what_it_says(stack: StackStatus, qmtl: Qmtl, written: Written) -> None:
    terms = ("--mode", "paper", "--share-policy", "world", "--preset", "sample_us_equity_1d")
    assert qmtl("world", "create", "demo", *terms, "--policy", written("policy.yaml", EVERYTHING_PASSES)).code == 0
    assert qmtl("submit", str(ROOT / "examples" / "sma_cross.py"), "--world", "demo").code == 0
    variables = {
        "GATEWAY": stack.gateway_address,
        "BEARER": f"authorization: Bearer {stack.token_file.read_text().strip()}",
    }
    found = list(recipes())
    assert len(found) > 30
    for each in found:
        done = subprocess.run(
            spoken(each.command, variables), capture_output=True, text=True, timeout=SECONDS, check=False
        )
        status = re.sub(r"(?<!^)(?=[A-Z])", "_", each.status).lower()
        assert (done.returncode == 0) is (not status), f"{each.command}\n{done.stdout}{done.stderr}"
        assert f'"code": "{status}"' in done.stderr or not status, f"{each.command}\n{done.stderr}"
        if each.variable:
            variables[each.variable] = taken(json.loads(done.stdout), each.path)
