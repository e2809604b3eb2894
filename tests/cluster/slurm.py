"""A real SLURM on this machine alone: munged, slurmctld, two slurmd, each with four cores by name and a fake card."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

CONFIG, CARDS = Path("/etc/slurm/slurm.conf"), Path("/etc/slurm/gres.conf")
STATE = Path("/var/lib/slurm-synthcohort-tests")
MARK = "# Written by SynthCohort's tests, and removed by them."
NODES = ("one", "two")
SETTINGS = f"""{MARK}
ClusterName=tests
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={STATE}/slurmctld
SlurmdSpoolDir={STATE}/%n
SlurmctldPidFile={STATE}/slurmctld.pid
SlurmdPidFile={STATE}/%n.pid
SlurmctldLogFile={STATE}/slurmctld.log
SlurmdLogFile={STATE}/%n.log
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={STATE}/jobs.log
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
MinJobAge=600
KillWait=5
OverTimeLimit=0
GresTypes=gpu
"""
NODE = "NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=20000 Gres=gpu:1\n"
PARTITION = f"PartitionName=cpu Nodes={','.join(NODES)} Default=YES MaxTime=INFINITE State=UP\n"


ENVIRONMENT = {**os.environ, "SLURM_CONF": str(CONFIG)}


class Slurm:
    """Daemons that this process started, each ended by its own id, and files that it wrote, which it removes.

    Raises
    ------
    RuntimeError
        When there is a SLURM of somebody else, before anything is touched.
    """

    def __init__(self) -> None:
        _refuse_others()
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._written: list[Path] = []

    def start(self) -> None:
        """Start everything and wait until both nodes are idle."""
        shutil.rmtree(STATE, ignore_errors=True)
        (STATE / "slurmctld").mkdir(parents=True)
        CONFIG.parent.mkdir(exist_ok=True)
        nodes = "".join(NODE.format(name=name, port=17001 + number) for number, name in enumerate(NODES))
        self._write(CONFIG, SETTINGS + nodes + PARTITION)
        self._write(CARDS, f"{MARK}\n" + "".join(f"NodeName={name} Name=gpu File=/dev/null\n" for name in NODES))
        subprocess.run(["install", "-d", "-o", "munge", "-g", "munge", "-m", "755", "/run/munge"], check=True)
        self._run("munged", "runuser", "-u", "munge", "--", "/usr/sbin/munged", "--foreground")
        self.start_controller()
        for name in NODES:
            self.start_node(name)
        self.wait_for_nodes(len(NODES))

    def _write(self, path: Path, text: str) -> None:
        self._written.append(path)
        path.write_text(text)

    def start_controller(self) -> None:
        """Start slurmctld."""
        self._run("slurmctld", "/usr/sbin/slurmctld", "-D")

    def start_node(self, name: str) -> None:
        """Start a node's slurmd."""
        self._run(name, "/usr/sbin/slurmd", "-D", "-N", name)

    def _run(self, name: str, *command: str) -> None:
        with open(STATE / f"{name}.output", "ab") as output:
            self._daemons[name] = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True, env=ENVIRONMENT
            )

    def end(self, name: str, number: int = signal.SIGTERM) -> None:
        """End one daemon and wait for it."""
        daemon = self._daemons.pop(name)
        os.kill(daemon.pid, number)
        daemon.wait(30)

    def kill_node(self, name: str, job: str) -> None:
        """Kill a node's slurmd, what watches over a job there, and the job, as a power cut would."""
        self.end(name, signal.SIGKILL)
        watching, working = [], []
        for process in psutil.process_iter(["cmdline", "environ"]):
            if " ".join(process.info["cmdline"] or []).startswith(f"slurmstepd: [{job}."):
                watching.append(process)
            elif (process.info["environ"] or {}).get("SLURM_JOB_ID") == job:
                working.append(process)
        for process in [*watching, *working]:  # the former would report the end of the latter
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def stop(self) -> None:
        """End all daemons, jobs first, and remove what was written."""
        if "slurmctld" in self._daemons:
            ask("scancel", "--user=root")
            time.sleep(1)
        for name in list(self._daemons)[::-1]:
            self.end(name)
        for path in self._written:
            path.unlink()

    def wait_for_nodes(self, count: int) -> None:
        """Wait until so many nodes can take jobs."""
        deadline = time.monotonic() + 60
        while (found := self.idle()) < count:
            assert time.monotonic() < deadline, f"{found} of {count} nodes came up: {_last_lines()}"
            time.sleep(0.5)

    def idle(self) -> int:
        """Count the nodes that are up."""
        states = ask("sinfo", "--noheader", "--Node", "--format=%T").split()
        return sum(state in ("idle", "mixed", "allocated", "completing") for state in states)


def ask(*command: str) -> str:
    """Run one of SLURM's commands and give what it says; nothing while the controller is away."""
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=ENVIRONMENT).stdout


def _refuse_others() -> None:
    told = os.environ.get("SLURM_CONF", os.devnull)  # docs/cluster.md tells machines without a cluster to set this
    if told not in (os.devnull, str(CONFIG)):
        raise RuntimeError(f"SLURM_CONF is {told}: these tests would disturb a real cluster.")
    for path in (CONFIG, CARDS):
        if path.is_file() and not path.read_text().startswith(MARK):
            raise RuntimeError(f"{path} belongs to somebody else: these tests would disturb a real cluster.")
    if running := {"slurmctld", "slurmd"} & {process.info["name"] for process in psutil.process_iter(["name"])}:
        raise RuntimeError(f"a {running.pop()} runs here already: these tests would disturb it.")


def _last_lines() -> str:
    return " | ".join(path.read_text()[-600:] for path in STATE.glob("*.log"))
