"""QMTL's SDK: write signal logic, submit it to a world, read what the world decided."""
