"""Following the jobs of a running Snakemake, to end some of them."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

# Snakemake runs a rule's script as a child process from a copy of this name.
SCRIPT = re.compile(r"/\.snakemake/scripts/tmp[a-z0-9_]{8}\.([a-z_]+)\.py$")
INTERVAL = 0.03


def jobs(snakemake: int) -> dict[str, psutil.Process]:
    """The jobs that run now, by their rule; of several jobs of one rule only one."""
    found = {}
    for process in psutil.Process(snakemake).children(recursive=True):
        try:
            names = [match[1] for word in process.cmdline() if (match := SCRIPT.search(word))]
        except psutil.Error:  # it has just ended
            continue
        if names:
            found.setdefault(names[0], process)
    return found


class Watcher:
    """Measures the first job of every rule, and kills it once.

    Moments are CPU seconds of the job, which a busy machine stretches less than hours of the clock.

    Parameters
    ----------
    moments : mapping of str to float
        Rule → CPU seconds after which its first job is killed; a rule that is left out is not disturbed.

    Attributes
    ----------
    seconds : dict
        Rule → CPU seconds of its first job, as last seen.
    killed : set
        Rules whose job was killed.
    """

    def __init__(self, moments: Mapping[str, float] | None = None) -> None:
        self.moments = moments or {}
        self.seconds: dict[str, float] = {}
        self.killed: set[str] = set()
        self._first: dict[str, psutil.Process] = {}

    def look(self, snakemake: int) -> None:
        """Look at all jobs once."""
        for rule, job in jobs(snakemake).items():
            if self._first.setdefault(rule, job) != job or rule in self.killed:
                continue
            try:
                spent = job.cpu_times()
                self.seconds[rule] = spent.user + spent.system
                if rule in self.moments and self.seconds[rule] >= self.moments[rule]:
                    job.kill()
                    self.killed.add(rule)
            except psutil.Error:  # it was done in the meantime
                continue

    @contextmanager
    def watching(self, snakemake: int) -> Iterator[None]:
        """Look again and again in the background."""
        done = threading.Event()

        def keep_looking() -> None:
            while not done.wait(INTERVAL):
                try:
                    self.look(snakemake)
                except psutil.NoSuchProcess:
                    return

        thread = threading.Thread(target=keep_looking)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def wait_until(ready, process, seconds: float = 400) -> None:
    """Wait until `ready()`, while `process` lives."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, process.communicate()[0][-6000:]
        assert time.monotonic() < deadline, "never became ready"
        time.sleep(INTERVAL)


def unlock(folder: Path, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess:
    """`synthcohort unlock` in a folder."""
    command = [sys.executable, "-m", "synthcohort.cli", "unlock"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
