"""Answer questions about the chart, a JSON document a line, by Helm's own library.

It is a process of its own: the library is written in Go, whose runtime takes signals and threads that gRPC wants too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from helm_python import HelmError
from helm_python.chart import Chart, lint

WARNING = 2


def answer(asked: Mapping[str, Any]) -> Any:
    """Return the manifests by their template, or the complaints of lint."""
    if asked["do"] == "lint":
        messages = lint(asked["chart"], asked["values"], strict=True)["messages"]
        return [message["error"] for message in messages if message["severity"] >= WARNING]
    with Chart.load(asked["chart"]) as chart:
        return chart.render(asked["values"], name=asked["release"], namespace=asked["namespace"])


def main() -> None:
    """Answer each line of the standard input until it ends."""
    for line in sys.stdin:
        try:
            said = {"answer": answer(json.loads(line))}
        except HelmError as error:
            said = {"refused": str(error)}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
