"""What is looked at before a service is started: what it is told, and what it would stand on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from qmtl_foundation.auth.keys import Keys
from qmtl_foundation.auth.settings import AuthSettings
from qmtl_foundation.clock import utc_now
from qmtl_foundation.diagnosis.certificates import examine_certificates
from qmtl_foundation.diagnosis.exporters import examine_exporters
from qmtl_foundation.diagnosis.finding import Finding, has_fault
from qmtl_foundation.diagnosis.keys import examine_keys, examine_service_token
from qmtl_foundation.diagnosis.nats import examine_nats
from qmtl_foundation.diagnosis.ports import examine_port
from qmtl_foundation.diagnosis.postgres import examine_postgres
from qmtl_foundation.diagnosis.upstreams import UPSTREAMS, examine_upstream
from qmtl_foundation.diagnosis.variables import PORTS, examine_variables
from qmtl_foundation.fetch import is_url
from qmtl_foundation.settings import built, variable_of
from qmtl_foundation.tls import Certificates, TlsSettings

_AUTH: Final = "auth_"
_TLS: Final = "tls_"


@dataclass(frozen=True, slots=True)
class Examined:
    """Hold what was found of what is ``told`` to a service, and of what it would stand on (``ground``)."""

    told: list[Finding]
    ground: list[Finding]


async def examine(
    service: str, settings: type, environ: Mapping[str, str], beside: Collection[str], *, offline: bool
) -> Examined:
    """Return how a service would fare that was started with these variables; ``offline`` leaves the ground out."""
    stated, values = examine_variables(settings, environ, beside)
    source = values.get("auth_jwks", "")
    material, certificates = _material(values)
    issuer, keys = await _issuer(source) if source and not (offline and is_url(source)) else ([], None)
    token = await _token(service, values, keys)
    told = [*stated, *examine_exporters(), *material, *([] if is_url(source) else issuer), *token]
    if offline:
        return Examined(told, [])
    if has_fault(material):  # what stands beyond them is left out: it would only be said again
        values = {name: value for name, value in values.items() if name in (*PORTS, "postgres_dsn")}
    if has_fault(token):
        values.pop("token_file", None)
    ground = await _ground(service, values, certificates)
    return Examined(told, [*(issuer if is_url(source) else []), *ground])


def _material(values: Mapping[str, Any]) -> tuple[list[Finding], Certificates | None]:
    """Return what was found of certificates where some are stated, and those."""
    if not values.get("tls_certificate") or not _has(values, _TLS, TlsSettings):
        return [], None
    return examine_certificates(built(TlsSettings, values, _TLS), utc_now())


async def _issuer(source: str) -> tuple[list[Finding], Keys | None]:
    """Return what was found of the token issuer's keys, and those."""
    finding, keys = await examine_keys(source)
    return [finding], keys


async def _token(service: str, values: Mapping[str, Any], keys: Keys | None) -> list[Finding]:
    """Return what was found of the service's own token, where it has one."""
    if "token_file" not in values:
        return []
    auth = built(AuthSettings, values, _AUTH) if _has(values, _AUTH, AuthSettings) else None
    return [await examine_service_token(values["token_file"], service, auth, keys, utc_now())]


async def _ground(service: str, values: Mapping[str, Any], certificates: Certificates | None) -> list[Finding]:
    """Return what was found of what a service stands on; all of it is asked at once."""
    looks: list[Awaitable[list[Finding]]] = []
    if "postgres_dsn" in values:
        looks.append(examine_postgres(values["postgres_dsn"], service))
    if "nats_url" in values:
        looks.append(examine_nats(values["nats_url"], service, certificates))
    looks += [
        examine_upstream(setting, values[setting], values.get("token_file"), certificates)
        for setting in UPSTREAMS
        if setting in values
    ]
    found = [each for of_one in await asyncio.gather(*looks) for each in of_one]
    return found + [examine_port(variable_of(name), values[name]) for name in PORTS if values.get(name)]


def _has(values: Mapping[str, Any], prefix: str, group: type) -> bool:
    """Tell whether every setting of a group could be read."""
    return all(prefix + each.name in values for each in fields(group))
