"""Pretrained weights: where they come from, and whether they are what their name says."""

import re
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor

from synthcohort.core.atomic import file_digest
from synthcohort.core.errors import UserError

KEY = "config key classifier.weights"


def load_densenet_weights(weights: str) -> tuple[dict[str, Tensor], str]:
    """Read ImageNet weights of DenseNet-121.

    Parameters
    ----------
    weights : str
        'download', or the path of a state dict (``.pth`` as torchvision publishes it, or ``.safetensors``). A name
        that ends in ``-xxxxxxxx.pth`` promises the first digits of its SHA-256, and is held to it.

    Returns
    -------
    dict of Tensor, str
        State dict in torchvision's present names, and the SHA-256 of the file.

    Raises
    ------
    UserError
        When the file is missing, cannot be downloaded, is not what its name promises, or not a DenseNet-121.
    """
    path = _download() if weights == "download" else Path(weights)
    if not path.is_file():
        raise UserError(f"{KEY}: there is no such file; give 'none', 'download' or the path of a weights file.")
    digest = file_digest(path)
    promised = re.search(r"-([0-9a-f]{8,})\.pth$", path.name)
    if promised and not digest.startswith(promised[1]):
        raise UserError(
            f"{KEY}: the file's SHA-256 does not begin with {promised[1]} as its name says; fetch it again."
        )
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        # Files from before 2018 write norm.1 where today's layers are called norm1.
        state = {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name): state[name] for name in state}
        stem, norm = state["features.conv0.weight"], state["features.norm5.weight"]
        fits = stem.shape == (64, 3, 7, 7) and norm.shape == (1024,)
    except Exception:  # a wrong file raises whatever its bytes happen to spell
        fits = False
    if not fits:
        raise UserError(f"{KEY}: the file does not hold torchvision's DenseNet-121; give another path, or 'download'.")
    return state, digest


def _download() -> Path:
    from torchvision.models import DenseNet121_Weights

    url = DenseNet121_Weights.IMAGENET1K_V1.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rsplit("-", 1)[-1], progress=False)
        except (URLError, RuntimeError, TimeoutError) as error:
            raise UserError(f"{KEY}: the download failed; fetch {path.name} elsewhere and give its path.") from error
    return path
