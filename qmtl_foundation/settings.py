"""Settings of a process: one frozen dataclass, read once from ``QMTL_…`` variables, checked, shown without secrets."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final, Self, TypeVar, get_type_hints

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.requests import check_resource_name

PREFIX: Final = "QMTL_"
SettingsType = TypeVar("SettingsType")


@dataclass(frozen=True, slots=True)
class Secret:
    """Hold a text that is never shown: a DSN may carry a password."""

    value: str

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Address:
    """Hold ``host:port``, port in [0, 65535]; 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the address of ``host:port`` (IPv6 in brackets); raise ValueError otherwise."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{text!r} is not host:port")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def read_settings(settings: type[SettingsType], environ: Mapping[str, str] = os.environ) -> SettingsType:
    """Return the settings that the environment states; field ``listen`` is read from ``QMTL_LISTEN``.

    Raises QmtlError(NOT_CONFIGURED) that names every variable that is missing or malformed, and what it must be.
    """
    kinds = get_type_hints(settings)
    values: dict[str, Any] = {}
    faults: list[str] = []
    for each in fields(settings):  # type: ignore[arg-type]  # every settings class is a dataclass
        name = PREFIX + each.name.upper()
        text = environ.get(name, "")
        if text:
            try:
                values[each.name] = _PARSERS[kinds[each.name]](text)
            except ValueError as error:
                faults.append(f"{name}: {error}")
        elif each.default is MISSING:
            faults.append(f"{name} is not set")
    if faults:
        raise QmtlError(
            Reason.NOT_CONFIGURED, "; ".join(faults), metadata={"setting": faults[0].split(" ")[0].rstrip(":")}
        )
    return settings(**values)


def check_at_least(field: str, value: int, least: int) -> None:
    """Raise QmtlError(NOT_CONFIGURED) naming the variable of a setting that is below its least value."""
    if value < least:
        name = PREFIX + field.upper()
        raise QmtlError(
            Reason.NOT_CONFIGURED, f"{name} is {value}, must be at least {least}", metadata={"setting": name}
        )


def check_name(field: str, text: str) -> None:
    """Raise QmtlError(NOT_CONFIGURED) naming the variable of a setting that is no name of a participant."""
    try:
        check_resource_name(PREFIX + field.upper(), text)
    except QmtlError as error:
        raise QmtlError(Reason.NOT_CONFIGURED, error.message, metadata={"setting": PREFIX + field.upper()}) from error


def _parse_switch(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


_PARSERS: Final[Mapping[Any, Callable[[str], Any]]] = {
    str: str,
    int: int,
    float: float,
    bool: _parse_switch,
    Secret: Secret,
    Address: Address.parse,
}
