# A generator learns a cohort, and a synthetic cohort is sampled from it.
GENERATOR = [
    "generator.safetensors",
    "generator.json",
    "discriminator.safetensors",
    "unaveraged.safetensors",
    "history.csv",
    "samples.npz",
]
GUIDE = expand(
    f"{RUN}/classifier.{{kind}}",
    kind=["safetensors", "json"],
    source=REAL,
    allow_missing=True,
)


rule train_generator:
    input:
        selection=lambda wildcards: files.selection(
            EXPERIMENT, wildcards.cohort, wildcards.experiment, wildcards.replicate
        ),
        real=lambda wildcards: files.store(
            wildcards.cohort, wildcards.experiment, COHORT, STORE
        ),
        guide=lambda wildcards: [] if wildcards.source in plan.private else GUIDE,
    output:
        expand(f"{RUN}/{{file}}", file=GENERATOR, allow_missing=True),
    log:
        f"{RESULTS}/logs/train_generator/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_generator/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.tsv"
    wildcard_constraints:
        source="|".join(set(plan.families) - set(plan.growing)) or "(?!)",
    conda:
        CONDA
    threads: study.threads * study.processes
    resources:
        mem_mb=training_memory(plan),
        runtime=growing(MINUTES["train_generator"]),
        gpu=plan.cards(study.processes),
        gpu_model=plan.card_type,
        nodes=1,
    params:
        training=lambda wildcards: plan.training(
            wildcards.cohort, wildcards.experiment, wildcards.source
        ),
        stop_rule=plan.stop_rule.model_dump(mode="json"),
        seed=study.seed,
        threads=study.threads,
        processes=study.processes,
        device=study.device,
        version=versions.GENERATOR,
    message:
        "Training {wildcards.source} on {wildcards.cohort} {wildcards.experiment}"
    script:
        "../scripts/train_generator.py"


rule train_stage:
    input:
        selection=lambda wildcards: files.selection(
            EXPERIMENT, wildcards.cohort, wildcards.experiment, wildcards.replicate
        ),
        real=lambda wildcards: files.store(
            wildcards.cohort, wildcards.experiment, COHORT, STORE
        ),
        guide=lambda wildcards: (
            GUIDE
            if int(wildcards.stage)
            == plan.experiment(wildcards.cohort, wildcards.experiment).resolution
            else []
        ),
        before=lambda wildcards: files.files_before(RUN, GENERATOR, *wildcards),
    output:
        expand(f"{RUN}/stage-{{stage}}/{{file}}", file=GENERATOR, allow_missing=True),
    log:
        f"{RESULTS}/logs/train_stage/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}-{{stage}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_stage/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}-{{stage}}.tsv"
    wildcard_constraints:
        source="|".join(plan.growing) or "(?!)",
        stage="[0-9]{3}",
    # The longest chain of a study: what begins last would end alone.
    priority: 1
    conda:
        CONDA
    threads: study.threads * study.processes
    resources:
        mem_mb=training_memory(plan),
        runtime=growing(MINUTES["train_stage"]),
        gpu=plan.cards(study.processes),
        gpu_model=plan.card_type,
        nodes=1,
    params:
        training=lambda wildcards: plan.training(
            wildcards.cohort,
            wildcards.experiment,
            wildcards.source,
            int(wildcards.stage),
        ),
        stop_rule=plan.stop_rule.model_dump(mode="json"),
        seed=study.seed,
        threads=study.threads,
        processes=study.processes,
        device=study.device,
        version=versions.GENERATOR,
    message:
        "Growing {wildcards.source} to {wildcards.stage} on {wildcards.cohort} {wildcards.experiment}"
    script:
        "../scripts/train_stage.py"


rule grow:
    input:
        lambda wildcards: files.stage_files(RUN, GENERATOR, *wildcards),
    output:
        expand(f"{RUN}/{{file}}", file=GENERATOR, allow_missing=True),
    log:
        f"{RESULTS}/logs/grow/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/grow/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.tsv"
    wildcard_constraints:
        source="|".join(plan.growing) or "(?!)",
    conda:
        CONDA
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(MINUTES["grow"]),
    params:
        version=versions.GENERATOR,
    message:
        "Joining the stages of {wildcards.source} on {wildcards.cohort} {wildcards.experiment}"
    script:
        "../scripts/grow.py"


rule sample:
    input:
        selection=lambda wildcards: files.selection(
            EXPERIMENT, wildcards.cohort, wildcards.experiment, wildcards.replicate
        ),
        real=lambda wildcards: files.store(
            wildcards.cohort, wildcards.experiment, COHORT, STORE
        ),
        generator=lambda wildcards: files.generator_files(
            RUN, ["generator.safetensors", "generator.json"], *wildcards
        ),
        guide=lambda wildcards: (
            files.generator_files(
                RUN,
                ["classifier.safetensors", "classifier.json"],
                wildcards.cohort,
                wildcards.experiment,
                REAL,
                wildcards.replicate,
            )
            if plan.generator(wildcards.source).candidates > 1
            else []
        ),
    output:
        train=expand(f"{RUN}/synthetic/train/{{file}}", file=STORE, allow_missing=True),
        valid=expand(f"{RUN}/synthetic/valid/{{file}}", file=STORE, allow_missing=True),
    log:
        f"{RESULTS}/logs/sample/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/sample/{{cohort}}-{{experiment}}-{{source}}-{{replicate}}.tsv"
    wildcard_constraints:
        source="|".join(plan.families),
    conda:
        CONDA
    threads: study.threads
    resources:
        mem_mb=growing(3000),
        runtime=growing(MINUTES["sample"]),
        gpu=plan.cards(),
        gpu_model=plan.card_type,
    params:
        candidates=lambda wildcards: plan.generator(wildcards.source).candidates,
        copy_labels=study.protocol.copy_labels,
        amount=lambda wildcards: plan.experiment(
            wildcards.cohort, wildcards.experiment
        ).amount,
        seed=study.seed,
        threads=study.threads,
        device=study.device,
        version=versions.SAMPLE,
    message:
        "Sampling a synthetic cohort: {wildcards.cohort} {wildcards.experiment} {wildcards.source}"
    script:
        "../scripts/sample.py"
