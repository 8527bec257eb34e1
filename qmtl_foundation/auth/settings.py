"""Settings of who is let in; every service has the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.fetch import is_url
from qmtl_foundation.settings import check_at_least, is_loopback, without_user

SKEW_SECONDS: Final = 30  # how far clocks may differ, unless stated


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """Hold whose tokens are believed (``QMTL_AUTH_…``).

    ``jwks`` is a file, or an https URL, of the issuer's public keys. ``permissions`` and ``name`` are the claims that
    state a caller's permissions and name. ``skew_seconds`` is how far clocks may differ.
    """

    jwks: str
    issuer: str
    audience: str = "qmtl"
    permissions: str = "permissions"
    name: str = "sub"
    skew_seconds: int = SKEW_SECONDS

    def __post_init__(self) -> None:
        """Refuse keys that anyone on the way could change, and a negative skew."""
        check_at_least("auth_skew_seconds", self.skew_seconds, 0)
        if is_url(self.jwks):
            _check_safe(self.jwks)


def _check_safe(url: str) -> None:
    try:
        address = urlsplit(url)
    except ValueError as error:  # its text may repeat the password
        raise _refused(url, "which is no URL: https://issuer.example/jwks.json, or name a file") from error
    if address.scheme != "https" and not (address.scheme == "http" and is_loopback(address.hostname or "")):
        raise _refused(url, "must be https: whoever changes the keys on their way is let in")


def _refused(url: str, sentence: str) -> QmtlError:
    return QmtlError(
        Reason.NOT_CONFIGURED,
        f"QMTL_AUTH_JWKS is {without_user(url)!r}, {sentence}",
        metadata={"setting": "QMTL_AUTH_JWKS"},
    )
