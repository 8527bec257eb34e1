"""What the program of a service says of what it would be started with: the SDK knows neither settings nor ground."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from qmtl_foundation.diagnosis import finding, setting
from qmtl_foundation.diagnosis.finding import Finding
from qmtl_foundation.diagnosis.setting import Setting
from qmtl_foundation.errors import QmtlError, Reason, invalid_field
from qmtl_foundation.settings import PREFIX
from qmtl_sdk.client.credential import TOKEN_VARIABLE
from qmtl_sdk.local import state
from qmtl_sdk.local.service import Service, command
from qmtl_sdk.settings import AUTHOR_VARIABLE, GATEWAY_VARIABLE

CHECK_SECONDS: Final = 60.0  # each thing that is looked at gives up long before
# Of the command line alone: a shell that has them is not told that no service reads them.
OWN_VARIABLES: Final = frozenset({GATEWAY_VARIABLE, AUTHOR_VARIABLE, TOKEN_VARIABLE, state.SETTING})
_LINE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")


def stated_environment(env_file: Path | None) -> dict[str, str]:
    """Return what a service is to be started with: this process's ``QMTL_…`` variables, or those of a file instead.

    The file has a line NAME=VALUE for each, taken as it is, and comments (#). Raises QmtlError INVALID_FIELD.
    """
    if env_file is None:
        own = os.environ.items()
        return {name: value for name, value in own if name.startswith(PREFIX) and name not in OWN_VARIABLES}
    try:
        lines = env_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise invalid_field("env_file", f"{env_file} cannot be read ({error}); name a file of NAME=VALUE") from error
    stated = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    return dict(_parsed(env_file, number, line) for number, line in stated if line and not line.startswith("#"))


def check(service: Service, stated: Mapping[str, str], *, offline: bool) -> list[Finding]:
    """Return what a service's program finds wrong or well. Raises QmtlError INTERNAL where it does not say."""
    found: list[Finding] = _asked(service, stated, ("--check", *(("--offline",) if offline else ())), finding.parsed)
    return found


def settings(service: Service, stated: Mapping[str, str]) -> list[Setting]:
    """Return the settings that a service would have. Raises as ``check``."""
    found: list[Setting] = _asked(service, stated, ("--show",), setting.parsed)
    return found


def _asked(service: Service, stated: Mapping[str, str], options: tuple[str, ...], parse: Any) -> Any:
    run = command((*service.arguments, *options, "--output", "json"), stated, Path.cwd(), Path(os.devnull))
    try:
        ended = subprocess.run(
            run.argv, env=dict(run.env), capture_output=True, text=True, timeout=CHECK_SECONDS, check=False
        )
        return parse(json.loads(ended.stdout))
    except subprocess.TimeoutExpired as error:
        raise _silent(service, f"does not answer within {CHECK_SECONDS:g} s") from error
    except (ValueError, KeyError, TypeError) as error:
        said = ended.stderr.strip().splitlines()
        raise _silent(service, f"ended with {ended.returncode}: {said[-1] if said else 'it says nothing'}") from error


def _silent(service: Service, how: str) -> QmtlError:
    return QmtlError(
        Reason.INTERNAL, f"the program of the {service.name} does not say: {how}", metadata={"service": service.name}
    )


def _parsed(env_file: Path, number: int, line: str) -> tuple[str, str]:
    found = _LINE.fullmatch(line)
    if found is None:
        raise invalid_field("env_file", f"{env_file}, line {number}: is not NAME=VALUE")
    name, value = found.groups()
    if value[:1] in ("'", '"'):
        message = "write the value without quotes: systemd takes them away, Docker leaves them in"
        raise invalid_field("env_file", f"{env_file}, line {number}: {message}")
    return name, value
