"""Floor 5: pure tensor functions, one equation each."""
