"""Settings of a process: one frozen dataclass, read once from ``QMTL_…`` variables, checked, shown without secrets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from ipaddress import ip_address
from pathlib import Path
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


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine's loopback, by its literal address or as ``localhost``."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


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

    @property
    def is_loopback(self) -> bool:
        """Tell whether it is of the loopback, which no other machine reaches."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def read_settings(settings: type[SettingsType], environ: Mapping[str, str] = os.environ) -> SettingsType:
    """Return the settings that the environment states; field ``listen`` is read from ``QMTL_LISTEN``, and ``jwks`` of
    a group ``auth`` from ``QMTL_AUTH_JWKS``; a secret also from the file that ``QMTL_…_FILE`` names.

    Raises QmtlError(NOT_CONFIGURED) that names every variable that is missing or malformed, and what it must be.
    """
    faults: list[str] = []
    found: SettingsType = _read(settings, PREFIX, environ, faults)
    if faults:
        raise QmtlError(
            Reason.NOT_CONFIGURED, "; ".join(faults), metadata={"setting": faults[0].split(" ")[0].rstrip(":")}
        )
    return found


def flattened(settings: type, prefix: str = "") -> Iterator[tuple[str, Field[Any]]]:
    """Yield each setting that is read from one variable, by its name in lower case without ``QMTL_``."""
    kinds = get_type_hints(settings)
    for each in fields(settings):
        if kinds[each.name] in _PARSERS:
            yield prefix + each.name, each
        else:
            yield from flattened(kinds[each.name], f"{prefix}{each.name}_")


def _read(settings: Any, prefix: str, environ: Mapping[str, str], faults: list[str]) -> Any:
    """Return what was read, None where ``faults`` grew."""
    kinds = get_type_hints(settings)
    values: dict[str, Any] = {}
    before = len(faults)
    for each in fields(settings):
        name = prefix + each.name.upper()
        if kinds[each.name] not in _PARSERS:
            values[each.name] = _read(kinds[each.name], f"{name}_", environ, faults)
            continue
        text = environ.get(name, "")
        if kinds[each.name] is Secret and not text:
            text = _from_file(f"{name}_FILE", environ, faults)
        if text:
            try:
                values[each.name] = _PARSERS[kinds[each.name]](text)
            except ValueError as error:
                faults.append(f"{name}: {error}")
        elif each.default is MISSING:
            faults.append(f"{name} is not set")
    return settings(**values) if len(faults) == before else None


def _from_file(name: str, environ: Mapping[str, str], faults: list[str]) -> str:
    """Return what the file that a variable names holds, nothing where it names none."""
    path = environ.get(name, "")
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        faults.append(f"{name} is {path!r}, cannot be read: {error}")
        return ""


def check_at_least(field: str, value: int, least: int) -> None:
    """Raise QmtlError(NOT_CONFIGURED) naming the variable of a setting that is below its least value."""
    if value < least:
        name = PREFIX + field.upper()
        raise QmtlError(
            Reason.NOT_CONFIGURED, f"{name} is {value}, must be at least {least}", metadata={"setting": name}
        )


def check_listened(setting: str, listen: Address) -> None:
    """Raise QmtlError NOT_CONFIGURED for an address that other machines reach: without TLS, tokens would be read."""
    if not listen.is_loopback:
        raise QmtlError(
            Reason.NOT_CONFIGURED,
            f"{setting} is {listen}, where other machines reach it: set QMTL_TLS_CERTIFICATE, QMTL_TLS_KEY and "
            "QMTL_TLS_CA, or listen on 127.0.0.1",
            metadata={"setting": setting},
        )


def check_dialled(address: Address) -> None:
    """Raise QmtlError NOT_CONFIGURED for a service of another machine: without TLS, tokens would be read on the way."""
    if not address.is_loopback:
        raise QmtlError(
            Reason.NOT_CONFIGURED,
            f"{address} is another machine's: set QMTL_TLS_CERTIFICATE, QMTL_TLS_KEY and QMTL_TLS_CA to call it",
            metadata={"setting": "QMTL_TLS_CERTIFICATE", "address": str(address)},
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
