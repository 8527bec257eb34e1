"""What a token says of itself, read without its key: whoever it is sent to verifies it. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from qmtl_foundation.auth.settings import SKEW_SECONDS
from qmtl_foundation.clock import format_rfc3339, span_text
from qmtl_foundation.diagnosis.finding import Finding, fault, ok, warning

WHAT: Final = "token"
SOON: Final = timedelta(minutes=5)
SKEW: Final = timedelta(seconds=SKEW_SECONDS)  # that services allow unless they are told otherwise
ANEW: Final = "take a new one from its issuer; the file of QMTL_TOKEN_FILE is read again at each call"


def examine_token(text: str, now: datetime, skew: timedelta = SKEW) -> Finding:
    """Return how a token is: whether it can be read, whose it is, and whether its time is now.

    ``skew`` is how far the clocks of who verifies it may differ.
    """
    if not text:
        mend = "set QMTL_TOKEN_FILE, or QMTL_TOKEN; for the local stack `qmtl up` makes one"
        return fault(WHAT, "there is none", mend)
    claims = _claims(text)
    if claims is None:
        return fault(WHAT, "it is no JSON Web Token", "give the token alone, header.payload.signature, on one line")
    name, ends, begins = claims.get("sub"), _moment(claims.get("exp")), _moment(claims.get("nbf"))
    whose = f"of {name}" if isinstance(name, str) and name else "of nobody by name"
    if ends is None:
        return fault(WHAT, f"{whose}, says no end (exp), and is refused for it", ANEW)
    left = (ends - now).total_seconds()
    if now - skew <= ends <= now:
        return warning(WHAT, f"{whose}, ended {span_text(-left)} ago, and is taken as far as clocks may differ", ANEW)
    if ends <= now:
        return fault(WHAT, f"{whose}, ended at {format_rfc3339(ends)}, {span_text(-left)} ago", ANEW)
    if begins is not None and begins > now + skew:
        wait, mend = span_text((begins - now).total_seconds()), "wait, or set this machine's clock"
        return fault(WHAT, f"{whose}, begins at {format_rfc3339(begins)}, in {wait}", mend)
    says = f"{whose}, ends in {span_text(left)}"
    return ok(WHAT, says) if ends - now > SOON else warning(WHAT, says, ANEW)


def is_sendable(text: str) -> bool:
    """Tell whether a text can stand in a call's metadata at all."""
    return text.isascii() and text.isprintable()


def _claims(text: str) -> Mapping[str, Any] | None:
    parts = text.split(".")
    if len(parts) != 3:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):  # of base64, UTF-8 or JSON
        return None
    return found if isinstance(found, dict) else None


def _moment(seconds: object) -> datetime | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
