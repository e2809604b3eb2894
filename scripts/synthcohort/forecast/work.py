"""Seconds of every job on one core of the reference machine, by what it works on; still to be calibrated.

Only the form matters where a rule was measured: what grows with the images, their side, or the length of a training.
"""

from functools import cached_property
from pathlib import Path

import pandas as pd

from synthcohort.core.plan import Plan
from synthcohort.forecast.flops import BACKWARD, Networks, classifier_flops, count_networks, training_flops
from synthcohort.forecast.jobs import Job
from synthcohort.forecast.sizes import Sizes
from synthcohort.gan.presets import resolve_settings
from synthcohort.gan.registry import load_family
from synthcohort.gan.settings import Settings

SPEEDS = Path(__file__).parents[3] / "docs" / "evidence" / "generator-speed.csv"
CONVOLUTIONS = 80e9  # FLOP/s of one core in networks; its peak is 233e9
DISTANCES = 40e9  # FLOP/s of one core in distances between images
START = 1.5  # seconds to start Python and import pandas …
TORCH = 3.0  # … and torch
DETECTION_IMAGES, FIDELITY_IMAGES, ATTACKED_IMAGES, COPIED_IMAGES = 75_000, 5_000, 10_000, 1_500
NEIGHBOURS_IMAGES = 5_000  # of each side, at most
SMALL = {
    "grow": 1.0,
    "select_images": 1.5,
    "select_shadows": 4.0,
    "gallery": 1.5,
    "metrics": 3.0,
    "cohort_figure": 5.0,
    "picture_figures": 14.0,
    "paper_pictures": 12.0,
    "report": 10.0,
    "provenance": 5.0,
    "reader_study": 4.0,
    "simulated_readers": 30.0,
    "reader_metrics": 10.0,
}
"""Rules whose work hardly depends on the study."""


