"""Worlds, policy versions, bindings, and the decision what a strategy may do."""
