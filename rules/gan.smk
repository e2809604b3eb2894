# A generator learns a cohort, and a synthetic cohort is sampled from it.


rule train_generator:
    input:
        selection=f"{EXPERIMENT}/selection.parquet",
        real=lambda wildcards: plan.store(
            wildcards.cohort, wildcards.experiment, COHORT, STORE
        ),
        guide=expand(
            f"{RUN}/classifier.{{kind}}",
            kind=["safetensors", "json"],
            source=REAL,
            allow_missing=True,
        ),
    output:
        weights=f"{RUN}/generator.safetensors",
        network=f"{RUN}/generator.json",
        history=f"{RUN}/history.csv",
    log:
        f"{RESULTS}/logs/train_generator/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_generator/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.tsv"
    conda:
        CONDA
    threads: study.threads
    resources:
        mem_mb=3000,
        runtime=1440,
    params:
        kimg=lambda wildcards: plan.kimg(
            wildcards.source, wildcards.cohort, wildcards.experiment
        ),
        horizontal_flip=lambda wildcards: plan.cohort(wildcards.cohort).horizontal_flip,
        seed=study.seed,
        threads=study.threads,
        device=study.device,
        version=versions.GENERATOR,
    message:
        "Training {wildcards.source} on {wildcards.cohort} {wildcards.experiment}"
    script:
        "../scripts/train_generator.py"


rule sample:
    input:
        selection=f"{EXPERIMENT}/selection.parquet",
        real=lambda wildcards: plan.store(
            wildcards.cohort, wildcards.experiment, COHORT, STORE
        ),
        weights=f"{RUN}/generator.safetensors",
        network=f"{RUN}/generator.json",
    output:
        train=expand(f"{RUN}/synthetic/train/{{file}}", file=STORE, allow_missing=True),
        valid=expand(f"{RUN}/synthetic/valid/{{file}}", file=STORE, allow_missing=True),
    log:
        f"{RESULTS}/logs/sample/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/sample/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.tsv"
    conda:
        CONDA
    threads: study.threads
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        seed=study.seed,
        threads=study.threads,
        device=study.device,
        version=versions.SAMPLE,
    message:
        "Sampling a synthetic cohort: {wildcards.cohort} {wildcards.experiment} {wildcards.source}"
    script:
        "../scripts/sample.py"
