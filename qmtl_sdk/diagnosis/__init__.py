"""``qmtl doctor``: each thing that a call needs, looked at alone, with what is wrong and how it is mended."""
