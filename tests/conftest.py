"""For all tests: one compute thread, as in the default study, so that tests side by side do not fight for cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where SLURM's commands are installed without a configuration, every start of Snakemake would ask the network for one.
os.environ.setdefault("SLURM_CONF", "/dev/null")
