"""Settings shared by all tests."""

from hypothesis import settings

# A slow example on a busy machine is no failure.
settings.register_profile("halluc", deadline=None)
settings.load_profile("halluc")
