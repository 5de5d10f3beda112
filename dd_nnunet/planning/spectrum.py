"""How the power of a volume falls with spatial frequency, and how its signal compares with its noise."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
BAND = (1 / 8, 1 / 2)
MAX_EDGE = 96
MIN_EDGE = 8
MAX_SNR = 1000.0


def radial_power_spectrum(volume: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean power over shells of equal frequency, as wide as the coarsest step of any axis.

    The volume's mean is taken off and a Hann window put on, so that its borders make no step.

    Args:
        volume: [Z,Y,X], at least 2 voxels per axis.

    Returns:
        Frequencies (cycles per voxel, in (0, 1/2], rising), the mean power at each, and how many waves it is of.
    """
    windowed = volume - volume.mean()
    for axis, n in enumerate(volume.shape):
        # one zero less than numpy's symmetric window: the periodic one
        window = np.hanning(n + 1)[:n]
        windowed = windowed * np.expand_dims(window, [a for a in range(3) if a != axis])
    power = np.abs(np.fft.fftn(windowed)) ** 2
    axes = np.meshgrid(*(np.fft.fftfreq(n) for n in volume.shape), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    width = 1 / min(volume.shape)
    shell = np.round(radius / width).astype(int).ravel()
    counts = np.bincount(shell)
    n_shells = int(0.5 / width) + 1
    means = np.bincount(shell, power.ravel())[:n_shells] / counts[:n_shells]
    return np.arange(1, n_shells) * width, means[1:], counts[1:n_shells].astype(np.float64)


def spectrum_slope(volume: Floats) -> float:
    """Exponent a of the power law f^a that fits the finest two octaves, 1/8 to 1/2 cycles per voxel.

    0 for white noise, −1 for pink noise; below about −3 the finest voxels hold smooth structure, not noise.
    Measured on at most 96 voxels per axis around the centre.

    Args:
        volume: [Z,Y,X].

    Returns:
        The slope; 0 for volumes with an axis below 8 voxels and for constant ones.

    Source: least squares of log power on log frequency, each shell weighted by how many waves it holds.
    """
    if min(volume.shape) < MIN_EDGE:
        return 0.0
    frequencies, power, counts = radial_power_spectrum(_centre(volume))
    band = (frequencies >= BAND[0]) & (frequencies <= BAND[1]) & (power > 0)
    if band.sum() < 2:
        return 0.0
    slope, _ = np.polyfit(np.log(frequencies[band]), np.log(power[band]), 1, w=np.sqrt(counts[band]))
    return float(slope)


def signal_to_noise(voxels: Floats, noise_sd: float) -> float:
    """Standard deviation of the signal over that of the noise; both variances add up to that of the voxels.

    Args:
        voxels: of the foreground, any shape and unit.
        noise_sd: in the same unit.

    Returns:
        At least 0 and at most 1000, which stands for "no noise to be seen" as well.
    """
    signal = np.sqrt(max(float(np.var(voxels, dtype=np.float64)) - noise_sd**2, 0.0))
    return MAX_SNR if noise_sd <= 0 else float(min(signal / noise_sd, MAX_SNR))


def _centre(volume: Floats) -> Floats:
    starts = [max(0, (n - MAX_EDGE) // 2) for n in volume.shape]
    return volume[tuple(slice(s, s + MAX_EDGE) for s in starts)].astype(np.float64)
