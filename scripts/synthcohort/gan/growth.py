"""From the stages of a growth to one generator whose history and cost are those of all its stages."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from synthcohort.core.atomic import atomic_path, read_json, write_arrays, write_csv, write_json

NETWORKS = ("generator.safetensors", "discriminator.safetensors", "unaveraged.safetensors")


def join_stages(stages: list[Path], folder: Path) -> None:
    """Write the last stage's networks, and everything that was learnt and spent on the way.

    Parameters
    ----------
    stages : list of Path
        Folders as `train_generator` writes them, from the lowest resolution to the highest.
    folder : Path
        Where to write the same files, but ``run/``. In ``history.csv`` and ``timing.csv`` kimg goes on from stage to
        stage; samples of earlier stages are enlarged.
    """
    for name in NETWORKS:
        with atomic_path(folder / name) as temporary:
            shutil.copyfile(stages[-1] / name, temporary)
    cards = [read_json(stage / "generator.json") for stage in stages]
    offsets = np.cumsum([0.0, *[card["trained_kimg"] for card in cards]])
    sides = [card["resolution"] for card in cards]
    for name in ("history.csv", "timing.csv"):
        tables = [pd.read_csv(stage / name) for stage in stages]
        for table, offset, side in zip(tables, offsets, sides, strict=False):
            table["kimg"] += offset
            table["stage"] = side
        joined = pd.concat(tables, ignore_index=True)
        joined["tick"] = range(1, len(joined) + 1)
        write_csv(folder / name, joined)
    shown = [dict(np.load(stage / "samples.npz")) for stage in stages]
    grids = [
        part["grids"].repeat(sides[-1] // side, -1).repeat(sides[-1] // side, -2)
        for part, side in zip(shown, sides, strict=True)
    ]
    kimg = [part["kimg"] + offset for part, offset in zip(shown, offsets, strict=False)]
    write_arrays(folder / "samples.npz", shown[-1] | {"grids": np.concatenate(grids), "kimg": np.concatenate(kimg)})
    write_json(
        folder / "generator.json",
        cards[-1] | {"kimg": offsets[-2] + cards[-1]["kimg"], "trained_kimg": offsets[-1], "stages": sides},
    )
