"Many runs: what is asked for, the same numbers whoever does it, and what is left when processes are killed."
import json
import os
import random
import subprocess
import sys
import time

import pandas as pd
import psutil
import pytest
from test_cli import call
from test_runner import project, write  # noqa: F401 (a fixture)

from xai_repro import data, runner, sweep, workbook

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


@pytest.mark.parametrize("text, told", [("[]", "allowed: names with values"), ("jobs: [{}]", "names no experiment; allowed: coin"), ("jobs: [{experiment: dice}]", "experiment in jobs[0]"), ("jobs: [{experiment: coin, shards: 3}]", "an entry of jobs[0]"),
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


def test_a_script_for_slurm(coin):
    (coin/"s.yaml").write_text("jobs: [{experiment: coin}]")
    (coin/"slurm.yaml").write_text("count: 2\nqueue: gpu\ncores: 4\nmemory: 8GB\nwalltime: '01:00:00'\njob_extra_directives: ['--gres=gpu:1']\n")
    script = call("sweep", str(coin/"s.yaml"), "--slurm", str(coin/"slurm.yaml"), "--script").output
    for line in ("#SBATCH -p gpu", "#SBATCH --cpus-per-task=4", "#SBATCH --gres=gpu:1", "export OMP_NUM_THREADS=4", "--nthreads 1"): assert line in script


@pytest.mark.parametrize("path", sorted((data.root()/"nbs"/"sweeps").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_sweeps_that_come_with_the_project_can_be_run(path):
    jobs = sweep.read(path)
    assert len(jobs) > 1 and len({job.name for job in jobs}) == len(jobs) and "forward passes" in path.read_text(), "and say what they cost"


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
    assert told.exit_code == 1 and "1 done, 1 failed" in told.output.replace("1 failed, 1 done", "1 done, 1 failed")
    assert "ZeroDivisionError" in told.stderr and ".ipynb" in told.stderr
    table = pd.DataFrame(sweep.status(sweep.read(coin/"s.yaml")))
    assert table.state.tolist() == ["failed", "done"] and os.path.exists(table.notebook[0])
    assert "1 failed" in call("sweep", str(coin/"s.yaml"), "--status").output
    write("coin", THROW.replace("1/(sides - 13)", "pass"), defaults=DEFAULTS)       # mended
    assert sweep.status(sweep.read(coin/"s.yaml")).state.tolist() == ["waiting", "waiting"]


# what is left when processes are killed

def test_forty_jobs_and_ten_killed_processes(coin, monkeypatch):
    "At random moments the driver, a worker or a kernel is killed; the driver is started again. In the end each job is done, its table whole, and no two processes ever did one job together."
    monkeypatch.setattr(runner, "code_version", workbook.code_version)       # the driver's
    (coin/"s.yaml").write_text(f"jobs:\n- experiment: coin\n  grid: {{n: {list(range(40))}}}\n- {{experiment: coin, set: {{sides: 13}}}}\n")
    command = [sys.executable, "-c", "from xai_repro.cli import app; app()", "sweep", str(coin/"s.yaml"), "--workers", "2"]
    def start(): return subprocess.Popen(command, env=os.environ | dict(XAI_REPRO_ROOT=str(coin), OMP_NUM_THREADS="1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    def logs(): return sum(p.read_text().count("start") for p in coin.glob("*.log"))
    chance, driver, killed, deadline = random.Random(0), start(), [], time.time() + 900
    while len(killed) < 10:
        assert time.time() < deadline
        before = logs()
        while logs() == before and driver.poll() is None and time.time() < deadline: time.sleep(.05)      # something runs
        time.sleep(chance.uniform(0, 1.5))
        if driver.poll() is not None: break                                                               # all was done before ten were killed
        try: mine = [driver] if chance.random() < .3 else [p for p in psutil.Process(driver.pid).children(recursive=True) if "spawn_main" in " ".join(p.cmdline()) or "ipykernel" in " ".join(p.cmdline())]
        except psutil.NoSuchProcess: continue
        if not mine: continue
        victim = chance.choice(mine)
        victim.kill(); killed.append(victim.pid)
        if victim is driver: driver.wait(); driver = start()
    assert len(killed) == 10, "the sweep ended too early to be disturbed"
    while (code := driver.wait(timeout=deadline - time.time())) not in (0, 1): driver = start()
    jobs = sweep.read(coin/"s.yaml")
    lost = sweep.status(jobs)
    if (lost.state[:40] == "failed").any(): subprocess.run(command, env=os.environ | dict(XAI_REPRO_ROOT=str(coin)), capture_output=True)   # a kernel alone was killed: its run failed, and says so
    table = sweep.status(jobs)
    assert table.state.tolist() == ["done"]*40 + ["failed"] and "ZeroDivisionError" in table.error[40]
    for job in jobs[:40]:
        record, log = json.loads((sweep._places(job).results/"run.json").read_text()), (coin/f"{job.name.split('/')[1]}.log").read_text().split()
        assert record["parameters"]["n"] == job.overrides["n"] and (sweep._places(job).results/"throws.csv").read_text() == expected(job.overrides["n"])
        assert "together" not in log and log[-1] == "end"
    finished = sum(p.read_text().count("end") for p in coin.glob("*.log"))
    assert 40 <= finished <= 50, "a job is done again only where it was killed between its last cell and its record"
