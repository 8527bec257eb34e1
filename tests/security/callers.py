"""The callers that each method is tried with, as a world's people and strangers to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qmtl_sdk.local.issuer import ADMIN, Issuer, open_issuer
from tests.support.credentials import EVERYTHING

AUTHOR: Final = "ann"  # whose strategy the requests name
OTHER: Final = "bob"


@dataclass(frozen=True, slots=True)
class Who:
    """Name a caller by what it is in the world ``{world}`` of a request."""

    title: str
    name: str
    permissions: tuple[str, ...]

    def token(self, issuer: Issuer, world: str) -> str:
        """Return its token."""
        return issuer.token(self.name, [each.format(world=world) for each in self.permissions])


CALLERS: Final = (
    Who("no role", OTHER, ()),
    Who("owner elsewhere", OTHER, ("elsewhere:owner",)),
    Who("reader", OTHER, ("{world}:reader",)),
    Who("another author", OTHER, ("{world}:author",)),
    Who("author", AUTHOR, ("{world}:author",)),
    Who("operator", OTHER, ("{world}:operator",)),
    Who("owner", OTHER, ("{world}:owner",)),
    Who("admin", OTHER, (ADMIN,)),
    Who("gateway", "gateway", ("service:gateway",)),
    Who("executor", "executor", ("service:executor",)),
)


def bad_tokens(issuer: Issuer, scratch: Path) -> Mapping[str, str]:
    """Return tokens that would let everything in, each with one fault."""
    everything, foreign = EVERYTHING, open_issuer(scratch)
    good = issuer.token(AUTHOR, everything)
    header, payload, signature = good.split(".")
    return {
        "none": "",
        "expired": issuer.token(AUTHOR, everything, -3_600),
        "not yet valid": issuer.token(AUTHOR, everything, nbf=int(time.time()) + 3_600),
        "of another audience": issuer.token(AUTHOR, everything, aud="another"),
        "of another issuer": issuer.token(AUTHOR, everything, iss="another"),
        "signed by another key": foreign.token(AUTHOR, everything),
        "with a spoilt signature": f"{header}.{payload}.{'A' * len(signature)}",
        "without a signature": f"{header}.{payload}.",
        "no token at all": "abc",
    }
