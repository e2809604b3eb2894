"""Where everything of a study lies: path patterns filled, as the rules ask for them."""

from synthcohort.core.plan import Plan, phantom_folder


class Files:
    """The paths of a study's files.

    Parameters
    ----------
    plan : Plan
        The study's plan.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def stage_files(
        self, folder: str, files: list[str], cohort: str, experiment: str, source: str, replicate: str
    ) -> list[str]:
        """Name files of every stage up to an experiment's resolution; `folder` is the pattern of a run's folder."""
        run = {"cohort": cohort, "source": source, "replicate": replicate}
        stages = self.plan.stages(cohort, experiment, source)
        folders = [f"{folder.format(experiment=home, **run)}/stage-{side:03d}" for home, side in stages]
        return [f"{stage}/{file}" for stage in folders for file in files]

    def files_before(
        self, folder: str, files: list[str], cohort: str, experiment: str, source: str, replicate: str, stage: str
    ) -> list[str]:
        """Name files of the stage that a stage continues; none for the first."""
        every = self.stage_files(folder, files, cohort, experiment, source, replicate)
        position = [side for _, side in self.plan.stages(cohort, experiment, source)].index(int(stage))
        return every[(position - 1) * len(files) : position * len(files)] if position else []

    @staticmethod
    def selection(folder: str, cohort: str, experiment: str, replicate: str) -> str:
        """Name the table of an experiment's images, `folder` being the experiment's; a shadow has one of its own."""
        name = f"shadows/{replicate}" if "s" in replicate else "selection"
        return f"{folder.format(cohort=cohort, experiment=experiment)}/{name}.parquet"

    def shadow_samples(self, folder: str, files: list[str], cohort: str, experiment: str, replicate: str) -> list[str]:
        """Name files of every family's sample by each shadow of a replicate, see `samples`."""
        home = self.plan.experiment(cohort, experiment).home
        return [
            path
            for shadow in self.plan.shadows(replicate)
            for path in self.samples(folder, files, cohort, home, shadow)
        ]

    def shadow_selections(self, folder: str, cohort: str, experiment: str, replicate: str) -> list[str]:
        """Name the tables of what each shadow of a replicate was trained on, `folder` being the experiment's."""
        home = self.plan.experiment(cohort, experiment).home
        return [self.selection(folder, cohort, home, shadow) for shadow in self.plan.shadows(replicate)]

    def expand(self, pattern: str, cohort: str | None = None, experiment: str | None = None) -> list[str]:
        """Fill a path pattern with every run of a cohort or an experiment, each path once.

        Parameters
        ----------
        pattern : str
            With any of the wildcards ``{cohort}``, ``{experiment}``, ``{source}``, ``{replicate}``.
        cohort, experiment : str, optional
            Keep only these experiments' runs.
        """
        chosen = [
            run
            for asking, run in self.plan.runs()
            if cohort in (None, asking.cohort) and experiment in (None, asking.name)
        ]
        return list(dict.fromkeys(pattern.format(**run) for run in chosen))

    def expand_generators(self, pattern: str, cohort: str | None = None, axis: str | None = None) -> list[str]:
        """Fill a path pattern, as `expand` does, with every trained generator of a cohort or an axis."""
        paths = [
            pattern.format(**{**run, "experiment": asking.home})
            for asking, run in self.plan.runs()
            if run["source"] in asking.axis.families
            and cohort in (None, asking.cohort)
            and axis in (None, asking.axis.axis)
        ]
        return list(dict.fromkeys(paths))

    def generator_files(self, folder: str, files: list[str], cohort: str, experiment: str, *run: str) -> list[str]:
        """Name files of the generator (or, with the source ``real``, of the guide) that an experiment uses.

        Parameters
        ----------
        folder : str
            Pattern of a run's folder.
        files : list of str
            Names in it.
        cohort, experiment : str
            Of the experiment that asks.
        *run : str
            Source and replicate.
        """
        home = self.plan.experiment(cohort, experiment).home
        source, replicate = run
        where = folder.format(cohort=cohort, experiment=home, source=source, replicate=replicate)
        return [f"{where}/{file}" for file in files]

    def samples(self, folder: str, files: list[str], cohort: str, experiment: str, replicate: str) -> list[str]:
        """Name files of every family's sample in an experiment; `folder` is the pattern of a sample's folder."""
        run = {"cohort": cohort, "experiment": experiment, "replicate": replicate}
        families = self.plan.experiment(cohort, experiment).axis.families
        return [f"{folder.format(source=family, **run)}/{file}" for family in families for file in files]

    def discriminators(self, folder: str, cohort: str, experiment: str, replicate: str) -> list[str]:
        """Name the weights of every discriminator behind an experiment's samples, and what builds it."""
        files = ["discriminator.safetensors", "generator.json"]
        return [
            file
            for family in self.plan.experiment(cohort, experiment).axis.families
            for file in self.generator_files(folder, files, cohort, experiment, family, replicate)
        ]

    def classifiers(self, folder: str, files: list[str], cohort: str, experiment: str, replicate: str) -> list[str]:
        """Name files of every classifier that an experiment compares; `folder` is the pattern of a run's folder."""
        return [
            f"{folder.format(**run)}/{file}"
            for asking, run in self.plan.runs()
            if (asking.cohort, asking.name, run["replicate"]) == (cohort, experiment, replicate)
            for file in files
        ]

    def judge(self, folder: str, files: list[str], cohort: str, experiment: str) -> list[str]:
        """Name files of the judge at an experiment's resolution; `folder` is the pattern of a judge's folder."""
        size = f"{self.plan.experiment(cohort, experiment).resolution:03d}"
        return [f"{folder.format(cohort=cohort, size=size)}/{file}" for file in files]

    def manifest(self, cohort: str) -> list[str]:
        """Name the manifest of an embedded cohort's drawing; own data has none."""
        config = self.plan.cohort(cohort)
        return [] if config.phantom is None else [f"{phantom_folder(config)}/manifest.json"]

    def shards(self, cohort: str, pattern: str) -> list[str]:
        """Fill ``{shard}`` in a path pattern with every shard of a cohort (and ``{cohort}`` with its name)."""
        shards = self.plan.cohort(cohort).ingest.shards
        return [pattern.format(cohort=cohort, shard=shard) for shard in range(shards)]

    def store(self, cohort: str, experiment: str, folder: str, files: list[str]) -> list[str]:
        """Name files of the cohort's store at an experiment's resolution, `folder` being the cohort's."""
        resolution = self.plan.experiment(cohort, experiment).resolution
        return [f"{folder.format(cohort=cohort)}/store/{resolution:03d}/{file}" for file in files]
