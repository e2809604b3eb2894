# What the synthetic cohorts are worth.


rule utility:
    input:
        experiments=f"{COHORT}/experiments.csv",
        store=lambda wildcards: plan.store(wildcards.cohort, wildcards.experiment, COHORT, ["store.json"]),
        predictions=lambda wildcards: plan.expand(f"{RUN}/predictions.parquet", *wildcards),
    output:
        f"{EXPERIMENT}/utility.parquet",
    params:
        sources=lambda wildcards: plan.experiment(*wildcards).sources,
        replicates=plan.replicates,
        statistics=study.statistics.model_dump(mode="json"),
        study=study.study,
        seed=study.seed,
        version=versions.METRICS,
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    log:
        f"{RESULTS}/logs/utility/{{cohort}}-{{experiment}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/utility/{{cohort}}-{{experiment}}.tsv"
    message:
        "Comparing the classifiers of {wildcards.cohort} {wildcards.experiment}"
    conda:
        CONDA
    script:
        "../scripts/utility.py"


rule gallery:
    input:
        selection=f"{EXPERIMENT}/selection.parquet",
        real=lambda wildcards: plan.store(wildcards.cohort, wildcards.experiment, COHORT, STORE),
        synthetic=lambda wildcards: (
            []
            if wildcards.source == REAL
            else expand(f"{RUN}/synthetic/{{part}}/{{file}}", part=["train", "valid"], file=STORE, allow_missing=True)
        ),
    output:
        f"{RUN}/gallery.npz",
    params:
        seed=study.seed,
        version=versions.FIGURES,
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    log:
        f"{RESULTS}/logs/gallery/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/gallery/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.tsv"
    message:
        "Choosing images of {wildcards.cohort} {wildcards.experiment} {wildcards.source} to show"
    conda:
        CONDA
    script:
        "../scripts/gallery.py"


rule metrics:
    input:
        plan.expand(f"{EXPERIMENT}/utility.parquet"),
    output:
        f"{RESULTS}/metrics.parquet",
    params:
        version=versions.METRICS,
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    log:
        f"{RESULTS}/logs/metrics.log",
    benchmark:
        f"{RESULTS}/benchmarks/metrics/all.tsv"
    message:
        "Collecting the metrics"
    conda:
        CONDA
    script:
        "../scripts/metrics.py"
