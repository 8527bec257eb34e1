"""The image's recipe holds what the chart expects of it; it is built where there is Docker, and not here."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from tests.helm.chart import Manifests
from tests.support.stack import ROOT

RECIPE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STAGES = RECIPE.split("\nFROM ")[1:]


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_program_that_the_chart_starts_is_one_that_the_image_has(manifests: Manifests) -> None:
    scripts = set(project()["project"]["scripts"]) | {"python"}
    own = [pod for pod in manifests.pods() if pod.component not in {"postgres", "nats"}]
    started = {container["command"][0] for pod in own for container in pod.containers}
    assert {"qmtl", "qmtl-gateway", "qmtl-world", "qmtl-dagmgr"} <= started <= scripts


def test_every_package_is_copied_into_it_and_let_through_to_it() -> None:
    packages = project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = set(re.findall(r"^COPY (qmtl_\w+) \1$", RECIPE, re.MULTILINE))
    assert copied == set(packages)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*"
    named = re.findall(r"^COPY ((?:[\w.]+ )+)\./$", RECIPE, re.MULTILINE)
    assert {f"!{each}" for each in named[0].split()} | {"!qmtl_*"} == {each for each in ignored if each[0] == "!"}


def test_both_stages_stand_on_one_pinned_base() -> None:
    bases = {stage.split()[0] for stage in STAGES}
    assert len(STAGES) == 2
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", bases.pop())


def test_it_runs_as_the_user_that_the_chart_names(manifests: Manifests) -> None:
    (user,) = re.findall(r"^USER (\d+):\1$", STAGES[-1], re.MULTILINE)
    own = [pod for pod in manifests.pods() if pod.component not in {"postgres", "nats"}]
    assert {str(pod.spec["securityContext"]["runAsUser"]) for pod in own} == {user}


def test_dependencies_are_those_that_are_tested() -> None:
    assert '--constraint constraints.txt ".[server]"' in STAGES[0]


def test_the_chart_s_application_is_this_version(manifests: Manifests) -> None:
    version = project()["project"]["version"]
    assert {pod.labels["app.kubernetes.io/version"] for pod in manifests.pods()} == {version}
