"""Philox and normal numbers: known answers, and the distribution of naive's."""

import numpy as np
import pytest

from tests import naive
from tests.kernels_api import options, random

# kat_vectors of the Random123 distribution: philox4x32, 10 rounds.
KNOWN = [
    ("00000000 00000000 00000000 00000000 00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip

SEED = 2**62 + 12345

_philox = options.entry(lambda *words: random.philox(*words))
_pair = options.entry(lambda a, b: random.normal_pair(a, b))
_angle = options.entry(lambda word: random._circle(word))


def _words(text):
    return [np.uint64(int(word, 16)) for word in text.split()]


@pytest.mark.parametrize("given, words", KNOWN)
def test_philox_gives_known_answers(given, words):
    given, words = _words(given), _words(words)
    assert list(_philox(*given)) == words
    ref = naive.philox(given[:4], [int(word) for word in given[4:]])
    assert [int(word) for word in ref] == words


def test_circle_goes_round():
    words = np.linspace(0, 2**32 - 1, 1001).astype(np.uint64)
    words = np.append(words, [2**29 - 1, 2**29, 7 * 2**29 - 1, 7 * 2**29]).astype("u8")
    comp = np.array([_angle(word) for word in words])
    angle = 2 * np.pi * (words + 0.5) / 2.0**32
    np.testing.assert_allclose(comp[:, 0], np.cos(angle), rtol=0, atol=1e-15)
    np.testing.assert_allclose(comp[:, 1], np.sin(angle), rtol=0, atol=1e-15)


def test_normal_pair_of_extreme_words_is_finite():
    low, high = np.uint64(0), np.uint64(2**32 - 1)
    for a in (low, high):
        for b in (low, high):
            assert np.isfinite(_pair(a, b)).all()
    assert 6.7 < np.hypot(*_pair(low, low)) < 6.8


def test_factors_of_naive_have_the_share_and_the_mean_of_their_rate():
    """Those of the kernels are the same, see `tests.kernels.ops.test_dropout`."""
    for stream, rate in enumerate((0.1, 0.5, 0.8)):
        factors = naive.dropout_factors(SEED, 3, stream, (400, 250), rate)
        dropped = (factors == 0).mean()
        assert abs(dropped - rate) < 4 * np.sqrt(rate * (1 - rate) / factors.size)
        np.testing.assert_allclose(factors[factors != 0], 1 / (1 - rate))
        spread = np.sqrt(rate / (1 - rate) / factors.size)
        assert abs(factors.mean() - 1) < 4 * spread
        # No row, column or step resembles another.
        other = naive.dropout_factors(SEED, 4, stream, (400, 250), rate)
        for a, b in ((factors, other), (factors[1:], factors[:-1])):
            both = ((a == 0) & (b == 0)).mean()
            assert abs(both - rate**2) < 5 * np.sqrt(rate**2 / factors.size)


def test_noise_of_naive_is_normal():
    noise = naive.normal_noise(SEED, 0, (400, 250)).ravel()
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
    assert abs(noise.var() - 1) < 4 * np.sqrt(2 / noise.size)
    assert abs((noise**4).mean() - 3) < 4 * np.sqrt(96 / noise.size)
    assert abs((abs(noise) < 0.6744897501960817).mean() - 0.5) < 2 / np.sqrt(noise.size)
    assert abs(np.corrcoef(noise[::2], noise[1::2])[0, 1]) < 4 / np.sqrt(noise.size / 2)
