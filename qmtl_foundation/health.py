"""``grpc.health.v1`` on the wire: for who asks on bytes, with neither its messages nor their generated code."""

from __future__ import annotations

from typing import Final

CHECK: Final = "/grpc.health.v1.Health/Check"
SERVING: Final = b"\x08\x01"  # HealthCheckResponse(status=SERVING)
