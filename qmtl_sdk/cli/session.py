"""What every command has: how it answers (a table, or one JSON document), which gateway it asks, how it is declared."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from qmtl_foundation.terminal import plain_console, write_document
from qmtl_sdk.settings import GATEWAY_VARIABLE

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qmtl_sdk.client.gateway import Gateway

PATIENCE_SECONDS: Final = 5.0  # how long a command repeats a call while the gateway is away
CALL_SECONDS: Final = 10.0
CONTEXT: Final = "context"

Answer = TypeVar("Answer")


class OutputForm(StrEnum):
    """Say how a command answers."""

    TABLE = "table"
    JSON = "json"


Output = Annotated[OutputForm | None, typer.Option("--output", help="How to answer. Default: table.")]
GatewayAddress = Annotated[
    str | None,
    typer.Option(
        "--gateway", metavar="HOST:PORT", help=f"The gateway. Default: {GATEWAY_VARIABLE}, or the local stack's."
    ),
]
World = Annotated[str, typer.Argument(metavar="WORLD", help="Name of the world.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, one line; for the audit.", show_default=False)]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@dataclass(frozen=True, slots=True)
class Session:
    """Hold what the command line says to every command. ``gateway`` empty: the environment's, or the local stack's;
    ``traces``: spans are sent.
    """

    output: OutputForm = OutputForm.TABLE
    gateway: str = ""
    debug: bool = False
    traces: bool = False

    @property
    def json(self) -> bool:
        """Tell whether stdout takes exactly one JSON document."""
        return self.output is OutputForm.JSON

    def answer(self, document: object, *shown: RenderableType) -> None:
        """Print the document as JSON, or else what is shown of it."""
        if self.json:
            write_document(document)
            return
        console = plain_console()
        for each in shown:
            console.print(each, soft_wrap=isinstance(each, str))

    def ask(self, work: Callable[[Gateway], Awaitable[Answer]]) -> Answer:
        """Return what ``work`` brings from the gateway. Raises QmtlError."""
        from qmtl_sdk.client.gateway import connect, gateway_address
        from qmtl_sdk.client.loop import run

        address = gateway_address(self.gateway or None)

        async def connected() -> Answer:
            async with connect(address, patience_s=PATIENCE_SECONDS) as gateway:
                return await work(gateway)

        return run(connected())


_ONLY: Final = inspect.Parameter.KEYWORD_ONLY
_COMMON: Final = (
    inspect.Parameter(CONTEXT, _ONLY, annotation=typer.Context),
    inspect.Parameter("output", _ONLY, default=None, annotation=Output),
    inspect.Parameter("gateway", _ONLY, default=None, annotation=GatewayAddress),
    inspect.Parameter("debug", _ONLY, default=False, annotation=Debug),
)


def command(function: Callable[..., int | None]) -> Callable[..., int]:
    """Declare a command: ``function(session, …)`` gets the options that all have; what it returns is the exit code.

    A parameter that is a dataclass stands for its fields, each an option.
    """
    return _declared(function, lasts=False)


def lasting_command(function: Callable[..., int | None]) -> Callable[..., int]:
    """Declare a command that goes on until somebody ends it: what it does is no one trace."""
    return _declared(function, lasts=True)


def _declared(function: Callable[..., int | None], *, lasts: bool) -> Callable[..., int]:
    _, *own = inspect.signature(function, eval_str=True).parameters.values()
    bundles: dict[str, Any] = {each.name: each.annotation for each in own if is_dataclass(each.annotation)}
    keeps_context = any(each.name == CONTEXT for each in own)

    @functools.wraps(function)
    def wrapped(**given: Any) -> int:
        context: typer.Context = given[CONTEXT] if keeps_context else given.pop(CONTEXT)
        before: Session = context.obj or Session()
        session = Session(
            output=given.pop("output") or before.output,
            gateway=given.pop("gateway") or before.gateway,
            debug=given.pop("debug") or before.debug,
            traces=before.traces,
        )
        for name, bundle in bundles.items():
            given[name] = bundle(**{each.name: given.pop(each.name) for each in fields(bundle)})
        if lasts or not session.traces:  # nothing else needs OpenTelemetry's modules
            return function(session, **given) or 0
        from qmtl_foundation import tracing

        with tracing.span(context.command_path, begins=True):
            return function(session, **given) or 0

    alone = [each for each in own if each.name != CONTEXT and each.name not in bundles]
    bundled = [
        each for bundle in bundles.values() for each in inspect.signature(bundle, eval_str=True).parameters.values()
    ]
    declared = [each.replace(kind=_ONLY) for each in (*alone, *bundled, *_COMMON)]
    # Typer reads the options from both.
    wrapped.__signature__ = inspect.Signature(declared)  # type: ignore[attr-defined]  # functions take it
    wrapped.__annotations__ = {each.name: each.annotation for each in declared}
    return wrapped


class Unconfirmed(typer.BadParameter):
    """Say that a deed needs ``--yes``; ``facts`` are what it should be judged by, for programs."""

    def __init__(self, deed: str, facts: Mapping[str, str]) -> None:
        super().__init__(f"state it to {deed}, where nobody can be asked", param_hint="--yes")
        self.facts = facts


class WatchInterruptedError(Exception):
    """Say that Ctrl-C ended a watch, and what goes on without it."""


def confirmed(deed: str, facts: Mapping[str, str] = MappingProxyType({})) -> bool:
    """Ask on the terminal whether to do a deed, such as "delete demo". Raises Unconfirmed where there is none."""
    if not sys.stdin.isatty():
        raise Unconfirmed(deed, facts)
    return typer.confirm(f"{deed[0].upper()}{deed[1:]}?", err=True)
