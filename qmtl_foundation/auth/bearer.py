"""How a token travels: the metadata ``authorization: Bearer <token>`` (RFC 6750)."""

from __future__ import annotations

from typing import Final

AUTHORIZATION: Final = "authorization"
SCHEME: Final = "Bearer "


def bearer(token: str) -> str:
    """Return the value of the metadata that carries a token."""
    return SCHEME + token


def token_of(value: str) -> str | None:
    """Return the token that a value of the metadata carries, None for one of another scheme."""
    if not value.lower().startswith(SCHEME.lower()):
        return None
    return value[len(SCHEME) :].strip()
