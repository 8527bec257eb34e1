"""What happened: facts read from streams, tables, recorded changes and journals."""
