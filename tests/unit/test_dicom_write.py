"""Writing DICOM: encodings keep every bit, windows mean what they say, objects satisfy their IOD."""

import io

import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.pixels import apply_modality_lut, apply_voi_lut, get_decoder

from synthcohort.dicom import write
from synthcohort.dicom.encode import ENCAPSULATED, TRANSFER_SYNTAXES, compress

PLUGINS = {
    "rle": ["pydicom"],
    "jpeg-lossless": ["gdcm"],
    "jpeg-lossless-sv1": ["gdcm"],
    "jpeg-ls": ["gdcm", "pyjpegls"],
    "jpeg-2000": ["gdcm"],
}
DEPTHS = [(bits, signed) for bits in range(10, 17) for signed in (False, True)]


def picture(bits: int, signed: bool, shape: tuple[int, int] = (37, 41)) -> np.ndarray:
    """A smooth hill with noise that reaches both ends of the range; rows and columns are odd on purpose."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    y, x = np.mgrid[: shape[0], : shape[1]]
    hill = np.exp(-((x - 20) ** 2 + (y - 18) ** 2) / 150) + np.random.default_rng(bits).normal(0, 0.02, shape)
    image = np.clip(low + hill * (high - low), low, high).astype(np.int16 if signed else np.uint16)
    image[0, :2] = low, high
    return image


def an_object(modality: str, stored: np.ndarray, bits: int, **pixels: object) -> Dataset:
    dataset = write.new_object(modality)
    dataset.SOPInstanceUID = write.make_uid("test", modality)
    write.set_pixels(dataset, stored, bits, **pixels)  # type: ignore[arg-type]
    return dataset


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES)
def test_every_syntax_keeps_every_bit_at_every_depth(syntax: str) -> None:
    for bits, signed in DEPTHS:
        stored = picture(bits, signed)
        read = dcmread(io.BytesIO(write.dicom_bytes(an_object("CT", stored, bits), syntax)))
        assert read.file_meta.TransferSyntaxUID == TRANSFER_SYNTAXES[syntax]
        assert read["PixelData"].is_undefined_length == (syntax in ENCAPSULATED)
        for plugin in PLUGINS.get(syntax, [""]):
            decoded, _ = get_decoder(TRANSFER_SYNTAXES[syntax]).as_array(read, decoding_plugin=plugin)
            assert decoded.dtype == stored.dtype
            np.testing.assert_array_equal(decoded, stored, f"{syntax} {bits} {signed} {plugin}")


def test_a_flipped_bit_would_be_seen() -> None:
    """Positive control of the test above: losslessness is not an artefact of comparing too little."""
    stored = picture(12, False)
    other = stored.copy()
    other[20, 20] ^= 1
    assert compress(stored, 12, "MONOCHROME2", "jpeg-ls") != compress(other, 12, "MONOCHROME2", "jpeg-ls")


def test_the_same_object_gives_the_same_bytes_and_two_modalities_do_not_share_anything() -> None:
    first, second = (write.dicom_bytes(an_object("CT", picture(12, False), 12), "explicit") for _ in range(2))
    assert first == second
    write.new_object("CT").PatientID = "changed"
    write.new_object("CT").SpecificCharacterSet = "ISO_IR 100"
    assert write.new_object("CT").PatientID in ("", None)
    assert write.new_object("CT").SpecificCharacterSet == "ISO_IR 192"
    copied = write.copy_object(write.new_object("DX"))
    copied.Modality = "CR"
    assert write.new_object("DX").Modality == "DX"


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES)
@pytest.mark.parametrize("modality", ["CT", "DX"])
def test_files_are_byte_for_byte_what_pydicom_writes(modality: str, syntax: str) -> None:
    dataset = an_object(modality, picture(12, False), 12, padding=4095)
    dataset.PatientName = "PHANTÓM^ÄÖ"
    write.set_windows(dataset, [(40, 80), (600, 2800)])
    write.set_voi_lut(dataset, 0, np.arange(7, dtype=np.uint16), 16)
    own = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "PixelRepresentation", "PhotometricInterpretation", "BitsStored"):
        own.add(dataset[keyword])
    for keyword in ("Rows", "Columns", "PixelData"):
        own.add(dataset[keyword])
        del dataset[keyword]
    from_parts = write.dicom_bytes(own, syntax, write.element_bytes(dataset, syntax))
    dataset.update(own)
    assert write.file_bytes(dataset, syntax) == from_parts
    dataset.file_meta = dcmread(io.BytesIO(from_parts)).file_meta
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    assert from_parts == buffer.getvalue()


@pytest.mark.parametrize(
    ("low", "high", "exact", "window"),
    [
        (0, 255, False, (128, 256)),
        (0, 255, True, (127.5, 255)),
        (0, 79, False, (40, 80)),
        (-160, 239, False, (40, 400)),
    ],
)
def test_window_shows_low_black_and_high_white(low: int, high: int, exact: bool, window: tuple) -> None:
    """By PS3.3 C.11.2.1.2.1: y = ((x - (c - 0.5)) / (w - 1) + 0.5) (LINEAR), (x - c) / w + 0.5 (LINEAR_EXACT)."""
    center, width = write.window_of(low, high, exact)
    assert (center, width) == window
    dataset = an_object("CR", np.array([[0, 255], [80, 128]], np.uint16), 12)
    write.set_windows(dataset, [(center, width)], exact=exact)
    shown = apply_voi_lut(np.array([low - 1, low, (low + high) / 2, high, high + 1]), dataset)
    np.testing.assert_allclose(shown / 4095, [0, 0, 0.5, 1, 1], atol=1e-9)


def test_rescale_and_voi_lut_are_read_back_by_pydicom() -> None:
    dataset = an_object("CR", np.array([[3, 4], [5, 6]], np.uint16), 10)
    write.set_rescale(dataset, 0.25, -10, "US")
    read = dcmread(io.BytesIO(write.dicom_bytes(dataset, "implicit")))
    np.testing.assert_array_equal(apply_modality_lut(read.pixel_array, read), [[-9.25, -9], [-8.75, -8.5]])
    lut = an_object("DX", np.array([[3, 4], [5, 6]], np.uint16), 10)
    write.set_voi_lut(lut, 4, np.array([0, 700, 65535], np.uint16), 16)
    for syntax in ("implicit", "explicit"):
        read = dcmread(io.BytesIO(write.dicom_bytes(lut, syntax)))
        np.testing.assert_array_equal(apply_voi_lut(read.pixel_array, read), [[0, 0], [700, 65535]])


def test_photometric_shape_and_padding_fit_each_other() -> None:
    for photometric, shape in (("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "IDENTITY")):
        dataset = an_object("DX", picture(12, False), 12, photometric=photometric, padding=4095)
        assert dataset.PresentationLUTShape == shape
        assert dataset["PixelPaddingValue"].VR == "US"
    signed = dcmread(io.BytesIO(write.dicom_bytes(an_object("CT", picture(16, True), 16, padding=-2000), "implicit")))
    assert signed.PixelPaddingValue == -2000


def test_uids_are_valid_short_and_follow_from_their_names() -> None:
    uids = [write.make_uid("cohort", 1, number) for number in range(1000)]
    assert len(set(uids)) == 1000
    assert all(uid.is_valid and len(uid) <= 64 for uid in uids)
    assert write.make_uid("cohort", 1, 2) == uids[2]


@pytest.mark.parametrize("value", [1e-7, 0.48828125, -1024.0, 123456789.123456, -0.000123456789, 2 / 3])
def test_decimal_strings_fit_into_16_characters(value: float) -> None:
    text = write.decimal_string(value)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-7)