class Work:
    """What jobs work on, and for how long.

    Parameters
    ----------
    plan : Plan
        The study's plan.
    sizes : Sizes
        Its numbers of images.
    """

    def __init__(self, plan: Plan, sizes: Sizes) -> None:
        self.plan, self.sizes = plan, sizes

    def seconds(self, job: Job) -> float:
        """Seconds of one reference core."""
        if job.rule in SMALL or not hasattr(self, job.rule):
            return SMALL.get(job.rule, START)
        return getattr(self, job.rule)(*job.wildcards)

    def settings(self, job: Job) -> Settings:
        """Give the settings of a generator's training, or of one stage."""
        cohort, experiment, family, _, *stage = job.wildcards
        side = int(stage[0].removeprefix("stage-")) if stage else None
        told = self.plan.training(cohort, experiment, family, side)
        presets = load_family(family).presets
        return resolve_settings(presets, told["scale"], told["resolution"], told["on_the_way"], **told["changes"])

    def flops(self, job: Job) -> float:
        """FLOPs of a generator's training, or of one stage."""
        size, settings = self.sizes.cohorts[job.wildcards[0]], self.settings(job)
        per_image = training_flops(job.wildcards[2], settings, size.channels, size.findings)
        return per_image * settings.kimg * 1000

    def networks(self, job: Job) -> Networks:
        """Both networks of a generator's training, or of one stage."""
        size = self.sizes.cohorts[job.wildcards[0]]
        return count_networks(job.wildcards[2], self.settings(job), size.channels, size.findings)

    @cached_property
    def speeds(self) -> pd.DataFrame:
        """What `bench/bench_generators.py` measured, per thread."""
        table = pd.read_csv(SPEEDS)
        return table.assign(
            images=table["ours_per_second"] / table["threads"], flops=table["gflops"] / table["threads"]
        )

    def measured_speed(self, job: Job) -> float | None:
        """Images per second and thread of a preset, where it was measured."""
        table, scale = self._speeds_of(job)
        found = table[(table["scale"] == scale) & (table["side"] == self.settings(job).resolution)]
        return None if found.empty else float(found["images"].iloc[0])

    def _speeds_of(self, job: Job) -> tuple[pd.DataFrame, str]:
        family = job.wildcards[2]
        return self.speeds[self.speeds["family"] == family], self.plan.generator(family).scale

    def train_generator(self, *wildcards: str) -> float:
        """By the measured speed, else by FLOPs at the speed at which the family's nearest preset does them."""
        job = Job("train_generator", wildcards, ())
        settings, speed = self.settings(job), self.measured_speed(job)
        if speed is not None:
            return 2 * TORCH + settings.kimg * 1000 / speed
        table, scale = self._speeds_of(job)
        alike = table[table["scale"].eq("tiny") == (scale == "tiny")]
        if alike.empty:
            return 2 * TORCH + self.flops(job) / (CONVOLUTIONS / 4)
        nearest = alike.iloc[int((alike["side"] - settings.resolution).abs().argmin())]
        return 2 * TORCH + self.flops(job) / (1e9 * float(nearest["flops"]))

    train_stage = train_generator

    def draw(self, cohort: str) -> float:
        """By the files and their side."""
        phantom = self.plan.cohort(cohort).phantom
        assert phantom is not None
        return START + self.sizes.cohorts[cohort].files * (1 + 3 * (phantom.side / 128) ** 2) / 500

    def index(self, cohort: str) -> float:
        """By the files."""
        return START + self.sizes.cohorts[cohort].files / 1500

    def preprocess(self, cohort: str, shard: str) -> float:
        """By the files of a shard, uncompressed, and the pixels that are written."""
        pixels = sum(side**2 for side in self.plan.resolutions)
        shards = self.plan.cohort(cohort).ingest.shards
        return START + self.sizes.cohorts[cohort].files / shards * (1 / 400 + pixels / 1e9)

    def merge(self, cohort: str) -> float:
        """By the bytes of all stores."""
        size = self.sizes.cohorts[cohort]
        pixels = sum(side**2 for side in self.plan.resolutions)
        return START + size.images * (5e-5 + size.channels * pixels / 3e8)

    def split(self, cohort: str) -> float:
        """By images and experiments."""
        return START + self.sizes.cohorts[cohort].images * (2 + len(self.plan.of_cohort(cohort))) * 2e-6

    def train_judge(self, *wildcards: str) -> float:
        """By the FLOPs of the judge."""
        return 2 * TORCH + BACKWARD * self.classifier_flops(Job("train_judge", wildcards, ())) / CONVOLUTIONS

    def train_classifier(self, *wildcards: str) -> float:
        """By the FLOPs of the classifier."""
        return 2 * TORCH + BACKWARD * self.classifier_flops(Job("train_classifier", wildcards, ())) / CONVOLUTIONS

    def classifier_flops(self, job: Job) -> float:
        """FLOPs of the forward passes of a classifier's or judge's longest training."""
        cohort, where, *_ = job.wildcards
        if job.rule == "train_judge":
            return self.plan.study.judge.kimg * 1000 * self._network(cohort, int(where), self.plan.study.judge.network)
        side, classifier = self.plan.experiment(cohort, where).resolution, self.plan.classifier
        return classifier.kimg * 1000 * self._network(cohort, side, classifier.network)

    def _network(self, cohort: str, side: int, network: str) -> float:
        return classifier_flops(network, self.sizes.cohorts[cohort].channels, side)

    def sample(self, *wildcards: str) -> float:
        """By the synthetic images, and the candidates that the guide looks at."""
        images, flops = self.sampling(Job("sample", wildcards, ()))
        return TORCH + images * 2e-4 + flops / CONVOLUTIONS

    def sampling(self, job: Job) -> tuple[float, float]:
        """Give the images of a synthetic cohort, and the FLOPs that it takes."""
        cohort, experiment, family, _ = job.wildcards
        chosen, generator, size = self.plan.experiment(cohort, experiment), self.plan.generator(family), self.sizes
        sides, (_, _, channels, findings) = size.sides(chosen), size.cohorts[cohort]
        settings = resolve_settings(load_family(family).presets, generator.scale, chosen.resolution)
        flops = count_networks(family, settings, channels, findings).sampling
        if generator.candidates > 1:
            flops += self._network(cohort, chosen.resolution, self.plan.classifier.network)
        images = chosen.amount * sides.train + sides.valid
        return images, generator.candidates * images * flops

    def utility(self, cohort: str, experiment: str) -> float:
        """By the resamples of every classifier's test patients."""
        chosen = self.plan.experiment(cohort, experiment)
        classifiers = len(chosen.sources) * self.plan.study.replicates
        resampled = self.sizes.sides(chosen).test * self.plan.study.statistics.bootstrap
        return START + classifiers * resampled * self.sizes.cohorts[cohort].findings * 2e-8

    def fidelity(self, cohort: str, experiment: str, replicate: str) -> float:
        """By families and images, of which a fixed number is looked at."""
        chosen = self.plan.experiment(cohort, experiment)
        images = min(self.sizes.sides(chosen).train, FIDELITY_IMAGES)
        flops = self._network(cohort, chosen.resolution, self.plan.study.judge.network)
        return TORCH + (2 + len(chosen.axis.families)) * images * (
            1e-3 + chosen.resolution**2 * 1e-6 + flops / CONVOLUTIONS
        )

    def neighbours(self, cohort: str, experiment: str, family: str, replicate: str) -> float:
        """Synthetic images are compared with held-out ones and as many training images, a fixed number of each."""
        chosen = self.plan.experiment(cohort, experiment)
        sides, channels = self.sizes.sides(chosen), self.sizes.cohorts[cohort].channels
        synthetic = min(sides.train, NEIGHBOURS_IMAGES)
        real = min(sides.valid + sides.test, synthetic)
        flops = self._network(cohort, chosen.resolution, self.plan.study.judge.network)
        images, pairs = synthetic + 2 * real, 2.0 * synthetic * real
        return TORCH + images * (5e-4 + flops / CONVOLUTIONS) + 2 * pairs * channels * chosen.resolution**2 / DISTANCES

    def detection(self, cohort: str, experiment: str, replicate: str) -> float:
        """By the FLOPs of trainings of a fixed length, for every family and both controls."""
        chosen = self.plan.experiment(cohort, experiment)
        flops = self._network(cohort, chosen.resolution, "small")
        return TORCH + (len(chosen.axis.families) + 2) * BACKWARD * DETECTION_IMAGES * flops / CONVOLUTIONS

    def attribution(self, cohort: str, experiment: str, replicate: str) -> float:
        """By the classifiers and their FLOPs."""
        chosen = self.plan.experiment(cohort, experiment)
        flops = self._network(cohort, chosen.resolution, self.plan.classifier.network)
        return 2 * TORCH + len(chosen.sources) * BACKWARD * 5000 * flops / CONVOLUTIONS

    def privacy(self, cohort: str, experiment: str, replicate: str) -> float:
        """By families; attacks take a fixed number of images, copies are looked for among all training images."""
        chosen = self.plan.experiment(cohort, experiment)
        sides, channels = self.sizes.sides(chosen), self.sizes.cohorts[cohort].channels
        attacked = min(sides.train, sides.test, ATTACKED_IMAGES)
        pixels = channels * chosen.resolution**2
        shadows = 1 + self.plan.study.privacy.shadows
        attacks = 4e-3 * attacked * shadows * (1 + chosen.resolution / 32)
        copies = 2.0 * COPIED_IMAGES * sides.train * pixels / DISTANCES
        return TORCH + (len(chosen.axis.families) + 2) * (attacks + copies)

    def number_figures(self) -> float:
        """By the figures."""
        return 5.0 + 5.0 * len(self.plan.axes)

    def training_figures(self) -> float:
        """By the figures."""
        return 3.0 + 3.0 * len(self.plan.trainings)


def on_card(job: Job) -> bool:
    """Tell whether a job computes on the study's device, with its threads."""
    return job.rule in {
        *("train_classifier", "train_judge", "train_generator", "train_stage"),
        *("sample", "fidelity", "neighbours", "detection", "attribution", "privacy"),
    }


def is_generator(job: Job) -> bool:
    """Tell whether a job trains a generator."""
    return job.rule in ("train_generator", "train_stage")
