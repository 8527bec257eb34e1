"""Faults of real processes: a cluster that is killed, paused and cut off while strategies trade, and its judge."""
