"""Property tests draw the same cases every time, so that a green run stays green; with
HYPOTHESIS_PROFILE=explore (make verify) they draw new ones."""

import os

from hypothesis import settings

settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=400)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))
