"Many runs: what is asked for, the same numbers whoever does it, and what is left when processes are killed."
import json
import os
import random
import shutil
import subprocess
import sys
import time

import psutil
import pytest
from test_cli import call
from test_runner import project, write  # noqa: F401 (a fixture)

from xai_repro.workbook import runner, sweep, results as workbook
from xai_repro.zoo import data

DEFAULTS = 'profile = "smoke"\nresults = ""\ndevice = "auto"\nn = 2\nsides = 6'
THROW = """
import fcntl, os, time
from pathlib import Path
import numpy as np
root = Path(os.environ["XAI_REPRO_ROOT"])
out = root/"data"/"results"/"coin"/(results or profile)
out.mkdir(parents=True, exist_ok=True)
said = open(root/f"{out.name}.log", "a")
try: fcntl.flock(said, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError: print("together", file=said, flush=True)
print("start", file=said, flush=True)
1/(sides - 13)
throws = np.random.default_rng(n).integers(1, sides + 1, 50)
with open(out/"throws.csv", "w") as table:
    table.write("throw\\n" + "".join(f"{t}\\n" for t in throws[:25])); table.flush()
    time.sleep(.3)
    table.write("".join(f"{t}\\n" for t in throws[25:]))
print("end", file=said, flush=True)
"""


@pytest.fixture
def coin(project):
    (project/"nbs"/"papers"/"profiles.toml").write_text("")
    (project/"nbs"/"papers"/"dice.ipynb").unlink()
    write("coin", THROW, defaults=DEFAULTS)
    return project


def expected(n, sides=6):
    import numpy as np
    return "throw\n" + "".join(f"{t}\n" for t in np.random.default_rng(n).integers(1, sides + 1, 50))


# what is asked for

def test_grids_lists_and_fixed_values(coin):
    file = coin/"s.yaml"
    file.write_text("device: cpu\njobs:\n- experiment: coin\n  set: {sides: 8}\n  grid: {n: [1, 2]}\n- experiment: [coin]\n  device: auto\n  list: [{n: 1, sides: 8}, {n: 3}]\n")
    jobs = sweep.read(file)
    assert [(j.device, j.overrides) for j in jobs] == [("cpu", dict(sides=8, n=1)), ("cpu", dict(sides=8, n=2)), ("auto", dict(n=3))], "one that is the same run whatever the device is there once"


@pytest.mark.parametrize("text, told", [("[]", "allowed: names with values"), ("jobs: [", "is not YAML"), ("jobs: [{}]", "names no experiment; allowed: coin"), ("jobs: [{experiment: dice}]", "experiment in jobs[0]"), ("jobs: [{experiment: coin, shards: 3}]", "an entry of jobs[0]"),
                                        ("jobs: [{experiment: coin, grid: {n: []}}]", "a list of at least one value"), ("jobs: [{experiment: coin, list: 3}]", "list of jobs[0]"), ("jobs: [{experiment: coin, set: {n: x}}]", "n in overrides of coin is 'x'")])
def test_mistakes_are_refused_before_anything_runs(coin, text, told):
    (coin/"s.yaml").write_text(text)
    with pytest.raises(ValueError) as error: sweep.read(coin/"s.yaml")
    assert told in str(error.value)
    refused = call("sweep", str(coin/"s.yaml"))
    assert refused.exit_code == 2 and refused.stderr.startswith("error: ") and not (coin/"data"/"runs").exists()


@pytest.mark.parametrize("options, told", [(["--workers", "2", "--scheduler", "tcp://a:1"], "--workers and --scheduler are given"), (["--workers", "-1"], "--workers is -1"), (["--gpus", "all"], "--gpus is 'all'"), (["--script"], "without --slurm")])
def test_options_that_do_not_go_together(coin, options, told):
    (coin/"s.yaml").write_text("jobs: [{experiment: coin}]")
    refused = call("sweep", str(coin/"s.yaml"), *options)
    assert refused.exit_code == 2 and told in refused.stderr


def test_a_worker_with_one_gpu_has_no_second(coin):
    (coin/"s.yaml").write_text("device: cuda:1\njobs: [{experiment: coin}]")
    refused = call("sweep", str(coin/"s.yaml"), "--gpus", "auto")
    assert refused.exit_code == 2 and "device is 'cuda:1' with --gpus auto" in refused.stderr


