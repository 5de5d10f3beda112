"""Converters that turn other data into a raw dataset folder."""
