"""Floor 6: batches, loops and label-free selection."""
