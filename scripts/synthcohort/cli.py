"""The `synthcohort` command: what is not part of the workflow."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil

from synthcohort.core.cohort_config import Ingest
from synthcohort.core.errors import UserError

CT = Ingest(modalities=["CT"])
RADIOGRAPHS = Ingest(modalities=["CR", "DX"])
HOST_HELP = "address to bind to (default: 127.0.0.1, this machine alone); for a network, put a TLS proxy in front"


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; a user's mistake is one sentence on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="synthcohort", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)

    inspect = verbs.add_parser("inspect", help="say what ingest makes of image files, without any identifier")
    inspect.add_argument("files", nargs="+", type=Path, metavar="FILE")
    inspect.add_argument("--resolution", type=int, default=32, help="smallest image side that is wanted (default: 32)")
    inspect.set_defaults(run=run_inspect)

    whereis = verbs.add_parser("whereis", help="print the path of a file_id to the terminal")
    whereis.add_argument("file_id")
    whereis.set_defaults(run=run_whereis)

    unlock = verbs.add_parser("unlock", help="remove the lock of a Snakemake that was killed, if nobody works here")
    unlock.set_defaults(run=run_unlock)

    plan = verbs.add_parser("plan", help="say what a study will cost before it is started, without any data")
    plan.add_argument("--configfile", type=Path, help="the study (default: config.yaml)")
    plan.add_argument("--cores", type=int, help="cores (default: this machine's; with cards, 16 for each)")
    plan.add_argument("--cards", type=int, default=0, help="GPUs (default: none)")
    plan.add_argument("--card", help="which GPU, for example a100")
    plan.add_argument("--measured", type=Path, metavar="FOLDER", help="results/STUDY, to calibrate with its times")
    numbers = "number of files of a cohort, where the config does not tell"
    plan.add_argument("--images", action="append", default=[], metavar="COHORT=NUMBER", help=numbers)
    plan.set_defaults(run=run_plan)

    verify = verbs.add_parser("verify", help="compare a study's files with the digests in its provenance.json")
    verify.add_argument("folder", type=Path, help="results/STUDY, or an unpacked crate")
    against = "provenance.json of another run: compare tables, weights and images, which repeat byte for byte"
    verify.add_argument("--against", type=Path, metavar="FILE", help=against)
    verify.set_defaults(run=run_verify)

    serve = verbs.add_parser("serve", help="serve a reader study to browsers and print the readers' links")
    serve.add_argument("study", nargs="?", help="id of the reader study (default: the only one)")
    serve.add_argument("--host", default="127.0.0.1", help=HOST_HELP)
    serve.add_argument("--port", type=int, default=8021, help="port to bind to (default: 8021; 0 takes a free one)")
    serve.add_argument("--address", help="how readers reach the server, for example https://readers.hospital.example")
    renewing = "make a new link for reader-NN, administrator or all"
    serve.add_argument("--renew", action="append", default=[], metavar="NAME", help=renewing)
    serve.set_defaults(run=run_serve)

    parsed = parser.parse_args(arguments)
    try:
        parsed.run(parsed)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run_inspect(arguments: argparse.Namespace) -> None:
    """Describe files as ingest sees them."""
    from synthcohort.dicom.describe import describe_file
    from synthcohort.dicom.reasons import Reason

    for path in arguments.files:
        described = [describe_file(path, ingest, arguments.resolution) for ingest in (CT, RADIOGRAPHS)]
        others = (Reason.MODALITY.value, Reason.NO_UNITS.value)
        fitting = next((entry for entry in described if entry["reason"] not in others), described[0])
        print(json.dumps(fitting, indent=2))


def run_whereis(arguments: argparse.Namespace) -> None:
    """Look a file_id up in the private tables."""
    import pandas as pd

    tables = sorted(Path("private").glob("*/files.parquet"))
    for table in tables:
        files = pd.read_parquet(table)
        for path in files.loc[files["file_id"] == arguments.file_id, "path"]:
            print(path)
            return
    raise UserError(
        f"no file has the file_id {arguments.file_id} in the {len(tables)} tables under private/; "
        "run this in the folder where the study ran."
    )


def run_plan(arguments: argparse.Namespace) -> None:
    """Print what a study will cost."""
    from synthcohort.core.load import read_merged
    from synthcohort.core.plan import Plan
    from synthcohort.core.progress import configure_logging
    from synthcohort.forecast.report import CORES_PER_CARD, Machine, describe, forecast

    configure_logging()
    files = {}
    for entry in arguments.images:
        cohort, _, number = entry.partition("=")
        if not number.isdecimal() or not int(number):
            raise UserError(f"--images {entry}: write COHORT=NUMBER, for example head=10000.")
        files[cohort] = int(number)
    cores = arguments.cores if arguments.cores is not None else CORES_PER_CARD * arguments.cards or os.cpu_count() or 1
    machine = Machine(cores, arguments.cards, arguments.card)
    default = Path(__file__).resolve().parents[2] / "config.yaml"
    plan = Plan(read_merged(default, arguments.configfile) if arguments.configfile else read_merged(default))
    print(describe(plan, machine, forecast(plan, machine, files, arguments.measured)))


def run_serve(arguments: argparse.Namespace) -> None:
    """Serve a reader study until the process is ended."""
    from synthcohort.readers.serve import find_study, serve

    serve(find_study(arguments.study), arguments.host, arguments.port, arguments.address, arguments.renew)


def run_verify(arguments: argparse.Namespace) -> None:
    """Say that all files match, or name those that do not."""
    from synthcohort.provenance.verify import verify

    print(verify(arguments.folder, arguments.against))


def run_unlock(arguments: argparse.Namespace) -> None:
    """Unlock the working directory unless a Snakemake or one of its jobs still lives here."""
    if not any(Path(".snakemake/locks").glob("*")):
        return
    _refuse_queued_jobs()
    here = Path.cwd()
    for process in psutil.process_iter(["pid", "cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if "snakemake" not in command or process.pid == os.getpid():
            continue
        try:
            elsewhere = Path(process.cwd()) != here
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
        if not elsewhere:
            raise UserError(
                f"process {process.pid} (a Snakemake or one of its jobs) still works in this folder; "
                "wait until it is done or end it, then run the same command again."
            )
    # A run with --directory has its lock here, and the Snakefile elsewhere.
    snakefile = Path(__file__).resolve().parents[2] / "Snakefile"
    unlock = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--unlock"]
    if subprocess.run(unlock, check=False, capture_output=True).returncode:
        raise UserError("Snakemake could not unlock this folder; see what `snakemake --unlock` says.")
    print("Removed the lock of a Snakemake that was killed; finished work is kept.")


def _refuse_queued_jobs() -> None:
    """Ask SLURM, where there is one, whether jobs of this folder's runs still wait or run: they would write as well."""
    logs = (path.read_text(encoding="utf-8", errors="replace") for path in Path(".snakemake/log").glob("*.log"))
    runs = sorted({run for text in logs for run in re.findall(r"SLURM run ID: (\S+)", text)})
    if not runs or shutil.which("squeue") is None:
        return
    asked = ["squeue", "--noheader", f"--name={','.join(runs)}", "--format=%j"]
    found = subprocess.run(asked, check=False, capture_output=True, text=True)
    if found.returncode:
        raise UserError(
            "SLURM cannot be asked whether jobs of this folder still run (squeue failed); try again, or look yourself "
            "and run `snakemake --unlock`."
        )
    if active := sorted(set(found.stdout.split())):
        raise UserError(
            f"{len(found.stdout.split())} SLURM jobs of this folder still wait or run; end them with "
            f"`scancel --name={','.join(active)}`, then run the same command again."
        )


if __name__ == "__main__":
    sys.exit(main())
