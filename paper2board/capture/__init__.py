"""Talking to a device: protocol, transport, latency log."""
