"""The dataset registry: presets, and the snapshots that were read of them."""
