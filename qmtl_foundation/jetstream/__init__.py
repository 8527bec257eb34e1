"""NATS JetStream: the connection, streams, and synced publishing."""

from __future__ import annotations

from qmtl_foundation.jetstream.bus import Bus, StreamSpec, open_bus

__all__ = ["Bus", "StreamSpec", "open_bus"]
