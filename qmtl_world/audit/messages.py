"""Entries and heads as messages of the contract."""

from __future__ import annotations

from qmtl_foundation.audit import Entry, Head
from qmtl_foundation.pb.qmtl.audit.v1 import audit_pb2
from qmtl_foundation.rpc.timestamps import to_timestamp


def to_entry(entry: Entry) -> audit_pb2.AuditEntry:
    """Return the message of an entry."""
    return audit_pb2.AuditEntry(
        world=entry.world,
        number=entry.number,
        event=entry.event,
        actor=entry.actor,
        reason=entry.reason,
        detail=entry.detail,
        run_id=entry.run_id,
        epoch=entry.epoch,
        sequence=entry.sequence,
        create_time=to_timestamp(entry.create_time),
        hash=entry.hash,
    )


def to_head(world: str, head: Head) -> audit_pb2.AuditHead:
    """Return the message of a world's head."""
    return audit_pb2.AuditHead(world=world, number=head.number, hash=head.hash)
