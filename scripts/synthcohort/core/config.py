"""The study's config: one typed model; schema, commented config.yaml and docs are generated from it."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from synthcohort.core.cohort_config import Cohort, Model, Name
from synthcohort.core.families import FAMILIES
from synthcohort.core.protocol import Protocol, ProtocolName, by_name
from synthcohort.core.reader_config import ReaderStudy
from synthcohort.core.release_config import Release

AxisName = Literal["resolution", "classes", "samples", "amount"]
Mixture = Literal["mix", "pre"]


def _power_of_two(value: int) -> int:
    if value < 8 or value > 1024 or value & (value - 1):
        nearest = min((2**k for k in range(3, 11)), key=lambda power: abs(power - value))
        raise ValueError(f"a resolution is a power of two between 8 and 1024; the nearest is {nearest}")
    return value


Resolution = Annotated[int, AfterValidator(_power_of_two)]


if TYPE_CHECKING:
    Family = str
else:  # checked against the registry, which no type checker can read
    Family = Literal[tuple(FAMILIES)]


def _is_private(family: Any) -> bool:
    return family in FAMILIES and FAMILIES[family].private


class Axis(Model):
    """One benchmark: a property of the training data, varied over levels."""

    axis: AxisName
    """resolution (pixels), classes (number of label combinations), samples (training images per combination) or amount
    (synthetic images, in percent of the real ones)."""
    levels: list[int] = Field(min_length=1)
    """Values on the axis."""
    families: list[Family] = Field(["r3-gan"], min_length=1)
    """Generator families trained at every level."""
    mixtures: list[Mixture] = []
    """Also train classifiers on real and synthetic images together (mix), or on synthetic, then real ones (pre)."""
    cohorts: list[Name] = []
    """Cohorts that this axis is for; empty means all."""
    resolution: Resolution = 16
    """Image side on the other axes (the resolution axis has its levels instead)."""
    combinations: Annotated[int, Field(ge=2)] | Literal["all"] = 4
    """samples axis: how many of the most frequent label combinations are used."""
    minimum_images: int = Field(0, ge=0)
    """Label combinations with fewer images than this, over all sides, are left out on this axis."""
    train_images: int = Field(2000, ge=10)
    """classes axis: training images of every level, shared equally by its combinations: only their number varies."""
    images: dict[int, Annotated[int, Field(ge=1)]] = {}
    """classes axis under `protocol.unequal_totals`: training images per combination, by level."""
    valid_images: int | None = Field(None, ge=1)
    """Validation images at most: per combination on the classes and samples axes, elsewhere in all; left out: all."""
    test_images: int | None = Field(None, ge=1)
    """Test images at most, counted like validation images."""
    take_fewer: bool = False
    """Where a cohort has fewer images than are asked for, take what there is (experiments.csv says how many are
    missing), instead of stopping."""

    @model_validator(mode="after")
    def _levels_fit(self) -> "Axis":
        if len(set(self.levels)) != len(self.levels):
            raise ValueError("each level may stand only once")
        for level in self.levels:
            if self.axis == "resolution":
                _power_of_two(level)
            if self.axis == "classes" and level < 2:
                raise ValueError("a level of the classes axis is at least 2 combinations")
            if level < 1:
                raise ValueError("a level is at least 1")
        if self.images and set(self.images) != set(self.levels):
            raise ValueError("images: one number of training images per combination for each of the levels")
        return self


class Generator(Model):
    """Training of one generator family."""

    family: Family
    """Which family these settings are for."""
    scale: Literal["tiny", "small", "paper"] = "tiny"
    """Presets to start from: tiny (minutes on two cores), small (hours on a workstation), paper (as published)."""
    kimg: dict[int, float] = {}
    """Thousand real images shown in training, at most, per resolution; what is left out comes from the presets."""
    augmentation: Literal["adaptive"] | Annotated[float, Field(ge=0, le=0.8)] = "adaptive"
    """Probability of each kind of the cohort's augmentation; adaptive raises it when the discriminator overfits."""
    accumulation: int = Field(1, ge=1)
    """Parts that each batch is computed in, to fit into memory."""
    candidates: int = Field(1, ge=1, le=16)
    """Images drawn for each synthetic one; the guide keeps the one whose findings it recognises best."""
    unconditional_term: bool = False
    """cpd-gan only: add the term to the discriminator that the paper's lacks, a score that no label weighs."""
    from_scratch: bool = False
    """prog-gan only: grow anew for every level, as the paper did, instead of sharing the stages of a sweep."""
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """dp-gan only: what the training may give away of a patient, the label histogram included; left out: 10."""
    delta: Annotated[float, Field(gt=0, lt=0.1)] | None = None
    """dp-gan only: probability with which epsilon may not hold; left out: the power of ten below 1 / patients."""
    clip: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """dp-gan only: longest gradient of a patient; longer ones are shortened to it; left out: 1."""

    @model_validator(mode="before")
    @classmethod
    def _unadapted(cls, value: Any) -> Any:
        return {"augmentation": 0.0, **value} if isinstance(value, dict) and _is_private(value.get("family")) else value

    @model_validator(mode="after")
    def _own_keys(self) -> "Generator":
        own = {"unconditional_term": "cpd-gan", "from_scratch": "prog-gan"}
        own |= dict.fromkeys(("epsilon", "delta", "clip"), "dp-gan")
        for key, family in own.items():
            if getattr(self, key) and self.family != family:
                raise ValueError(f"{key} is a key of {family} only; remove it here")
        if _is_private(self.family):
            if self.augmentation == "adaptive":
                raise ValueError(f"augmentation: adaptive looks at patients, {self.family} must not; give a number")
            if self.candidates > 1:
                raise ValueError(f"candidates: the guide has seen patients, so it may not choose for {self.family}")
            if self.accumulation > 1:
                raise ValueError(f"accumulation: {self.family} computes its batches in one part")
        return self


