"""Floor 10: command lines; heavy imports stay inside main."""
