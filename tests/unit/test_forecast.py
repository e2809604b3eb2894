"""The plan of a study: its jobs are Snakemake's, its schedule can be checked by hand, and it says what is wrong."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from synthcohort.cli import main
from synthcohort.core.config import Study
from synthcohort.core.errors import UserError
from synthcohort.core.load import read_merged
from synthcohort.core.plan import Plan
from synthcohort.core.requests import ATTEMPTS, MINUTES, minutes_at_most, training_mb
from synthcohort.forecast.costs import Cost, Costs, Range, default_calibration
from synthcohort.forecast.flops import training_flops
from synthcohort.forecast.jobs import Job, count_jobs, study_jobs
from synthcohort.forecast.limits import limits
from synthcohort.forecast.machines import CARDS
from synthcohort.forecast.report import Machine, forecast
from synthcohort.forecast.schedule import Task, schedule
from synthcohort.forecast.sizes import Sizes
from synthcohort.forecast.work import Work
from synthcohort.gan.registry import load_family

ROOT = Path(__file__).parents[2]
STUDIES = {"demo": ROOT / "config.yaml"} | {path.stem: path for path in sorted((ROOT / "studies").glob("*.yaml"))}


def plan_of(name: str) -> Plan:
    return Plan(read_merged(ROOT / "config.yaml", STUDIES[name]))


def dry_run(config: Path, folder: Path) -> dict[str, int]:
    """Snakemake's own count of jobs per rule."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", "--cores", "2"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder), "--configfile", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(re.findall(r"^([a-z_]+) +([0-9]+)$", done.stdout + done.stderr, re.MULTILINE))
    del counts["total"]
    return {rule: int(count) for rule, count in counts.items()}


@pytest.mark.parametrize("name", STUDIES)
def test_jobs_are_those_of_snakemake(name, tmp_path) -> None:
    assert count_jobs(study_jobs(plan_of(name))) == dry_run(STUDIES[name], tmp_path)


def test_jobs_with_shadows_and_a_private_family_are_those_of_snakemake(tmp_path) -> None:
    text = STUDIES["tiny"].read_text().replace("levels: [8]", "levels: [16]")
    text = text.replace("families: [r3-gan]", "families: [r3-gan, dp-gan, prog-gan]")
    text = re.sub(r"kimg: \{8: 1.0\}", "kimg: {16: 1.0}", text)
    text = re.sub(r"^privacy:.*\n(  .*\n)*", "", text, flags=re.MULTILINE) + "\nprivacy:\n  shadows: 4\n"
    config = tmp_path / "shadowed.yaml"
    config.write_text(text)
    counts = count_jobs(study_jobs(Plan(read_merged(ROOT / "config.yaml", config))))
    assert counts["select_shadows"] == 1
    assert counts == dry_run(config, tmp_path / "run")


def test_a_job_comes_after_those_that_it_needs() -> None:
    seen: set[str] = set()
    for name, job in study_jobs(plan_of("smoke")).items():
        assert seen.issuperset(job.needs), name
        seen.add(name)


def test_schedule_of_a_small_graph() -> None:
    """On two cores: b and c beside each other, then the wide d alone, while e waits for b only.

    ====  =======  =====  ===========
    task  seconds  cores  runs
    ====  =======  =====  ===========
    a     2        1      0 to 2
    b     3        1      2 to 5
    c     4        1      2 to 6
    d     5        2      6 to 11
    e     1        1      5 to 6
    ====  =======  =====  ===========
    """
    tasks = {
        "a": Task(2, 1, 0, ()),
        "b": Task(3, 1, 0, ("a",)),
        "c": Task(4, 1, 0, ("a",)),
        "d": Task(5, 2, 0, ("b", "c")),
        "e": Task(1, 1, 0, ("b",)),
    }
    found = schedule(tasks, cores=2)
    assert (found.seconds, found.chain, found.chain_seconds) == (11, ["a", "c", "d"], 11)
    assert schedule(tasks, cores=1).seconds == 15  # one after the other; d takes the one core that there is


def test_schedule_gives_no_card_to_two_jobs() -> None:
    tasks = {name: Task(3, 1, 1, ()) for name in "abcd"}
    assert [schedule(tasks, cores=8, cards=cards).seconds for cards in (1, 2, 4, 8)] == [12, 6, 3, 3]


def test_more_cards_are_never_slower_and_the_critical_path_is_the_least() -> None:
    plan = plan_of("demo")
    found = [forecast(plan, Machine(64, cards, "h100")) for cards in (1, 2, 4, 16)]
    walls = [one.wall.likely for one in found]
    assert walls == sorted(walls, reverse=True)
    assert walls[0] > 1.5 * walls[1]
    for one in found:
        assert one.chain.likely < one.wall.likely
        assert one.wall.low < one.wall.likely < one.wall.high


def test_the_calibrated_default_study_takes_what_it_took() -> None:
    """In README's table: 5916 s, of 198 jobs."""
    plan = plan_of("demo")
    work, jobs = Work(plan, Sizes(plan)), study_jobs(plan)
    costs = Costs(work, default_calibration())
    seconds = [costs.of(name, job).seconds.likely for name, job in jobs.items()]
    assert sum(seconds) == pytest.approx(5916, rel=1e-3)
    trained = costs.of("", jobs["head-phantom/resolution-016/r3-gan/r0/train_generator"])
    assert trained.basis == "measured"
    on_card = Costs(work, default_calibration(), CARDS["a100"])
    assert on_card.of("", jobs["head-phantom/resolution-016/r3-gan/r0/train_generator"]).basis == "never measured"


