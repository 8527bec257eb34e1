"""Settings of a process: one frozen dataclass, read once from ``QMTL_…`` variables, checked, shown without secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Self, TypeVar, get_type_hints

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.requests import check_resource_name

PREFIX: Final = "QMTL_"
FILE_SUFFIX: Final = "_FILE"  # of a variable that names the file of a secret
HIDDEN: Final = "***"
_USER: Final = re.compile(r"(?<=:)//.*@", re.DOTALL)
_QUERY: Final = re.compile(r"(?<=\?).*", re.DOTALL)
SettingsType = TypeVar("SettingsType")


@dataclass(frozen=True, slots=True)
class Secret:
    """Hold a text that is never shown: a DSN may carry a password."""

    value: str

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    __str__ = __repr__


def without_user(text: str) -> str:
    """Return a text which, where it is a URL, is without user, password and query."""
    return _QUERY.sub(HIDDEN, _USER.sub(f"//{HIDDEN}@", text)) if "://" in text else text


def variable_of(name: str) -> str:
    """Return the variable that states a setting, such as ``QMTL_LISTEN`` of ``listen``."""
    return PREFIX + name.upper()


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


@dataclass(frozen=True, slots=True)
class Reading:
    """Hold what one variable says: ``value``, or why there is none; ``source`` is the variable that stated it, or the
    one that names a file, empty for the default. ``default`` is MISSING of a setting that must be stated."""

    variable: str
    kind: Any
    default: Any
    value: Any
    source: str = ""
    fault: str = ""

    @property
    def sentence(self) -> str:
        """Return what is wrong, without the variable that it begins with."""
        return without_name(self.variable, self.fault)


def without_name(variable: str, sentence: str) -> str:
    """Return a sentence without the variable that it begins with."""
    rest = sentence.removeprefix(variable)
    return rest.removeprefix(":").strip() if rest.startswith((": ", " is ")) else sentence


def read_settings(settings: type[SettingsType], environ: Mapping[str, str] = os.environ) -> SettingsType:
    """Return the settings that the environment states; field ``listen`` is read from ``QMTL_LISTEN``, and ``jwks`` of
    a group ``auth`` from ``QMTL_AUTH_JWKS``; a secret also from the file that ``QMTL_…_FILE`` names.

    Raises QmtlError(NOT_CONFIGURED) that names every variable that is missing or malformed, and what it must be.
    """
    found = readings(settings, environ)
    faulty = [each for each in found.values() if each.fault]
    if faulty:
        sentences = "; ".join(each.fault for each in faulty)
        raise QmtlError(Reason.NOT_CONFIGURED, sentences, metadata={"setting": faulty[0].variable})
    return built(settings, {name: each.value for name, each in found.items()})


def readings(settings: type, environ: Mapping[str, str]) -> dict[str, Reading]:
    """Return what each variable of some settings says, by its name in lower case without ``QMTL_``."""
    return {name: _reading(name, kind, default, environ) for name, kind, default in _flattened(settings, "")}


def built(settings: type[SettingsType], values: Mapping[str, Any], prefix: str = "") -> SettingsType:
    """Return settings made of values, which go by the names of ``readings``; raises what the settings refuse."""
    kinds = get_type_hints(settings)
    return settings(
        **{
            each.name: values[prefix + each.name]
            if kinds[each.name] in _PARSERS
            else built(kinds[each.name], values, f"{prefix}{each.name}_")
            for each in fields(settings)  # type: ignore[arg-type]  # settings are dataclasses
        }
    )


def _flattened(settings: type, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, kind and default of each setting that is read from one variable."""
    kinds = get_type_hints(settings)
    for each in fields(settings):
        if kinds[each.name] in _PARSERS:
            yield prefix + each.name, kinds[each.name], each.default
        else:
            yield from _flattened(kinds[each.name], f"{prefix}{each.name}_")


def _reading(name: str, kind: Any, default: Any, environ: Mapping[str, str]) -> Reading:
    variable = variable_of(name)
    reading = partial(Reading, variable, kind, default)
    text, source = environ.get(variable, ""), variable
    if kind is Secret and not text and environ.get(variable + FILE_SUFFIX, ""):
        source = variable + FILE_SUFFIX
        try:
            text = Path(environ[source]).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            return reading(None, source, f"{source} is {environ[source]!r}, cannot be read: {error}")
        if not text:
            return reading(None, source, f"{source} is {environ[source]!r}, which is empty")
    if text:
        try:
            return reading(_PARSERS[kind](text), source)
        except ValueError as error:
            return reading(None, source, f"{variable}: {error}")
    if kind is str and variable in environ and default is not MISSING:
        return reading("", variable)  # said to be empty, which is not the same as not said
    if default is MISSING:
        return reading(None, "", f"{variable} is not set")
    return reading(default)


def check_at_least(field: str, value: int, least: int) -> None:
    """Raise QmtlError(NOT_CONFIGURED) naming the variable of a setting that is below its least value."""
    if value < least:
        name = variable_of(field)
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
    variable = variable_of(field)
    try:
        check_resource_name(variable, text)
    except QmtlError as error:
        raise QmtlError(Reason.NOT_CONFIGURED, error.message, metadata={"setting": variable}) from error


def _parse_whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no whole number") from error


def _parse_number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no number") from error


def _parse_switch(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


_PARSERS: Final[Mapping[Any, Callable[[str], Any]]] = {
    str: str,
    int: _parse_whole,
    float: _parse_number,
    bool: _parse_switch,
    Secret: Secret,
    Address: Address.parse,
    Address | None: Address.parse,
}
