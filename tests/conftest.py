from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("fast", max_examples=60, deadline=None)
#: What decides about a landing draws the same examples each time: a red run is then the change's, not the draw's.
settings.register_profile("gate", max_examples=60, deadline=None, derandomize=True)
settings.register_profile("deep", max_examples=5_000, deadline=None)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "fast")
settings.load_profile(PROFILE)

#: What is in tests/deep needs packages that `make deep` alone fetches.
collect_ignore = [] if PROFILE == "deep" else ["deep"]
