"""Settings shared by all tests."""

from hypothesis import settings

# A slow example on a busy machine is no failure.
settings.register_profile("halluc", deadline=None)
settings.load_profile("halluc")


def pytest_collection_modifyitems(items):
    """Start with the longest file, so that the other worker has the rest to do beside it."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)
