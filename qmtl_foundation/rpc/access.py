"""Who may call a method, as the contract states it: the one place that reads the option ``qmtl.common.v1.access``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message

from qmtl_foundation.auth.caller import OF_A_WORLD, Caller, Role
from qmtl_foundation.errors import invalid_field, too_large, too_many
from qmtl_foundation.pb.qmtl.common.v1 import access_pb2
from qmtl_foundation.requests import MAX_MESSAGE_BYTES

MAX_ORDINARY_BYTES: Final = 4 * 1024 * 1024  # of a request, unless the contract calls it large
MAX_NAMED: Final = 10_000  # worlds of one request that are looked at; more than any method takes
KEPT_METHODS: Final = 256  # of which something is kept: names that nobody serves must not fill the memory


@dataclass(frozen=True, slots=True)
class Access:
    """Hold what the contract states of a method.

    ``role`` is the least of its callers; ``world`` and ``strategy`` are the request's fields, as paths with dots, that
    name the world in which the role is needed and the strategy acted on; empty where the request names none. What
    ``is_urgent`` is refused by no limit of rates, what ``is_large`` may be as large as any message. ``service`` is
    the one service that may call, empty for any.
    """

    role: Role
    world: str
    strategy: str
    is_urgent: bool = False
    is_large: bool = False
    service: str = ""

    @property
    def is_public(self) -> bool:
        """Tell whether clients may call it at all, at the gateway's address."""
        return self.role not in (Role.UNSPECIFIED, Role.SERVICE)

    def check_size(self, content: bytes) -> None:
        """Raise QmtlError TOO_LARGE for a request with more bytes than its method takes."""
        limit = MAX_MESSAGE_BYTES if self.is_large else MAX_ORDINARY_BYTES
        if len(content) > limit:
            raise too_large("request", len(content), limit)

    def check_at_all(self, caller: Caller) -> None:
        """Raise QmtlError PERMISSION_DENIED for a caller that may ask this nowhere, whatever its request says."""
        if self.role in OF_A_WORLD.values():
            caller.check_some_world(self.role)
        else:
            caller.check_installation(self.role)
        if self.service:
            caller.check_service(self.service)

    def check(self, caller: Caller, request: Message, *, in_dialogue: bool = False) -> None:
        """Hold a caller that may ask this at all against what its request names.

        Raises QmtlError: PERMISSION_DENIED for what it may not ask, INVALID_FIELD for a world left out, TOO_LARGE for a
        request that names more than may be judged. Of a dialogue, messages that name no world are not judged: its
        service answers to none before one that does.
        """
        if not self.world:
            return
        worlds = _named(request, self.world)
        if in_dialogue and not any(worlds):
            return
        for world in set(worlds):
            if not world:
                raise invalid_field(self.world, "name a world")
            caller.check_world(self.role, world)
        if self.strategy:
            for world, strategy in set(zip(worlds, _named(request, self.strategy), strict=True)):
                caller.check_strategy(world, strategy)


def access_of(method: Any) -> Access:
    """Return who may call a method, from its descriptor; one that states nothing is for nobody."""
    options = method.GetOptions() if hasattr(method, "GetOptions") else method.options
    stated: access_pb2.Access = options.Extensions[access_pb2.access]
    return Access(Role(stated.role), stated.world, stated.strategy, stated.urgent, stated.large, stated.service)


@lru_cache(maxsize=KEPT_METHODS)
def stated_access(path: str) -> Access:
    """Return who may call the method of a path; for nobody where no contract states it."""
    try:
        return access_of(Default().FindMethodByName(path.removeprefix("/").replace("/", ".")))
    except KeyError:
        return Access(Role.UNSPECIFIED, "", "")


def _named(request: Message, path: str) -> list[str]:
    """Return what a field of the request holds, each time that it occurs; a message left out holds an empty text."""
    *outer, leaf = path.split(".")
    messages: Sequence[Any] = [request]
    for name in outer:
        (message,) = messages  # what repeats is the last one: no contract names worlds deeper
        value = getattr(message, name)
        messages = [value] if isinstance(value, Message) else value
        if len(messages) > MAX_NAMED:
            raise too_many(name, MAX_NAMED)
    return [getattr(each, leaf) for each in messages]
