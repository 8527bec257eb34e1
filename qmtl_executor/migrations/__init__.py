"""Schema ``executor``."""
