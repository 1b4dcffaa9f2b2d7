"""Current traces, energy per inference, memory energy, battery life."""
