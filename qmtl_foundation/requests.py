"""What requests have in common: names, request ids, page sizes, and the checks that say field and mend. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from qmtl_foundation.clock import format_rfc3339, parse_rfc3339
from qmtl_foundation.errors import QmtlError, Reason, invalid_field
from qmtl_foundation.identity import is_content_id

MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024
DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1000
MAX_DIGITS: Final = 19  # of a 64-bit number
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
RESOURCE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
AUTHORED_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_request_id(text: str) -> str:
    """Return a well-formed request id, or raise."""
    if not REQUEST_ID.fullmatch(text):
        raise invalid_field("request_id", "must be 1 to 64 characters of A-Z a-z 0-9 . _ -; a UUID will do")
    return text


def check_resource_name(field: str, text: str) -> str:
    """Return a well-formed name of a world or preset, or raise."""
    if not RESOURCE_NAME.fullmatch(text):
        raise invalid_field(field, f"{text[:80]!r} must be 1 to 63 characters of a-z 0-9 _ - and begin with a letter")
    return text


def check_authored_name(field: str, text: str) -> str:
    """Return a well-formed author or strategy name, or raise."""
    if not AUTHORED_NAME.fullmatch(text):
        raise invalid_field(
            field, f"{text[:80]!r} must be 1 to 64 characters of A-Z a-z 0-9 . _ - and begin with a letter or digit"
        )
    return text


def check_strategy_id(text: str) -> str:
    """Return a well-formed ``author/name``, or raise."""
    author, slash, name = text.partition("/")
    if not slash or not AUTHORED_NAME.fullmatch(author) or not AUTHORED_NAME.fullmatch(name):
        raise invalid_field("strategy_id", f"{text[:160]!r} must be author/name")
    return text


def check_content_id(field: str, text: str) -> str:
    """Return a well-formed ``blake3:<64 hex>``, or raise."""
    if not is_content_id(text):
        raise invalid_field(field, f"{text[:80]!r} must be blake3: and 64 hex digits")
    return text


def check_submission_id(text: str) -> str:
    """Return a well-formed submission id, or raise."""
    if not REQUEST_ID.fullmatch(text):
        raise invalid_field("submission_id", f"{text[:80]!r} is not an id that a gateway gave")
    return text


def check_snapshot_text(field: str, text: str) -> str:
    """Return a dataset snapshot in the one form that is hashed, empty for none, or raise."""
    if not text:
        return ""
    try:
        return format_rfc3339(parse_rfc3339(text))
    except ValueError as error:
        raise invalid_field(field, f"{text[:60]!r} must be RFC 3339 in UTC, such as 2013-03-01T21:00:00Z") from error


def check_page_size(size: int) -> int:
    """Return the page size that a request means."""
    if not 0 <= size <= MAX_PAGE_SIZE:
        raise invalid_field(
            "page_size", f"{size} must be within [0, {MAX_PAGE_SIZE}]; 0 stands for {DEFAULT_PAGE_SIZE}"
        )
    return size or DEFAULT_PAGE_SIZE


def encode_page_token(last: str) -> str:
    """Return the opaque token that continues after ``last``."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def decode_page_token(token: str) -> str:
    """Return where a page begins; empty at the start."""
    try:
        last = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError) as error:
        raise _foreign_page_token() from error
    if not last.isprintable():
        raise _foreign_page_token()
    return last


def decode_number_token(token: str, newest: int) -> int:
    """Return the number below which a page of a list, newest first, begins; ``newest`` at the start."""
    text = decode_page_token(token)
    if text and not (text.isascii() and text.isdigit()):
        raise _foreign_page_token()
    return min(int(text[:MAX_DIGITS]), newest) if text else newest


def not_found(reason: Reason, kind: str, name: str, mend: str, **metadata: str) -> QmtlError:
    """Return the error for a thing that is not there, with the way to find it."""
    return QmtlError(reason, f"{kind} {name!r} does not exist; {mend}", metadata=metadata)


def _foreign_page_token() -> QmtlError:
    """Return the error for a page token that none of our answers held."""
    return invalid_field("page_token", "is not a token of ours; leave it empty to start again")
