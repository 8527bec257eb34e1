"""Verify a token (JWT, RFC 7519) by the issuer's keys, and read from it who calls.

Tokens verified are remembered until they expire or the keys change: a signature costs more than most calls do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt

from qmtl_foundation.auth.caller import Caller, permitted
from qmtl_foundation.auth.keys import ALGORITHMS, Keys
from qmtl_foundation.auth.settings import AuthSettings
from qmtl_foundation.errors import QmtlError, Reason

MAX_TOKEN_BYTES: Final = 8 * 1024
MAX_NAME: Final = 128
REMEMBERED: Final = 4_096

# What is wrong with a token, in words for its owner; the first that fits.
_FAULTS: Final = (
    (jwt.ExpiredSignatureError, "expired", "the token has expired: ask the issuer for a new one"),
    (jwt.ImmatureSignatureError, "not_yet", "the token is not valid yet: compare the clocks"),
    (jwt.InvalidAudienceError, "audience", "the token is meant for another audience than {audience!r}"),
    (jwt.InvalidIssuerError, "issuer", "the token is from another issuer than {issuer!r}"),
    (jwt.InvalidAlgorithmError, "algorithm", "the token is not signed by one of {algorithms}"),
    (jwt.InvalidSignatureError, "signature", "the token's signature is not the issuer's"),
    (jwt.MissingRequiredClaimError, "claims", "the token lacks a claim: exp, iat, iss, aud and sub are needed"),
)


class Tokens:
    """Tell who a token belongs to."""

    def __init__(self, keys: Keys, settings: AuthSettings, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._settings = settings
        self._now = now
        self._remembered: dict[str, Caller] = {}
        self._generation = 0

    @property
    def skew_seconds(self) -> int:
        """Return how long after its end a token still counts, for clocks differ."""
        return self._settings.skew_seconds

    async def caller(self, token: str) -> Caller:
        """Return who calls. Raises QmtlError: UNAUTHENTICATED, DEPENDENCY_UNAVAILABLE while there are no keys."""
        self._forget_withdrawn()
        known = self._remembered.get(token)
        if known is not None and known.expires + self._settings.skew_seconds > self._now():
            self._keys.check_fresh()
            return known
        caller = _to_caller(await self._verified(token), self._settings)
        self._forget_withdrawn()  # by keys that came meanwhile, of which this one's is
        if len(self._remembered) >= REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[token] = caller
        return caller

    def _forget_withdrawn(self) -> None:
        if self._generation != self._keys.generation:
            self._remembered.clear()
            self._generation = self._keys.generation

    async def _verified(self, token: str) -> Mapping[str, Any]:
        if len(token) > MAX_TOKEN_BYTES:
            raise unauthenticated("malformed", f"the token has more than {MAX_TOKEN_BYTES} bytes")
        try:
            header = jwt.get_unverified_header(token)
            key_id = header.get("kid")
            if header.get("alg") not in ALGORITHMS:
                raise jwt.InvalidAlgorithmError
            key = await self._keys.find(key_id)
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=self._settings.skew_seconds,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except (
            jwt.PyJWTError,
            ValueError,
            TypeError,
            ArithmeticError,
            RecursionError,
        ) as error:  # whatever it is made of
            raise self._refused(error) from error
        return claims

    def _refused(self, error: Exception) -> QmtlError:
        for kind, fault, sentence in _FAULTS:
            if isinstance(error, kind):
                stated = {"audience": self._settings.audience, "issuer": self._settings.issuer}
                return unauthenticated(fault, sentence.format(algorithms=", ".join(ALGORITHMS), **stated))
        return unauthenticated("malformed", "the token is no JSON Web Token that can be read")


def unauthenticated(fault: str, sentence: str) -> QmtlError:
    """Return the error for a call of which it is not known who makes it; ``fault`` says why, in one word."""
    return QmtlError(Reason.UNAUTHENTICATED, sentence, metadata={"fault": fault})


def _to_caller(claims: Mapping[str, Any], settings: AuthSettings) -> Caller:
    name = claims.get(settings.name)
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise unauthenticated("claims", f"the token's claim {settings.name!r} is no name of 1 to {MAX_NAME} characters")
    stated = claims.get(settings.permissions, ())
    if not isinstance(stated, list | tuple) or not all(isinstance(each, str) for each in stated):
        raise unauthenticated("claims", f"the token's claim {settings.permissions!r} is no list of texts")
    return permitted(name, stated, float(claims["exp"]))
