"""What holds for every test: a property is tried on the same examples each time, so that a commit is green or is not.

``make faults`` tries others (``--hypothesis-profile=search``).
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("search", derandomize=False, print_blob=True)
settings.load_profile("same")
