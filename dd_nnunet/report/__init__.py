"""Floor 9: figures and the HTML page."""
