# SynthCohort: from DICOM to figures. Read the includes in their order: data flows one way.
import sys
from itertools import chain

sys.path.insert(0, f"{workflow.basedir}/scripts")

from synthcohort.core import versions
from synthcohort.core.experiment import REAL
from synthcohort.core.files import Files
from synthcohort.core.plan import Plan
from synthcohort.core.released import label_policy
from synthcohort.core.requests import MINUTES
from synthcohort.core.shown import shown_config
from synthcohort.core.workflow import (
    check_config,
    end_timers,
    growing,
    growing_with_side,
    hand_library_to_jobs,
    holding_tables,
    lock_digest,
    phantom_of,
    released,
    training_memory,
)
from synthcohort.dicom.sources import inventory_of, source_digests
from synthcohort.readers.answers import answers_given


configfile: f"{workflow.basedir}/config.yaml"


# Only with `--sdm apptainer`; docs/cluster.md says how to build it.
container: "envs/synthcohort.sif"


hand_library_to_jobs()
study = check_config(config)
plan = Plan(study)
files = Files(plan)

RESULTS = f"results/{study.study}"
COHORT = f"{RESULTS}/cohorts/{{cohort}}"
EXPERIMENT = f"{COHORT}/{{experiment}}"
RUN = f"{EXPERIMENT}/{{source}}/{{replicate}}"
JUDGE = f"{COHORT}/judge/{{size}}"
STORE = ["images.npy", "records.parquet", "store.json"]
CLASSIFIER = ["classifier.safetensors", "classifier.json"]
CONDA = "../envs/synthcohort.yaml"


wildcard_constraints:
    cohort="|".join(plan.cohorts),
    experiment="[a-z]+-[0-9]+",
    source="|".join(plan.sources),
    replicate="r[0-9]+(s[0-9]+)?",
    axis="|".join(plan.axes),
    shard="[0-9]+",
    size="[0-9]{3}",


localrules:
    all,
    figures,
    cohorts,


onsuccess:
    end_timers()


onerror:
    end_timers()


include: "rules/cohort.smk"
include: "rules/classifier.smk"
include: "rules/gan.smk"
include: "rules/readers.smk"
include: "rules/audit.smk"
include: "rules/report.smk"
include: "rules/provenance.smk"
include: "rules/release.smk"


rule all:
    default_target: True
    input:
        rules.report.output,
        rules.figures.input,
        rules.provenance.output,
