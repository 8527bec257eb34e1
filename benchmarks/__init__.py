"""Benchmarks: each measures QMTL beside its peer, or the raw floor, in one run: ``python -m benchmarks [NAME…]``."""
