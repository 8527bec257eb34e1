"""Benchmarks: each measures QMTL beside its peer, or the raw floor, in the same run: ``python -m benchmarks [NAME…]``."""
