"""Write the dashboards as Grafana reads them, from the code that describes them.

``python -m helm.dashboards.generate`` writes ``helm/qmtl/dashboards/*.json``; ``--check`` names those that are not
what the code writes, and fails.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from helm.dashboards import apply, core_loop, gateways, graph
from helm.dashboards.alerts import ROOT

FOLDER: Final = ROOT / "helm" / "qmtl" / "dashboards"
BOARDS: Final = (core_loop.BOARD, apply.BOARD, graph.BOARD, gateways.BOARD)


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with ``--check`` only compare; return the exit code."""
    wanted = documents()
    stale = [path for path in sorted({*wanted, *FOLDER.glob("*.json")}) if _text(path) != wanted.get(path)]
    if list(arguments) == ["--check"]:
        for path in stale:
            sys.stderr.write(f"not what `make dashboards` writes: {path.relative_to(ROOT)}\n")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in stale:
        if path in wanted:
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
    return 0


def documents() -> Mapping[Path, str]:
    """Return the text of each file."""
    return {
        FOLDER / f"{board.uid}.json": json.dumps(board.document(), indent=2, ensure_ascii=False) + "\n"
        for board in BOARDS
    }


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
