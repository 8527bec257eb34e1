"""``qmtl config``: what a service would be started with, before it is."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.cli.session import Session, command

if TYPE_CHECKING:
    from qmtl_sdk.local.service import Service

app = typer.Typer(help="Check what a service would be started with.", rich_markup_mode=None)


class ServiceName(StrEnum):
    """Name a service."""

    GATEWAY = "gateway"
    WORLD = "world"
    DAGMGR = "dagmgr"
    EXECUTOR = "executor"


Named = Annotated[ServiceName, typer.Argument(metavar="SERVICE", help="gateway, world, dagmgr or executor.")]
EnvFile = Annotated[
    Path | None,
    typer.Option("--env-file", metavar="FILE", help="Lines NAME=VALUE, in place of this shell's QMTL_… variables."),
]


@app.command("validate")
@command
def validate(
    session: Session,
    service: Named,
    env_file: EnvFile = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Look at variables and files only: connect to nothing, take no port.")
    ] = False,
) -> int:
    """Look at all that a service would be started with: variables, files, dependencies, ports.

    Run it where and as whom the service will run. Exit code 4 when something is wrong.
    """
    from qmtl_foundation.diagnosis.finding import document, has_fault, table
    from qmtl_sdk.local.service_check import check, stated_environment

    found = check(_installed(service), stated_environment(env_file), offline=offline)
    session.answer(document(found), table(found))
    return ExitCode.UNREACHABLE if has_fault(found) else ExitCode.OK


@app.command("show")
@command
def show(session: Session, service: Named, env_file: EnvFile = None) -> int:
    """Show the settings that a service would have, and where each is from. Secrets are not shown.

    Exit code 4 when one is missing or malformed.
    """
    from qmtl_foundation.diagnosis.setting import document, table
    from qmtl_sdk.local.service_check import settings, stated_environment

    shown = settings(_installed(service), stated_environment(env_file))
    session.answer(document(shown), table(shown))
    return ExitCode.UNREACHABLE if any(each.fault for each in shown) else ExitCode.OK


def _installed(name: ServiceName) -> Service:
    from qmtl_sdk.extras import check_server_installed
    from qmtl_sdk.local.service import SERVICES

    check_server_installed()
    return next(each for each in SERVICES if each.name == name)
