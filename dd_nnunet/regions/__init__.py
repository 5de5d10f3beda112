"""Floor 2: parts of a volume that follow from rules; nothing is trained."""
