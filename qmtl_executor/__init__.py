"""The executor of QMTL: takes the intents of worlds from the order stream to one venue."""
