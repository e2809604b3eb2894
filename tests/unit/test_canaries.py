"""Canaries: a planted mark is found again, also moved and with noise, and nothing else is taken for one."""

import numpy as np
import pytest

from gan_toys import draw_faces
from synthcohort.audit.membership import replay
from synthcohort.measures.canaries import FOUND, draw_mark, mark_correlations, plant


def test_a_mark_is_half_white_and_of_its_seed() -> None:
    mark = draw_mark(32, np.random.default_rng(0))
    assert mark.shape == (8, 8)
    assert set(mark.ravel()) == {0, 255}
    assert mark.mean() == 127.5
    assert (mark[::2, ::2] == mark[1::2, 1::2]).all(), "cells of two pixels"
    assert (draw_mark(32, np.random.default_rng(1)) != mark).any()
    for side in (8, 24, 0):
        with pytest.raises(ValueError, match="multiple of 16"):
            draw_mark(side, np.random.default_rng(0))


def test_a_planted_mark_is_found_and_no_other_image_has_it() -> None:
    images = draw_faces(500, 0).repeat(2, axis=2).repeat(2, axis=3)
    mark = draw_mark(32, np.random.default_rng(0))
    marked = plant(images, mark)
    assert (images != marked).any(axis=(1, 2, 3)).all()
    assert (images[:, :, 12:] == marked[:, :, 12:]).all(), "planted in a copy, in the corner"
    assert mark_correlations(marked, mark).min() == pytest.approx(1)
    assert mark_correlations(images, mark).max() < FOUND
    noise = np.random.default_rng(1).integers(0, 256, (5000, 1, 32, 32)).astype(np.uint8)
    assert mark_correlations(noise, mark).max() < FOUND


def test_a_replayed_mark_is_found() -> None:
    images = draw_faces(200, 0).repeat(2, axis=2).repeat(2, axis=3)
    mark = draw_mark(32, np.random.default_rng(0))
    again = replay(plant(images, mark), np.arange(200), np.random.default_rng(0))
    assert (mark_correlations(again, mark) >= FOUND).mean() > 0.9


def test_a_flat_image_and_a_second_channel() -> None:
    mark = draw_mark(16, np.random.default_rng(0))
    images = np.full((1, 2, 16, 16), 30, np.uint8)
    assert mark_correlations(images, mark).tolist() == [0]
    images[:, 1] = plant(images[:, 1:], mark)[:, 0]
    assert mark_correlations(images, mark).tolist() == pytest.approx([1])
