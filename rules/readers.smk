# A reader study: `snakemake reader_study` builds it, `synthcohort serve` shows it, and its answers are analysed here.
READERS = f"{RESULTS}/readers"
READER_METRICS = [f"{READERS}/metrics.parquet"] if study.readers else []
SHOWN = list(plan.pictured.values())


# What is served, and people's answers, are in reader-studies/ID/, the answer key is in private/: neither is an output,
# as Snakemake deletes outputs. The study tells its ID.
rule reader_study:
    input:
        selections=[f"{EXPERIMENT}/selection.parquet".format(**run) for run in SHOWN],
        real=[
            file
            for run in SHOWN
            for file in files.store(
                run["cohort"], run["experiment"], COHORT, ["store.json"]
            )
        ],
        synthetic=[f"{RUN}/synthetic/train/store.json".format(**run) for run in SHOWN],
    output:
        f"{READERS}/study.json",
    log:
        f"{RESULTS}/logs/reader_study.log",
    benchmark:
        f"{RESULTS}/benchmarks/reader_study/all.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(MINUTES["reader_study"]),
    params:
        shown=SHOWN,
        readers=study.readers and study.readers.model_dump(mode="json"),
        study=study.study,
        seed=study.seed,
        version=versions.READERS,
    message:
        "Building the reader study"
    script:
        "../scripts/reader_study.py"


rule simulated_readers:
    input:
        f"{READERS}/study.json",
    output:
        f"{READERS}/simulated.parquet",
    log:
        f"{RESULTS}/logs/simulated_readers.log",
    benchmark:
        f"{RESULTS}/benchmarks/simulated_readers/all.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(MINUTES["simulated_readers"]),
    params:
        seed=study.seed,
        version=versions.READERS,
    message:
        "Letting simulated readers answer a copy of the reader study"
    script:
        "../scripts/simulated_readers.py"


rule reader_metrics:
    input:
        told=f"{READERS}/study.json",
        simulated=(
            f"{READERS}/simulated.parquet"
            if study.readers and study.readers.simulate
            else []
        ),
    output:
        f"{READERS}/metrics.parquet",
    log:
        f"{RESULTS}/logs/reader_metrics.log",
    benchmark:
        f"{RESULTS}/benchmarks/reader_metrics/all.tsv"
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(MINUTES["reader_metrics"]),
    params:
        answers=lambda wildcards: answers_given(f"{READERS}/study.json"),
        margin=study.readers and study.readers.margin,
        replicate=plan.replicates[0],
        statistics=study.statistics.model_dump(
            mode="json", include={"bootstrap", "confidence"}
        ),
        study=study.study,
        seed=study.seed,
        version=versions.READERS,
    message:
        "Measuring how well readers tell synthetic images from real ones"
    script:
        "../scripts/reader_metrics.py"
