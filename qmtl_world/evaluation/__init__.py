"""Evaluation: a world's policy, what its rules say of one strategy, and which of the cohort are active."""
