"""A closer look at one file, for people; shows nothing that identifies the patient."""

from pathlib import Path
from typing import Any

from synthcohort.core.cohort_config import Ingest
from synthcohort.dicom.header import MODALITIES, PHOTOMETRIC, Header, known
from synthcohort.dicom.index import ACCEPTED, REJECTED, syntax_name
from synthcohort.dicom.preprocess import render_file
from synthcohort.dicom.read import quiet_pydicom, read_bytes, read_header
from synthcohort.dicom.reasons import UnfitError
from synthcohort.dicom.render import Renderer
from synthcohort.dicom.told import Told


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
            # Whose a PNG or JPEG is, only a label table can say: here that is taken for granted.
            told = Told(patient="told elsewhere" if header.is_picture else "")
            data = read_bytes(path, ingest.maximum_pixels)
            rendering, _ = render_file(data, Renderer(ingest, [smallest]), smallest, told)
            description.update(windowed=rendering.windowed, black=rendering.low, white=rendering.high)
        except UnfitError as unfit:
            description.update(status=REJECTED, reason=unfit.reason.value)
    return description


def _describe(header: Header) -> dict[str, Any]:
    fields = {
        "modality": known(header.modality, MODALITIES),
        "view": header.view,
        "rows": header.rows,
        "columns": header.columns,
        "spacing": header.spacing,
        "bits_stored": header.bits_stored,
        "signed": header.signed == 1,
        "photometric": known(header.photometric, PHOTOMETRIC),
        "transfer_syntax": syntax_name(header),
        "slope": header.slope,
        "intercept": header.intercept,
        "padding": header.padding,
    }
    return {name: value for name, value in fields.items() if value not in (None, "")}