def test_a_script_for_slurm(coin):
    (coin/"s.yaml").write_text("jobs: [{experiment: coin}]")
    (coin/"slurm.yaml").write_text("count: 2\nqueue: gpu\ncores: 4\nmemory: 8GB\nwalltime: '01:00:00'\njob_extra_directives: ['--gres=gpu:1']\n")
    script = call("sweep", str(coin/"s.yaml"), "--slurm", str(coin/"slurm.yaml"), "--script").output
    for line in ("#SBATCH -p gpu", "#SBATCH --cpus-per-task=4", "#SBATCH --gres=gpu:1", "export OMP_NUM_THREADS=4", "export MKL_NUM_THREADS=4", "export MALLOC_TRIM_THRESHOLD_=", "--nthreads 1"): assert line in script
    for text, told in (("cores: 2", "no walltime"), ("walltime: '1:00'\nprocesses: 2", "has processes"), ("walltime: '1:00'\njob_script_prologue: module load cuda", "a list of lines"), ("walltime: '1:00'\ncount: 0", "count in")):
        (coin/"slurm.yaml").write_text(text)
        assert told in call("sweep", str(coin/"s.yaml"), "--slurm", str(coin/"slurm.yaml"), "--script").stderr
    assert "sbatch is not on the path" in call("sweep", str(coin/"s.yaml"), "--slurm", str(coin/"slurm.yaml")).stderr


