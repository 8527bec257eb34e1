"""Who may call a method, as the contract states it: the one place that reads the option ``qmtl.common.v1.access``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qmtl_foundation.pb.qmtl.common.v1 import access_pb2


@dataclass(frozen=True, slots=True)
class Access:
    """Hold the least ``role`` of a method's callers, by its name in lower case, and the fields of the request that name
    the ``world`` in which it is needed and the ``strategy`` that is acted on; empty where the request names none."""

    role: str
    world: str
    strategy: str

    @property
    def is_public(self) -> bool:
        """Tell whether clients may call it at all, at the gateway's address."""
        return self.role not in ("unspecified", "service")


def access_of(method: Any) -> Access:
    """Return who may call a method, from its descriptor; one that states nothing is for nobody."""
    options = method.GetOptions() if hasattr(method, "GetOptions") else method.options
    stated: access_pb2.Access = options.Extensions[access_pb2.access]
    role = access_pb2.Role.Name(stated.role).removeprefix("ROLE_").lower()
    return Access(role, stated.world, stated.strategy)
