"""Current traces: the files of instruments, what they hold, and where the device inferred."""
