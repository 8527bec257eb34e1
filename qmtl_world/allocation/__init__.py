"""Allocation: what part of the world each active strategy gets."""
