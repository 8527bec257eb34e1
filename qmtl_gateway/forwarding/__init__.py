"""Forwarding: the other services' public methods, passed through as bytes."""
