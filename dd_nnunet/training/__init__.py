"""Floor 7: batches, loops and label-free selection."""
