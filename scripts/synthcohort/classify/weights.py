"""Pretrained weights: where they come from, and whether they are what their name says."""

import re
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor

from synthcohort.core.atomic import file_digest
from synthcohort.core.errors import UserError

CLASSIFIER_KEY, STOP_KEY = "config key classifier.weights", "config key stop_rule.features"


def load_densenet_weights(weights: str) -> tuple[dict[str, Tensor], str]:
    """Read ImageNet weights of torchvision's DenseNet-121; see `read_pretrained`."""
    from torchvision.models import DenseNet121_Weights

    state, digest = read_pretrained(weights, CLASSIFIER_KEY, DenseNet121_Weights.IMAGENET1K_V1.url)
    # Files from before 2018 write norm.1 where today's layers are called norm1.
    state = {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name): state[name] for name in state}
    _check_shapes(state, {"features.conv0.weight": (64, 3, 7, 7), "features.norm5.weight": (1024,)}, CLASSIFIER_KEY)
    return state, digest


def load_inception_weights(weights: str) -> tuple[dict[str, Tensor], str]:
    """Read ImageNet weights of torchvision's Inception-v3; see `read_pretrained`."""
    from torchvision.models import Inception_V3_Weights

    state, digest = read_pretrained(weights, STOP_KEY, Inception_V3_Weights.IMAGENET1K_V1.url)
    _check_shapes(state, {"Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3), "fc.weight": (1000, 2048)}, STOP_KEY)
    return state, digest


def read_pretrained(weights: str, key: str, url: str) -> tuple[dict[str, Tensor], str]:
    """Read a file of pretrained weights.

    Parameters
    ----------
    weights : str
        'download', or the path of a state dict (``.pth`` as torchvision publishes it, or ``.safetensors``). A name
        that ends in ``-xxxxxxxx.pth`` promises the first digits of its SHA-256, and is held to it.
    key : str
        The config key that asked for it, for messages.
    url : str
        Where a download comes from.

    Returns
    -------
    dict of Tensor, str
        State dict, and the SHA-256 of the file.

    Raises
    ------
    UserError
        When the file is missing, cannot be downloaded, or is not what its name promises.
    """
    path = _download(url, key) if weights == "download" else Path(weights)
    if not path.is_file():
        raise UserError(f"{key}: there is no such file; give 'download' or the path of a weights file.")
    digest = file_digest(path)
    promised = re.search(r"-([0-9a-f]{8,})\.pth$", path.name)
    if promised and not digest.startswith(promised[1]):
        raise UserError(
            f"{key}: the file's SHA-256 does not begin with {promised[1]} as its name says; fetch it again."
        )
    try:
        loaded = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        return dict(loaded), digest
    except Exception as error:  # a wrong file raises whatever its bytes happen to spell
        raise UserError(f"{key}: the file does not hold weights; give another path, or 'download'.") from error


def _check_shapes(state: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], key: str) -> None:
    if any(name not in state or state[name].shape != shape for name, shape in shapes.items()):
        raise UserError(f"{key}: the file holds another network's weights; give another path, or 'download'.")


def _download(url: str, key: str) -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rsplit("-", 1)[-1], progress=False)
        except (URLError, RuntimeError, TimeoutError) as error:
            raise UserError(f"{key}: the download failed; fetch {path.name} elsewhere and give its path.") from error
    return path
