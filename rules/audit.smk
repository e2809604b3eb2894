# What the synthetic cohorts are worth, and how real they look.
# The margin changes words alone, no measurement.
STATISTICS = study.statistics.model_dump(
    mode="json", exclude={"non_inferiority_margin"}
)


rule utility:
    input:
        experiments=f"{COHORT}/experiments.csv",
        store=lambda wildcards: files.store(
            wildcards.cohort, wildcards.experiment, COHORT, ["store.json"]
        ),
        predictions=lambda wildcards: files.expand(
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
        mem_mb=growing(2000),
        runtime=growing(MINUTES["utility"]),
    params:
        sources=lambda wildcards: plan.experiment(*wildcards).sources,
        replicates=plan.replicates,
        statistics=STATISTICS,
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
        mem_mb=growing(1000),
        runtime=growing(MINUTES["gallery"]),
    params:
        seed=study.seed,
        version=versions.FIGURES,
    message:
        "Choosing images of {wildcards.cohort} {wildcards.experiment} {wildcards.source} to show"
    script:
        "../scripts/gallery.py"


rule fidelity:
    input:
        selection=f"{EXPERIMENT}/selection.parquet",
        real=lambda wildcards: files.store(
            wildcards.cohort, wildcards.experiment, COHORT, STORE
        ),
        judge=lambda wildcards: files.judge(
            JUDGE, CLASSIFIER, wildcards.cohort, wildcards.experiment
        ),
        experiments=f"{COHORT}/experiments.csv",
        synthetic=lambda wildcards: files.samples(
            f"{RUN}/synthetic/train", STORE, *wildcards
        ),
    output:
        f"{EXPERIMENT}/fidelity-{{replicate}}.parquet",
    log:
        f"{RESULTS}/logs/fidelity/{{cohort}}-{{experiment}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fidelity/{{cohort}}-{{experiment}}-{{replicate}}.tsv"
    conda:
        CONDA
    threads: study.threads
    resources:
        mem_mb=growing_with_side(plan, 3000),
        runtime=growing(MINUTES["fidelity"]),
        gpu=plan.cards(),
        gpu_model=plan.card_type,
    params:
        study=study.study,
        statistics=STATISTICS,
        seed=study.seed,
        threads=study.threads,
        device=study.device,
        version=versions.AUDIT,
    message:
        "Measuring the fidelity of the samples of {wildcards.cohort} {wildcards.experiment}"
    script:
        "../scripts/fidelity.py"


rule neighbours:
    input:
        selection=f"{EXPERIMENT}/selection.parquet",
        real=lambda wildcards: files.store(
            wildcards.cohort, wildcards.experiment, COHORT, STORE
        ),
        judge=lambda wildcards: files.judge(
            JUDGE, CLASSIFIER, wildcards.cohort, wildcards.experiment
        ),
        synthetic=expand(
            f"{RUN}/synthetic/train/{{file}}", file=STORE, allow_missing=True
        ),
    output:
        metrics=f"{RUN}/neighbours.parquet",
        gallery=f"{RUN}/neighbours.npz",
        table=f"{RUN}/neighbours.csv",
    log:
        f"{RESULTS}/logs/neighbours/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/neighbours/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.tsv"
    conda:
        CONDA
    threads: study.threads
    resources:
        mem_mb=growing_with_side(plan, 3000),
        runtime=growing(MINUTES["neighbours"]),
        gpu=plan.cards(),
        gpu_model=plan.card_type,
    params:
        study=study.study,
        statistics=STATISTICS,
        seed=study.seed,
        threads=study.threads,
        device=study.device,
        version=versions.AUDIT,
    message:
        "Finding the real images next to {wildcards.source} samples of {wildcards.cohort} {wildcards.experiment}"
    script:
        "../scripts/neighbours.py"


rule detection:
    input:
        selection=f"{EXPERIMENT}/selection.parquet",
        real=lambda wildcards: files.store(
            wildcards.cohort, wildcards.experiment, COHORT, STORE
        ),
        synthetic=lambda wildcards: files.samples(
            f"{RUN}/synthetic/train", STORE, *wildcards
        ),
    output:
        f"{EXPERIMENT}/detection-{{replicate}}.parquet",
    log:
        f"{RESULTS}/logs/detection/{{cohort}}-{{experiment}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/detection/{{cohort}}-{{experiment}}-{{replicate}}.tsv"
    conda:
        CONDA
    threads: study.threads
    resources:
        mem_mb=growing_with_side(plan, 3000),
        runtime=growing(MINUTES["detection"]),
        gpu=plan.cards(),
        gpu_model=plan.card_type,
    params:
        study=study.study,
        statistics=STATISTICS,
        seed=study.seed,
        threads=study.threads,
        device=study.device,
        version=versions.AUDIT,
    message:
        "Telling samples of {wildcards.cohort} {wildcards.experiment} from real images"
    script:
        "../scripts/detection.py"


rule attribution:
    input:
        selection=f"{EXPERIMENT}/selection.parquet",
        real=lambda wildcards: files.store(
            wildcards.cohort, wildcards.experiment, COHORT, STORE
        ),
        classifiers=lambda wildcards: files.classifiers(RUN, CLASSIFIER, *wildcards),
    output:
        metrics=f"{EXPERIMENT}/attribution-{{replicate}}.parquet",
        gallery=f"{EXPERIMENT}/attribution-{{replicate}}.npz",
    log:
        f"{RESULTS}/logs/attribution/{{cohort}}-{{experiment}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/attribution/{{cohort}}-{{experiment}}-{{replicate}}.tsv"
    conda:
        CONDA
    threads: study.threads
    resources:
        mem_mb=growing_with_side(plan, 3000),
        runtime=growing(MINUTES["attribution"]),
        gpu=plan.cards(),
        gpu_model=plan.card_type,
    params:
        study=study.study,
        statistics=STATISTICS,
        seed=study.seed,
        threads=study.threads,
        device=study.device,
        version=versions.AUDIT,
    message:
        "Mapping where the classifiers of {wildcards.cohort} {wildcards.experiment} look"
    script:
        "../scripts/attribution.py"


if study.privacy.shadows:

    # Shadows of a replicate are trained like other replicates, each on a selection of its own.
    rule select_shadows:
        input:
            selection=f"{EXPERIMENT}/selection.parquet",
            real=lambda wildcards: files.store(
                wildcards.cohort, wildcards.experiment, COHORT, STORE
            ),
        output:
            expand(
                f"{EXPERIMENT}/shadows/{{replicate}}s{{number}}.parquet",
                number=range(study.privacy.shadows),
                allow_missing=True,
            ),
        log:
            f"{RESULTS}/logs/select_shadows/{{cohort}}-{{experiment}}-{{replicate}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/select_shadows/{{cohort}}-{{experiment}}-{{replicate}}.tsv"
        wildcard_constraints:
            replicate="r[0-9]+",
        conda:
            CONDA
        threads: 1
        resources:
            mem_mb=growing(1000),
            runtime=growing(MINUTES["select_shadows"]),
        params:
            seed=study.seed,
            version=versions.PRIVACY,
        message:
            "Dealing the patients of {wildcards.cohort} {wildcards.experiment} to shadow generators"
        script:
            "../scripts/select_shadows.py"


rule privacy:
    input:
        selection=f"{EXPERIMENT}/selection.parquet",
        real=lambda wildcards: files.store(
            wildcards.cohort, wildcards.experiment, COHORT, STORE
        ),
        judge=lambda wildcards: files.judge(
            JUDGE, CLASSIFIER, wildcards.cohort, wildcards.experiment
        ),
        synthetic=lambda wildcards: [
            path
            for part in ("train", "valid")
            for path in files.samples(f"{RUN}/synthetic/{part}", STORE, *wildcards)
        ],
        discriminators=lambda wildcards: files.discriminators(RUN, *wildcards),
        shadows=lambda wildcards: [
            path
            for part in ("train", "valid")
            for path in files.shadow_samples(
                f"{RUN}/synthetic/{part}", STORE, *wildcards
            )
        ],
        shadow_selections=lambda wildcards: files.shadow_selections(
            EXPERIMENT, *wildcards
        ),
    output:
        metrics=f"{EXPERIMENT}/privacy-{{replicate}}.parquet",
        pairs=f"{EXPERIMENT}/privacy-{{replicate}}.npz",
    log:
        f"{RESULTS}/logs/privacy/{{cohort}}-{{experiment}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/privacy/{{cohort}}-{{experiment}}-{{replicate}}.tsv"
    conda:
        CONDA
    threads: study.threads
    resources:
        mem_mb=growing_with_side(plan, 3000),
        runtime=growing(MINUTES["privacy"]),
        gpu=plan.cards(),
        gpu_model=plan.card_type,
    params:
        study=study.study,
        statistics=STATISTICS,
        seed=study.seed,
        threads=study.threads,
        device=study.device,
        canaries=study.privacy.canaries,
        mirrored=lambda wildcards: plan.generators_mirror(wildcards.cohort),
        version=versions.PRIVACY,
    message:
        "Attacking the synthetic cohorts of {wildcards.cohort} {wildcards.experiment}"
    script:
        "../scripts/privacy.py"


rule metrics:
    input:
        files.expand(f"{EXPERIMENT}/utility.parquet"),
        files.expand(f"{EXPERIMENT}/fidelity-{{replicate}}.parquet"),
        files.expand(f"{EXPERIMENT}/privacy-{{replicate}}.parquet"),
        files.expand_generators(f"{RUN}/neighbours.parquet", axis="resolution"),
        files.expand_generators(
            f"{EXPERIMENT}/detection-{{replicate}}.parquet", axis="resolution"
        ),
        files.expand_generators(
            f"{EXPERIMENT}/attribution-{{replicate}}.parquet", axis="resolution"
        ),
        READER_METRICS,
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
        mem_mb=growing(1000),
        runtime=growing(MINUTES["metrics"]),
    params:
        version=versions.METRICS,
    message:
        "Collecting the metrics"
    script:
        "../scripts/metrics.py"
