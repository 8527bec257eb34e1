"""Helm, started once, and what it makes of each example of values."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helm.chart import VALUES, Helm, Manifests, helm, values_of


@pytest.fixture(scope="session", name="helm")
def started_helm() -> Iterator[Helm]:
    """Give Helm."""
    with helm() as started:
        yield started


@pytest.fixture(scope="session")
def rendered(helm: Helm) -> dict[str, Manifests]:
    """Give what is made of each example of values, by its name."""
    return {name: helm.render(values_of(name)) for name in VALUES}


@pytest.fixture(params=VALUES)
def manifests(request: pytest.FixtureRequest, rendered: dict[str, Manifests]) -> Manifests:
    """Give what is made of one example after the other."""
    return rendered[request.param]
