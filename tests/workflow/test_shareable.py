"""The page that may be shared shows no image of the cohorts: neither a file that does, nor a sample that is nearly one."""

import base64
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from synthcohort.core.store import ImageStore

pytestmark = pytest.mark.workflow
EMBEDDED = re.compile(r"data:image/(?:png|svg\+xml);base64,([A-Za-z0-9+/=]+)")
NEAR = 4.0
"""Root mean square difference, of 255 grey levels, up to which an image is nearly another."""


def digests(page: Path) -> set[str]:
    return {hashlib.sha256(base64.b64decode(packed)).hexdigest() for packed in EMBEDDED.findall(page.read_text())}


def file_digests(folder: Path) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def near_copies(images: NDArray[np.uint8], real: NDArray[np.uint8]) -> int:
    """Count images that are nearly one of the real ones."""
    vectors, others = (array.reshape(len(array), -1).astype(float) for array in (images, real))
    return int((cdist(vectors, others).min(axis=1) <= NEAR * np.sqrt(vectors.shape[1])).sum())


def test_no_file_that_shows_the_cohorts_is_within(smoke) -> None:
    internal, shared = file_digests(smoke.results / "internal"), digests(smoke.results / "report-shareable.html")
    assert digests(smoke.results / "report.html") & internal, "positive control: the internal page has some"
    assert shared
    assert not shared & internal
    assert shared <= file_digests(smoke.results / "figures")
    page = (smoke.results / "report-shareable.html").read_text()
    assert 'class="banner"' not in page
    assert "What do they give away?" in page


def test_no_sample_that_is_shown_is_nearly_a_patients_image(smoke) -> None:
    shown = 0
    for cohort, size in (("head-phantom", "008"), ("head-phantom", "016"), ("chest-phantom", "016")):
        folder = smoke.results / "cohorts" / cohort
        real = ImageStore(folder / "store" / size).images
        for path in folder.glob(f"resolution-{size}/*/r0/samples.npz"):
            with np.load(path) as arrays:
                for images in arrays.values():
                    if images.dtype == np.uint8 and images.shape[-3:] == real.shape[1:]:
                        shown += 1
                        assert near_copies(images.reshape(-1, *real.shape[1:]), real) == 0
        with np.load(folder / f"resolution-{size}/r3-gan/r0/gallery.npz") as arrays:
            assert near_copies(arrays["real"], real) == len(arrays["real"]), "positive control: patients' images"
    assert shown >= 7
