"""What the variables of a service say: missing, malformed, refused, or of a name that nobody reads; secrets unseen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import urlsplit

from qmtl_foundation.diagnosis.finding import Finding, fault, ok, warning
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.jetstream.bus import check_encrypted, servers_of
from qmtl_foundation.logs import check_log_level
from qmtl_foundation.postgres.pool import check_certificates_readable, check_encryption_stated
from qmtl_foundation.settings import (
    FILE_SUFFIX,
    PREFIX,
    Address,
    Reading,
    Secret,
    built,
    check_dialled,
    check_listened,
    readings,
    variable_of,
    without_name,
    without_user,
)

LISTENS: Final = ("listen", "metrics_listen")
PORTS: Final = (*LISTENS, "health_listen")  # health alone is served in plain text anywhere
DIALS: Final = "_address"  # how names of addresses end that a service calls
_STAND_INS: Final[Mapping[Any, Any]] = {str: "", Secret: Secret(""), Address: Address("127.0.0.1", 0)}
_FORMS: Final[Mapping[Any, str]] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Address: "host:port",
    Address | None: "host:port",
    str: "a text",
    Secret: "a text",
}


def examine_variables(
    settings: type, environ: Mapping[str, str], beside: Collection[str] = ()
) -> tuple[list[Finding], dict[str, Any]]:
    """Return what was found of each variable that is stated or wrong, and the values that are right, by name.

    ``beside`` names variables that the program reads besides its settings.
    """
    read = readings(settings, environ)
    refused = {
        **_unfit({name: each.value for name, each in read.items() if not each.fault}),
        **_refused(settings, read),
    }
    found = [_examine(each, refused, environ) for each in read.values()]
    known = {each.variable for each in read.values()} | set(beside)
    secrets = {each.variable + FILE_SUFFIX for each in read.values() if each.kind is Secret}
    unknown = sorted(each for each in environ if each.startswith(PREFIX) and each not in known | secrets)
    values = {name: each.value for name, each in read.items() if not each.fault and each.variable not in refused}
    return [*filter(None, found), *(_unknown(each, known | secrets) for each in unknown)], values


def _examine(reading: Reading, refused: Mapping[str, str], environ: Mapping[str, str]) -> Finding | None:
    variable, default, file = reading.variable, reading.default, reading.variable + FILE_SUFFIX
    if reading.fault:
        return fault(variable, reading.sentence, _mend(reading))
    if variable in refused:
        back = "" if default is MISSING or default == "" else f", or unset it for {default}"
        mend = f"change what is stated{back}" if reading.source else "set it, or unset what asks for it"
        return fault(variable, without_name(variable, refused[variable]), mend)
    if not reading.source:
        return None
    if reading.kind is not Secret:
        return ok(variable, without_user(str(reading.value)))
    if reading.source == file:
        return ok(variable, f"set, by the file {environ[file]}")
    if environ.get(file):
        return warning(variable, f"set, and so is {file}, which is not read then", "unset one of the two")
    return ok(variable, "set")


def _mend(reading: Reading) -> str:
    if reading.source.endswith(FILE_SUFFIX):
        return f"name a file that the service may read, and that holds {reading.variable}"
    form = _FORMS[reading.kind]
    if reading.source:
        return f"write {form}" + ("" if reading.default is MISSING else f", or unset it for {reading.default}")
    also = f", or {reading.variable}{FILE_SUFFIX} to a file that holds it" if reading.kind is Secret else ""
    return f"set it to {form}{also}"


def _unknown(variable: str, known: Collection[str]) -> Finding:
    near = get_close_matches(variable, known, n=1, cutoff=0.8)
    mend = f"is it {near[0]}?" if near else "unset it, unless it is for another program"
    return warning(variable, "this service reads no variable of that name", mend)


def _refused(settings: type, read: Mapping[str, Reading]) -> dict[str, str]:
    """Return what settings refuse although it can be read, by variable; what cannot be read is left out of account."""
    values = {name: _stand_in(each) if each.fault else each.value for name, each in read.items()}
    refused: dict[str, str] = {}
    while True:
        try:
            built(settings, values)
        except QmtlError as error:
            variable = error.metadata["setting"]
            name = variable.removeprefix(PREFIX).lower()
            group = f"{name.partition('_')[0]}_"  # a part of it is missing
            again = [each for each in values if each.startswith(group)] if variable in refused else [name]
            refused.setdefault(variable, error.message)
            values |= {each: _stand_in(read[each]) for each in again}
        else:
            return refused


def _unfit(values: Mapping[str, Any]) -> dict[str, str]:
    """Return what does not fit the rest, by variable."""
    encrypted = bool(values.get("tls_certificate"))
    rules: dict[str, Callable[[Any], object]] = {
        "log_level": check_log_level,
        "postgres_dsn": _check_dsn,
        "nats_url": lambda url: _check_url(url, encrypted),
        "metrics_listen": lambda own: _check_apart(own, values, ("listen",)),
        "health_listen": lambda own: _check_apart(own, values, LISTENS),
    }
    if not encrypted:
        listens = {name: lambda own, name=name: check_listened(variable_of(name), own) for name in LISTENS}
        dials = {name: check_dialled for name in values if name.endswith(DIALS)}
        rules = {**listens, **dials, **rules}
    unfit = {}
    for name in rules.keys() & values.keys():
        try:
            rules[name](values[name])
        except (QmtlError, ValueError) as error:
            unfit[variable_of(name)] = error.message if isinstance(error, QmtlError) else str(error)
    return unfit


def _check_dsn(dsn: Secret) -> None:
    if not _is_url(dsn.value, ("postgresql", "postgres")):
        raise ValueError("is no DSN such as postgresql://user:password@host:5432/qmtl; is all of it percent-encoded?")
    check_encryption_stated(dsn)
    check_certificates_readable(dsn)


def _check_url(url: Secret, encrypted: bool) -> None:
    if not all(_is_url(each, ("nats", "tls")) and urlsplit(each).hostname for each in servers_of(url.value)):
        raise ValueError(
            "is no URL such as nats://user:password@host:4222, or several by commas; is it percent-encoded?"
        )
    check_encrypted(url.value, has_certificates=encrypted)


def _is_url(text: str, schemes: Collection[str]) -> bool:
    """Tell whether a text can be taken apart; what Python says of one that cannot would repeat a password."""
    try:
        parts = urlsplit(text)
        hosts = parts.netloc.rpartition("@")[2].split(",")
        ports = [urlsplit(f"//{host}").port for host in hosts]  # raises for what is no number
    except ValueError:
        return False
    return parts.scheme in schemes and 0 not in ports


def _check_apart(own: Address | None, values: Mapping[str, Any], others: Sequence[str]) -> None:
    for other in others:
        if own is not None and own == values.get(other) and own.port:
            raise ValueError(f"is {own}, as {variable_of(other)} is: one port cannot serve both")


def _stand_in(reading: Reading) -> Any:
    """Return what may stand for a value that is none, so that the others can be looked at."""
    return _STAND_INS[reading.kind] if reading.default is MISSING else reading.default
