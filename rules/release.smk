# A synthetic cohort that can leave the hospital: `snakemake release`, never a part of `all`.
RELEASE = f"{RESULTS}/release"
RELEASED_WEIGHTS = (
    ["generator.safetensors", "generator.json"]
    if study.release and study.release.weights
    else []
)


# Images and pictures are no outputs of their own: their number is known only when they are made. The manifest, which is
# written last, lists them all.
rule release:
    input:
        metrics=f"{RESULTS}/metrics.parquet",
        store=lambda wildcards: files.store(
            released(plan)["cohort"],
            released(plan)["experiment"],
            COHORT,
            ["store.json"],
        ),
        selection=lambda wildcards: expand(
            f"{EXPERIMENT}/selection.parquet", **released(plan)
        ),
        train=lambda wildcards: expand(
            f"{RUN}/synthetic/train/{{file}}", file=STORE, **released(plan)
        ),
        valid=lambda wildcards: expand(
            f"{RUN}/synthetic/valid/{{file}}", file=STORE, **released(plan)
        ),
        generator=lambda wildcards: files.generator_files(
            RUN, ["generator.json"], *released(plan).values()
        ),
        weights=lambda wildcards: files.generator_files(
            RUN, RELEASED_WEIGHTS, *released(plan).values()
        ),
    output:
        manifest=f"{RELEASE}/manifest-sha256.txt",
        others=expand(
            f"{RELEASE}/{{file}}",
            file=["README.md", "croissant.json", "data/labels.csv"],
        ),
        weights=expand(f"{RELEASE}/generator/{{file}}", file=RELEASED_WEIGHTS),
    log:
        f"{RESULTS}/logs/release.log",
    benchmark:
        f"{RESULTS}/benchmarks/release/all.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(MINUTES["release"]),
    params:
        release=study.release and study.release.model_dump(mode="json"),
        ingest=lambda wildcards: plan.ingest(released(plan)["cohort"]).model_dump(
            mode="json", include={"modalities", "frontal_only"}
        ),
        label_policy=lambda wildcards: label_policy(plan, released(plan)["cohort"]),
        statistics=study.statistics.model_dump(mode="json"),
        copy_labels=study.protocol.copy_labels,
        shadows=study.privacy.shadows,
        seed=study.seed,
        version=versions.RELEASE,
    message:
        "Building the release bundle, if the privacy gate lets it pass"
    script:
        "../scripts/release.py"
