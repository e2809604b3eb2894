"""Every way in which a file can be unfit ends in a row with the right reason: none raises, none gives a wrong image."""

import os
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import MPEG2MPML, ExplicitVRLittleEndian, JPEGExtended12Bit, JPEGLosslessSV1

from dicom_files import change, ct, ct_values, in_every_syntax, jpeg2000, patch, radiograph, real, save
from synthcohort.core.cohort_config import Ingest
from synthcohort.dicom.describe import describe_file
from synthcohort.dicom.index import index_folder
from synthcohort.dicom.merge import merge_shards
from synthcohort.dicom.preprocess import Shard, preprocess_shard
from synthcohort.dicom.reasons import Reason

CT = Ingest(shards=1, maximum_rejected=1, maximum_pixels=40 * 40)
RADIOGRAPHS = Ingest(modalities=["CR", "DX"], shards=1, maximum_rejected=1)


def reject_cases(folder: Path) -> dict[str, Reason | None]:
    """Write one file per case; None stands for a file that is fit."""
    expected: dict[str, Reason | None] = {}

    def case(name: str, dataset: object, reason: Reason | None) -> Path:
        expected[name] = reason
        path = folder / name
        if isinstance(dataset, bytes):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(dataset)
            return path
        return save(change(dataset, SOPInstanceUID=f"1.2.3.{len(expected)}"), path)  # type: ignore[arg-type]

    plain = case("fit", ct(), None).read_bytes()
    case("empty", b"", Reason.NOT_DICOM)
    case("junk", bytes(range(256)) * 20, Reason.NOT_DICOM)
    case("damaged picture", b"\x89PNG\r\n\x1a\n" + bytes(300), Reason.DAMAGED)
    case("preamble alone", plain[:132], Reason.DAMAGED)
    case("meta cut", plain[:200], Reason.DAMAGED)
    case("directory", real("dicomdirtests/DICOMDIR").read_bytes(), Reason.DICOMDIR)
    case("other modality", real("MR_small.dcm").read_bytes(), Reason.MODALITY)
    case("report", real("reportsi.dcm").read_bytes(), Reason.MODALITY)
    case("no matrix", ct(Rows=None), Reason.NOT_IMAGE)
    case("header cut", plain[: plain.index(b"\x28\x00\x10\x00US")], Reason.NOT_IMAGE)
    case("colour", ct(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0), Reason.COLOUR)
    case("palette", ct(PhotometricInterpretation="PALETTE COLOR"), Reason.COLOUR)
    case("colour of one sample", ct(PhotometricInterpretation="RGB"), Reason.PHOTOMETRIC)
    case("grey of three samples", ct(SamplesPerPixel=3), Reason.PHOTOMETRIC)
    case("no photometric", ct(PhotometricInterpretation=None), Reason.PHOTOMETRIC)
    case("frames", ct(NumberOfFrames=2), Reason.MULTI_FRAME)
    case("localizer", ct(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), Reason.LOCALIZER)
    case("burned in", ct(BurnedInAnnotation="YES"), Reason.BURNED_IN)
    case("bits", ct(BitsStored=17), Reason.BITS)
    case("high bit", ct(HighBit=12), Reason.BITS)
    case("no sign", ct(PixelRepresentation=None), Reason.BITS)
    case("too large", ct(ct_values(41)), Reason.TOO_LARGE)
    case("too small", ct(ct_values(15)), Reason.TOO_SMALL)
    case("flat pixels too coarse", ct(ct_values(16, 32), PixelSpacing=[2, 0.5]), None)
    case("coarse pixels", ct(ct_values(32, 15), PixelSpacing=[0.5, 2]), Reason.TOO_SMALL)
    case("spacing", ct(PixelSpacing=[0, 0.5]), Reason.SPACING)
    case("no slope", ct(RescaleSlope=None), Reason.NO_RESCALE)
    case("no intercept", ct(RescaleIntercept=""), Reason.NO_RESCALE)
    case("slope 0", ct(RescaleSlope="0"), Reason.RESCALE)
    patch(case("slope text", ct(RescaleSlope="1.2345678"), Reason.RESCALE), b"1.2345678", b"SmithJohn")
    case("units", ct(RescaleType="US"), Reason.UNITS)
    case("no patient", ct(PatientID=""), Reason.NO_PATIENT)
    case("blank patient", ct(PatientID="  "), Reason.NO_PATIENT)
    no_uid = case("no uid", ct(), Reason.NO_UID)
    save(change(dcmread(no_uid), SOPInstanceUID=""), no_uid)
    case("film", change_syntax(ct(), MPEG2MPML), Reason.TRANSFER_SYNTAX)
    case("12-bit lossy JPEG", change_syntax(ct(BitsStored=12, HighBit=11), JPEGExtended12Bit), Reason.TRANSFER_SYNTAX)

    case("no pixels", ct(PixelData=None), Reason.NO_PIXELS)
    case("empty pixels", ct(PixelData=b""), Reason.NO_PIXELS)
    cut = case("pixels cut", ct(), Reason.SHORT)
    cut.write_bytes(cut.read_bytes()[:-100])
    case("one row too many", ct(Rows=33), Reason.SHORT)
    case("twice the pixels", ct(PixelData=ct().PixelData * 2), Reason.LONG)
    case("two bytes too many", ct(PixelData=ct().PixelData + b"\0\0"), Reason.LONG)
    case("constant", ct(np.full((32, 32), -800)), Reason.CONSTANT)
    case("all padding but a constant", ct(np.where(ct_values() > 0, 40, -1000), PixelPaddingValue=24), Reason.CONSTANT)
    case("intercept 0", ct(RescaleIntercept="0"), Reason.NOT_PHYSICAL)
    case("intercept twice", ct(RescaleIntercept="-2048"), Reason.NOT_PHYSICAL)
    case("slope 10", ct(RescaleSlope="10", RescaleIntercept="-10240"), Reason.NOT_PHYSICAL)
    case("nothing in the window", ct(np.where(ct_values() > 0, -700, -1000)), Reason.INVISIBLE)
    return expected


