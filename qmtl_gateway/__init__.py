"""The gateway: QMTL's one public address."""
