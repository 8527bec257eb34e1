"""Metrics in Prometheus form at ``/metrics``, and sent where ``exporters`` says. A metric's name carries its unit."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from prometheus_client import start_http_server

from qmtl_foundation.exporters import METRICS, end, exporter
from qmtl_foundation.settings import Address, check_listened
from qmtl_foundation.tls import Certificates

_log = logging.getLogger(__name__)


@contextmanager
def exposing_metrics(listen: Address, certificates: Certificates | None = None) -> Iterator[metrics.Meter]:
    """Serve ``/metrics`` on ``listen`` and yield the meter that feeds it; raise as ``serving`` without certificates."""
    if certificates is None:
        check_listened("QMTL_METRICS_LISTEN", listen)
    # Not the library's own way to TLS: its certificate would stay the one of the start.
    tls = None if certificates is None else certificates.context(ssl.PROTOCOL_TLS_SERVER)
    sent = exporter(METRICS)
    elsewhere = () if sent is None else (PeriodicExportingMetricReader(sent),)
    readers = [PrometheusMetricReader(disable_target_info=True), *elsewhere]
    provider = MeterProvider(readers, shutdown_on_exit=False)
    server, thread = start_http_server(listen.port, addr=listen.host)
    try:
        # Instead of a traceback for each client that speaks something else.
        server.handle_error = _note_stranger  # type: ignore[method-assign,assignment]  # a function for a method
        if tls is not None:  # handshakes are made by the threads that answer: a slow one holds up nobody
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        yield provider.get_meter("qmtl")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        if sent is None:
            provider.shutdown()
        else:
            end(provider, sent)


def _note_stranger(_request: object, client_address: object) -> None:
    _log.debug("metrics: a request of %s failed", client_address, exc_info=True)


class LabelledCounter:
    """Count by one label of known values, each exported as 0 from the start, so that a rate over it is never absent."""

    def __init__(self, meter: metrics.Meter, name: str, description: str, label: str, values: Iterable[str]) -> None:
        self._counter = meter.create_counter(name, description=description)
        self._label = label
        for value in values:
            self._counter.add(0, {label: value})

    def add(self, value: str, amount: int = 1) -> None:
        """Count ``amount`` under one value of the label."""
        self._counter.add(amount, {self._label: value})


def zeroed_counter(
    meter: metrics.Meter, name: str, description: str, attributes: Mapping[str, str] | None = None
) -> metrics.Counter:
    """Return a counter that is exported as 0 from the start."""
    counter = meter.create_counter(name, description=description)
    counter.add(0, dict(attributes or {}))
    return counter
