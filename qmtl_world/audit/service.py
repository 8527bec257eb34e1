"""``qmtl.audit.v1.AuditService``."""

from __future__ import annotations

from typing import Any, Final

from qmtl_foundation.errors import Reason
from qmtl_foundation.pb.qmtl.audit.v1 import audit_service_pb2 as pb
from qmtl_foundation.pb.qmtl.audit.v1.audit_service_pb2_grpc import AuditServiceServicer
from qmtl_foundation.postgres import acquire, snapshot
from qmtl_foundation.postgres.pool import Pool
from qmtl_foundation.requests import (
    check_page_size,
    check_resource_name,
    decode_number_token,
    decode_page_token,
    encode_page_token,
    not_found,
)
from qmtl_foundation.rpc.admission import caller
from qmtl_world.audit import store
from qmtl_world.audit.messages import to_entry, to_head

NEWEST: Final = 2**63 - 1


class AuditService(AuditServiceServicer):
    """Answer for the audit."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ListAuditEntries(self, request: pb.ListAuditEntriesRequest, context: Any) -> pb.ListAuditEntriesResponse:
        """List a world's entries, newest first."""
        name, size = check_resource_name("world", request.world), check_page_size(request.page_size)
        below = decode_number_token(request.page_token, NEWEST)
        async with snapshot(self._pool) as connection:
            head = await store.read_head(connection, name)
            if head is None:
                mend = "`qmtl audit verify` names those of which there is an audit"
                raise not_found(Reason.WORLD_NOT_FOUND, "world", name, mend, world=name)
            entries = await store.list_entries(connection, name, below, size + 1)
        token = encode_page_token(str(entries[size - 1].number)) if len(entries) > size else ""
        listed = [to_entry(each) for each in entries[:size]]
        return pb.ListAuditEntriesResponse(entries=listed, next_page_token=token, head=to_head(name, head))

    async def ListAuditHeads(self, request: pb.ListAuditHeadsRequest, context: Any) -> pb.ListAuditHeadsResponse:
        """List the heads of the worlds that the caller may read."""
        size, after = check_page_size(request.page_size), decode_page_token(request.page_token)
        async with acquire(self._pool) as connection:
            heads = await store.list_heads(connection, after, size + 1, caller().readable)
        token = encode_page_token(heads[size - 1][0]) if len(heads) > size else ""
        return pb.ListAuditHeadsResponse(heads=[to_head(*each) for each in heads[:size]], next_page_token=token)
