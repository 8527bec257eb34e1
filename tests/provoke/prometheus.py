"""A real Prometheus that scrapes a stack each second and evaluates its rules as often; which alerts it has firing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from qmtl_sdk.local.progress import StackStatus
from tests.provoke.hurried import hurry
from tests.support.beside import ending, free_port
from tests.support.waiting import wait_until

PROMETHEUS: Final = "prometheus"
SCRAPE_SECONDS: Final = 1
START_SECONDS: Final = 30.0
CALL_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Ask a running Prometheus."""

    address: str

    def firing(self) -> list[Mapping[str, str]]:
        """Return the labels of each instance of an alert that fires."""
        return [each["labels"] for each in self._get("alerts")["alerts"] if each["state"] == "firing"]

    def names(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {each["alertname"] for each in self.firing()}

    def holds(self, expression: str) -> bool:
        """Tell whether an expression has any series now."""
        return bool(self._get("query", query=expression)["result"])

    def is_ready(self, services: int) -> bool:
        """Tell whether it has scraped so many services, and has seen so by its rules."""
        try:
            return self.holds(f"count(up == 1) == {services}") and not self.firing()
        except (URLError, ConnectionError):
            return False

    def _get(self, path: str, **parameters: str) -> Any:
        with urlopen(f"http://{self.address}/api/v1/{path}?{urlencode(parameters)}", timeout=CALL_SECONDS) as answer:
            return json.load(answer)["data"]


@contextmanager
def watching(stack: StackStatus, folder: Path, factor: int) -> Iterator[Prometheus]:
    """Run Prometheus over the services of a stack, with the rules' durations divided by a factor, until the end."""
    rules, config, address = folder / "rules.yaml", folder / "prometheus.yaml", f"127.0.0.1:{free_port()}"
    hurry(rules, factor)
    config.write_text(yaml.safe_dump(_config(stack, rules)), encoding="utf-8")
    command = (
        PROMETHEUS,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    )
    with (
        (folder / "prometheus.log").open("wb") as log,
        subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as process,
        ending(process),
    ):
        found = Prometheus(address)
        services = sum(bool(each.metrics_address) for each in stack.processes)
        wait_until(lambda: found.is_ready(services), START_SECONDS)
        yield found


def _config(stack: StackStatus, rules: Path) -> dict[str, Any]:
    every = f"{SCRAPE_SECONDS}s"
    jobs = [
        {"job_name": f"qmtl-{each.name}", "static_configs": [{"targets": [each.metrics_address]}]}
        for each in stack.processes
        if each.metrics_address
    ]
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(rules)],
        "scrape_configs": jobs,
    }
