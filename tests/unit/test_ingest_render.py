"""From stored values to grey values: hand-computed, against other implementations, and on real files."""

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels import apply_voi
from pydicom.uid import ExplicitVRBigEndian
from skimage.transform import downscale_local_mean

from dicom_files import change, ct, ct_values, in_every_syntax, jpeg2000, radiograph, real, save
from synthcohort.core.cohort_config import Ingest, Window
from synthcohort.dicom.decode import decode
from synthcohort.dicom.preprocess import render_file
from synthcohort.dicom.read import quiet_pydicom, read_image
from synthcohort.dicom.render import Renderer
from synthcohort.dicom.resize import SquareMap, shrink, square_map

LIMIT = 10**6


def render(path, ingest=None, sides=(16,)):
    with quiet_pydicom():
        return render_file(path.read_bytes(), Renderer(ingest or Ingest(), list(sides)), max(sides))[0]


def ct_image(tmp_path, values, sides=(16,), windows=((40, 80),), **changes):
    windows = [Window(center=center, width=width) for center, width in windows]
    return render(save(ct(values, **changes), tmp_path / "ct.dcm"), Ingest(windows=windows), sides).images


def radiograph_image(tmp_path, values, side=16, **changes):
    path = save(radiograph(values, **changes), tmp_path / "cr.dcm")
    return render(path, Ingest(modalities=["CR"]), (side,))


# Geometry


def test_integer_ratios_are_the_block_mean():
    values = np.random.default_rng(0).random((48, 48), np.float32)
    result = square_map(48, 48, (0.7, 0.7), 16)(values)
    assert np.abs(result - downscale_local_mean(values, (3, 3))).max() < 1e-6


def test_other_ratios_weigh_by_area():
    # 3 pixels onto 2: each takes one whole pixel and half of the middle one.
    values = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.float32)
    weights = np.array([[2, 1, 0], [0, 1, 2]]) / 3
    assert np.allclose(square_map(3, 3, (1, 1), 2)(values), weights @ values @ weights.T)


def test_the_mean_is_kept_whatever_the_ratio():
    values = np.random.default_rng(1).random((517, 517), np.float32)
    assert square_map(517, 517, (1, 1), 128)(values).mean() == pytest.approx(values.mean(), abs=1e-5)


def test_nothing_aliases():
    stripes = np.tile([0.0, 1.0], (64, 32)).astype(np.float32)
    assert np.allclose(square_map(64, 64, (1, 1), 32)(stripes), 0.5)


def test_a_wide_image_is_padded_above_and_below():
    result = square_map(16, 32, (1, 1), 32)(np.ones((16, 32), np.float32), fill=0.25)
    assert (result[:8] == 0.25).all()
    assert (result[24:] == 0.25).all()
    assert (result[8:24] == 1).all()


def test_an_odd_margin_does_not_blur():
    values = np.random.default_rng(2).random((31, 32), np.float32)
    result = square_map(31, 32, (1, 1), 32)(values)
    assert np.array_equal(result[:31], values)
    assert (result[31] == 0).all()


def test_anisotropic_pixels_become_square():
    # A disc of 16 mm on a grid of 0.5 × 1 mm is 32 rows by 16 columns; on the square it is round.
    y, x = np.mgrid[:32, :16]
    disc = (np.hypot((y + 0.5) * 0.5 - 8, (x + 0.5) * 1.0 - 8) < 6).astype(np.float32)
    result = square_map(32, 16, (0.5, 1.0), 16)(disc)
    assert np.abs(result - result.T).max() <= 0.5
    assert result.sum() == pytest.approx(disc.sum() / 2)


def test_smaller_resolutions_nest_in_larger_ones():
    values = np.random.default_rng(3).random((100, 77), np.float32)
    large = square_map(100, 77, (1, 1.3), 64)(values)
    assert np.allclose(shrink(large, 16), square_map(100, 77, (1, 1.3), 16)(values), atol=1e-6)


# CT


def test_window_and_hounsfield_units_by_hand(tmp_path):
    values = np.full((16, 16), -1000)
    values[4:8] = 40  # mid-grey of the window 0 to 80
    values[8:10] = 20
    values[10:12] = 300
    image = ct_image(tmp_path, values)[16][0]
    assert image[:, 3].tolist() == [0] * 4 + [128] * 4 + [64] * 2 + [255] * 2 + [0] * 4


def test_each_window_is_a_channel(tmp_path):
    values = ct_values()
    both = ct_image(tmp_path, values, windows=((40, 80), (600, 2800)))[16]
    assert both.shape == (2, 16, 16)
    assert np.array_equal(both[1], ct_image(tmp_path, values, windows=((600, 2800),))[16][0])


