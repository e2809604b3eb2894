"""Run-length encoded pixels against pydicom's own decoder: whole, padded and damaged ones."""

import random

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import RLELossless

from dicom_files import ct, ct_values, radiograph
from synthcohort.dicom.decode import decode
from synthcohort.dicom.header import parse_header
from synthcohort.dicom.read import quiet_pydicom
from synthcohort.dicom.reasons import Reason, UnfitError


def encoded(dataset: Dataset) -> tuple[Dataset, bytes]:
    """Let pydicom encode; give the one frame too."""
    dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    return dataset, next(generate_frames(dataset.PixelData, number_of_frames=1))


def ours(dataset: Dataset) -> np.ndarray:
    return decode(dataset, parse_header(dataset, RLELossless))[0]


def pydicoms(dataset: Dataset) -> np.ndarray:
    with quiet_pydicom():
        return get_decoder(RLELossless).as_array(dataset, raw=True, decoding_plugin="pydicom")[0]


def signed(bits: int) -> Dataset:
    values = ct_values() // 8
    dataset = ct(values, BitsStored=bits, HighBit=bits - 1, PixelRepresentation=1)
    dataset.add_new(0x7FE00010, "OW", values.astype("<i2").tobytes())
    return dataset


def eight_bits() -> Dataset:
    dataset = radiograph(np.zeros((15, 17), int), BitsAllocated=8, BitsStored=8, HighBit=7)
    dataset.add_new(0x7FE00010, "OB", np.arange(15 * 17, dtype=np.uint8).tobytes() + b"\0")
    return dataset


@pytest.mark.parametrize("dataset", [ct(), ct(ct_values(17, 31)), radiograph(), signed(16), signed(12), eight_bits()])
def test_whole_images(dataset: Dataset) -> None:
    dataset, _ = encoded(dataset)
    assert np.array_equal(ours(dataset), pydicoms(dataset))
    assert ours(dataset).std() > 10


def with_frame(dataset: Dataset, frame: bytes) -> Dataset:
    changed = Dataset(dataset)
    changed.file_meta = FileMetaDataset(dataset.file_meta)
    changed.PixelData = encapsulate([frame])
    changed["PixelData"].is_undefined_length = True
    return changed


def test_padding_behind_a_segment_is_no_damage() -> None:
    dataset, frame = encoded(ct())
    for padding in (b"\0", b"\0\0", b"\x80\0", b"\x05padded", bytes(4096)):
        assert np.array_equal(ours(with_frame(dataset, frame + padding)), pydicoms(dataset))


def test_a_wrong_number_of_segments_is_named() -> None:
    dataset, frame = encoded(ct())
    for count in (0, 1, 3, 15, 2**31):
        with pytest.raises(UnfitError) as unfit:
            ours(with_frame(dataset, count.to_bytes(4, "little") + frame[4:]))
        assert unfit.value.reason is Reason.CODESTREAM


def test_damage_is_a_reason_and_never_other_pixels_than_pydicoms() -> None:
    dataset, frame = encoded(ct())
    draw, outcomes = random.Random(1), {"both": 0, "neither": 0, "pydicom alone": 0}
    for _ in range(1500):
        damaged = bytearray(frame)
        for _ in range(draw.randrange(1, 4)):
            damaged[draw.choice([draw.randrange(76), draw.randrange(len(frame))])] = draw.randrange(256)
        if draw.random() < 0.3:
            del damaged[draw.randrange(2, len(damaged)) :]
        changed = with_frame(dataset, bytes(damaged))
        try:
            expected = pydicoms(changed)
        except Exception:
            with pytest.raises(UnfitError):
                ours(changed)
            outcomes["neither"] += 1
            continue
        try:
            assert np.array_equal(ours(changed), expected)
            outcomes["both"] += 1
        except UnfitError:
            outcomes["pydicom alone"] += 1  # far too many bytes, or a run without its byte
    assert min(outcomes["both"], outcomes["neither"]) > 300
    assert outcomes["pydicom alone"] < 100
