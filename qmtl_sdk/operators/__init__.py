"""Built-in operators: what the expressions on nodes compute, as NumPy and compiled kernels."""
