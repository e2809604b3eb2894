"""A real PACS takes the bundle over DICOMweb (PS3.18) and gives back what it was sent."""

import email
import email.policy
import io
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from release_cases import FINDINGS, SEED, subject
from synthcohort.release.bundle import build_bundle

ORTHANC = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
BOUNDARY = "synthcohort-part"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Run an Orthanc that only this machine can reach; give the address of its DICOMweb."""
    assert ORTHANC, "Orthanc is missing; run: make system-packages"
    assert PLUGIN.exists(), "Orthanc's DICOMweb is missing; run: make system-packages"
    folder, port = tmp_path_factory.mktemp("orthanc"), free_port()
    settings = {
        "HttpPort": port, "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomServerEnabled": False,
        "StorageDirectory": str(folder / "storage"), "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(PLUGIN)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([str(ORTHANC), str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{address}/system", timeout=5).close()
                break
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
        yield f"{address}/dicom-web"
    finally:
        process.terminate()
        process.wait(30)


def store(server: str, files: list[bytes]) -> dict:
    """STOW-RS: send files, give the answer."""
    parts = [b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % (BOUNDARY.encode(), file) for file in files]
    body = b"".join([*parts, b"--%b--\r\n" % BOUNDARY.encode()])
    kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
    request = urllib.request.Request(
        f"{server}/studies", body, {"Content-Type": kind, "Accept": "application/dicom+json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def search(server: str, query: str) -> list[dict]:
    """QIDO-RS."""
    request = urllib.request.Request(f"{server}/{query}", headers={"Accept": "application/dicom+json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def retrieve(server: str, study: str, series: str, uid: str) -> bytes:
    """WADO-RS: one instance."""
    url = f"{server}/studies/{study}/series/{series}/instances/{uid}"
    accept = 'multipart/related; type="application/dicom"'
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=30) as answer:
        head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + answer.read(), policy=email.policy.HTTP)
    (part,) = message.iter_parts()
    return part.get_payload(decode=True)


def patients(server: str) -> int:
    """How many patients Orthanc tells apart: by Patient ID."""
    with urllib.request.urlopen(server.replace("/dicom-web", "/statistics"), timeout=30) as answer:
        return json.load(answer)["CountPatients"]


@pytest.mark.parametrize("modality", ["CT", "CR", "DX"])
def test_orthanc_takes_and_returns_every_image(modality, server, tmp_path):
    chosen = subject(tmp_path / "stores", modality=modality)
    build_bundle(tmp_path / "bundle", chosen, tmp_path, SEED)
    files = [path.read_bytes() for path in sorted((tmp_path / "bundle/data/dicom").iterdir())]
    before = patients(server)
    answer = store(server, files)
    assert patients(server) - before == chosen.images, "none is taken for one of another bundle"
    assert len(answer["00081199"]["Value"]) == chosen.images  # Referenced SOP Sequence: what was stored
    assert "Value" not in answer.get("00081198", {})  # Failed SOP Sequence

    studies = search(server, f"studies?ModalitiesInStudy={modality}&PatientName=SYNTHETIC*&limit=1000")
    assert len(studies) == chosen.images  # one study per image
    images = np.concatenate([part.images[:, 0] for part in chosen.parts.values()])
    labels = np.concatenate([part.labels for part in chosen.parts.values()])
    for file, image, label in zip(files, images, labels, strict=True):
        sent = dcmread(io.BytesIO(file))
        uids = (sent.StudyInstanceUID, sent.SeriesInstanceUID, sent.SOPInstanceUID)
        returned = dcmread(io.BytesIO(retrieve(server, *uids)))
        np.testing.assert_array_equal(returned.pixel_array, image)
        assert returned.PatientName == sent.PatientName
        assert returned[0x0008001C].value == "YES"
        findings = json.loads(returned.ImageComments)["findings"]
        assert list(findings.values()) == label.tolist()
        assert list(findings) == list(FINDINGS)
