# The predictive model, trained on real or synthetic images, tested on real patients; and the judge.


rule train_classifier:
    input:
        selection=lambda wildcards: files.selection(
            EXPERIMENT, wildcards.cohort, wildcards.experiment, wildcards.replicate
        ),
        real=lambda wildcards: files.store(
            wildcards.cohort, wildcards.experiment, COHORT, STORE
        ),
        synthetic=lambda wildcards: (
            []
            if wildcards.source == REAL
            else expand(
                f"{RUN}/synthetic/{{part}}/{{file}}",
                part=["train", "valid"],
                file=STORE,
                source=plan.family(wildcards.source),
                allow_missing=True,
            )
        ),
        before=lambda wildcards: (
            expand(
                f"{RUN}/classifier.safetensors",
                source=plan.family(wildcards.source),
                allow_missing=True,
            )
            if wildcards.source.startswith("pre-")
            else []
        ),
    output:
        weights=f"{RUN}/classifier.safetensors",
        network=f"{RUN}/classifier.json",
        history=f"{RUN}/classifier-history.csv",
        predictions=f"{RUN}/predictions.parquet",
    log:
        f"{RESULTS}/logs/train_classifier/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_classifier/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.tsv"
    conda:
        CONDA
    threads: study.threads
    resources:
        mem_mb=growing(3000),
        runtime=growing(MINUTES["train_classifier"]),
        gpu=plan.cards(),
        gpu_model=plan.card_type,
    params:
        classifier=plan.classifier.model_dump(mode="json"),
        mirror=lambda wildcards: plan.mirrors(wildcards.cohort),
        drop_incomplete_batch=study.protocol.drop_incomplete_batch,
        seed=study.seed,
        threads=study.threads,
        device=study.device,
        version=versions.CLASSIFIER,
    message:
        "Training the classifier of {wildcards.cohort} {wildcards.experiment} on {wildcards.source} images"
    script:
        "../scripts/train_classifier.py"


rule train_judge:
    input:
        split=f"{COHORT}/split.parquet",
        store=expand(
            f"{COHORT}/store/{{size}}/{{file}}", file=STORE, allow_missing=True
        ),
    output:
        expand(f"{JUDGE}/{{file}}", file=CLASSIFIER, allow_missing=True),
        history=f"{JUDGE}/classifier-history.csv",
    log:
        f"{RESULTS}/logs/train_judge/{{cohort}}-{{size}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_judge/{{cohort}}-{{size}}.tsv"
    conda:
        CONDA
    threads: study.threads
    resources:
        mem_mb=growing(3000),
        runtime=growing(MINUTES["train_judge"]),
        gpu=plan.cards(),
        gpu_model=plan.card_type,
    params:
        classifier=study.judge.model_dump(mode="json"),
        mirror=lambda wildcards: plan.mirrors(wildcards.cohort),
        minimum_combination=lambda wildcards: plan.cohort(
            wildcards.cohort
        ).minimum_combination,
        maximum_combination=lambda wildcards: plan.cohort(
            wildcards.cohort
        ).maximum_combination,
        seed=study.seed,
        threads=study.threads,
        device=study.device,
        version=versions.CLASSIFIER,
    message:
        "Training the judge of {wildcards.cohort} at {wildcards.size}"
    script:
        "../scripts/train_judge.py"
