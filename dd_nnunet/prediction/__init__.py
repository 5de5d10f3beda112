"""Floor 7: sliding window, part alignment, whole cases."""
