# Figures, tables and the report. Number figures come from metrics.parquet alone.
FIGURE = ["pdf", "svg", "png", "csv"]
WIDTHS = ["one-column", "two-columns"]
FIGURES = f"{RESULTS}/figures"
INTERNAL = f"{RESULTS}/internal/figures"
AXIS_FIGURES = expand(f"{FIGURES}/auroc-{{axis}}", axis=plan.axes)
FIDELITY_FIGURES = expand(f"{FIGURES}/fidelity-{{axis}}", axis=plan.axes)
PRIVACY_FIGURES = expand(f"{FIGURES}/privacy-{{axis}}", axis=plan.axes)
READER_FIGURES = (
    expand(f"{FIGURES}/readers-{{kind}}", kind=["accuracy", "roc"])
    if study.readers
    else []
)
FINDING_FIGURES = expand(
    f"{FIGURES}/findings-{{experiment}}", experiment=plan.finest_names
)
PAPER_FIGURES = expand(
    f"{FIGURES}/paper-{{axis}}-{{width}}", axis=plan.axes, width=WIDTHS
)
PAPER_PICTURES = expand(
    f"{INTERNAL}/paper-{{kind}}-{{width}}",
    kind=["neighbours", "attribution"] if plan.pictured else [],
    width=WIDTHS,
)
TRAINING_FIGURES = expand(f"{FIGURES}/training-{{training}}", training=plan.trainings)
COHORT_FIGURE = f"{INTERNAL}/cohort-{{cohort}}"
TABLES = [f"{RESULTS}/tables/{axis}" for axis in plan.axes]
SIMULATED = " and ".join(
    cohort.name for cohort in study.cohorts if cohort.phantom is not None
)
PICTURED = "{cohort}-{experiment}-{source}-{replicate}"
PICTURES = {
    "samples": f"{FIGURES}/samples-{PICTURED}",
    "gallery": f"{INTERNAL}/gallery-{PICTURED}",
    "neighbours_judge": f"{INTERNAL}/neighbours-judge-{PICTURED}",
    "neighbours_pixels": f"{INTERNAL}/neighbours-pixels-{PICTURED}",
    "attribution": f"{INTERNAL}/attribution-{PICTURED}",
    "copies": f"{INTERNAL}/copies-{PICTURED}",
}
FIGURES_IN_REPORT = {
    "axes": dict(zip(plan.axes, AXIS_FIGURES)),
    "findings": dict(zip(plan.finest_names, FINDING_FIGURES)),
    "fidelity": dict(zip(plan.axes, FIDELITY_FIGURES)),
    "privacy": dict(zip(plan.axes, PRIVACY_FIGURES)),
    "readers": dict(zip(["accuracy", "roc"], READER_FIGURES)),
    "paper": {axis: f"{FIGURES}/paper-{axis}-two-columns" for axis in plan.axes},
    "training": dict(zip(plan.trainings, TRAINING_FIGURES)),
    "cohorts": {cohort: COHORT_FIGURE.format(cohort=cohort) for cohort in plan.cohorts},
    **{
        kind: {name: stem.format(**run) for name, run in plan.pictured.items()}
        for kind, stem in PICTURES.items()
    },
}


# One job for all of them: a figure takes less time than starting a job does.
rule number_figures:
    input:
        metrics=f"{RESULTS}/metrics.parquet",
        experiments=expand(f"{COHORT}/experiments.csv", cohort=plan.cohorts),
        stores=expand(f"{COHORT}/store/{plan.sizes[0]}/store.json", cohort=plan.cohorts),
    output:
        axes=report(
            expand("{stem}.svg", stem=AXIS_FIGURES),
            caption="captions/auroc.rst",
            category="Utility",
        ),
        findings=report(
            expand("{stem}.svg", stem=FINDING_FIGURES),
            caption="captions/findings.rst",
            category="Utility",
        ),
        fidelity=report(
            expand("{stem}.svg", stem=FIDELITY_FIGURES),
            caption="captions/fidelity.rst",
            category="Fidelity",
        ),
        privacy=report(
            expand("{stem}.svg", stem=PRIVACY_FIGURES),
            caption="captions/privacy.rst",
            category="Privacy",
        ),
        readers=report(
            expand("{stem}.svg", stem=READER_FIGURES),
            caption="captions/readers.rst",
            category="Readers",
        ),
        paper=report(
            expand("{stem}.svg", stem=PAPER_FIGURES),
            caption="captions/paper.rst",
            category="In the way of the paper",
        ),
        others=expand(
            "{stem}.{kind}",
            stem=[
                *AXIS_FIGURES,
                *FINDING_FIGURES,
                *FIDELITY_FIGURES,
                *PRIVACY_FIGURES,
                *READER_FIGURES,
                *PAPER_FIGURES,
            ],
            kind=["pdf", "png", "csv"],
        ),
        tables=report(
            [f"{table}.csv" for table in TABLES],
            caption="captions/tables.rst",
            category="Tables",
        ),
        latex=[f"{table}.tex" for table in TABLES],
        claims=report(
            f"{RESULTS}/tables/claims.csv",
            caption="captions/claims.rst",
            category="Tables",
        ),
        attacks=report(
            f"{RESULTS}/tables/privacy.csv",
            caption="captions/attacks.rst",
            category="Tables",
        ),
    log:
        f"{RESULTS}/logs/number_figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/number_figures/all.tsv"
    priority: 1  # the longest of the figures: alone at the end it would leave cores idle
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(MINUTES["number_figures"]),
    params:
        published=plan.published,
        simulated=SIMULATED,
        version=versions.FIGURES,
    message:
        "Drawing the number figures and writing the tables"
    script:
        "../scripts/number_figures.py"


