"""What networks answer: a package a task, found through one registry."""
