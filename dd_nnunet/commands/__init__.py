"""Floor 11: command lines; heavy imports stay inside main."""