rule training_figures:
    input:
        files.expand_generators(f"{RUN}/history.csv"),
    output:
        shown=report(
            expand("{stem}.svg", stem=TRAINING_FIGURES),
            caption="captions/training.rst",
            category="Training",
        ),
        others=expand(
            "{stem}.{kind}", stem=TRAINING_FIGURES, kind=["pdf", "png", "csv"]
        ),
    log:
        f"{RESULTS}/logs/training_figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/training_figures/all.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(MINUTES["training_figures"]),
    params:
        trainings=plan.trainings,
        simulated=SIMULATED,
        version=versions.FIGURES,
    message:
        "Drawing the training curves"
    script:
        "../scripts/training_figures.py"


rule picture_figures:
    input:
        samples=f"{RUN}/samples.npz",
        gallery=f"{RUN}/gallery.npz",
        neighbours=f"{RUN}/neighbours.npz",
        attribution=f"{EXPERIMENT}/attribution-{{replicate}}.npz",
        copies=f"{EXPERIMENT}/privacy-{{replicate}}.npz",
        store=lambda wildcards: files.store(
            wildcards.cohort, wildcards.experiment, COHORT, ["store.json"]
        ),
    output:
        expand("{stem}.{kind}", stem=PICTURES.values(), kind=FIGURE, allow_missing=True),
    log:
        f"{RESULTS}/logs/picture_figures/{PICTURED}.log",
    benchmark:
        f"{RESULTS}/benchmarks/picture_figures/{PICTURED}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(MINUTES["picture_figures"]),
    params:
        stems=lambda wildcards: {
            kind: stem.format(**wildcards) for kind, stem in PICTURES.items()
        },
        version=versions.FIGURES,
    message:
        "Drawing the pictures of {wildcards.cohort} {wildcards.experiment} {wildcards.source}"
    script:
        "../scripts/picture_figures.py"


rule paper_pictures:
    input:
        neighbours=[
            f"{RUN}/neighbours.npz".format(**run) for run in plan.standing.values()
        ],
        attribution=[
            f"{EXPERIMENT}/attribution-{{replicate}}.npz".format(**run)
            for run in plan.standing.values()
        ],
        stores=expand(
            f"{COHORT}/store/{plan.sizes[0]}/store.json", cohort=plan.standing
        ),
    output:
        expand("{stem}.{kind}", stem=PAPER_PICTURES, kind=FIGURE),
    log:
        f"{RESULTS}/logs/paper_pictures.log",
    benchmark:
        f"{RESULTS}/benchmarks/paper_pictures/all.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(MINUTES["paper_pictures"]),
    params:
        sources={cohort: run["source"] for cohort, run in plan.standing.items()},
        version=versions.FIGURES,
    message:
        "Drawing neighbours and attribution in the way of the paper"
    script:
        "../scripts/paper_pictures.py"


rule cohort_figure:
    input:
        selection=lambda wildcards: f"{EXPERIMENT}/selection.parquet".format(
            cohort=wildcards.cohort, experiment=plan.finest(wildcards.cohort).name
        ),
        real=lambda wildcards: files.store(
            wildcards.cohort, plan.finest(wildcards.cohort).name, COHORT, STORE
        ),
    output:
        figure=expand(f"{COHORT_FIGURE}.{{kind}}", kind=FIGURE, allow_missing=True),
        sheet=f"{COHORT_FIGURE}.npz",
    log:
        f"{RESULTS}/logs/cohort_figure/{{cohort}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/cohort_figure/{{cohort}}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(MINUTES["cohort_figure"]),
    params:
        seed=study.seed,
        version=versions.FIGURES,
    message:
        "Drawing images of {wildcards.cohort}"
    script:
        "../scripts/cohort_figure.py"


rule report:
    input:
        metrics=f"{RESULTS}/metrics.parquet",
        experiments=expand(f"{COHORT}/experiments.csv", cohort=plan.cohorts),
        cohorts=expand(
            f"{COHORT}/{{file}}",
            cohort=plan.cohorts,
            file=["index.parquet", "split.parquet"],
        ),
        stores=expand(
            f"{COHORT}/store/{plan.sizes[-1]}/{{file}}",
            cohort=plan.cohorts,
            file=STORE,
        ),
        figures=[
            f"{stem}.{kind}"
            for stems in FIGURES_IN_REPORT.values()
            for stem in stems.values()
            for kind in FIGURE
        ],
        generators=files.expand_generators(f"{RUN}/generator.json"),
        histories=files.expand_generators(f"{RUN}/history.csv"),
    output:
        page=f"{RESULTS}/report.html",
        shareable=f"{RESULTS}/report-shareable.html",
        verdict=report(
            f"{RESULTS}/tables/verdict.csv",
            caption="captions/verdict.rst",
            category="Tables",
        ),
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/all.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(MINUTES["report"]),
    params:
        figures=FIGURES_IN_REPORT,
        margin=study.statistics.non_inferiority_margin,
        simulated=SIMULATED,
        size=plan.sizes[-1],
        digests={"requirements.lock": lock_digest(workflow.basedir)},
        version=versions.REPORT,
    message:
        "Writing the report"
    script:
        "../scripts/report.py"


rule figures:
    input:
        rules.report.input.figures,
        rules.number_figures.output,
        expand("{stem}.{kind}", stem=PAPER_PICTURES, kind=FIGURE),
