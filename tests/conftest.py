"""Settings and shared fixtures for all tests."""

from hypothesis import settings

pytest_plugins = ["tiny_device"]

# Time limits would make tests fail on a busy machine.
settings.register_profile("no deadline", deadline=None)
# make fuzz-doors: more of each test that is marked fuzz_doors.
settings.register_profile("doors", deadline=None, max_examples=500, print_blob=True)
settings.load_profile("no deadline")

LONG = ("tests/workflow/", "tests/engine/")
"""Folders of tests of minutes. They come first, so that no worker begins one when the others are done."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
