"""Whether the token issuer's keys can be read, and whether a service's own token is one of that issuer's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from http.client import HTTPException
from typing import Any

import jwt

from qmtl_foundation.auth.caller import SERVICE_PREFIX
from qmtl_foundation.auth.keys import Keys, read_document, usable_keys
from qmtl_foundation.auth.settings import AuthSettings
from qmtl_foundation.auth.token_file import TokenFile
from qmtl_foundation.auth.tokens import Tokens
from qmtl_foundation.diagnosis.finding import Finding, Verdict, fault, ok
from qmtl_foundation.diagnosis.token import SKEW, examine_token
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.fetch import READ_SECONDS, is_url, why
from qmtl_foundation.settings import without_user
from qmtl_foundation.terminal import counted

_KEYS = "keys"
_TOKEN = "token"  # noqa: S105  # what it is, not one
_NAMED = "QMTL_AUTH_JWKS must name the issuer's key set (JWKS, RFC 7517)"


async def examine_keys(source: str) -> tuple[Finding, Keys | None]:
    """Return whether a file or a URL holds keys that sign, and those."""
    shown = without_user(source)
    try:
        async with asyncio.timeout(2 * READ_SECONDS):
            document = await asyncio.to_thread(read_document, source)
        found = usable_keys(document)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        return fault(_KEYS, f"{shown} is not JSON ({error})", _NAMED), None
    except (OSError, TimeoutError, HTTPException) as error:
        return fault(_KEYS, f"{shown} cannot be read ({why(error)})", _way(source)), None
    except (ValueError, TypeError, KeyError, AttributeError, jwt.PyJWTError) as error:  # whatever it is made of
        return fault(_KEYS, f"{shown} has no usable keys ({error})", f"{_NAMED}, of RS256, ES256 or EdDSA"), None
    keys = Keys(lambda: document, source)
    await keys.refresh()
    return ok(_KEYS, f"{shown} has {_counted(found)}"), keys


async def examine_service_token(
    file: str, service: str, auth: AuthSettings | None, keys: Keys | None, now: datetime
) -> Finding:
    """Return whether the token of a service's own calls can be read, and is believed as far as keys are there."""
    try:
        token = TokenFile(file, "QMTL_TOKEN_FILE").token
    except QmtlError as error:
        return fault(_TOKEN, error.message, "name a file that holds the token alone, and that the service may read")
    skew = SKEW if auth is None else timedelta(seconds=auth.skew_seconds)
    found = examine_token(token, now, skew)
    if found.verdict is Verdict.FAULT or keys is None or auth is None:
        return found
    try:
        caller = await Tokens(keys, auth, now.timestamp).caller(token)
    except QmtlError as error:
        return fault(_TOKEN, error.message, "take one from the issuer that QMTL_AUTH_JWKS and QMTL_AUTH_ISSUER name")
    if service not in caller.services:
        needed = SERVICE_PREFIX + service
        says = f"of {caller.name}, without the permission {needed}: it may not do this service's part"
        return fault(_TOKEN, says, f"have its issuer add {needed} to it")
    return found


def _counted(found: Mapping[str | None, Any]) -> str:
    distinct = {id(each): each for each in found.values()}.values()
    algorithms = ", ".join(sorted({each.algorithm_name for each in distinct}))
    return f"{counted(len(distinct), 'key')} for {algorithms}"


def _way(source: str) -> str:
    if is_url(source):
        return "start who serves it, or mend the way to it; a file does without"
    return "name a file that the service may read, or an https URL"
