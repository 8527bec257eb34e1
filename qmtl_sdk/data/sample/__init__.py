"""The sample data inside the package: real daily bars, as described in README.md beside this file."""
