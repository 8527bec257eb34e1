"""Strategies: nodes, their values, their evaluation and the identity of their code."""
