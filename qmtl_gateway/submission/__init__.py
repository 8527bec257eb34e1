"""Submissions: taken durably, worked off once, answered on any gateway."""
