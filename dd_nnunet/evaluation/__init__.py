"""Floor 8: the only floor that may open label files."""
