"""What a page shows: every picture in it, also those within its drawings, back at the size of the store's images."""

import base64
import io
import re
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.distance import cdist

EMBEDDED = re.compile(r"data:image/(?:png|svg\+xml);base64,\s*([A-Za-z0-9+/=\s]+)")
PNG = b"\x89PNG"
NEAR = 4.0
"""Root mean square difference, of 255 grey levels, up to which an image is nearly another."""


def embedded(text: str, depth: int = 3) -> Iterator[bytes]:
    """Give the files of all pictures in a page or drawing; `depth` 1 leaves out those within its drawings."""
    for packed in EMBEDDED.findall(text):
        content = base64.b64decode(packed)
        yield content
        if depth > 1 and not content.startswith(PNG):
            yield from embedded(content.decode(), depth - 1)


def at_size(pictures: Iterable[bytes], side: int) -> NDArray[np.uint8]:
    """Decode PNG files of single images, drawn large without smoothing, as uint8 ``[N, side, side]``, both ways up."""
    found = []
    for content in pictures:
        if content.startswith(PNG):
            grey = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
            middle = [((np.arange(side) + 0.5) * length / side).astype(int) for length in grey.shape]
            found += [grey[np.ix_(*middle)], grey[::-1][np.ix_(*middle)]]
    return np.array(found, np.uint8).reshape(-1, side, side)


def near_copies(images: NDArray[np.uint8], real: NDArray[np.uint8]) -> int:
    """Count images that are nearly one of the real ones."""
    vectors, others = (array.reshape(len(array), -1).astype(float) for array in (images, real))
    return int((cdist(vectors, others).min(axis=1) <= NEAR * np.sqrt(vectors.shape[1])).sum())
