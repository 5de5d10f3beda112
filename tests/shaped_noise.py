"""Noise of known colour."""

import numpy as np


def shaped_noise(exponent, shape=(48, 48, 48), seed=0):
    """Noise whose power falls as f^-exponent."""
    white = np.fft.fftn(np.random.default_rng(seed).normal(size=shape))
    axes = np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    radius[0, 0, 0] = np.inf
    return np.fft.ifftn(white * radius ** (-exponent / 2)).real