class StopRule(Model):
    """When a generator has learnt enough, and which of its states is kept."""

    features: str = "guide"
    """Distances are measured in features of the guide, or of Inception-v3 ('download', or a path of its weights)."""
    images: Literal["validation", "training"] = "validation"
    """Real images that samples are compared with; the paper took the training images."""
    samples: int = Field(5000, ge=100)
    """Real images per evaluation, at most, and about as many synthetic ones; the Fréchet distance needs 5000."""
    every: int = Field(4, ge=1)
    """Ticks (rows of history.csv) between two evaluations."""
    minimum: float = Field(0.6, ge=0, le=1)
    """Share of the longest training before the first evaluation that counts; prog-gan and cpd-gan at scale paper have
    their own, as published."""
    patience: int = Field(2, ge=0)
    """Stop after this many evaluations without a better one; 0 never stops early and keeps the last state."""


class Classifier(Model):
    """The predictive model that measures utility, the same for real and synthetic training images."""

    network: Literal["small", "plain", "densenet121"] = "small"
    """small: a residual network for 16² to 64² on a CPU; plain: one of another design; densenet121: the paper's."""
    weights: str = "none"
    """densenet121 only: 'none', 'download' (torchvision's ImageNet weights) or the path of a weights file."""
    kimg: float = Field(40.0, gt=0)
    """Longest training, in thousand images shown."""
    patience: int = Field(3, ge=1)
    """Stop after this many evaluations without a better validation AUROC."""
    class_weights: bool = False
    """Weigh each finding's positive images by negative ÷ positive training images."""


class Statistics(Model):
    """Uncertainty of every number."""

    bootstrap: int = Field(1000, ge=10)
    """Number of bootstrap resamples, over patients."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Level of every interval."""
    minimum_positive_patients: int = Field(20, ge=1)
    """Findings with fewer positive (or negative) test patients are shown but not averaged."""
    non_inferiority_margin: float = Field(0.05, gt=0, le=0.5)
    """Loss of mean AUROC that the verdict still accepts: synthetic images hold up where the utility gap's interval ends
    at or below it (docs/protocol.md)."""


class Privacy(Model):
    """What the privacy audit does beyond its attacks."""

    canaries: int = Field(0, ge=0)
    """Training patients whose images carry a mark on purpose in the training of every generator; the audit looks for it
    in the samples. For studies that test the audit or a generator, never for images that are to be used."""
    shadows: int = Field(0, ge=0, multiple_of=2)
    """Shadow generators of every generator, each trained with its guide on other halves of the patients who are
    attacked, for an attack by likelihood ratio (docs/privacy.md); 4 or more, or 0 for none. Each costs a training."""

    @model_validator(mode="after")
    def _enough_shadows(self) -> "Privacy":
        if self.shadows == 2:
            raise ValueError("shadows: with 2, no patient is twice in or out, so nothing can be learnt; take 4 or more")
        return self


