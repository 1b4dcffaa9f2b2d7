"""Builds of the C engine: host library, device images, ESP-IDF project; flashing of boards."""
