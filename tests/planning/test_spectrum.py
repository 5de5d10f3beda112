import numpy as np
import pytest
from shaped_noise import shaped_noise

from dd_nnunet.planning.spectrum import radial_power_spectrum, signal_to_noise, spectrum_slope


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.8, 2.5])
def test_the_slope_of_noise_of_known_slope(exponent):
    assert spectrum_slope(shaped_noise(exponent)) == pytest.approx(-exponent, abs=0.12)


def test_the_slope_does_not_depend_on_shape_offset_or_scale():
    noise = shaped_noise(1.0, (40, 64, 100))
    assert spectrum_slope(noise) == pytest.approx(-1.0, abs=0.12)
    assert spectrum_slope(-700 * noise + 4000) == pytest.approx(spectrum_slope(noise), abs=1e-6)


def test_a_smooth_ball_is_steeper_than_any_noise():
    radius = np.sqrt(((np.indices((48, 48, 48)) - 23.5) ** 2).sum(axis=0))
    assert spectrum_slope(1 / (1 + np.exp(radius - 14))) < -3


def test_too_thin_and_constant_volumes_have_no_slope():
    assert spectrum_slope(shaped_noise(1.0, (7, 40, 40))) == 0.0
    assert spectrum_slope(np.full((16, 16, 16), 3.0)) == 0.0


def test_a_wave_has_its_power_at_its_frequency():
    x = np.arange(32)
    wave = np.broadcast_to(np.cos(2 * np.pi * x / 8), (32, 32, 32))
    frequencies, power, _ = radial_power_spectrum(wave)
    assert frequencies[0] == 1 / 32
    assert frequencies[-1] == 1 / 2
    assert frequencies[np.argmax(power)] == 1 / 8


def test_white_noise_against_a_slow_loop():
    volume = shaped_noise(0.0, (8, 8, 8))
    hann = np.array([0.5 - 0.5 * np.cos(2 * np.pi * i / 8) for i in range(8)])
    windowed = (volume - volume.mean()) * hann[:, None, None] * hann[:, None] * hann
    shells = {}
    grid = np.arange(8)
    for kz in range(8):
        for ky in range(8):
            for kx in range(8):
                waves = [np.exp(-2j * np.pi * k * grid / 8) for k in (kz, ky, kx)]
                term = (windowed * waves[0][:, None, None] * waves[1][:, None] * waves[2]).sum()
                signed = [k if k < 4 else k - 8 for k in (kz, ky, kx)]
                shells.setdefault(round(float(np.linalg.norm(signed))), []).append(abs(term) ** 2)
    frequencies, power, counts = radial_power_spectrum(volume)
    assert frequencies.tolist() == [1 / 8, 2 / 8, 3 / 8, 4 / 8]
    assert counts.tolist() == [len(shells[n]) for n in (1, 2, 3, 4)]
    np.testing.assert_allclose(power, [np.mean(shells[n]) for n in (1, 2, 3, 4)])


def test_signal_to_noise_by_hand():
    signal = np.repeat([-1.0, 1.0], 50_000)
    noisy = signal + np.random.default_rng(0).normal(0, 0.5, signal.size)
    assert signal_to_noise(noisy, 0.5) == pytest.approx(2.0, rel=0.01)
    assert signal_to_noise(signal, 0.0) == 1000.0
    assert signal_to_noise(np.zeros(10), 1.0) == 0.0
