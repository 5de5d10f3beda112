"""Floor 6: pure tensor functions, one equation each."""
