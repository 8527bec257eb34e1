"""Shared ground of QMTL's services and SDK; imports no other package of ours."""
