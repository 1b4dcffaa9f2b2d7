"""Which networks fit which microcontrollers: exact counts of architectures, nothing is trained or run."""
