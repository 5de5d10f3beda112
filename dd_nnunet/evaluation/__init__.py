"""Floor 9: the only floor that may open label files."""
