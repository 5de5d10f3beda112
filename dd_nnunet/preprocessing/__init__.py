"""Floor 4: from a raw volume to a prepared case and back."""
