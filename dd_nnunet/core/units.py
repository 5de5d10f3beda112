"""Units that the floors share."""

# memory is counted as operating systems and drivers do, in powers of two
GB = 1024**3
