"""Whether a service can listen where it shall."""

from __future__ import annotations

import errno
import socket
from typing import Final

from qmtl_foundation.diagnosis.finding import Finding, fault, ok
from qmtl_foundation.settings import Address

_MENDS: Final = {
    errno.EADDRINUSE: "end what listens there (this service itself, running already?), or choose another port",
    errno.EADDRNOTAVAIL: "choose an address of this machine; 0.0.0.0 and [::] are all of them",
    errno.EACCES: "choose a port from 1024 on, or let the service's user have this one",
}


def examine_port(variable: str, address: Address) -> Finding:
    """Return whether a port is free, by taking it for a moment."""
    what = f"port of {variable}"
    try:
        places = socket.getaddrinfo(address.host.strip("[]"), address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return fault(what, f"{address.host} is no address ({error.strerror})", _MENDS[errno.EADDRNOTAVAIL])
    failures = [failure for family, _, _, _, place in places if (failure := _taken(family, place)) is not None]
    # Of a name with several addresses one is enough, but none may be another's.
    failed = next((each for each in failures if each.errno == errno.EADDRINUSE), None)
    if failed is None and len(failures) == len(places):
        failed = failures[0]
    if failed is None:
        return ok(what, f"{address} is free" if address.port else f"{address.host}, a port that the system chooses")
    mend = _MENDS.get(failed.errno or 0, "choose another address")
    return fault(what, f"{address} cannot be listened on ({failed.strerror})", mend)


def _taken(family: int, place: object) -> OSError | None:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            listening.bind(place)  # type: ignore[arg-type]  # as getaddrinfo gave it
    except OSError as error:
        return error
    return None
