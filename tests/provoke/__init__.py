"""Each alert, provoked once on a real stack: the real rules fire in a real Prometheus."""
