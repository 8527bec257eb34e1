"""Every method of the contract, by its descriptor."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Final

PROTOS: Final = Path(__file__).parents[2] / "protos"
METHODS: Final = tuple(
    method
    for file in sorted(PROTOS.glob("qmtl/*/v1/*_service.proto"))
    for service in import_module(
        f"qmtl_foundation.pb.{'.'.join(file.relative_to(PROTOS).with_suffix('').parts)}_pb2"
    ).DESCRIPTOR.services_by_name.values()
    for method in service.methods
)
