"""A caller and what it may do: its name, and its roles in worlds as its token states them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason

ANYWHERE: Final = "*"
SHOWN: Final = 80  # characters of a name that a refusal repeats
SERVICE_PREFIX: Final = "service:"
SERVICES: Final = frozenset({"gateway", "executor"})  # who call others in their own name


class Role(IntEnum):
    """Order what a caller can be, as ``qmtl.common.v1.Role`` does: from READER to OWNER each has what is below it."""

    UNSPECIFIED = 0
    CALLER = 1
    READER = 2
    AUTHOR = 3
    OPERATOR = 4
    OWNER = 5
    ADMIN = 6
    SERVICE = 7

    @property
    def text(self) -> str:
        """Return its name as permissions, errors and docs write it."""
        return self.name.lower()


OF_A_WORLD: Final = {role.text: role for role in (Role.READER, Role.AUTHOR, Role.OPERATOR, Role.OWNER)}


@dataclass(frozen=True, slots=True)
class Caller:
    """Hold who calls: ``name`` is the author of its strategies and the actor in audits; ``worlds`` its roles by world.

    ``services`` are those whose part it may do. ``everywhere`` is its least role in any world. ``expires`` is when its
    token does, in seconds since 1970.
    """

    name: str
    is_admin: bool = False
    services: frozenset[str] = frozenset()
    everywhere: Role = Role.CALLER
    worlds: Mapping[str, Role] = field(default_factory=dict)
    expires: float = math.inf

    @property
    def is_service(self) -> bool:
        """Tell whether it may do the part of a service."""
        return bool(self.services)

    def role_in(self, world: str) -> Role:
        """Return its role in a world: administrators own every world, services read every world."""
        if self.is_admin:
            return Role.OWNER
        stated = max(self.everywhere, self.worlds.get(world, Role.CALLER))
        return max(stated, Role.READER) if self.is_service else stated

    @property
    def readable(self) -> frozenset[str] | None:
        """Return the names of the worlds that it may read; None for every world."""
        if self.role_in(ANYWHERE) >= Role.READER:
            return None
        return frozenset(world for world, role in self.worlds.items() if role >= Role.READER)

    def check_installation(self, needed: Role) -> None:
        """Raise QmtlError PERMISSION_DENIED unless it is what a method needs that concerns no world."""
        held = {Role.CALLER: True, Role.ADMIN: self.is_admin, Role.SERVICE: self.is_service}
        if not held.get(needed, False):
            raise self._denied(needed, f"this needs the permission {needed.text!r}")

    def check_service(self, service: str) -> None:
        """Raise QmtlError PERMISSION_DENIED unless it may do a service's part."""
        if service not in self.services:
            raise self._denied(Role.SERVICE, f"this needs the permission '{SERVICE_PREFIX}{service}'", service=service)

    def check_world(self, needed: Role, world: str) -> None:
        """Raise QmtlError PERMISSION_DENIED unless it has a role in a world."""
        held = self.role_in(world)
        if held < needed:
            shown = world[:SHOWN]
            raise self._denied(
                needed,
                f"in world {shown!r} this needs the permission '{shown}:{needed.text}', {self.name!r} has "
                f"{held.text!r} there",
                world=shown,
            )

    def check_some_world(self, needed: Role) -> None:
        """Raise QmtlError PERMISSION_DENIED unless it has a role in at least one world."""
        if max(self.role_in(ANYWHERE), *self.worlds.values(), Role.CALLER) < needed:
            raise self._denied(needed, f"this needs the permission '<world>:{needed.text}' in some world")

    def check_strategy(self, world: str, strategy: str) -> None:
        """Raise QmtlError PERMISSION_DENIED unless a strategy (``author/name``, or its author) is its own to act on.

        Operators of the world act on every strategy in it.
        """
        author = strategy.partition("/")[0]
        if author != self.name and self.role_in(world) < Role.OPERATOR:
            shown, of = world[:SHOWN], author[:SHOWN]
            raise self._denied(
                Role.OPERATOR,
                f"strategies of {of!r} are acted on by {of!r} or an operator of world {shown!r}; the token names "
                f"{self.name!r}",
                world=shown,
                author=of,
            )

    def _denied(self, needed: Role, why: str, **metadata: str) -> QmtlError:
        return QmtlError(
            Reason.PERMISSION_DENIED, why, metadata={"caller": self.name, "needed": needed.text, **metadata}
        )


def permitted(name: str, permissions: Iterable[str], expires: float = math.inf) -> Caller:
    """Return the caller that permissions make: ``<world>:<role>``, ``*:<role>``, ``admin``, ``service:<service>``.

    ``*`` is every world. What is none of these grants nothing: tokens also carry permissions of other systems.
    """
    worlds: dict[str, Role] = {}
    stated = frozenset(permissions)
    for each in stated:
        world, colon, role = each.rpartition(":")
        if colon and world and role in OF_A_WORLD:
            worlds[world] = max(OF_A_WORLD[role], worlds.get(world, Role.CALLER))
    everywhere = worlds.pop(ANYWHERE, Role.CALLER)
    services = frozenset(service for service in SERVICES if SERVICE_PREFIX + service in stated)
    return Caller(name, Role.ADMIN.text in stated, services, everywhere, worlds, expires)
