"""Settings of who is let in; every service has the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.fetch import is_url
from qmtl_foundation.settings import check_at_least, is_loopback

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
        address = urlsplit(self.jwks)
        is_safe = address.scheme == "https" or (address.scheme == "http" and is_loopback(address.hostname or ""))
        if is_url(self.jwks) and not is_safe:
            raise QmtlError(
                Reason.NOT_CONFIGURED,
                f"QMTL_AUTH_JWKS is {self.jwks!r}, must be https: whoever changes the keys on their way is let in",
                metadata={"setting": "QMTL_AUTH_JWKS"},
            )
