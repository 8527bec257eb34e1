"""The terms of a world, as far as its runners need them. Frozen values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from qmtl_foundation.execution_model import ExecutionModel, SizingRule


@dataclass(frozen=True, slots=True)
class WorldTerms:
    """Hold how a world executes, sizes and annualises, and the data preset in force for a submission."""

    world: str
    data_preset: str
    preset_document: bytes
    bars_per_year: float
    execution_model: ExecutionModel
    sizing_rule: SizingRule
