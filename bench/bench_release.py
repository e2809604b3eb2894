"""How fast synthetic images become the files of a release bundle.

Seconds are processor time of this one process, so that a busy machine does not spoil them. The images are noise, which
no PNG can compress. Run it alone: ``OMP_NUM_THREADS=1 python bench/bench_release.py``.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from synthcohort.core.store import Finding, Images, StoreInfo
from synthcohort.release.bundle import Bundle, png_bytes
from synthcohort.release.objects import Modality, ObjectWriter

TARGET = 200
MODALITIES: tuple[Modality, ...] = ("CT", "CR", "DX")
FINDINGS = [Finding(name=f"finding_{number}", display=f"Finding {number}") for number in range(14)]


def rate(count: int, rounds: int, work: Callable[[], object]) -> float:
    """Images per second of processor time: the best round, so that a busy neighbour counts for little."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return count / min(seconds)


def main() -> None:
    """Draw noise, write it, print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="number of images")
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 128], help="sides of the images in pixels")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many rounds counts")
    options = parser.parse_args()
    print(f"{options.count} images, images/s and core; the target for DICOM is {TARGET}")
    print("modality  side  DICOM  PNG")
    for modality in MODALITIES:
        for side in options.sides:
            images = np.random.default_rng(0).integers(0, 256, (options.count, side, side), np.uint8)
            with tempfile.TemporaryDirectory() as folder:
                _measure(Path(folder), modality, images, options.rounds)


def _measure(folder: Path, modality: Modality, images: Images, rounds: int) -> None:
    """Print one row: each kind of file made, digested and written."""
    side, bundle = images.shape[-1], Bundle(folder)
    info = StoreInfo(
        cohort="bench", findings=FINDINGS, units="", windows=[(0.0, 80.0)], resolution=side, channels=1,
        images=len(images), simulated=True, policy={"generated_by": "noise"},
    )  # fmt: skip
    labels = {finding.name: 1.0 for finding in FINDINGS}

    def write_objects() -> None:
        writer = ObjectWriter(info, modality, seed=0)
        for number, image in enumerate(images):
            record = {"image_id": f"S{number:06d}", "patient_id": f"synthetic-{number:06d}", **labels}
            bundle.write(f"dicom/{number}.dcm", writer.write(number, image, record)[1])

    def write_pictures() -> None:
        for number, image in enumerate(images):
            bundle.write(f"png/{number}.png", png_bytes(image))

    dicom, png = (rate(len(images), rounds, work) for work in (write_objects, write_pictures))
    print(
        f"{modality:8s}  {side:4d}  {dicom:5.0f}  {png:4.0f}  {'reaches' if dicom >= TARGET else 'misses'} the target"
    )


if __name__ == "__main__":
    main()
