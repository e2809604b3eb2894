"""A closer look at one file, for people; shows nothing that identifies the patient."""

from pathlib import Path
from typing import Any

from pydicom.uid import UID

from synthcohort.core.config import Ingest
from synthcohort.dicom.decode import DECODERS
from synthcohort.dicom.header import MODALITIES, PHOTOMETRIC, Header, known
from synthcohort.dicom.index import ACCEPTED, REJECTED
from synthcohort.dicom.preprocess import render_file
from synthcohort.dicom.read import quiet_pydicom, read_bytes, read_header
from synthcohort.dicom.reasons import UnfitError
from synthcohort.dicom.render import Renderer


def describe_file(path: str | Path, ingest: Ingest, smallest: int) -> dict[str, Any]:
    """Say whether a file would be used, why not, and what its pixels are like.

    Parameters
    ----------
    path : str or Path
        The file.
    ingest : Ingest
        The policy to judge it by.
    smallest : int
        Largest resolution wanted.

    Returns
    -------
    dict
        ``status``, ``reason``, geometry and grey values; what is unknown is left out.
    """
    description: dict[str, Any] = {"status": ACCEPTED, "reason": ""}
    with quiet_pydicom():
        try:
            header = read_header(path, ingest.maximum_pixels)
            description.update(_describe(header))
            rendering, _ = render_file(read_bytes(path, ingest.maximum_pixels), Renderer(ingest, [smallest]), smallest)
            description.update(windowed=rendering.windowed, black=rendering.low, white=rendering.high)
        except UnfitError as unfit:
            description.update(status=REJECTED, reason=unfit.reason.value)
    return description


def _describe(header: Header) -> dict[str, Any]:
    known_syntax = header.transfer_syntax in DECODERS
    fields = {
        "modality": known(header.modality, MODALITIES),
        "view": header.view,
        "rows": header.rows,
        "columns": header.columns,
        "spacing": header.spacing,
        "bits_stored": header.bits_stored,
        "signed": header.signed == 1,
        "photometric": known(header.photometric, PHOTOMETRIC),
        "transfer_syntax": UID(header.transfer_syntax).name if known_syntax else "",
        "slope": header.slope,
        "intercept": header.intercept,
        "padding": header.padding,
    }
    return {name: value for name, value in fields.items() if value not in (None, "")}
