"""Floor 10: figures and the HTML page."""
