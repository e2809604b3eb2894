# Figures, tables and the report. Number figures come from metrics.parquet alone.
FIGURE = ["pdf", "svg", "png", "csv"]
SPACES = ["judge", "pixels"]


rule axis_figure:
    input:
        f"{RESULTS}/metrics.parquet",
    output:
        multiext(f"{RESULTS}/figures/auroc-{{axis}}", ".pdf", ".svg", ".png", ".csv"),
    log:
        f"{RESULTS}/logs/axis_figure/{{axis}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/axis_figure/{{axis}}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        version=versions.FIGURES,
    message:
        "Drawing AUROC against {wildcards.axis}"
    script:
        "../scripts/axis_figure.py"


rule finding_figure:
    input:
        metrics=f"{RESULTS}/metrics.parquet",
        experiments=expand(f"{COHORT}/experiments.csv", cohort=plan.cohorts),
        stores=expand(f"{COHORT}/store/{plan.sizes[0]}/store.json", cohort=plan.cohorts),
    output:
        multiext(
            f"{RESULTS}/figures/findings-{{experiment}}",
            ".pdf",
            ".svg",
            ".png",
            ".csv",
        ),
    log:
        f"{RESULTS}/logs/finding_figure/{{experiment}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/finding_figure/{{experiment}}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        version=versions.FIGURES,
    message:
        "Drawing AUROC per finding at {wildcards.experiment}"
    script:
        "../scripts/finding_figure.py"


rule training_figure:
    input:
        lambda wildcards: files.expand_generators(
            f"{RUN}/history.csv", wildcards.cohort, wildcards.axis
        ),
    output:
        multiext(
            f"{RESULTS}/figures/training-{{cohort}}-{{axis}}",
            ".pdf",
            ".svg",
            ".png",
            ".csv",
        ),
    log:
        f"{RESULTS}/logs/training_figure/{{cohort}}-{{axis}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/training_figure/{{cohort}}-{{axis}}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        version=versions.FIGURES,
    message:
        "Drawing the training curves of {wildcards.cohort} {wildcards.axis}"
    script:
        "../scripts/training_figure.py"


rule samples_figure:
    input:
        samples=f"{RUN}/samples.npz",
        store=lambda wildcards: files.store(
            wildcards.cohort, wildcards.experiment, COHORT, ["store.json"]
        ),
    output:
        multiext(
            f"{RESULTS}/figures/samples-{{cohort}}-{{experiment}}-{{source}}-{{replicate}}",
            ".pdf",
            ".svg",
            ".png",
            ".csv",
        ),
    log:
        f"{RESULTS}/logs/samples_figure/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/samples_figure/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        version=versions.FIGURES,
    message:
        "Drawing samples over training: {wildcards.cohort} {wildcards.experiment} {wildcards.source}"
    script:
        "../scripts/samples_figure.py"


rule cohort_figure:
    input:
        selection=lambda wildcards: f"{EXPERIMENT}/selection.parquet".format(
            cohort=wildcards.cohort, experiment=plan.finest(wildcards.cohort).name
        ),
        real=lambda wildcards: files.store(
            wildcards.cohort, plan.finest(wildcards.cohort).name, COHORT, STORE
        ),
    output:
        figure=multiext(
            f"{RESULTS}/internal/figures/cohort-{{cohort}}",
            ".pdf",
            ".svg",
            ".png",
            ".csv",
        ),
        sheet=f"{RESULTS}/internal/figures/cohort-{{cohort}}.npz",
    log:
        f"{RESULTS}/logs/cohort_figure/{{cohort}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/cohort_figure/{{cohort}}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        seed=study.seed,
        version=versions.FIGURES,
    message:
        "Drawing images of {wildcards.cohort}"
    script:
        "../scripts/cohort_figure.py"


rule gallery_figure:
    input:
        gallery=f"{RUN}/gallery.npz",
        store=lambda wildcards: files.store(
            wildcards.cohort, wildcards.experiment, COHORT, ["store.json"]
        ),
    output:
        multiext(
            f"{RESULTS}/internal/figures/gallery-{{cohort}}-{{experiment}}-{{source}}-{{replicate}}",
            ".pdf",
            ".svg",
            ".png",
            ".csv",
        ),
    log:
        f"{RESULTS}/logs/gallery_figure/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/gallery_figure/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        version=versions.FIGURES,
    message:
        "Drawing real beside synthetic images of {wildcards.cohort} {wildcards.experiment}"
    script:
        "../scripts/gallery_figure.py"