def change_syntax(dataset, syntax):
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([b"\xff\xd8\0\0"])
    dataset["PixelData"].is_undefined_length = True
    return dataset


def compressed_cases(folder: Path, sources: Path) -> dict[str, Reason | None]:
    """Compressed pixel data that is cut off, corrupted or not what the header says."""
    values = ct_values(seed=3)
    syntaxes = in_every_syntax(ct(values), sources)
    expected: dict[str, Reason | None] = {}

    def case(name: str, source: str, reason: Reason | None, edit) -> None:
        dataset = dcmread(syntaxes[source])
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        expected[name] = reason
        dataset.PixelData = edit(frame)
        dataset["PixelData"].is_undefined_length = True
        save(change(dataset, SOPInstanceUID=f"1.2.4.{len(expected)}"), folder / name)

    for source in ("jpeg lossless", "jpeg-ls", "jpeg 2000"):
        case(f"{source} fit", source, None, lambda frame: encapsulate([frame]))
        case(f"{source} cut", source, Reason.CUT_OFF, lambda frame: encapsulate([frame[: len(frame) * 2 // 3]]))
        case(f"{source} two frames", source, Reason.FRAMES, lambda frame: encapsulate([frame, frame]))
        case(f"{source} no offsets", source, Reason.FRAMES, lambda frame: encapsulate([frame, frame], has_bot=False))
        case(f"{source} in fragments", source, None, lambda frame: encapsulate([frame], fragments_per_frame=2))
        case(f"{source} is text", source, Reason.UNDECODABLE, lambda frame: encapsulate([b"text" * 40 + b"\xff\xd9"]))
    case("rle fit", "rle", None, lambda frame: encapsulate([frame]))
    case("rle cut", "rle", Reason.UNDECODABLE, lambda frame: encapsulate([frame[: len(frame) // 2]]))
    case("rle two frames", "rle", Reason.FRAMES, lambda frame: encapsulate([frame, frame]))
    # The header says 32 × 32; the codestream says more, as a decompression bomb would.
    for source, name in (("jpeg lossless", "jpeg bomb"), ("jpeg-ls", "jpeg-ls bomb"), ("jpeg 2000", "jpeg 2000 bomb")):
        large = in_every_syntax(ct(ct_values(64)), sources / "large")[source]
        frame = next(generate_frames(dcmread(large).PixelData, number_of_frames=1))
        case(name, source, Reason.CODESTREAM, lambda _, frame=frame: encapsulate([frame]))
    deflated = syntaxes["deflated"].read_bytes()
    (folder / "deflated cut").write_bytes(deflated[: len(deflated) * 2 // 3])
    expected["deflated cut"] = Reason.CUT_OFF
    for source in ("rle", "jpeg lossless", "jpeg 2000"):  # the file itself ends too early
        whole = save(
            change(dcmread(syntaxes[source]), SOPInstanceUID=f"1.2.5.{len(expected)}"), folder / f"{source} file cut"
        )
        whole.write_bytes(whole.read_bytes()[:-60])
        expected[whole.name] = Reason.CUT_OFF
    return expected


def run(folder: Path, work: Path, ingest: Ingest, without_label: str = "") -> dict[str, str]:
    """Index, preprocess and merge a folder; return each file's final reason."""
    names = [name for name in os.listdir(folder) if name != without_label]
    labels = pd.DataFrame({"file": names, "finding": [0, 1] * (len(names) // 2) + [0] * (len(names) % 2)})
    index = index_folder(folder, labels, "file", [], ingest, 16, work / "private", seed=1)
    shard = Shard("test", True, folder, work / "private", ingest, [8, 16], index.findings)
    preprocess_shard(shard, 0, index.parts(), work / "shard")
    merge_shards(index.parts(), [work / "shard"], work / "store", work / "index.parquet", [8, 16], 1)
    merged = pd.read_parquet(work / "index.parquet")
    paths = pd.read_parquet(work / "private" / "files.parquet").set_index("file_id")["path"]
    return dict(zip(paths.loc[merged["file_id"]], merged["reason"], strict=True))


def differences(found: dict[str, str], expected: dict[str, Reason | None]) -> dict[str, tuple[str, str]]:
    wanted = {name: reason.value if reason else "" for name, reason in expected.items()}
    return {name: (found[name], wanted[name]) for name in wanted if found[name] != wanted[name]}


def test_each_unfit_ct_gets_its_reason(tmp_path):
    expected = reject_cases(tmp_path / "dicom")
    save(ct(number=77), tmp_path / "dicom" / "unlabelled")
    save(ct(number=88), tmp_path / "dicom" / "twin a")
    save(ct(number=88), tmp_path / "dicom" / "twin b")
    os.mkfifo(tmp_path / "dicom" / "pipe")
    (tmp_path / "dicom" / "broken link").symlink_to(tmp_path / "nowhere")
    expected |= {
        "unlabelled": Reason.NO_LABEL,
        "twin a": None,
        "twin b": Reason.DUPLICATE,
        "pipe": Reason.NOT_REGULAR,
        "broken link": Reason.CANNOT_OPEN,
    }
    found = run(tmp_path / "dicom", tmp_path, CT, without_label="unlabelled")
    assert differences(found, expected) == {}
    assert set(found) == set(expected)


def test_each_unfit_compressed_file_gets_its_reason(tmp_path):
    (tmp_path / "dicom").mkdir()
    expected = compressed_cases(tmp_path / "dicom", tmp_path / "sources")
    found = run(tmp_path / "dicom", tmp_path, CT)
    assert differences(found, expected) == {}


def test_each_unfit_radiograph_gets_its_reason(tmp_path):
    cases = {
        "fit": (radiograph(), None),
        "frontal by code": (radiograph(ViewPosition=None, ViewCodeSequence=[code("R-10214")]), None),
        "lateral": (radiograph(ViewPosition="LL"), Reason.NOT_FRONTAL),
        "lateral in words": (radiograph(ViewPosition="LATERAL"), Reason.NOT_FRONTAL),
        "lateral by code": (radiograph(ViewPosition="", ViewCodeSequence=[code("R-10236")]), Reason.NOT_FRONTAL),
        "unknown view": (radiograph(ViewPosition="GENERICA"), None),
        "raw": (radiograph(PresentationIntentType="FOR PROCESSING"), Reason.FOR_PROCESSING),
        "raw by class": (radiograph(SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1.1"), Reason.FOR_PROCESSING),
        "half a rescale": (radiograph(RescaleSlope="1"), Reason.NO_RESCALE),
        "slope 0": (radiograph(RescaleSlope="0", RescaleIntercept="0"), Reason.RESCALE),
        "width 0": (radiograph(WindowCenter=100, WindowWidth=0), Reason.WINDOW),
        "width 1": (radiograph(WindowCenter=100, WindowWidth=1), Reason.WINDOW),
        "narrow but exact": (radiograph(WindowCenter=100, WindowWidth=1, VOILUTFunction="LINEAR_EXACT"), None),
        "no width": (radiograph(WindowCenter=100), Reason.WINDOW),
        "strange function": (radiograph(WindowCenter=9, WindowWidth=9, VOILUTFunction="CURVE"), Reason.WINDOW),
        "shown inverted": (radiograph(PresentationLUTShape="INVERSE"), Reason.PHOTOMETRIC),
        "window beside the values": (radiograph(WindowCenter=9000, WindowWidth=100), Reason.INVISIBLE),
        "constant": (radiograph(np.full((32, 32), 7)), Reason.CONSTANT),
        "empty table": (radiograph(VOILUTSequence=[lut([4, 0, 16], [5, 5, 5, 5])]), Reason.LUT),
        "short table": (radiograph(VOILUTSequence=[lut([9, 0, 16], [1, 2, 3, 4])]), Reason.LUT),
    }
    for number, (name, (dataset, _)) in enumerate(cases.items()):
        save(change(dataset, SOPInstanceUID=f"1.2.3.{number}"), tmp_path / "dicom" / name)
    found = run(tmp_path / "dicom", tmp_path, RADIOGRAPHS)
    assert differences(found, {name: reason for name, (_, reason) in cases.items()}) == {}


def code(value):
    dataset = change(ct(), PixelData=None)
    dataset.clear()
    return change(dataset, CodeValue=value, CodingSchemeDesignator="SRT")


def lut(descriptor, data):
    dataset = ct()
    dataset.clear()
    dataset.add_new(0x00283002, "US", descriptor)
    dataset.add_new(0x00283006, "US", data)
    return dataset


def test_corrupted_lossless_jpeg_is_no_image(tmp_path, capfd):
    # A silent failure: libjpeg returns an image, and a remark on stderr.
    path = in_every_syntax(ct(), tmp_path)["jpeg lossless"]
    data = bytearray(path.read_bytes())
    data[-400:-200] = bytes(200)
    path.write_bytes(data)
    assert describe_file(path, CT, 16)["reason"] == Reason.UNDECODABLE
    assert capfd.readouterr().err == ""


def test_a_decoder_that_is_not_named_is_never_asked(tmp_path, monkeypatch):
    # A silent failure: pydicom goes on to the next decoder, and one that may be installed returns garbage.
    path = in_every_syntax(ct(), tmp_path)["jpeg lossless"]
    patched = path.read_bytes().replace(b"\xff\xda", b"\xff\x00", 1)  # no start of scan: GDCM refuses
    path.write_bytes(patched)
    decoder = get_decoder(JPEGLosslessSV1)
    monkeypatch.setitem(decoder._available, "garbage", lambda src, runner: bytes(32 * 32 * 2))
    assert describe_file(path, CT, 16)["reason"] == Reason.UNDECODABLE


def test_lossy_8_bit_ct_has_lost_its_units(tmp_path):
    # dcmtk's lossy encoder scales to 8 bits and writes rescale 1/0: the Hounsfield units are silently wrong.
    plain, lossy = save(ct(), tmp_path / "plain.dcm"), tmp_path / "lossy.dcm"
    subprocess.run(["dcmcjpeg", "+eb", plain, lossy], check=True, capture_output=True)
    assert describe_file(lossy, CT, 16)["reason"] == Reason.CT_8_BIT


def test_a_deflate_bomb_is_refused_before_it_is_inflated(tmp_path):
    path = in_every_syntax(ct(), tmp_path)["deflated"]
    head = path.read_bytes()
    start = 144 + int.from_bytes(head[140:144], "little")
    packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    body = packer.compress(bytes(80 << 20)) + packer.flush()
    path.write_bytes(head[:start] + body)
    assert len(body) < 1 << 20
    assert describe_file(path, CT, 16)["reason"] == Reason.TOO_LARGE


def test_what_the_config_allows_is_kept(tmp_path):
    burned = save(ct(BurnedInAnnotation="YES"), tmp_path / "burned.dcm")
    lateral = save(radiograph(ViewPosition="LL"), tmp_path / "lateral.dcm")
    assert describe_file(burned, Ingest(allow_burned_in_annotation=True), 16)["status"] == "accepted"
    assert describe_file(lateral, Ingest(modalities=["CR"], frontal_only=False), 16)["status"] == "accepted"


def test_hostile_headers_never_raise(tmp_path):
    # Every single byte of a header set to another value: a row, whatever it says, never an exception.
    data = save(jpeg2000(ct()), tmp_path / "plain.dcm").read_bytes()
    path, generator = tmp_path / "mutant.dcm", np.random.default_rng(0)
    reasons = set()
    for position in generator.choice(len(data), 150, replace=False):
        mutant = bytearray(data)
        mutant[position] = generator.integers(256)
        path.write_bytes(mutant)
        reasons.add(describe_file(path, CT, 16)["reason"])
    assert reasons <= {reason.value for reason in Reason} | {""}
    assert len(reasons) > 3


def test_real_files_that_are_no_usable_ct(tmp_path):
    expected = {
        "MR_small.dcm": Reason.MODALITY,
        "rtplan.dcm": Reason.MODALITY,
        "waveform_ecg.dcm": Reason.MODALITY,
        "examples_rgb_color.dcm": Reason.MODALITY,
        "rtstruct.dcm": Reason.NOT_DICOM,
        "dicomdirtests/98892001/CT2N/6293": Reason.LOCALIZER,
        "dicomdirtests/TINY_ALPHA/PT000000/ST000000/SE000000/IM000000": Reason.NOT_IMAGE,
        "dicomdirtests/77654033/CT2/17166": Reason.NOT_PHYSICAL,  # cropped to 16 × 16 pixels of bone: no air, no fat
    }
    found = {name: describe_file(real(name), CT.model_copy(update={"maximum_pixels": 10**6}), 16) for name in expected}
    assert {name: row["reason"] for name, row in found.items()} == expected
    assert all(ExplicitVRLittleEndian not in str(row) for row in found.values())


def test_a_large_file_that_was_cut_off(tmp_path):
    path = save(ct(ct_values(400)), tmp_path / "large.dcm")
    path.write_bytes(path.read_bytes()[:-1])
    assert describe_file(path, Ingest(), 16)["reason"] == Reason.SHORT


@pytest.mark.parametrize(("limit", "reason"), [(512 * 512, ""), (512 * 512 - 1, Reason.TOO_LARGE)])
def test_the_limit_is_in_pixels(limit, reason):
    row = describe_file(real("J2K_pixelrep_mismatch.dcm"), Ingest(maximum_pixels=limit), 128)
    assert row["reason"] == reason
