"""The jobs of a study and what each waits for, counted from the config by the functions that the rules use.

A job's id looks like a path: its wildcards, then its rule, as in ``chest/resolution-032/r3-gan/r0/sample``. So the
functions that name files for the rules name jobs here.
"""

from collections import Counter
from dataclasses import dataclass

from synthcohort.core.experiment import REAL
from synthcohort.core.files import Files
from synthcohort.core.plan import Plan

EXPERIMENT = "{cohort}/{experiment}"
AUDIT = f"{EXPERIMENT}/{{replicate}}"
RUN = f"{EXPERIMENT}/{{source}}/{{replicate}}"


@dataclass(frozen=True)
class Job:
    """One job of Snakemake's.

    Attributes
    ----------
    rule : str
        Its rule.
    wildcards : tuple of str
        In the order of the path.
    needs : tuple of str
        Ids of the jobs that make its inputs.
    """

    rule: str
    wildcards: tuple[str, ...]
    needs: tuple[str, ...]


def study_jobs(plan: Plan, target: str = "all") -> dict[str, Job]:
    """Find every job that a target needs, as Snakemake does: backwards from it.

    Returns
    -------
    dict
        The jobs by their ids; a job comes after those that it needs.
    """
    rules, jobs = Rules(plan), dict[str, Job]()
    waiting = [(target, False)]
    while waiting:
        name, known = waiting.pop()
        if name in jobs:
            continue
        *wildcards, rule = name.split("/")
        needs = tuple(dict.fromkeys(getattr(rules, rule)(*wildcards)))
        if known:
            jobs[name] = Job(rule, tuple(wildcards), needs)
        else:
            waiting.append((name, True))
            waiting += [(need, False) for need in needs]
    return jobs


def count_jobs(jobs: dict[str, Job]) -> dict[str, int]:
    """Count the jobs of each rule."""
    return dict(Counter(job.rule for job in jobs.values()))


