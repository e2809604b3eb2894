# What the synthetic cohorts are worth.


rule utility:
    input:
        experiments=f"{COHORT}/experiments.csv",
        store=lambda wildcards: plan.store(
            wildcards.cohort, wildcards.experiment, COHORT, ["store.json"]
        ),
        predictions=lambda wildcards: plan.expand(
            f"{RUN}/predictions.parquet", *wildcards
        ),
    output:
        f"{EXPERIMENT}/utility.parquet",
    log:
        f"{RESULTS}/logs/utility/{{cohort}}-{{experiment}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/utility/{{cohort}}-{{experiment}}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        sources=lambda wildcards: plan.experiment(*wildcards).sources,
        replicates=plan.replicates,
        statistics=study.statistics.model_dump(mode="json"),
        protocol=study.protocol.model_dump(
            mode="json", include={"flip_auroc", "own_findings_only"}
        ),
        study=study.study,
        seed=study.seed,
        version=versions.METRICS,
    message:
        "Comparing the classifiers of {wildcards.cohort} {wildcards.experiment}"
    script:
        "../scripts/utility.py"


rule gallery:
    input:
        selection=f"{EXPERIMENT}/selection.parquet",
        real=lambda wildcards: plan.store(
            wildcards.cohort, wildcards.experiment, COHORT, STORE
        ),
        synthetic=lambda wildcards: (
            []
            if wildcards.source == REAL
            else expand(
                f"{RUN}/synthetic/{{part}}/{{file}}",
                part=["train", "valid"],
                file=STORE,
                allow_missing=True,
            )
        ),
    output:
        f"{RUN}/gallery.npz",
    log:
        f"{RESULTS}/logs/gallery/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/gallery/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.tsv"
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
        "Choosing images of {wildcards.cohort} {wildcards.experiment} {wildcards.source} to show"
    script:
        "../scripts/gallery.py"


rule metrics:
    input:
        plan.expand(f"{EXPERIMENT}/utility.parquet"),
    output:
        f"{RESULTS}/metrics.parquet",
    log:
        f"{RESULTS}/logs/metrics.log",
    benchmark:
        f"{RESULTS}/benchmarks/metrics/all.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        version=versions.METRICS,
    message:
        "Collecting the metrics"
    script:
        "../scripts/metrics.py"
