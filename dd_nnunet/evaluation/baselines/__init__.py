"""Rivals that need no training of ours, one file per method."""
