# What made the results, and the digest of each; and a bundle of a study for a colleague.
# A generator of a growing family is put together from its stages by the rule `grow`.
GENERATORS = files.expand_generators(f"{RUN}/generator.json")
GROWN = [
    path for path in GENERATORS if any(f"/{family}/" in path for family in plan.growing)
]
WEIGHTS_OF = {
    "grow": GROWN,
    "train_generator": [path for path in GENERATORS if path not in set(GROWN)],
}
RUNS = [
    (experiment.cohort, experiment.name, replicate)
    for experiment in plan.experiments
    for replicate in plan.replicates
]
MADE_BY = {
    "train_classifier": [
        path
        for name in ["classifier.safetensors", "classifier.json", "predictions.parquet"]
        for path in files.expand(f"{RUN}/{name}")
    ],
    "train_judge": list(
        dict.fromkeys(
            path
            for cohort, experiment, _ in RUNS
            for path in files.judge(JUDGE, CLASSIFIER, cohort, experiment)
        )
    ),
    # What lies in a store is on record by the digests in its store.json: images are large.
    "sample": [
        path
        for part in ["train", "valid"]
        for run in RUNS
        for path in files.samples(f"{RUN}/synthetic/{part}", ["store.json"], *run)
    ],
    "utility": files.expand(f"{EXPERIMENT}/utility.parquet"),
    "fidelity": files.expand(f"{EXPERIMENT}/fidelity-{{replicate}}.parquet"),
    "privacy": files.expand(f"{EXPERIMENT}/privacy-{{replicate}}.parquet"),
    "neighbours": files.expand_generators(
        f"{RUN}/neighbours.parquet", axis="resolution"
    ),
    "detection": files.expand_generators(
        f"{EXPERIMENT}/detection-{{replicate}}.parquet", axis="resolution"
    ),
    "attribution": files.expand_generators(
        f"{EXPERIMENT}/attribution-{{replicate}}.parquet", axis="resolution"
    ),
    "reader_metrics": READER_METRICS,
    "metrics": rules.metrics.output,
    "number_figures": rules.number_figures.output,
    "training_figures": rules.training_figures.output,
    "paper_pictures": rules.paper_pictures.output,
    "picture_figures": [
        f"{stem.format(**run)}.{kind}"
        for stem in PICTURES.values()
        for run in plan.pictured.values()
        for kind in FIGURE
    ],
    "cohort_figure": expand(
        f"{COHORT_FIGURE}.{{kind}}", cohort=plan.cohorts, kind=FIGURE
    ),
    "report": rules.report.output,
    **{
        rule_name: expand(
            "{stem}.{kind}",
            stem=[path.removesuffix(".json") for path in paths],
            kind=["json", "safetensors"],
        )
        for rule_name, paths in WEIGHTS_OF.items()
    },
}
# What a colleague gets: numbers and figures of numbers, the page without images of the cohort. No picture figure, no
# store, no generator.
SHARED = [
    *rules.metrics.output,
    *rules.number_figures.output,
    *rules.training_figures.output,
    rules.report.output.shareable,
    rules.report.output.verdict,
]


rule provenance:
    input:
        results=list(chain.from_iterable(MADE_BY.values())),
        stores=expand(
            f"{COHORT}/store/{{size}}/store.json", cohort=plan.cohorts, size=plan.sizes
        ),
        drawn=[path for cohort in plan.cohorts for path in files.manifest(cohort)],
    output:
        f"{RESULTS}/provenance.json",
    log:
        f"{RESULTS}/logs/provenance.log",
    benchmark:
        f"{RESULTS}/benchmarks/provenance/all.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(MINUTES["provenance"]),
    params:
        # Plain text: Snakemake's own paths drag their rules along.
        results={name: [*map(str, paths)] for name, paths in MADE_BY.items()},
        sources=lambda wildcards: {
            cohort: source_digests(plan, cohort, workflow.is_main_process)
            for cohort in plan.cohorts
        },
        config=shown_config(study),
        lock=lock_digest(workflow.basedir),
        version=versions.PROVENANCE,
    message:
        "Recording what made the results, and their digests"
    script:
        "../scripts/provenance.py"


# A target of its own, never a part of `all`: what leaves is packed when somebody asks for it.
rule crate:
    input:
        provenance=f"{RESULTS}/provenance.json",
        results=SHARED,
    output:
        f"{RESULTS}/crate.zip",
    log:
        f"{RESULTS}/logs/crate.log",
    benchmark:
        f"{RESULTS}/benchmarks/crate/all.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(MINUTES["crate"]),
    params:
        version=versions.PROVENANCE,
    message:
        "Packing config, code version, lock, tables and number figures"
    script:
        "../scripts/crate.py"
