"""Building the C engine: host library and device images."""
