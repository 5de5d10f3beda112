"""Floor 8: sliding window, part alignment, whole cases."""
