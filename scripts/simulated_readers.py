"""Let simulated readers answer a copy of the reader study."""

from synthcohort.core.atomic import read_json, write_parquet
from synthcohort.core.job import run_job
from synthcohort.core.seeds import derive_seed
from synthcohort.readers.simulate import simulate_readers


def main(snakemake):
    """Write their answers beside the truth."""
    told = read_json(snakemake.input[0])
    seed = derive_seed(snakemake.params.seed, "simulated-readers")
    write_parquet(snakemake.output[0], simulate_readers(told["id"], seed))


run_job(snakemake, main)
