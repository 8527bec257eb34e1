"""Market data: presets, sources, cache, coverage, and the panel that computation runs on."""