@pytest.mark.parametrize("path", sorted((data.root()/"nbs"/"sweeps").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_sweeps_that_come_with_the_project_can_be_run(path):
    jobs = sweep.read(path)
    assert len(jobs) > 1 and len({job.name for job in jobs}) == len(jobs) and "forward passes" in path.read_text(), "and say what they cost"


# shards

THROWS = """
import numpy as np
from xai_repro.zoo.data import shard
from xai_repro.cache import Store
from xai_repro.ground import digest
asked = []
def throw(i): asked.append(i); return dict(throw=np.random.default_rng(i).integers(1, sides + 1, 5))
thrown = [Store().get(digest("throw", i, sides), lambda: throw(i))["throw"] for i in shard(list(range(n)))]
"""
COUNT = """
import os
from pathlib import Path
out = Path(os.environ["XAI_REPRO_ROOT"])/"data"/"results"/"coin"/(results or profile)
out.mkdir(parents=True, exist_ok=True)
(out/"throws.csv").write_text("".join(f"{row.tolist()}\\n" for row in thrown))
(out/"asked.txt").write_text(str(len(asked)))
"""


@pytest.fixture
def shared(coin):
    "An experiment that asks something of each of its inputs, and then counts."
    import nbformat
    path = coin/"nbs"/"papers"/"coin.ipynb"
    write("coin", THROWS, COUNT, defaults=DEFAULTS.replace("n = 2", "n = 7"))
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(-1, nbformat.v4.new_markdown_cell("## The claims"))
    nbformat.write(notebook, path)
    return coin


def test_shards_prepare_what_the_whole_finds(shared):
    (whole,) = sweep.run([sweep.Job("coin")])
    alone = (whole.results/"throws.csv").read_bytes()
    assert (whole.results/"asked.txt").read_text() == "7"
    for made in ("cache", "results", "runs"): shutil.rmtree(shared/"data"/made)
    (shared/"s.yaml").write_text("jobs: [{experiment: coin, shards: 3, passes: 70}]")
    jobs = sweep.read(shared/"s.yaml")
    assert [job.shard for job in jobs] == ["1/3", "2/3", "3/3"] and [job.passes for job in jobs] == [23]*3
    told = call("sweep", str(shared/"s.yaml"), "--status").output
    assert "3 waiting" in told and "about 69 forward passes to go" in told
    sweep.run(jobs[:2])
    with pytest.raises(ValueError, match=r"1 of 3 shards are not done, such as coin/smoke-3-of-3 \(waiting\)"): sweep.aggregate(jobs)
    assert "1 of 3 shards are not done" in call("aggregate", str(shared/"s.yaml")).stderr
    assert not (shared/"data"/"results"/"coin").exists(), "a shard leaves no results"
    assert [r.state for r in sweep.run(jobs)] == ["skipped", "skipped", "done"]
    assert "coin/smoke: done" in call("aggregate", str(shared/"s.yaml")).output
    assert (whole.results/"throws.csv").read_bytes() == alone and (whole.results/"asked.txt").read_text() == "0", "the same table, and nothing asked again"


def test_shards_on_workers_share_nothing_but_the_store(shared, monkeypatch):
    monkeypatch.setattr(runner, "code_version", workbook.code_version)     # as the workers' own
    jobs = [sweep.Job("coin", shard=f"{k}/4") for k in (1, 2, 3, 4)]
    with sweep.local_workers(2) as client:
        assert [r.state for r in sweep.run(jobs, client)] == ["done"]*4
        (whole,) = sweep.aggregate(jobs, client)
    assert (whole.results/"asked.txt").read_text() == "0" and len((whole.results/"throws.csv").read_text().splitlines()) == 7


def test_what_cannot_be_a_shard_is_refused(shared):
    for shard, told in (("0/3", "allowed: k/n"), ("4/3", "allowed: k/n"), ("half", "allowed: k/n")):
        with pytest.raises(ValueError, match=told): sweep.Job("coin", shard=shard).place()
        assert call("run", "coin", "--shard", shard).exit_code == 2
    more = runner.run("coin", shard="8/8", progress=False)
    assert more.state == "failed" and "shard is 8/8, and there are 7 inputs" in more.error
    with pytest.raises(ValueError, match="has no shards"): sweep.aggregate([sweep.Job("coin")])
    write("coin", THROW, defaults=DEFAULTS)
    with pytest.raises(ValueError, match="does not loop over data.shard"): runner.place("coin", shard="1/2")


def test_which_experiments_can_be_shared_out():
    assert {"glime_stability", "lima_faithfulness", "lime_g_robustness", "stability_soft_vs_hard"} <= set(filter(runner.shared_out, runner.experiments()))
    assert not any(map(runner.shared_out, ["glime_theory", "lfa_equivalence", "lime_g_inpainter", "lime_g_labels", "lima_histology"])), "these ask nothing of an input alone, or by its place among the others"


# the same numbers, whoever does it

def test_here_on_workers_and_on_a_scheduler_that_runs_already(coin):
    jobs = [sweep.Job("coin", overrides=dict(n=n)) for n in (3, 4, 5)]
    tables = {}
    with sweep.local_workers(2) as client, sweep.local_workers(1) as other, sweep.scheduled(other.scheduler.address) as scheduled:
        for name, by in dict(here=None, workers=client, scheduler=scheduled).items():
            records = sweep.run(jobs, by, force=True)
            assert [r.state for r in records] == ["done"]*3
            tables[name] = [(r.results/"throws.csv").read_bytes() for r in records]
        assert [r.state for r in sweep.run(jobs, client)] == ["skipped"]*3
    assert tables["here"] == tables["workers"] == tables["scheduler"] == [expected(n).encode() for n in (3, 4, 5)]


def test_a_job_that_fails_stops_no_other(coin):
    (coin/"s.yaml").write_text("jobs: [{experiment: coin, grid: {sides: [13, 6]}}]")
    told = call("sweep", str(coin/"s.yaml"))
    assert told.exit_code == 1 and "1 done, 1 failed" in told.output
    assert "ZeroDivisionError" in told.stderr and ".ipynb" in told.stderr
    table = sweep.status(sweep.read(coin/"s.yaml"))
    assert table.state.tolist() == ["failed", "done"] and os.path.exists(table.notebook[0])
    assert "1 failed" in call("sweep", str(coin/"s.yaml"), "--status").output
    write("coin", THROW.replace("1/(sides - 13)", "pass"), defaults=DEFAULTS)       # mended
    assert sweep.status(sweep.read(coin/"s.yaml")).state.tolist() == ["waiting", "waiting"]


# what is left when processes are killed

def test_what_breaks_outside_the_notebook_is_told_and_stops_no_other(coin, monkeypatch):
    real = runner.run
    def run(experiment, profile, device, overrides, *rest, **more):
        if overrides.get("n") == 1: raise OSError("disk full")
        return real(experiment, profile, device, overrides, *rest, **more)
    monkeypatch.setattr(runner, "run", run)
    (coin/"s.yaml").write_text("jobs: [{experiment: coin, grid: {n: [1, 3]}}]")
    told = call("sweep", str(coin/"s.yaml"))
    assert told.exit_code == 1 and "OSError: disk full" in told.stderr and "1 done, 1 failed" in told.output
    assert sweep.status(sweep.read(coin/"s.yaml")).state.tolist() == ["failed", "done"]


def test_a_run_in_another_process_is_seen_and_waited_for(coin):
    at = sweep.Job("coin").place()
    with runner._alone(at.lock):
        assert sweep.status([sweep.Job("coin")]).state.tolist() == ["running"]
    assert sweep.status([sweep.Job("coin")]).state.tolist() == ["waiting"] and not runner.running(at.lock)


def test_each_worker_sees_its_own_gpu_and_its_share_of_the_cores(coin, monkeypatch):
    "Whether there are GPUs does not matter to a variable."
    for name in sweep.THREADS: monkeypatch.delenv(name, raising=False)
    write("coin", THROW + "(out/'seen.json').write_text(__import__('json').dumps(dict(os.environ)))", defaults=DEFAULTS)
    with sweep.local_workers(1, ["7", "GPU-abc"]) as client: records = sweep.run([sweep.Job("coin", overrides=dict(n=n)) for n in range(4)], client)
    seen = [json.loads((r.results/"seen.json").read_text()) for r in records]
    assert {s["CUDA_VISIBLE_DEVICES"] for s in seen} == {"7", "GPU-abc"}
    assert {s[name] for s in seen for name in sweep.THREADS} == {str(max(1, os.cpu_count()//2))} and {s["MALLOC_TRIM_THRESHOLD_"] for s in seen} == {runner.ALLOCATOR["MALLOC_TRIM_THRESHOLD_"]}
    assert "OMP_NUM_THREADS" not in os.environ


def test_forty_jobs_and_ten_killed_processes(coin, monkeypatch):
    "At random moments the driver, a worker or a kernel is killed; the driver is started again. In the end each job is done, its table whole, and no two processes ever did one job together."
    monkeypatch.setattr(runner, "code_version", workbook.code_version)       # the driver's
    (coin/"s.yaml").write_text(f"jobs:\n- experiment: coin\n  grid: {{n: {list(range(40))}}}\n- {{experiment: coin, set: {{sides: 13}}}}\n")
    command = [sys.executable, "-c", "from xai_repro.workbook.cli import app; app()", "sweep", str(coin/"s.yaml"), "--workers", "2"]
    said = open(coin/"drivers.txt", "w")
    def start(): return subprocess.Popen(command, env=os.environ | dict(XAI_REPRO_ROOT=str(coin), OMP_NUM_THREADS="1"), stdout=said, stderr=subprocess.STDOUT)
    def count(word): return sum(path.read_text().split().count(word) for path in coin.glob("smoke-*.log"))
    def kernels(driver): return [p for p in psutil.Process(driver.pid).children(recursive=True) if "ipykernel" in " ".join(p.cmdline())]
    def kill(kind, driver):
        "Whether one was there to be killed."
        try:
            at_work = kernels(driver)
            if not at_work: return False
            victim = at_work[0] if kind == "kernel" else at_work[0].parent() if kind == "worker" else psutil.Process(driver.pid)
            victim.kill()
        except psutil.NoSuchProcess: return False
        return True
    kinds = ["driver"]*3 + ["worker"]*4 + ["kernel"]*3
    chance, driver, deadline = random.Random(0), start(), time.time() + 900
    chance.shuffle(kinds)
    try:
        for kind in kinds:
            before = count("start")
            while count("start") == before: assert driver.poll() is None and time.time() < deadline, (coin/"drivers.txt").read_text()[-2000:]; time.sleep(.02)      # something runs
            time.sleep(chance.uniform(0, .8))
            while not kill(kind, driver): assert driver.poll() is None and time.time() < deadline, (coin/"drivers.txt").read_text()[-2000:]; time.sleep(.02)
            if kind == "driver": driver.wait(); driver = start()
        assert driver.wait(timeout=deadline - time.time()) == 1, "one job fails whatever is done"
        jobs = sweep.read(coin/"s.yaml")
        table = sweep.status(jobs)
        broken = table[:40][table.state[:40] != "done"]                       # a kernel alone was killed: its run failed, and says so
        assert set(broken.state) <= {"failed"} and len(broken) <= 3 and broken.error.str.contains("kernel").all(), broken
        assert count("start") <= 41*1 + 3*2 + 4 + 3 + 3 + 1, "a kill costs what was in hand: two jobs with a driver, one with a worker or a kernel; the job that fails is tried by each driver"
        assert subprocess.run(command, env=os.environ | dict(XAI_REPRO_ROOT=str(coin)), stdout=said, stderr=said).returncode == 1
    finally:
        for process in psutil.Process().children(recursive=True): process.kill()
    table = sweep.status(jobs)
    assert table.state.tolist() == ["done"]*40 + ["failed"] and "ZeroDivisionError" in table.error[40]
    for job in jobs[:40]:
        at, n = job.place(), job.overrides["n"]
        assert json.loads((at.results/"run.json").read_text())["parameters"]["n"] == n and (at.results/"throws.csv").read_text() == expected(n)
        log = (coin/f"{at.name}.log").read_text().split()
        assert "together" not in log and log[-1] == "end"
    assert 40 <= count("end") <= 50, "a job is done again only where it was killed between its last cell and its record"
