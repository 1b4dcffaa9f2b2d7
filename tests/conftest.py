"""Settings and shared fixtures for all tests."""

from hypothesis import settings

pytest_plugins = ["tiny_device"]

# Time limits would make tests fail on a busy machine.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
