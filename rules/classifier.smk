# The predictive model, trained on real or synthetic images, tested on real patients.


rule train_classifier:
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
        mem_mb=3000,
        runtime=720,
    params:
        classifier=study.classifier.model_dump(mode="json"),
        horizontal_flip=lambda wildcards: plan.cohort(wildcards.cohort).horizontal_flip,
        seed=study.seed,
        threads=study.threads,
        device=study.device,
        version=versions.CLASSIFIER,
    message:
        "Training the classifier of {wildcards.cohort} {wildcards.experiment} on {wildcards.source} images"
    script:
        "../scripts/train_classifier.py"
