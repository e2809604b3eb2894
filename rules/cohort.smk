# From image files to image stores, patient split and experiments.


rule draw:
    output:
        manifest="data/{drawn}/manifest.json",
        truth="data/{drawn}/truth.parquet",
    log:
        "data/{drawn}/draw.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw/{{drawn}}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(MINUTES["draw"]),
    params:
        phantom=lambda wildcards: phantom_of(plan, wildcards.drawn),
        version=versions.DRAW,
    message:
        "Drawing simulated patients: {wildcards.drawn}"
    script:
        "../scripts/draw.py"


rule index:
    input:
        lambda wildcards: files.manifest(wildcards.cohort),
    output:
        headers=temp(f"{COHORT}/headers.parquet"),
        findings=f"{COHORT}/findings.json",
    log:
        f"{RESULTS}/logs/index/{{cohort}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/index/{{cohort}}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=holding_tables(plan, "index"),
        runtime=growing(MINUTES["index"]),
    params:
        study=study.study,
        source=lambda wildcards: plan.source_of_images(wildcards.cohort),
        inventory=lambda wildcards: inventory_of(
            plan, wildcards.cohort, workflow.is_main_process
        ),
        findings=lambda wildcards: plan.cohort(wildcards.cohort).findings,
        drop_unlabelled=study.protocol.drop_unlabelled,
        ingest=lambda wildcards: plan.ingest(wildcards.cohort).model_dump(mode="json"),
        resolutions=plan.resolutions,
        seed=study.seed,
        version=versions.INDEX,
    message:
        "Reading the headers of {wildcards.cohort}"
    script:
        "../scripts/index.py"


rule preprocess:
    input:
        headers=f"{COHORT}/headers.parquet",
        findings=f"{COHORT}/findings.json",
    output:
        stores=temp(
            expand(
                f"{COHORT}/shards/{{shard}}/{{size}}/{{file}}",
                size=plan.sizes,
                file=STORE,
                allow_missing=True,
            )
        ),
        files=temp(f"{COHORT}/shards/{{shard}}/files.parquet"),
    log:
        f"{RESULTS}/logs/preprocess/{{cohort}}-{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/preprocess/{{cohort}}-{{shard}}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(MINUTES["preprocess"]),
    params:
        source=lambda wildcards: plan.source_of_images(wildcards.cohort),
        ingest=lambda wildcards: plan.ingest(wildcards.cohort).model_dump(mode="json"),
        resolutions=plan.resolutions,
        version=versions.PREPROCESS,
    message:
        "Decoding shard {wildcards.shard} of {wildcards.cohort}"
    script:
        "../scripts/preprocess.py"


rule merge:
    input:
        headers=f"{COHORT}/headers.parquet",
        files=lambda wildcards: files.shards(
            wildcards.cohort, f"{COHORT}/shards/{{shard}}/files.parquet"
        ),
        stores=lambda wildcards: expand(
            files.shards(
                wildcards.cohort,
                f"{COHORT}/shards/{{shard}}/{{{{size}}}}/{{{{file}}}}",
            ),
            size=plan.sizes,
            file=STORE,
        ),
    output:
        index=f"{COHORT}/index.parquet",
        stores=expand(
            f"{COHORT}/store/{{size}}/{{file}}",
            size=plan.sizes,
            file=STORE,
            allow_missing=True,
        ),
    log:
        f"{RESULTS}/logs/merge/{{cohort}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/merge/{{cohort}}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(MINUTES["merge"]),
    params:
        maximum_rejected=lambda wildcards: plan.cohort(
            wildcards.cohort
        ).ingest.maximum_rejected,
        resolutions=plan.resolutions,
        version=versions.PREPROCESS,
    message:
        "Merging the shards of {wildcards.cohort}"
    script:
        "../scripts/merge.py"


rule split:
    input:
        index=f"{COHORT}/index.parquet",
        records=f"{COHORT}/store/{plan.sizes[0]}/records.parquet",
        store=f"{COHORT}/store/{plan.sizes[0]}/store.json",
    output:
        split=f"{COHORT}/split.parquet",
        experiments=f"{COHORT}/experiments.csv",
    log:
        f"{RESULTS}/logs/split/{{cohort}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/split/{{cohort}}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=holding_tables(plan, "split"),
        runtime=growing(MINUTES["split"]),
    params:
        experiments=lambda wildcards: [
            item.name for item in plan.of_cohort(wildcards.cohort)
        ],
        axes=[axis.model_dump(mode="json") for axis in study.axes],
        minimum_combination=lambda wildcards: plan.cohort(
            wildcards.cohort
        ).minimum_combination,
        maximum_combination=lambda wildcards: plan.cohort(
            wildcards.cohort
        ).maximum_combination,
        unequal_totals=study.protocol.unequal_totals,
        minimum_positive_patients=study.statistics.minimum_positive_patients,
        private=lambda wildcards: plan.source_of_images(wildcards.cohort)["private"],
        seed=study.seed,
        version=versions.SPLIT,
    message:
        "Splitting the patients of {wildcards.cohort}, checking its experiments"
    script:
        "../scripts/split.py"


rule select_images:
    input:
        experiments=f"{COHORT}/experiments.csv",
        split=f"{COHORT}/split.parquet",
        records=f"{COHORT}/store/{plan.sizes[0]}/records.parquet",
        store=f"{COHORT}/store/{plan.sizes[0]}/store.json",
    output:
        f"{EXPERIMENT}/selection.parquet",
    log:
        f"{RESULTS}/logs/select_images/{{cohort}}-{{experiment}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/select_images/{{cohort}}-{{experiment}}.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=holding_tables(plan, "select_images"),
        runtime=growing(MINUTES["select_images"]),
    params:
        axis=lambda wildcards: plan.experiment(*wildcards).axis.model_dump(mode="json"),
        level=lambda wildcards: plan.experiment(*wildcards).level,
        minimum_combination=lambda wildcards: plan.cohort(
            wildcards.cohort
        ).minimum_combination,
        maximum_combination=lambda wildcards: plan.cohort(
            wildcards.cohort
        ).maximum_combination,
        unequal_totals=study.protocol.unequal_totals,
        seed=study.seed,
        version=versions.EXPERIMENTS,
    message:
        "Selecting the images of {wildcards.cohort} {wildcards.experiment}"
    script:
        "../scripts/select_images.py"


rule cohorts:
    input:
        expand(f"{COHORT}/experiments.csv", cohort=plan.cohorts),
