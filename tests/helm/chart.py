"""The chart as Helm renders it: its objects as data, and the questions that tests ask of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.stack import ROOT

CHART: Final = ROOT / "helm" / "qmtl"
VALUES: Final = tuple(sorted(path.stem.removesuffix("-values") for path in (CHART / "ci").glob("*-values.yaml")))
RELEASE: Final = "qmtl"
NAMESPACE: Final = "desk"

Values = Mapping[str, Any]
Object = Mapping[str, Any]


class Refused(Exception):  # noqa: N818  # it is Helm's answer
    """Helm does not render these values."""


@dataclass(frozen=True, slots=True)
class Manifests:
    """Hold what was rendered: the objects, and the notes for who installed them."""

    objects: Sequence[Object]
    notes: str

    def of_kind(self, *kinds: str) -> list[Object]:
        """Return the objects of some kinds."""
        return [each for each in self.objects if each["kind"] in kinds]

    def named(self, kind: str, name: str) -> Object:
        """Return the one object of a kind and a name."""
        (found,) = [each for each in self.of_kind(kind) if each["metadata"]["name"] == name]
        return found

    def pods(self) -> list[Pod]:
        """Return the pods that are there or will be made."""
        made = [Pod(each, each["spec"]["template"]) for each in self.of_kind("Deployment", "StatefulSet", "Job")]
        return made + [Pod(each, each) for each in self.of_kind("Pod")]

    def pod(self, component: str) -> Pod:
        """Return the pod of a component."""
        (found,) = [each for each in self.pods() if each.component == component]
        return found


@dataclass(frozen=True, slots=True)
class Pod:
    """Hold a pod and what makes it."""

    owner: Object
    template: Object

    @property
    def component(self) -> str:
        """Return which part of QMTL it is."""
        return str(self.labels["app.kubernetes.io/component"])

    @property
    def labels(self) -> Mapping[str, str]:
        """Return its labels."""
        labels: Mapping[str, str] = self.template["metadata"]["labels"]
        return labels

    @property
    def spec(self) -> Object:
        """Return its specification."""
        spec: Object = self.template["spec"]
        return spec

    @property
    def container(self) -> Object:
        """Return its one container."""
        (found,) = self.spec["containers"]
        return found

    @property
    def environment(self) -> Mapping[str, str | None]:
        """Return the variables of its one container; None for a value that comes from elsewhere."""
        return {each["name"]: each.get("value") for each in self.container["env"]}

    @property
    def containers(self) -> list[Object]:
        """Return its containers, those that run first too."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


class Helm:
    """Ask Helm about a chart; raises Refused as it does."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def lint(self, values: Values) -> list[str]:
        """Return the warnings and errors of ``helm lint --strict``."""
        said: list[str] = self._ask(do="lint", chart=str(CHART), values=values)
        return said

    def render(self, values: Values, release: str = RELEASE, chart: Path = CHART) -> Manifests:
        """Return what ``helm install`` would make."""
        asked = {"do": "render", "chart": str(chart), "values": values, "release": release, "namespace": NAMESPACE}
        files: dict[str, str] = self._ask(**asked)
        notes = "".join(text for path, text in files.items() if path.endswith(".txt"))
        manifests = [text for path, text in files.items() if not path.endswith(".txt")]
        return Manifests([each for text in manifests for each in yaml.safe_load_all(text) if each], notes)

    def _ask(self, **asked: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        said = json.loads(self._process.stdout.readline())
        if "refused" in said:
            raise Refused(said["refused"])
        return said["answer"]


@contextmanager
def helm() -> Iterator[Helm]:
    """Yield Helm, which ends with its standard input."""
    command = (sys.executable, "-m", "tests.helm.renderer")
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Helm(process)


def values_of(name: str) -> dict[str, Any]:
    """Return one of the chart's examples of values."""
    values: dict[str, Any] = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text(encoding="utf-8"))
    return values


def changed(values: Values, path: str, value: Any) -> dict[str, Any]:
    """Return values with one of them, named by a path with dots, set to another."""
    name, _, rest = path.partition(".")
    inner = values.get(name, {})
    return {**values, name: changed(inner, rest, value) if rest else value}
