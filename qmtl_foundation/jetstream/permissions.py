"""What each service may do in NATS, and nothing else: which subjects it publishes, which it hears.

Each stream has one owner, which alone changes it. Services hear answers under inboxes of their own, so that none reads
another's. ``python -m qmtl_foundation.jetstream.permissions`` prints the users for a nats-server's configuration.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any, Final

from qmtl_foundation.jetstream.streams import (
    ALL_EVENTS,
    ALL_INTENTS,
    ALL_MARKS,
    ALL_REPORTS,
    CONTROL,
    INGEST,
    ORDERS,
    REPORTS,
    SUBMISSIONS,
    inbox_of,
)

OWNERS: Final[Mapping[str, str]] = {INGEST: "gateway", CONTROL: "world", ORDERS: "world", REPORTS: "executor"}

_ANSWERS: Final = "$JS.API.INFO"  # whether JetStream answers
# Of the API of JetStream (ADR-1 of NATS, https://github.com/nats-io/nats-architecture-and-design).
_LOOKS: Final = ("STREAM.CREATE.{0}", "STREAM.INFO.{0}")
_READS: Final = (
    "CONSUMER.CREATE.{0}",
    "CONSUMER.CREATE.{0}.>",
    "CONSUMER.INFO.{0}.*",
    "CONSUMER.DELETE.{0}.*",
    "CONSUMER.MSG.NEXT.{0}.*",
)
_GETS: Final = ("STREAM.MSG.GET.{0}", "DIRECT.GET.{0}", "DIRECT.GET.{0}.>")
_OWNS: Final = (*_LOOKS, "STREAM.UPDATE.{0}")


def _api(subjects: tuple[str, ...], *streams: str) -> tuple[str, ...]:
    return tuple(f"$JS.API.{each.format(stream)}" for stream in streams for each in subjects)


PUBLISHED: Final[Mapping[str, tuple[str, ...]]] = {
    "gateway": (
        SUBMISSIONS,
        ALL_INTENTS,
        *_api(_OWNS, INGEST),
        *_api((*_READS, "CONSUMER.DURABLE.CREATE.{0}.*"), INGEST),
        f"$JS.ACK.{INGEST}.>",
        *_api(_LOOKS, ORDERS, CONTROL, REPORTS),
        *_api(_READS, CONTROL, REPORTS),
        f"$JS.FC.{CONTROL}.>",
        f"$JS.FC.{REPORTS}.>",
    ),
    "world": (
        ALL_EVENTS,
        ALL_MARKS,
        *_api((*_OWNS, *_GETS), CONTROL, ORDERS),
        *_api(("STREAM.PURGE.{0}",), ORDERS),
    ),
    "executor": (
        ALL_REPORTS,
        *_api(_OWNS, REPORTS),
        *_api((*_LOOKS, *_READS), ORDERS),
        f"$JS.FC.{ORDERS}.>",
    ),
    "dagmgr": (),
}
HEARD: Final[Mapping[str, tuple[str, ...]]] = {"executor": (ALL_MARKS,)}

# What a service may ask that leaves no trace: whether JetStream answers, how its streams are.
LOOKED_AT: Final[Mapping[str, tuple[str, ...]]] = {
    service: (_ANSWERS, *(each for each in subjects if each.startswith("$JS.API.STREAM.INFO.")))
    for service, subjects in PUBLISHED.items()
}


def user(service: str, password: str) -> dict[str, Any]:
    """Return a service's entry among the users of a nats-server's configuration."""
    return {
        "user": service,
        "password": password,
        "permissions": {
            "publish": {"allow": [_ANSWERS, *PUBLISHED[service]]},
            "subscribe": {"allow": [f"{inbox_of(service)}.>", *HEARD.get(service, ())]},
        },
    }


def configuration() -> str:
    """Return the users of a nats-server's configuration, which reads their passwords from its environment."""
    users = [user(service, f"$QMTL_NATS_{service.upper()}_PASSWORD") for service in PUBLISHED]
    text = json.dumps({"authorization": {"users": users}}, indent=2)
    return re.sub(r'"(\$QMTL_NATS_\w+_PASSWORD)"', r"\1", text) + "\n"  # a variable stands without quotes


def main() -> None:
    """Print that."""
    sys.stdout.write(configuration())


if __name__ == "__main__":
    main()
