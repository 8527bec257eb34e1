"""A small story: runs that complete, one of them without a gateway that was lost, and two that go back."""

from __future__ import annotations

from tests.faults.forged.scribe import Scribe, seat
from tests.faults.history.facts import Activation, History


def written() -> History:
    """Return the story as a flawless stack would leave it, at rest."""
    scribe = Scribe()
    scribe.renew("g1", "g2")
    scribe.enrol()
    scribe.pass_marks()
    _run_through(scribe, "one", seat("A", 0.5), seat("B", 0.25), gateways=("g1", "g2"))
    scribe.execute("A", 1)
    scribe.execute("B", 1)
    scribe.leave("A", 2)
    _lose_gateway(scribe)
    scribe.execute("A", 3)
    scribe.repeat("A", 1)
    _go_back(scribe)
    scribe.execute("A", 4)
    _go_back_from_open(scribe)
    return scribe.history()


def _run_through(scribe: Scribe, run_id: str, *plan: Activation, gateways: tuple[str, ...]) -> None:
    scribe.freeze(run_id, *plan)
    scribe.pass_marks()
    scribe.acknowledge(*gateways)
    scribe.switch()
    scribe.acknowledge(*gateways)
    scribe.unfreeze()
    scribe.pass_marks()
    scribe.acknowledge(*gateways)
    scribe.end("completed")


def _lose_gateway(scribe: Scribe) -> None:
    """Freeze while g2 stands still with an order in hand; what B holds is closed, for it leaves the set."""
    epoch = scribe.place.epoch
    scribe.renew("g1", "g2")
    scribe.freeze("two", seat("A", 0.75))
    scribe.send_late("B", 2, epoch)
    scribe.pass_marks()
    scribe.acknowledge("g1")
    scribe.wait(6.0, "g1")
    scribe.switch()
    scribe.acknowledge("g1")
    scribe.unfreeze()
    scribe.demote("B")
    scribe.pass_marks()
    scribe.acknowledge("g1")
    scribe.end("completed")


def _go_back(scribe: Scribe) -> None:
    """Ask a run back while it is freezing."""
    scribe.renew("g1")
    scribe.freeze("three", seat("B", 0.5))
    scribe.pass_marks()
    scribe.reopen()
    scribe.pass_marks()
    scribe.acknowledge("g1")
    scribe.end("rolled_back")


def _go_back_from_open(scribe: Scribe) -> None:
    """Ask a run back while it is unfreezing: it is drained, and ends held."""
    scribe.renew("g1")
    scribe.freeze("four", seat("A", 0.1))
    scribe.pass_marks()
    scribe.acknowledge("g1")
    scribe.switch()
    scribe.acknowledge("g1")
    scribe.unfreeze()
    scribe.pass_marks()
    scribe.renew("g1")
    scribe.drain()
    scribe.pass_marks()
    scribe.acknowledge("g1")
    scribe.restore()
