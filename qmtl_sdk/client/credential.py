"""By which token calls are made: ``QMTL_TOKEN``, the file that ``QMTL_TOKEN_FILE`` names, or the local stack's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from qmtl_foundation.auth.token_file import TokenFile
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.settings import Address

TOKEN_VARIABLE: Final = "QMTL_TOKEN"  # noqa: S105  # the name of a variable
TOKEN_FILE_VARIABLE: Final = "QMTL_TOKEN_FILE"  # noqa: S105  # the same

TokenSource = Callable[[], str]


def token_source(address: Address) -> TokenSource:
    """Return what tells the token for calls to a gateway, at each call: a file is read again when it changes.

    Empty where there is none: the gateway says what it needs. The local stack's token goes to its own gateway only.
    Raises QmtlError NOT_CONFIGURED for a file that cannot be read.
    """
    stated, file = os.environ.get(TOKEN_VARIABLE, ""), os.environ.get(TOKEN_FILE_VARIABLE, "")
    if stated:
        return lambda: stated.strip()
    if file:
        return _from_file(TokenFile(file, TOKEN_FILE_VARIABLE))
    local = _local_token(address)
    return (lambda: "") if local is None else _from_file(local)


def file_source(path: Path) -> TokenSource:
    """Return what tells the token of a stack's file. Raises QmtlError NOT_CONFIGURED where it cannot be read."""
    return _from_file(TokenFile(path, "the stack's token"))


def _from_file(file: TokenFile) -> TokenSource:
    return lambda: file.token


def _local_token(address: Address) -> TokenFile | None:
    from qmtl_sdk.local import state

    try:
        if not state.endpoints_of(address):
            return None
        return TokenFile(state.Layout(state.stated_dir()).user_token, "the stack's token")
    except QmtlError:  # a stack that is damaged, or another user's
        return None
