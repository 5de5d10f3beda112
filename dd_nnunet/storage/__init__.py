"""Floor 1: paths, environment and file formats."""
