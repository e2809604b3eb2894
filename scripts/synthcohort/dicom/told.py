"""What is known of an image from elsewhere than its file: public datasets keep patients and views in tables."""

from dataclasses import dataclass, replace

from synthcohort.dicom.header import Header


@dataclass(frozen=True)
class Told:
    """What a table says of one file; empty where it says nothing."""

    patient: str = ""
    view: str = ""
    """As `Header.view`."""
    modality: str = ""
    uid: str = ""


NOTHING = Told()


def complete(header: Header, told: Told) -> Header:
    """Put what a table says of a file into its header.

    Patient and view of the table go before the file's: whoever names a column for them does so because files that went
    through de-identification may all name the same patient. Modality and UID are filled where the file has none.
    """
    patient, view = told.patient or header.patient_id, told.view or header.view
    modality, uid = header.modality or told.modality, header.sop_instance_uid or told.uid
    if (patient, view, modality, uid) == (header.patient_id, header.view, header.modality, header.sop_instance_uid):
        return header  # a copy of it would take longer than looking
    return replace(header, patient_id=patient, view=view, modality=modality, sop_instance_uid=uid)