def test_a_finished_studys_times_are_taken(tmp_path) -> None:
    plan = plan_of("demo")
    folder = tmp_path / "results" / "demo" / "benchmarks"
    for rule, name, seconds in (
        ("fidelity", "head-phantom-classes-002-r0", 70),
        ("draw", "head-phantom-0123abcdef", 9),
    ):
        (folder / rule).mkdir(parents=True)
        (folder / rule / f"{name}.tsv").write_text(f"s\th:m:s\n{seconds}\t0:00:00\n")
    machine = Machine(2)
    before, after = forecast(plan, machine), forecast(plan, machine, measured=folder.parent)
    job = "head-phantom/classes-002/r0/fidelity"
    assert after.costs[job].seconds == Range(0.75 * 70, 70, 1.3 * 70)
    assert after.costs["head-phantom/draw"].seconds.likely == 9
    factor = 70 / before.costs[job].seconds.likely
    other = "chest-phantom/resolution-032/r0/fidelity"
    assert after.costs[other].seconds.likely == pytest.approx(factor * before.costs[other].seconds.likely)
    with pytest.raises(UserError, match="has no job of this study"):
        forecast(plan, machine, measured=tmp_path)


def test_flops_are_those_that_were_measured_in_real_training() -> None:
    """docs/evidence/generator-speed.csv: GFLOP/s divided by images per second, counted in a real step."""
    for family, side, measured in (("r3-gan", 32, 217.723 / 813.682), ("cpd-gan", 16, 90.114 / 285.099)):
        settings = load_family(family).presets["tiny", side]
        assert training_flops(family, settings, 1, 6) / 1e9 == pytest.approx(measured, rel=0.01)


def test_ten_million_images_have_another_bottleneck_than_the_paper() -> None:
    plan, machine = plan_of("paper"), Machine(128, 8, "a100")
    files = {"chexpert": 2_500_000, "rsna": 7_500_000}
    shown = Sizes(plan, files)
    assert sum(size.files for size in shown.cohorts.values()) == 10_000_000
    paper, larger = forecast(plan, machine), forecast(plan, machine, files)
    assert paper.limits[0].name == larger.limits[0].name == "run time of train_generator"
    reached = [{limit.name for limit in one.limits if limit.share > 1} for one in (paper, larger)]
    assert reached[0] == {"run time of train_generator"}
    assert reached[1] - reached[0] >= {"memory of split", "memory of select_images", "a disk of 10 TB"}
    assert sum(larger.stored.values()) > 5 * sum(paper.stored.values())


def test_limits_are_what_the_rules_ask_for_over_all_attempts() -> None:
    """A job that cannot go on must fit into its third attempt; one that can has one day, two and three."""
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    assert profile["retries"] + 1 == ATTEMPTS
    assert (minutes_at_most("neighbours"), minutes_at_most("train_generator")) == (3 * 480, 6 * 1440)
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    asked = re.findall(r"rule (\w+):(?:(?!rule ).)*?runtime=growing\(MINUTES\[\"(\w+)\"\]\)", rules, re.DOTALL)
    assert [rule for rule, _ in asked] == [minutes for _, minutes in asked]
    assert {rule for rule, _ in asked} == set(MINUTES)
    assert rules.count("runtime=") == len(MINUTES)
    job, cost = Job("neighbours", (), ()), Cost(Range(0, 12 * 3600, 0), 1, 0, "measured")
    found = {limit.name: limit for limit in limits({"one": job}, {"one": cost}, Sizes(plan_of("tiny")), 0)}
    assert found["run time of neighbours"].share == 0.5


def test_memory_of_a_training_grows_with_its_processes_and_without_a_card_with_its_side() -> None:
    assert training_mb(128, 1, on_card=False) == 8000
    assert training_mb(256, 2, on_card=False) == 2 * (3000 + 4 * 5000)
    assert training_mb(512, 4, on_card=True) == 4 * training_mb(32, 1, on_card=True)


def test_own_data_needs_a_number_of_files() -> None:
    config = plan_of("tiny").study.model_dump(mode="json")
    config["cohorts"] = [{"name": "own", "data": {"folder": "files", "labels": "labels.csv"}}]
    plan = Plan(Study.model_validate(config))
    with pytest.raises(UserError, match="--images own=NUMBER"):
        Sizes(plan)
    assert Sizes(plan, {"own": 1000}).cohorts["own"].images == 1000
    with pytest.raises(UserError, match="no cohort 'other'; the cohorts are own"):
        Sizes(plan, {"other": 1000})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cards", "8", "--card", "a10"], "'a10' is not known; did you mean 'a100'?"),
        (["--cards", "8"], "say which with --card"),
        (["--cores", "0"], "at least one core"),
        (["--configfile", "nowhere.yaml"], "nowhere.yaml: there is no such file"),
        (["--images", "head-phantom"], "write COHORT=NUMBER"),
    ],
)
def test_mistakes_are_told_in_one_sentence(arguments, said, capsys) -> None:
    assert main(["plan", *arguments]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_plan_prints_jobs_times_storage_and_what_they_rest_on(capsys) -> None:
    assert main(["plan", "--configfile", str(STUDIES["tiny"]), "--cores", "2"]) == 0
    shown = capsys.readouterr().out
    for word in (
        "Study tiny: ",
        "train_generator",
        "wall time",
        "critical path",
        "storage",
        "never measured",
        "2 cores",
    ):
        assert word in shown
