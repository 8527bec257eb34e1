"""Compiled kernels; imported only when an operator that needs one runs first, because Numba is slow to import."""
