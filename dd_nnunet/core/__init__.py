"""Floor 0: records and rules; standard library and numpy only."""
