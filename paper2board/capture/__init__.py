"""Device capture: protocol, link, device log."""
