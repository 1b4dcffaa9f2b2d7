"""What networks learn and how they are scored: a package a task, found through one registry."""
