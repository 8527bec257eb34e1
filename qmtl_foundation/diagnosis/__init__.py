"""What was found of each thing that is looked at, what is wrong with it and how it is mended; and the look at what a
service would be started with: ``qmtl-<service> --check``."""