def test_slope_and_sign_do_not_change_hounsfield_units(tmp_path):
    values = ct_values() // 2 * 2
    plain = ct_image(tmp_path, values)
    halved = ct(values)
    halved.PixelData = ((values + 1024) // 2).astype("<u2").tobytes()
    change(halved, RescaleSlope="2", RescaleIntercept="-1024")
    signed = ct(values, PixelRepresentation=1, RescaleIntercept="0")
    signed.PixelData = values.astype("<i2").tobytes()
    for dataset in (halved, signed):
        assert np.array_equal(render(save(dataset, tmp_path / "other.dcm")).images[16], plain[16])


@pytest.mark.parametrize("window", [(40, 80), (1000, 60000), (40.5, 80), (-500, 3000)])
@pytest.mark.parametrize("shape", [(64, 64), (48, 48), (32, 64), (50, 50)])
def test_clipping_integers_gives_the_bytes_of_clipping_floats(tmp_path, monkeypatch, window, shape):
    values = ct_values(*shape)
    values[:4] = 3071
    taken = ct_image(tmp_path, values, windows=[window])[16]
    monkeypatch.setattr(SquareMap, "fits", lambda *_: False)
    assert np.array_equal(ct_image(tmp_path, values, windows=[window])[16], taken)


def test_sums_of_integers_must_fit_their_type():
    mapping = square_map(64, 64, (1.0, 1.0), 16)
    assert mapping.fits(0, 16383, np.dtype("<u2"))
    assert not mapping.fits(0, 16384, np.dtype("<u2"))
    assert not mapping.fits(-1, 10, np.dtype("<u2"))
    assert mapping.fits(-8192, 8191, np.dtype("<i2"))
    assert not mapping.fits(-8193, 8191, np.dtype("<i2"))
    assert not mapping.fits(0, 10.5, np.dtype("<i2"))
    assert not mapping.fits(0, np.inf, np.dtype("<i2"))
    assert not square_map(50, 50, (1.0, 1.0), 16).fits(0, 10, np.dtype("<i2"))


@pytest.mark.parametrize(("stored", "padding"), [(3000, 3000), (0, 0), (63536, -2000)])
def test_padding_outside_the_body_is_air(tmp_path, stored, padding):
    # Bright padding, padding that is 1024 below air, and -2000 written as unsigned.
    values = ct_values()
    plain = ct_image(tmp_path, values)
    padded = ct(values)
    pixels = (values + 1024).astype("<u2")
    pixels[:4] = stored
    padded.PixelData = pixels.tobytes()
    padded.add_new(0x00280120, "SS" if padding < 0 else "US", padding)
    assert np.array_equal(render(save(padded, tmp_path / "padded.dcm")).images[16], plain[16])


def test_padding_may_be_a_range(tmp_path):
    values = ct_values()
    dataset = ct(values, PixelPaddingRangeLimit=3005)
    pixels = (values + 1024).astype("<u2")
    pixels[:2, :5] = np.arange(3000, 3005)
    dataset.PixelData = pixels.tobytes()
    dataset.add_new(0x00280120, "US", 3000)
    assert np.array_equal(render(save(dataset, tmp_path / "range.dcm")).images[16], ct_image(tmp_path, values)[16])


def test_overlay_bits_above_the_stored_ones_are_dropped(tmp_path):
    values = ct_values()
    dataset = ct(values, BitsStored=12, HighBit=11)
    dataset.PixelData = ((values + 1024) | (np.eye(32, dtype=int) << 13)).astype("<u2").tobytes()
    assert np.array_equal(render(save(dataset, tmp_path / "overlay.dcm")).images[16], ct_image(tmp_path, values)[16])


def test_monochrome1_does_not_invert_hounsfield_units(tmp_path):
    values = ct_values()
    inverse = ct_image(tmp_path, values, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(inverse[16], ct_image(tmp_path, values)[16])


def test_air_pads_a_wide_slice_also_where_the_window_shows_it(tmp_path):
    values = ct_values(16, 32)
    image = ct_image(tmp_path, values, sides=(32,), windows=((-600, 1600),))[32][0]  # -1400 to 200
    assert (image[:8] == round((1400 - 1024) / 1600 * 255)).all()


# Radiographs


def test_window_of_the_file_follows_the_standard(tmp_path):
    values = np.arange(256).reshape(16, 16)
    for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        changes = {"WindowCenter": [128, 1], "WindowWidth": [100, 7], "VOILUTFunction": function}
        rendering = radiograph_image(tmp_path, values, **changes)
        expected = apply_voi_window(values, radiograph(values, **changes))
        assert np.abs(rendering.images[16][0] - expected).max() <= 0.51, function
        assert rendering.windowed == "window"


def apply_voi_window(values, dataset):
    """pydicom's window, which scales to the stored range, brought to 0–255."""
    from pydicom.pixels import apply_windowing

    return apply_windowing(values.astype(np.uint16), dataset) / 4095 * 255


def test_monochrome1_is_inverted_once(tmp_path):
    changes = {"WindowCenter": 128, "WindowWidth": 256, "VOILUTFunction": "LINEAR_EXACT"}
    values = np.arange(256).reshape(16, 16)
    plain = radiograph_image(tmp_path, values, **changes).images[16].astype(int)
    inverse = radiograph_image(tmp_path, values, PhotometricInterpretation="MONOCHROME1", **changes)
    assert np.abs(255 - plain - inverse.images[16]).max() <= 1


def test_without_a_window_percentiles_are_taken_and_recorded(tmp_path):
    values = np.random.default_rng(4).integers(1000, 2000, (64, 64))
    values[0, 0], values[5, 5] = 0, 4095  # two dead pixels do not spoil the contrast
    rendering = radiograph_image(tmp_path, values, side=64)
    low, high = np.percentile(values, [0.5, 99.5])
    assert (rendering.windowed, rendering.low, rendering.high) == ("percentiles", low, high)
    expected = (np.clip((values - low) / (high - low), 0, 1) * 255).round()
    assert np.abs(rendering.images[64][0] - expected).max() <= 1


def test_padding_neither_counts_for_percentiles_nor_shines(tmp_path):
    values = np.random.default_rng(5).integers(1000, 2000, (32, 32))
    values[:8] = 4000
    dataset = radiograph(values, PhotometricInterpretation="MONOCHROME1")
    dataset.add_new(0x00280120, "US", 4000)
    rendering = render(save(dataset, tmp_path / "cr.dcm"), Ingest(modalities=["CR"]), (32,))
    assert rendering.high < 2000
    assert (rendering.images[32][0, :8] == 0).all()


def test_voi_lut_goes_before_the_window(tmp_path):
    values = np.arange(256).reshape(16, 16)
    dataset = radiograph(values, WindowCenter=5, WindowWidth=4)
    dataset.VOILUTSequence = [lookup([200, 20, 12], np.arange(200) ** 2 // 10)]
    rendering = render(save(dataset, tmp_path / "cr.dcm"), Ingest(modalities=["CR"]))
    table = apply_voi(values.astype(np.uint16), dataset).astype(float)
    expected = (table - table.min()) / (table.max() - table.min()) * 255
    assert rendering.windowed == "voi_lut"
    assert np.abs(rendering.images[16][0] - expected).max() <= 0.51


def test_modality_lut_takes_the_place_of_rescale(tmp_path):
    values = np.arange(256).reshape(16, 16)
    dataset = radiograph(values, WindowCenter=500, WindowWidth=1000, VOILUTFunction="LINEAR_EXACT")
    dataset.ModalityLUTSequence = [lookup([256, 0, 16], np.arange(256)[::-1] * 4)]
    image = render(save(dataset, tmp_path / "cr.dcm"), Ingest(modalities=["CR"])).images[16][0]
    assert image[0, 0] == 255
    assert image[15, 15] == 0
    assert image[8, 0] == round((255 - 128) * 4 / 1000 * 255)


def lookup(descriptor, data):
    item = ct()
    item.clear()
    item.add_new(0x00283002, "US", descriptor)
    item.add_new(0x00283006, "US", [int(value) for value in data])
    return item


# Decoding


def test_nine_transfer_syntaxes_give_the_same_images(tmp_path):
    values = ct_values(33, 47, seed=7)
    signed = ct(values, PixelRepresentation=1, RescaleIntercept="0", BitsStored=12, HighBit=11)
    signed.PixelData = values.astype("<i2").tobytes()
    for name, dataset in {"unsigned": ct(values), "signed 12 bits": signed}.items():
        files = in_every_syntax(dataset, tmp_path / name)
        images = {syntax: render(path, sides=(8, 32)).images for syntax, path in files.items()}
        for syntax in files:
            for side in (8, 32):
                assert np.array_equal(images[syntax][side], images["explicit"][side]), (name, syntax, side)


def test_large_pixels_are_the_same_in_every_encoding(tmp_path):
    """Of this many bytes, native pixels are not copied and compressed ones are, as pydicom cannot defer them."""
    values = np.random.default_rng(8).integers(-1024, 3000, (470, 480))
    plain = ct_image(tmp_path, values, sides=(100,), windows=((1000, 4000),))[100]
    windows = Ingest(windows=[Window(center=1000, width=4000)])
    for name, path in in_every_syntax(ct(values), tmp_path).items():
        assert path.stat().st_size > 1 << 18, name
        assert np.array_equal(render(path, windows, sides=(100,)).images[100], plain), name
    expected = square_map(470, 480, (1, 1), 100)(np.clip(values + 1000, 0, 4000).astype(np.float32)) / 4000 * 255
    assert np.abs(plain[0] - expected).max() <= 0.51


def test_big_endian_8_bit_words_are_in_order(tmp_path):
    values = np.arange(15 * 17).reshape(15, 17)
    dataset = radiograph(values, BitsAllocated=8, BitsStored=8, HighBit=7)
    dataset.add_new(0x7FE00010, "OB", values.astype(np.uint8).tobytes() + b"\0")
    plain = render(save(dataset, tmp_path / "little.dcm"), Ingest(modalities=["CR"]))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    swapped = render(save(dataset, tmp_path / "big.dcm"), Ingest(modalities=["CR"]))
    assert np.array_equal(plain.images[16], swapped.images[16])


def test_pydicoms_six_real_mr_encodings_decode_alike():
    names = ["MR_small", "MR_small_RLE", "MR_small_bigendian", "MR_small_implicit", "MR_small_jp2klossless"]
    decoded = []
    for name in [*names, "MR_small_jpeg_ls_lossless"]:
        dataset, header = read_image(real(f"{name}.dcm").read_bytes(), LIMIT)
        decoded.append(decode(dataset, header)[0])
    assert all(np.array_equal(values, decoded[0]) for values in decoded)
    assert decoded[0].std() > 100


def test_real_head_ct_with_a_wrongly_signed_codestream():
    # Decoded naively its padding (-2000) becomes 6192 and the air around the head white.
    path = real("J2K_pixelrep_mismatch.dcm")
    dataset, header = read_image(path.read_bytes(), LIMIT)
    stored, _ = decode(dataset, header)
    assert (stored.min(), stored.max()) == (-2000, 1896)
    image = render(path, sides=(32, 128)).images[128][0]
    assert image[:, :10].max() == 0
    cerebellum = image[74:84, 45:80]
    assert 60 < np.median(cerebellum) < 190  # 20 to 60 HU, in the middle of the window 0 to 80


def test_real_ct_and_computed_radiograph():
    small = render(real("CT_small.dcm"), Ingest(windows=[Window(center=40, width=400)]), (64,)).images[64]
    values = dcmread(real("CT_small.dcm")).pixel_array.astype(float) - 1024
    expected = downscale_local_mean(np.clip((values + 160) / 400, 0, 1), (2, 2)) * 255
    assert np.abs(small[0] - expected).max() <= 0.51
    path = real("dicomdirtests/77654033/CR2/6247")  # MONOCHROME1, slope 0.684, intercept 200, window 1600/2800
    stored = dcmread(path).pixel_array
    shown = (stored * 0.684 + 200 - (1599.5 - 2799 / 2)) / 2799
    rendering = render(path, Ingest(modalities=["CR"]))
    assert np.abs(rendering.images[16][0] - (1 - shown.clip(0, 1)) * 255).max() <= 0.51
    assert rendering.windowed == "window"


def test_jpeg2000_with_other_bytes_behind_its_end_is_whole(tmp_path):
    dataset = jpeg2000(ct())  # GDCM pads odd streams with a zero byte
    assert render(save(dataset, tmp_path / "j2k.dcm")).images[16].max() > 200


def test_masks_go_the_way_of_their_image(tmp_path):
    values = ct_values(24, 40)
    _, header = read_image(save(ct(values), tmp_path / "ct.dcm").read_bytes(), LIMIT)
    masks = np.zeros((24, 40), np.uint16)
    masks[values > 500] |= 1 << 2
    masks[:, :10] |= 1
    covered = Renderer(Ingest(), [8, 40]).render_masks(masks, header, 3)
    assert covered[40].shape == (3, 40, 40)
    assert np.array_equal(covered[40][2, 8:32] == 255, values > 500)
    assert (covered[40][0][8:32, :10] == 255).all()
    assert not covered[40][:, :8].any()
    assert not covered[40][1].any()
    assert covered[8][0, 4, 1] == 255
    assert covered[8][2].sum() == pytest.approx((values > 500).sum() * 255 / 25, rel=0.02)
