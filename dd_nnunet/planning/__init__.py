"""Floor 3: fingerprint and plan; numpy and scipy only, no torch."""
