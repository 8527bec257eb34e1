"""``qmtl.dataset.v1.DatasetService``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from qmtl_dagmgr.datasets import store
from qmtl_dagmgr.datasets.model import Preset, Snapshot, check_snapshot, preset_content_id
from qmtl_foundation.clock import Clock, format_rfc3339, parse_rfc3339
from qmtl_foundation.errors import Reason, invalid_field
from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_pb2, dataset_service_pb2
from qmtl_foundation.pb.qmtl.dataset.v1.dataset_service_pb2_grpc import DatasetServiceServicer
from qmtl_foundation.postgres.pool import Pool
from qmtl_foundation.requests import (
    check_content_id,
    check_page_size,
    check_resource_name,
    decode_page_token,
    encode_page_token,
    not_found,
)
from qmtl_foundation.rpc.timestamps import to_datetime, to_timestamp


class DatasetService(DatasetServiceServicer):
    """Answer for presets and snapshots."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def RegisterPreset(
        self, request: dataset_service_pb2.RegisterPresetRequest, context: Any
    ) -> dataset_service_pb2.RegisterPresetResponse:
        """Register a preset."""
        name = check_resource_name("name", request.name)
        content_id = preset_content_id(request.document)
        preset = await store.add_preset(self._pool, name, request.document, content_id)
        return dataset_service_pb2.RegisterPresetResponse(preset=_to_preset(preset))

    async def GetPreset(
        self, request: dataset_service_pb2.GetPresetRequest, context: Any
    ) -> dataset_service_pb2.GetPresetResponse:
        """Read a preset."""
        preset = await self._existing(check_resource_name("name", request.name))
        return dataset_service_pb2.GetPresetResponse(preset=_to_preset(preset))

    async def ListPresets(
        self, request: dataset_service_pb2.ListPresetsRequest, context: Any
    ) -> dataset_service_pb2.ListPresetsResponse:
        """List presets."""
        size = check_page_size(request.page_size)
        presets = await store.list_presets(self._pool, decode_page_token(request.page_token), size + 1)
        token = encode_page_token(presets[size - 1].name) if len(presets) > size else ""
        return dataset_service_pb2.ListPresetsResponse(
            presets=[_to_preset(each) for each in presets[:size]], next_page_token=token
        )

    async def RegisterSnapshot(
        self, request: dataset_service_pb2.RegisterSnapshotRequest, context: Any
    ) -> dataset_service_pb2.RegisterSnapshotResponse:
        """Register a snapshot."""
        snapshot = check_snapshot(_from_snapshot(request.snapshot), self._clock())
        await self._existing(snapshot.preset)
        stored = await store.add_snapshot(self._pool, snapshot)
        return dataset_service_pb2.RegisterSnapshotResponse(snapshot=_to_snapshot(stored))

    async def GetSnapshot(
        self, request: dataset_service_pb2.GetSnapshotRequest, context: Any
    ) -> dataset_service_pb2.GetSnapshotResponse:
        """Read the newest snapshot."""
        preset = await self._existing(check_resource_name("preset", request.preset))
        limit = _moment("as_of", request.as_of) if request.as_of else None
        fingerprint = check_content_id("fingerprint", request.fingerprint) if request.fingerprint else ""
        snapshot = await store.newest_snapshot(self._pool, preset.name, limit, fingerprint)
        return dataset_service_pb2.GetSnapshotResponse(snapshot=None if snapshot is None else _to_snapshot(snapshot))

    async def _existing(self, name: str) -> Preset:
        preset = await store.read_preset(self._pool, name)
        if preset is None:
            mend = "`qmtl data presets` lists those there are"
            raise not_found(Reason.PRESET_NOT_FOUND, "preset", name, mend, data_preset=name)
        return preset


def _moment(field: str, text: str) -> datetime:
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise invalid_field(field, f"{text[:60]!r} must be RFC 3339 in UTC, such as 2013-03-01T21:00:00Z") from error


def _to_preset(preset: Preset) -> dataset_pb2.Preset:
    return dataset_pb2.Preset(
        name=preset.name,
        document=preset.document,
        content_id=preset.content_id,
        create_time=to_timestamp(preset.create_time),
    )


def _from_snapshot(message: dataset_pb2.Snapshot) -> Snapshot:
    return Snapshot(
        preset=check_resource_name("snapshot.preset", message.preset),
        as_of=_moment("snapshot.as_of", message.as_of),
        fingerprint=check_content_id("snapshot.fingerprint", message.fingerprint),
        start_time=to_datetime(message.start_time, "snapshot.start_time"),
        end_time=to_datetime(message.end_time, "snapshot.end_time"),
        bars=message.bars,
        coverage=message.coverage,
        gaps=message.gaps,
    )


def _to_snapshot(snapshot: Snapshot) -> dataset_pb2.Snapshot:
    return dataset_pb2.Snapshot(
        preset=snapshot.preset,
        as_of=format_rfc3339(snapshot.as_of),
        fingerprint=snapshot.fingerprint,
        start_time=to_timestamp(snapshot.start_time),
        end_time=to_timestamp(snapshot.end_time),
        bars=snapshot.bars,
        coverage=snapshot.coverage,
        gaps=snapshot.gaps,
        create_time=to_timestamp(snapshot.create_time) if snapshot.create_time else None,
    )
