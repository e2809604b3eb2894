# A generator learns a cohort, and a synthetic cohort is sampled from it.


rule train_generator:
    input:
        selection=f"{EXPERIMENT}/selection.parquet",
        real=lambda wildcards: plan.store(wildcards.cohort, wildcards.experiment, COHORT, STORE),
        guide=expand(f"{RUN}/classifier.{{kind}}", kind=["safetensors", "json"], source=REAL, allow_missing=True),
    output:
        weights=f"{RUN}/generator.safetensors",
        network=f"{RUN}/generator.json",
        history=f"{RUN}/history.csv",
    params:
        generator=lambda wildcards: plan.generator(wildcards.source).model_dump(mode="json"),
        seed=study.seed,
        threads=study.threads,
        device=study.device,
        version=versions.GENERATOR,
    threads: study.threads
    resources:
        mem_mb=3000,
        runtime=1440,
    log:
        f"{RESULTS}/logs/train_generator/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_generator/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.tsv"
    message:
        "Training {wildcards.source} on {wildcards.cohort} {wildcards.experiment}"
    conda:
        CONDA
    script:
        "../scripts/train_generator.py"


rule sample:
    input:
        selection=f"{EXPERIMENT}/selection.parquet",
        real=lambda wildcards: plan.store(wildcards.cohort, wildcards.experiment, COHORT, STORE),
        weights=f"{RUN}/generator.safetensors",
        network=f"{RUN}/generator.json",
    output:
        train=expand(f"{RUN}/synthetic/train/{{file}}", file=STORE, allow_missing=True),
        valid=expand(f"{RUN}/synthetic/valid/{{file}}", file=STORE, allow_missing=True),
    params:
        minimum_combination=lambda wildcards: plan.cohort(wildcards.cohort).minimum_combination,
        seed=study.seed,
        threads=study.threads,
        device=study.device,
        version=versions.SAMPLE,
    threads: study.threads
    resources:
        mem_mb=3000,
        runtime=120,
    log:
        f"{RESULTS}/logs/sample/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/sample/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.tsv"
    message:
        "Sampling a synthetic cohort: {wildcards.cohort} {wildcards.experiment} {wildcards.source}"
    conda:
        CONDA
    script:
        "../scripts/sample.py"