class Study(Model):
    """A whole study: cohorts, benchmarks and how they are computed."""

    study: Name = "demo"
    """Name of the study: everything it makes lies under results/NAME/."""
    seed: int = Field(2021, ge=0)
    """All randomness derives from it."""
    replicates: int = Field(1, ge=1, le=100)
    """How often everything downstream of a seed is repeated."""
    threads: int = Field(2, ge=1)
    """Compute threads of a training job; another number gives other bytes, not better ones."""
    processes: int = Field(1, ge=1)
    """Processes that train one generator together, each on its part of every batch; with CUDA, one card each."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where training runs; auto takes a CUDA card where there is one."""
    gpu_model: str | None = Field(None, pattern="^[A-Za-z0-9_.]+$")
    """Kind of card to ask a cluster for, as it calls them (a100, …); left out: any. Only with device: cuda."""
    cohorts: list[Cohort] = Field(min_length=1)
    """The cohorts."""
    axes: list[Axis] = Field(min_length=1)
    """The benchmarks."""
    generators: list[Generator] = []
    """Settings of the generator families that the axes name."""
    stop_rule: StopRule = StopRule()
    """When a generator has learnt enough."""
    protocol: Annotated[Protocol, BeforeValidator(by_name, json_schema_input_type=Protocol | ProtocolName)] = Protocol()
    """corrected, or paper as published; or a mapping that sets single switches."""
    classifier: Classifier = Classifier()
    """The predictive model."""
    judge: Classifier = Classifier(network="plain")
    """A second real-trained classifier, of another network (plain, if not said): it scores what is generated and steers
    nothing."""
    statistics: Statistics = Statistics()
    """Intervals."""
    privacy: Privacy = Privacy()
    """The privacy audit."""
    readers: ReaderStudy | None = None
    """People tell real images from synthetic ones in a browser (docs/reader-study.md); null: nobody does."""
    release: Release | None = None
    """The synthetic cohort that `snakemake release` makes a bundle of (docs/release.md); left out: none."""

    @model_validator(mode="after")
    def _names_fit(self) -> "Study":
        names = [cohort.name for cohort in self.cohorts]
        if len(set(names)) != len(names):
            raise ValueError("each cohort needs a name of its own")
        for axis in self.axes:
            for name in axis.cohorts:
                if name not in names:
                    raise ValueError(f"axes: there is no cohort '{name}'; the cohorts are {', '.join(names)}")
        for axis in self.axes:
            if axis.axis == "amount" and self.protocol.copy_labels:
                raise ValueError("axes: protocol.copy_labels gives one synthetic image per real one: drop this axis")
            if axis.axis == "classes" and self.protocol.unequal_totals and not axis.images:
                raise ValueError(
                    "axes: protocol.unequal_totals needs images, the training images per combination of each level"
                )
        if self.readers and not any(axis.axis == "resolution" for axis in self.axes):
            raise ValueError("readers: they are shown the levels of a resolution axis, and this study has none")
        private = next((family for axis in self.axes for family in axis.families if _is_private(family)), None)
        if private and self.processes > 1:
            raise ValueError(f"processes: {private} trains in one process; set 1, or take {private} from the axes")
        if private and self.protocol.copy_labels:
            raise ValueError(f"axes: protocol.copy_labels copies labels of patients, so {private} cannot be private")
        if self.judge.network == self.classifier.network:
            raise ValueError("judge: it needs another network than classifier, whose views steer the generators")
        sides = [
            side for axis in self.axes for side in (axis.levels if axis.axis == "resolution" else [axis.resolution])
        ]
        if self.privacy.canaries and min(sides) < 16:
            raise ValueError("privacy.canaries: the mark needs images of 16² at least; drop lower resolutions")
        families = [generator.family for generator in self.generators]
        if len(set(families)) != len(families):
            raise ValueError("generators: each family may stand only once")
        return self
