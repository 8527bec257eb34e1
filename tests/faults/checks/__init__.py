"""The checks of a recorded history, by theme; ``tests.faults.checker`` has the table of them."""