class Rules:
    """One method per rule, named like it: takes the wildcards and names the jobs that make the rule's inputs."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.files = plan, Files(plan)

    def all(self) -> list[str]:
        """Make everything that `snakemake` makes when no target is named."""
        figures = ["number_figures", "training_figures", *(["paper_pictures"] if self.plan.pictured else [])]
        cohorts = [f"{cohort}/cohort_figure" for cohort in self.plan.cohorts]
        pictures = [f"{RUN}/picture_figures".format(**run) for run in self.plan.pictured.values()]
        return ["report", *figures, *cohorts, *pictures, "provenance"]

    def draw(self, cohort: str) -> list[str]:
        """Draw simulated patients."""
        return []

    def index(self, cohort: str) -> list[str]:
        """Read headers."""
        return [f"{cohort}/draw"] if self.plan.cohort(cohort).phantom is not None else []

    def preprocess(self, cohort: str, shard: str) -> list[str]:
        """Decode files."""
        return [f"{cohort}/index"]

    def merge(self, cohort: str) -> list[str]:
        """Make image stores."""
        return [f"{cohort}/index", *self.files.shards(cohort, "{cohort}/{shard}/preprocess")]

    def split(self, cohort: str) -> list[str]:
        """Split patients and check every experiment."""
        return [f"{cohort}/merge"]

    def select_images(self, cohort: str, experiment: str) -> list[str]:
        """Select an experiment's images."""
        return [f"{cohort}/split", f"{cohort}/merge"]

    def select_shadows(self, cohort: str, experiment: str, replicate: str) -> list[str]:
        """Select what shadow generators are trained on."""
        return [f"{cohort}/{experiment}/select_images", f"{cohort}/merge"]

    def train_judge(self, cohort: str, size: str) -> list[str]:
        """Train the judge of a resolution."""
        return [f"{cohort}/split", f"{cohort}/merge"]

    def train_classifier(self, cohort: str, experiment: str, source: str, replicate: str) -> list[str]:
        """Train a classifier on real or synthetic images, or both."""
        family = self.plan.family(source)
        samples = [f"{cohort}/{experiment}/{family}/{replicate}/sample"] if family else []
        before = [f"{cohort}/{experiment}/{family}/{replicate}/train_classifier"] if source.startswith("pre-") else []
        return [*self._images(cohort, experiment, replicate), *samples, *before]

    def train_generator(self, cohort: str, experiment: str, source: str, replicate: str) -> list[str]:
        """Train a generator that does not grow."""
        guide = [] if source in self.plan.private else [self._guide(cohort, experiment, replicate)]
        return [*self._images(cohort, experiment, replicate), *guide]

    def train_stage(self, cohort: str, experiment: str, source: str, replicate: str, stage: str) -> list[str]:
        """Train one stage of a growing generator."""
        side = stage.removeprefix("stage-")
        run = (cohort, experiment, source, replicate)
        last = int(side) == self.plan.experiment(cohort, experiment).resolution
        guide = [self._guide(cohort, experiment, replicate)] if last else []
        before = self.files.files_before(RUN, ["train_stage"], *run, side)
        return [*self._images(cohort, experiment, replicate), *guide, *before]

    def grow(self, cohort: str, experiment: str, source: str, replicate: str) -> list[str]:
        """Join the stages of a growing generator."""
        return self.files.stage_files(RUN, ["train_stage"], cohort, experiment, source, replicate)

    def sample(self, cohort: str, experiment: str, source: str, replicate: str) -> list[str]:
        """Sample a synthetic cohort."""
        generator = self.files.generator_files(RUN, [self._trained_by(source)], cohort, experiment, source, replicate)
        guide = []
        if self.plan.generator(source).candidates > 1:
            guide = self.files.generator_files(RUN, ["train_classifier"], cohort, experiment, REAL, replicate)
        return [*self._images(cohort, experiment, replicate), *generator, *guide]

    def utility(self, cohort: str, experiment: str) -> list[str]:
        """Compare classifiers."""
        return [
            f"{cohort}/split",
            f"{cohort}/merge",
            *self.files.expand(f"{RUN}/train_classifier", cohort, experiment),
        ]

    def gallery(self, cohort: str, experiment: str, source: str, replicate: str) -> list[str]:
        """Choose images to show side by side."""
        samples = [] if source == REAL else [f"{cohort}/{experiment}/{source}/{replicate}/sample"]
        return [f"{cohort}/{experiment}/select_images", f"{cohort}/merge", *samples]

    def fidelity(self, cohort: str, experiment: str, replicate: str) -> list[str]:
        """Measure how real samples look."""
        return [f"{cohort}/split", *self._judged(cohort, experiment), *self._samples(cohort, experiment, replicate)]

    def neighbours(self, cohort: str, experiment: str, source: str, replicate: str) -> list[str]:
        """Find real images next to synthetic ones."""
        return [*self._judged(cohort, experiment), f"{cohort}/{experiment}/{source}/{replicate}/sample"]

    def detection(self, cohort: str, experiment: str, replicate: str) -> list[str]:
        """Tell synthetic images from real ones."""
        samples = self._samples(cohort, experiment, replicate)
        return [f"{cohort}/{experiment}/select_images", f"{cohort}/merge", *samples]

    def attribution(self, cohort: str, experiment: str, replicate: str) -> list[str]:
        """Map where classifiers look."""
        compared = self.files.classifiers(RUN, ["train_classifier"], cohort, experiment, replicate)
        return [f"{cohort}/{experiment}/select_images", f"{cohort}/merge", *compared]

    def privacy(self, cohort: str, experiment: str, replicate: str) -> list[str]:
        """Attack synthetic cohorts."""
        families = self.plan.experiment(cohort, experiment).axis.families
        home = self.plan.experiment(cohort, experiment).home
        return [
            *self._judged(cohort, experiment),
            *self._samples(cohort, experiment, replicate),
            *(f"{cohort}/{home}/{family}/{replicate}/{self._trained_by(family)}" for family in families),
            *self.files.shadow_samples(RUN, ["sample"], cohort, experiment, replicate),
            *([f"{cohort}/{home}/{replicate}/select_shadows"] if self.plan.shadows(replicate) else []),
        ]

    def reader_study(self) -> list[str]:
        """Choose what readers are shown."""
        return [f"{RUN}/sample".format(**run) for run in self.plan.pictured.values()]

    def simulated_readers(self) -> list[str]:
        """Let programs answer."""
        return ["reader_study"]

    def reader_metrics(self) -> list[str]:
        """Measure how well readers do."""
        readers = self.plan.study.readers
        return ["reader_study", *(["simulated_readers"] if readers and readers.simulate else [])]

    def metrics(self) -> list[str]:
        """Collect all numbers."""
        return [
            *self.files.expand(f"{EXPERIMENT}/utility"),
            *self.files.expand(f"{AUDIT}/fidelity"),
            *self.files.expand(f"{AUDIT}/privacy"),
            *self.files.expand_generators(f"{RUN}/neighbours", axis="resolution"),
            *self.files.expand_generators(f"{AUDIT}/detection", axis="resolution"),
            *self.files.expand_generators(f"{AUDIT}/attribution", axis="resolution"),
            *(["reader_metrics"] if self.plan.study.readers else []),
        ]

    def number_figures(self) -> list[str]:
        """Draw number figures and write tables."""
        return ["metrics", *(f"{cohort}/split" for cohort in self.plan.cohorts)]

    def training_figures(self) -> list[str]:
        """Draw training curves."""
        return self._generators()

    def picture_figures(self, cohort: str, experiment: str, source: str, replicate: str) -> list[str]:
        """Draw the pictures of a run."""
        run = (cohort, experiment, source, replicate)
        trained = self.files.generator_files(RUN, [self._trained_by(source)], *run)
        made = [f"{'/'.join(run)}/{rule}" for rule in ("gallery", "neighbours")]
        return [*trained, *made, *(f"{cohort}/{experiment}/{replicate}/{rule}" for rule in ("attribution", "privacy"))]

    def paper_pictures(self) -> list[str]:
        """Draw pictures in the way of the paper."""
        runs = self.plan.standing.values()
        return [
            *(f"{RUN}/neighbours".format(**run) for run in runs),
            *(f"{AUDIT}/attribution".format(**run) for run in runs),
        ]

    def cohort_figure(self, cohort: str) -> list[str]:
        """Draw images of a cohort."""
        return [f"{cohort}/{self.plan.finest(cohort).name}/select_images", f"{cohort}/merge"]

    def report(self) -> list[str]:
        """Write the page; it shows all figures but those in the paper's picture style."""
        figures = [name for name in self.all() if name not in ("report", "paper_pictures", "provenance")]
        return ["metrics", *(f"{cohort}/split" for cohort in self.plan.cohorts), *figures, *self._generators()]

    def provenance(self) -> list[str]:
        """Record what made the results."""
        made = [name for name in self.all() if name != "provenance"]
        drawn = [f"{cohort.name}/draw" for cohort in self.plan.study.cohorts if cohort.phantom is not None]
        stores = [f"{cohort}/merge" for cohort in self.plan.cohorts]
        return ["metrics", *made, *self._generators(), *stores, *drawn]

    def _trained_by(self, family: str) -> str:
        return "grow" if family in self.plan.growing else "train_generator"

    def _generators(self) -> list[str]:
        runs = [name.split("/") for name in self.files.expand_generators(RUN)]
        return [f"{'/'.join(run)}/{self._trained_by(run[2])}" for run in runs]

    def _guide(self, cohort: str, experiment: str, replicate: str) -> str:
        return f"{cohort}/{experiment}/{REAL}/{replicate}/train_classifier"

    def _images(self, cohort: str, experiment: str, replicate: str) -> list[str]:
        first, shadow, _ = replicate.partition("s")
        chosen = f"{first}/select_shadows" if shadow else "select_images"
        return [f"{cohort}/{experiment}/{chosen}", f"{cohort}/merge"]

    def _judged(self, cohort: str, experiment: str) -> list[str]:
        judge = self.files.judge("{cohort}/{size}", ["train_judge"], cohort, experiment)
        return [f"{cohort}/{experiment}/select_images", f"{cohort}/merge", *judge]

    def _samples(self, cohort: str, experiment: str, replicate: str) -> list[str]:
        return self.files.samples(RUN, ["sample"], cohort, experiment, replicate)
