"""The bundle for machines: a Croissant 1.0 record (Akhtar et al. 2024, arXiv 2403.19546)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthcohort.release.card import title
from synthcohort.release.gate import loosened
from synthcohort.release.subject import Subject

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
# The context that the specification gives, https://docs.mlcommons.org/croissant/docs/croissant-spec.html
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
LABELS, PICTURES, OBJECTS = "labels", "png", "dicom"
WEIGHT_TYPES = {".safetensors": "application/octet-stream", ".json": "application/json"}


def croissant_record(
    subject: Subject, texts: list[str], digests: Mapping[str, str], failures: list[str]
) -> dict[str, Any]:
    """Describe a bundle.

    Parameters
    ----------
    subject : Subject
        What leaves.
    texts : list of str
        Columns of ``data/labels.csv`` that are no findings; ``png`` and ``dicom`` name the image's files.
    digests : mapping of str to str
        SHA-256 of the bundle's files so far, ``data/labels.csv`` and, where they leave, the generator's.
    failures : list of str
        What the gate found, where the config overrides it.

    Returns
    -------
    dict
        JSON-LD for ``croissant.json`` in the bundle's folder.
    """
    release, info = subject.release, subject.info
    record: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": title(subject),
        "description": _description(subject, failures),
        "license": release.license,
        "creator": {"@type": "sc:Organization", "name": release.creator},
        "version": release.version,
        "keywords": ["synthetic", "medical imaging", release.cohort, release.source],
        "isLiveDataset": False,
        "citeAs": f"{release.creator}: {title(subject)}, version {release.version}",
        "rai:dataCollection": f"Drawn by a {release.source} generator; no person was imaged.",
        "rai:personalSensitiveInformation": _personal(subject, failures),
        "rai:dataUseCases": "Development, teaching and tests of software; not for clinical use.",
        "distribution": [
            _file(LABELS, "Names and findings of all images.", "text/csv", "data/labels.csv", digests),
            _file_set(PICTURES, "Images as 8-bit greyscale PNG.", "image/png", "data/png/*.png"),
            *[
                _file_set(name, "The same images in another window.", "image/png", f"data/{name}/*.png")
                for name in (f"{PICTURES}-window-{number}" for number in range(2, info.channels + 1))
            ],
            _file_set(OBJECTS, "Images as DICOM.", "application/dicom", "data/dicom/*.dcm"),
            *[
                _file(Path(path).name, "Of the generator.", WEIGHT_TYPES[Path(path).suffix], path, digests)
                for path in sorted(digests)
                if path.startswith("generator/")
            ],
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "images",
                "name": "images",
                "description": "One record per image.",
                "key": {"@id": "images/image_id"},
                "field": [
                    *[_column(name, "sc:Text", name) for name in texts],
                    *[_column(finding.name, "sc:Integer", finding.display) for finding in info.findings],
                    _file_name(),
                    _content(),
                ],
            }
        ],
    }
    if release.url:
        record["url"] = release.url
    if release.published:
        record["datePublished"] = release.published.isoformat()
    return record


def _description(subject: Subject, failures: list[str]) -> str:
    release = subject.release
    simulated = " of simulated patients" if subject.source.info.simulated else ""
    text = (
        f"{subject.images} images drawn by a {release.source} generator that was trained on the cohort {release.cohort}"
        f"{simulated}. No person was imaged; not for clinical use."
    )
    if sentences := loosened(release.gate):
        text += f" WARNING: the privacy gate is looser than its default ({'; '.join(sentences)})."
    if failures:
        text += f" WARNING: the privacy gate failed ({'; '.join(failures)}) and was overridden: {release.override}"
    return text


def _personal(subject: Subject, failures: list[str]) -> str:
    """Say what of patients is in a bundle: README.md says how membership attacks fared."""
    images = (
        "Images were drawn by a generator, but the privacy gate failed: some may be nearly a patient's"
        if failures
        else "No image was taken from a patient"
    )
    labels = "each image has the labels of one patient" if subject.copied_labels else "no row of labels is a patient's"
    return (
        f"{images}, and {labels}. Images of a generator can still give away whom it learnt from; "
        "README.md reports how membership attacks fared."
    )


def _file(name: str, description: str, media_type: str, path: str, digests: Mapping[str, str]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "description": description,
        "contentUrl": path,
        "encodingFormat": media_type,
        "sha256": digests[path],
    }


def _file_set(name: str, description: str, media_type: str, pattern: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "description": description,
        "encodingFormat": media_type,
        "includes": pattern,
    }


def _column(name: str, data_type: str, description: str) -> dict[str, Any]:
    return _field(name, data_type, description, {"fileObject": {"@id": LABELS}, "extract": {"column": name}})


def _file_name() -> dict[str, Any]:
    """Tie a picture to the row of the table that names it."""
    source = {"fileSet": {"@id": PICTURES}, "extract": {"fileProperty": "filename"}}
    reference = {"fileObject": {"@id": LABELS}, "extract": {"column": PICTURES}}
    return _field("file_name", "sc:Text", "File name of the picture.", source) | {"references": reference}


def _content() -> dict[str, Any]:
    source = {"fileSet": {"@id": PICTURES}, "extract": {"fileProperty": "content"}}
    return _field("image", "sc:ImageObject", "The picture.", source)


def _field(name: str, data_type: str, description: str, source: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"images/{name}",
        "name": name,
        "description": description,
        "dataType": data_type,
        "source": source,
    }
