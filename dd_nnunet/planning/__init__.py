"""Floor 2: fingerprint and plan; numpy and scipy only, no torch."""
