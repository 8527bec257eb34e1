"""Worlds in which an apply run begins."""

from __future__ import annotations

import pytest

from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_world.apply.place import (
    Enrol,
    Start,
)
from tests.support.apply_scene import EXECUTOR, G1, G2, NEW, OLD, Scene


@pytest.fixture
def scene() -> Scene:
    """Return a world that trades OLD at epoch 2, an executor enrolled."""
    made = Scene()
    made.do(Enrol(EXECUTOR, EffectiveMode.PAPER))
    made.apply("run-0", OLD)
    assert (made.place.epoch, made.place.is_open, made.place.activations) == (2, True, OLD)
    return made


@pytest.fixture
def started(scene: Scene) -> Scene:
    """Return the world just after a run towards NEW was started."""
    scene.do(Start("run-1", NEW, frozenset({G1, G2})))
    return scene