rule fidelity_figure:
    input:
        f"{RESULTS}/metrics.parquet",
    output:
        multiext(
            f"{RESULTS}/figures/fidelity-{{axis}}",
            ".pdf",
            ".svg",
            ".png",
            ".csv",
        ),
    log:
        f"{RESULTS}/logs/fidelity_figure/{{axis}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fidelity_figure/{{axis}}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        version=versions.FIGURES,
    message:
        "Drawing fidelity against {wildcards.axis}"
    script:
        "../scripts/fidelity_figure.py"


rule attribution_figure:
    input:
        maps=f"{EXPERIMENT}/attribution-{{replicate}}.npz",
        store=lambda wildcards: files.store(
            wildcards.cohort, wildcards.experiment, COHORT, ["store.json"]
        ),
    output:
        multiext(
            f"{RESULTS}/internal/figures/attribution-{{cohort}}-{{experiment}}-{{source}}-{{replicate}}",
            ".pdf",
            ".svg",
            ".png",
            ".csv",
        ),
    log:
        f"{RESULTS}/logs/attribution_figure/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/attribution_figure/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        version=versions.FIGURES,
    message:
        "Drawing where the classifiers of {wildcards.cohort} {wildcards.experiment} look"
    script:
        "../scripts/attribution_figure.py"


rule neighbours_figure:
    input:
        neighbours=f"{RUN}/neighbours.npz",
        store=lambda wildcards: files.store(
            wildcards.cohort, wildcards.experiment, COHORT, ["store.json"]
        ),
    output:
        multiext(
            f"{RESULTS}/internal/figures/neighbours-{{space}}-{{cohort}}-{{experiment}}-{{source}}-{{replicate}}",
            ".pdf",
            ".svg",
            ".png",
            ".csv",
        ),
    log:
        f"{RESULTS}/logs/neighbours_figure/{{space}}-{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/neighbours_figure/{{space}}-{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.tsv"
    wildcard_constraints:
        space="judge|pixels",
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        version=versions.FIGURES,
    message:
        "Drawing the real images next to {wildcards.source} samples of {wildcards.cohort} {wildcards.experiment}"
    script:
        "../scripts/neighbours_figure.py"


rule tables:
    input:
        f"{RESULTS}/metrics.parquet",
    output:
        expand(
            f"{RESULTS}/tables/{{axis}}.{{kind}}", axis=plan.axes, kind=["csv", "tex"]
        ),
    log:
        f"{RESULTS}/logs/tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/all.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        version=versions.FIGURES,
    message:
        "Writing the tables"
    script:
        "../scripts/tables.py"


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
        axes=expand(
            f"{RESULTS}/figures/auroc-{{axis}}.{{kind}}", axis=plan.axes, kind=FIGURE
        ),
        findings=expand(
            f"{RESULTS}/figures/findings-{{experiment}}.{{kind}}",
            experiment=plan.finest_names,
            kind=FIGURE,
        ),
        training=expand(
            f"{RESULTS}/figures/training-{{training}}.{{kind}}",
            training=plan.trainings,
            kind=FIGURE,
        ),
        samples=expand(
            f"{RESULTS}/figures/samples-{{gallery}}.{{kind}}",
            gallery=plan.galleries,
            kind=FIGURE,
        ),
        fidelity=expand(
            f"{RESULTS}/figures/fidelity-{{axis}}.{{kind}}",
            axis=plan.axes,
            kind=FIGURE,
        ),
        neighbours=expand(
            f"{RESULTS}/internal/figures/neighbours-{{space}}-{{gallery}}.{{kind}}",
            space=SPACES,
            gallery=plan.galleries,
            kind=FIGURE,
        ),
        attribution=expand(
            f"{RESULTS}/internal/figures/attribution-{{gallery}}.{{kind}}",
            gallery=plan.galleries,
            kind=FIGURE,
        ),
        generators=files.expand_generators(f"{RUN}/generator.json"),
        histories=files.expand_generators(f"{RUN}/history.csv"),
        sheets=expand(
            f"{RESULTS}/internal/figures/cohort-{{cohort}}.{{kind}}",
            cohort=plan.cohorts,
            kind=FIGURE,
        ),
        galleries=expand(
            f"{RESULTS}/internal/figures/gallery-{{gallery}}.{{kind}}",
            gallery=plan.galleries,
            kind=FIGURE,
        ),
        tables=rules.tables.output,
    output:
        f"{RESULTS}/report.html",
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/all.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        size=plan.sizes[-1],
        digests={"requirements.lock": lock_digest(workflow.basedir)},
        version=versions.REPORT,
    message:
        "Writing the report"
    script:
        "../scripts/report.py"


rule figures:
    input:
        rules.report.input.axes,
        rules.report.input.findings,
        rules.report.input.training,
        rules.report.input.samples,
        rules.report.input.sheets,
        rules.report.input.galleries,
        rules.report.input.fidelity,
        rules.report.input.neighbours,
        rules.report.input.attribution,
        rules.report.input.tables,
