"""What ``qmtl top`` knows as a plain JSON object."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from qmtl_sdk.cli.documents import Document, moment
from qmtl_sdk.top.desk import RunRow, WorldRow
from qmtl_sdk.top.figures import NAMES, Source, totals, why_unknown
from qmtl_sdk.top.watch import View


def view_document(view: View, now: datetime, monotonic: float) -> Document:
    """Return all that is known; ages in seconds at ``monotonic``, null where nothing is known."""
    return {
        "time": moment(now),
        "gateway": {
            "address": str(view.gateway),
            "says": view.failure,
            "age_s": None if view.desk_at is None else monotonic - view.desk_at,
        },
        "worlds": [_world(each) for each in view.desk.worlds],
        "worlds_unread": view.desk.unread,
        "runs": [_run(each, now) for each in view.desk.runs],
        "totals": {**asdict(totals(view.sources)), "says": why_unknown(view.sources)},
        "sources": [_source(each, monotonic) for each in view.sources],
    }


def _world(row: WorldRow) -> Document:
    return {**asdict(row), "holds": list(row.holds)}


def _run(run: RunRow, now: datetime) -> Document:
    return {
        "world": run.world,
        "run_id": run.run_id,
        "phase": run.phase,
        "epoch": run.epoch,
        "awaited": list(run.awaited),
        "age_s": run.age(now),
        "create_time": moment(run.began),
        "deadline": moment(run.deadline),
    }


def _source(source: Source, monotonic: float) -> Document:
    figures = {name: getattr(source.figures, name) for name in NAMES}
    return {
        "name": source.name,
        "url": source.url,
        "fresh": source.is_fresh,
        "says": source.failure,
        "age_s": None if source.last is None else monotonic - source.last.at,
        **figures,
    }
