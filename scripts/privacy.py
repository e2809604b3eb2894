"""Attack the synthetic cohorts of one experiment, and look for copies in them."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from synthcohort.audit.canaries import canary_metrics
from synthcohort.audit.discriminator import discriminator_scores, load_discriminator
from synthcohort.audit.privacy import privacy_audit, privacy_seed
from synthcohort.audit.privacy_vocabulary import DISCRIMINATOR
from synthcohort.audit.shadows import Shadow
from synthcohort.audit.utility import combine_metrics, experiment_keys, no_metrics
from synthcohort.classify.joined import JoinedStore
from synthcohort.classify.networks import load_classifier
from synthcohort.core.atomic import write_arrays, write_parquet
from synthcohort.core.config import Statistics
from synthcohort.core.device import prepare_device
from synthcohort.core.errors import TooFewImagesError
from synthcohort.core.job import run_job
from synthcohort.core.progress import logger
from synthcohort.core.seeds import derive_seed
from synthcohort.core.store import ImageStore
from synthcohort.gan.canaries import canary_rows


def samples_of(paths):
    """Open samples, both parts as one, by the family and the replicate or shadow that their folders name."""
    parts = {}
    for folder in dict.fromkeys(Path(path).parent for path in paths):
        store = ImageStore(folder)
        parts.setdefault((folder.parts[-4], folder.parts[-3]), []).append((store, store.all_rows))
    return {name: JoinedStore(*stores) for name, stores in parts.items()}


def shadows_of(given):
    """Open each family's shadows, with the rows that they were trained on."""
    selections = {Path(path).stem: pd.read_parquet(path) for path in given.shadow_selections}
    training = {name: table.loc[table["side"] == "train", "row"].to_numpy() for name, table in selections.items()}
    found = {}
    for (family, name), store in samples_of(given.shadows).items():
        found.setdefault(family, []).append(Shadow(store.images, training[name]))
    return found


def main(snakemake):
    """Write the experiment's rows of the metrics, and the closest pairs of synthetic and training images."""
    given, params = snakemake.input, snakemake.params
    cohort, experiment, replicate = snakemake.wildcards
    device = prepare_device(params.device, params.threads)
    real = ImageStore(Path(given.real[0]).parent)
    seed = privacy_seed(params.seed, cohort, experiment, replicate)
    discriminators = {Path(path).parents[1].name: Path(path).parent for path in given.discriminators}
    scorers = {
        family: {
            DISCRIMINATOR: partial(
                discriminator_scores, load_discriminator(folder, device), real, rng=np.random.default_rng(seed)
            )
        }
        for family, folder in discriminators.items()
    }
    keys = experiment_keys(params.study, cohort, experiment, replicate=replicate)
    synthetic = {family: store for (family, _), store in samples_of(given.synthetic).items()}
    selection = pd.read_parquet(given.selection)
    try:
        arrays, metrics = privacy_audit(
            keys,
            synthetic,
            real,
            selection,
            load_classifier(Path(given.judge[0]).parent, device),
            Statistics.model_validate(params.statistics),
            seed,
            scorers,
            shadows_of(given),
            params.mirrored,
        )
    except TooFewImagesError as error:
        logger.warning("not measured: %s", error)
        arrays, metrics = {}, no_metrics()
    if params.canaries:
        canary_seed = derive_seed(params.seed, "canaries", cohort)
        rows = canary_rows(selection, params.canaries, canary_seed)
        found = canary_metrics(keys, synthetic, real, selection, rows, canary_seed)
        metrics = combine_metrics([metrics, found])
    write_arrays(snakemake.output.pairs, arrays)
    write_parquet(snakemake.output.metrics, metrics)


run_job(snakemake, main)
