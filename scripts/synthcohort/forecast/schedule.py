"""When jobs would run on so many cores and cards, and which chain of them nothing can shorten."""

import heapq
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple


class Task(NamedTuple):
    """What the schedule needs to know of a job."""

    seconds: float
    cores: int
    cards: int
    needs: tuple[str, ...]


class Schedule(NamedTuple):
    """What comes of it.

    Attributes
    ----------
    seconds : float
        From the first start to the last end.
    chain : list of str
        The jobs of the critical path, first to last: the longest chain in which each job needs the one before.
    chain_seconds : float
        Their seconds: no number of cores or cards makes the study shorter.
    """

    seconds: float
    chain: list[str]
    chain_seconds: float


def schedule(tasks: Mapping[str, Task], cores: int, cards: int = 0) -> Schedule:
    """Schedule tasks as a list: whenever something is free, start what has the longest chain of jobs behind it.

    A task that asks for more cores or cards than there are gets all of them, as Snakemake does it.

    Parameters
    ----------
    tasks : mapping of str to Task
        Each comes after those that it needs.
    cores, cards : int
        What there is.
    """
    after = defaultdict[str, list[str]](list)
    for name, task in tasks.items():
        for need in task.needs:
            after[need].append(name)
    remaining = _remaining(tasks, after)
    missing = {name: len(task.needs) for name, task in tasks.items()}
    free = [cores, cards]
    ready = defaultdict[tuple[int, int], list[tuple[float, str]]](list)  # by what they ask for
    running: list[tuple[float, str]] = []
    now = 0.0

    def asks(name: str) -> tuple[int, int]:
        return min(tasks[name].cores, cores), min(tasks[name].cards, cards)

    for name, count in missing.items():
        if not count:
            heapq.heappush(ready[asks(name)], (-remaining[name], name))
    while running or any(ready.values()):
        while fitting := [(queue[0], ask) for ask, queue in ready.items() if queue and _fits(ask, free)]:
            (_, name), ask = min(fitting)
            heapq.heappop(ready[ask])
            free = [there - taken for there, taken in zip(free, ask, strict=True)]
            heapq.heappush(running, (now + tasks[name].seconds, name))
        now, name = heapq.heappop(running)
        free = [there + taken for there, taken in zip(free, asks(name), strict=True)]
        for following in after[name]:
            missing[following] -= 1
            if not missing[following]:
                heapq.heappush(ready[asks(following)], (-remaining[following], following))
    chain = _chain(tasks, after, remaining)
    return Schedule(now, chain, sum(tasks[name].seconds for name in chain))


def _fits(ask: tuple[int, int], free: list[int]) -> bool:
    return all(wanted <= there for wanted, there in zip(ask, free, strict=True))


def _remaining(tasks: Mapping[str, Task], after: Mapping[str, list[str]]) -> dict[str, float]:
    """Seconds of the longest chain that begins with each task."""
    remaining: dict[str, float] = {}
    for name in reversed(list(tasks)):
        remaining[name] = tasks[name].seconds + max((remaining[job] for job in after.get(name, ())), default=0.0)
    return remaining


def _chain(tasks: Mapping[str, Task], after: Mapping[str, list[str]], remaining: Mapping[str, float]) -> list[str]:
    following = [name for name, task in tasks.items() if not task.needs]
    chain: list[str] = []
    while following:
        chain.append(max(following, key=lambda name: remaining[name]))
        following = list(after.get(chain[-1], ()))
    return chain
