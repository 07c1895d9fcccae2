"""Many runs: what a file lists, the same numbers on any workers, and recovery from kills."""
import errno
import json
import os
import re
import shutil
import stat

import nbformat
import numpy as np
import pytest
from toy_project import call, write

from xai_repro.ground import root
from xai_repro.workbook import keys, runner, sweep

DEFAULTS = 'profile = "smoke"\nresults = ""\ndevice = "auto"\nn = 2\nsides = 6'
THROW = """
import fcntl, os, time
from pathlib import Path
import numpy as np
root = Path(os.environ["XAI_REPRO_ROOT"])
out = Path(os.environ["XAI_REPRO_RUN"])
out.mkdir(parents=True, exist_ok=True)
log = open(root/f"{out.name}.log", "a")
try: fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError: print("together", file=log, flush=True)
print("start", file=log, flush=True)
1/(sides - 13)
throws = np.random.default_rng(n).integers(1, sides + 1, 50)
with open(out/"throws.csv", "w") as table:
    table.write("throw\\n" + "".join(f"{t}\\n" for t in throws[:25])); table.flush()
    time.sleep(.3)
    table.write("".join(f"{t}\\n" for t in throws[25:]))
print("end", file=log, flush=True)
"""


@pytest.fixture
def coin(project):
    """A project with the experiment `coin`, which takes a third of a second."""
    papers = project/"nbs"/"papers"
    (papers/"profiles.toml").write_text("")
    (papers/"dice.ipynb").unlink()
    write("coin", THROW, defaults=DEFAULTS)
    return project


@pytest.fixture
def write_sweep(coin):
    """A function that writes a sweep file and returns its path."""
    def write_text(text):
        path = coin/"s.yaml"
        path.write_text(text)
        return path

    return write_text


@pytest.fixture
def one_job(write_sweep):
    return write_sweep("jobs: [{experiment: coin}]")


@pytest.fixture
def real_code_version(coin, monkeypatch):
    """The runner's key of the library, as other processes compute it."""
    monkeypatch.setattr(runner, "code_version", keys.code_version)


def call_sweep(path, *options):
    return call("sweep", str(path), *options)


def states(records) -> list[str]:
    return [record.state for record in records]


def throws_table(n, sides=6) -> str:
    """The table that `coin` writes."""
    throws = np.random.default_rng(n).integers(1, sides + 1, 50)
    return "throw\n" + "".join(f"{t}\n" for t in throws)


def check_table(folder, job) -> None:
    """A job is done, its table is whole and no other process ran it at the same time."""
    paths = job.locate()
    n = job.overrides["n"]
    record = json.loads((paths.results/"run.json").read_text())
    assert record["parameters"]["n"] == n
    assert (paths.results/"throws.csv").read_text() == throws_table(n)
    log = (folder/f"{paths.name}.log").read_text().split()
    assert "together" not in log
    assert log[-1] == "end"


# what a file lists

GRID_AND_LIST = """
device: cpu
jobs:
- experiment: coin
  set: {sides: 8}
  grid: {n: [1, 2]}
- experiment: [coin]
  device: auto
  list: [{n: 1, sides: 8}, {n: 3}]
"""


def test_grids_lists_and_fixed_values(write_sweep):
    jobs = sweep.read(write_sweep(GRID_AND_LIST))
    assert [(job.device, job.overrides) for job in jobs] == [
        ("cpu", dict(sides=8, n=1)),  # once, though the list has the same run on another device
        ("cpu", dict(sides=8, n=2)),
        ("auto", dict(n=3)),
    ]


@pytest.mark.parametrize("text, message", [
    ("[]", "allowed: names with values"),
    ("jobs: [", "is not YAML"),
    ("jobs: [{}]", "names no experiment; allowed: coin"),
    ("jobs: [{experiment: dice}]", "experiment in jobs[0]"),
    ("jobs: [{experiment: coin, shards: 3}]", "an entry of jobs[0]"),
    ("jobs: [{experiment: coin, grid: {n: []}}]", "a list of at least one value"),
    ("jobs: [{experiment: coin, list: 3}]", "list of jobs[0]"),
    ("jobs: [{experiment: coin, set: {n: x}}]", "n in overrides of coin is 'x'"),
])
def test_mistakes_are_refused_before_anything_runs(coin, write_sweep, text, message):
    path = write_sweep(text)
    with pytest.raises(ValueError) as error:
        sweep.read(path)
    assert message in str(error.value)
    refused = call_sweep(path)
    assert refused.exit_code == 2
    assert refused.stderr.startswith("error: ")
    assert not (coin/"data"/"runs").exists()


@pytest.mark.parametrize("options, message", [
    (["--workers", "2", "--scheduler", "tcp://a:1"], "--workers and --scheduler are given"),
    (["--workers", "2", "--slurm", "s.yaml"], "--workers and --slurm are given"),
    (["--slurm", "s.yaml", "--gpus", "auto"], "--slurm and --gpus auto are given"),
    (["--workers", "-1"], "--workers is -1"),
    (["--gpus", "all"], "--gpus is 'all'"),
    (["--script"], "without --slurm"),
])
def test_options_that_do_not_go_together(one_job, options, message):
    refused = call_sweep(one_job, *options)
    assert refused.exit_code == 2
    assert message in refused.stderr


def test_workers_limit_the_number_of_gpus(one_job, monkeypatch):
    monkeypatch.setattr(sweep, "gpus", lambda: [])
    refused = call_sweep(one_job, "--workers", "2", "--gpus", "auto")
    assert "--gpus is auto, and no GPU is seen" in refused.stderr


def test_a_worker_with_one_gpu_has_no_second(write_sweep):
    path = write_sweep("device: cuda:1\njobs: [{experiment: coin}]")
    refused = call_sweep(path, "--gpus", "auto")
    assert refused.exit_code == 2
    assert "device is 'cuda:1' with --gpus auto" in refused.stderr


CLUSTER = """
count: 2
queue: gpu
cores: 4
memory: 8GB
walltime: '01:00:00'
job_extra_directives: ['--gres=gpu:1']
"""


@pytest.mark.parametrize("line", [
    "#SBATCH -p gpu",
    "#SBATCH --cpus-per-task=4",
    "#SBATCH --gres=gpu:1",
    "export OMP_NUM_THREADS=4",
    "export MKL_NUM_THREADS=4",
    "export MALLOC_TRIM_THRESHOLD_=",
    "--nthreads 1",
])
def test_a_script_for_slurm(coin, one_job, line):
    cluster = coin/"slurm.yaml"
    cluster.write_text(CLUSTER)
    shown = call_sweep(one_job, "--slurm", str(cluster), "--script")
    assert line in shown.output


WALLTIME = "walltime: '1:00:00'\n"


@pytest.mark.parametrize("text, message", [
    ("cores: 2", "no walltime"),
    (WALLTIME + "processes: 2", "has processes"),
    (WALLTIME + "job_script_prologue: module load cuda", "a list of lines"),
    (WALLTIME + "job_extra_directives: '--gres=gpu:1'", "a list of lines"),
    (WALLTIME + "count: 0", "count in"),
    (WALLTIME + "quue: gpu", "'quue'; allowed: count, cores"),
    (WALLTIME + "cores: 2", "no memory"),
    (WALLTIME + "memory: lots", "as in 8GB"),
    ("memory: 8GB\nwalltime: 60", "walltime in"),
    ("memory: 8GB\nwalltime: '4:00'", "walltime in"),
])
def test_a_bad_file_for_slurm(coin, one_job, text, message):
    cluster = coin/"slurm.yaml"
    cluster.write_text(text)
    script = call_sweep(one_job, "--slurm", str(cluster), "--script")
    assert message in script.stderr
    refused = call_sweep(one_job, "--slurm", str(cluster))
    assert "sbatch is not on the path" in refused.stderr


@pytest.mark.parametrize("walltime", ["4:00:00", "'4:00:00'", "1-12", "1-12:00:00"])
def test_a_walltime_is_read_as_it_is_written(coin, one_job, walltime):
    cluster = coin/"slurm.yaml"
    cluster.write_text(f"memory: 8GB\nwalltime: {walltime}")
    text = walltime.strip("'")
    script = call_sweep(one_job, "--slurm", str(cluster), "--script").output
    assert f"#SBATCH -t {text}\n" in script


def test_workers_of_slurm_need_a_key_that_only_its_owner_can_read(coin, one_job):
    cluster = coin/"slurm.yaml"
    cluster.write_text(CLUSTER)
    script = call_sweep(one_job, "--slurm", str(cluster), "--script").output
    (key,) = re.findall(r"--tls-key (\S+)", script)
    assert key.startswith(str(coin))
    assert not os.path.exists(key), "it goes with the run"
    assert "dask_worker tls://" in script
    assert "--no-dashboard" in script


def test_credentials_for_a_network(coin, one_job):
    folder = coin/"credentials"
    made = call("credentials", str(folder))
    assert "--tls-key" in made.output
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"certificate.pem": 0o600, "key.pem": 0o600}
    assert call("credentials", str(folder)).exit_code == 2, "none are written over"
    (folder/"key.pem").chmod(0o640)
    address = ["--scheduler", "tls://127.0.0.1:1", "--credentials", str(folder)]
    refused = call_sweep(one_job, *address)
    assert "can be read by others (mode 640)" in refused.stderr


@pytest.mark.parametrize("address, message", [
    ("tcp://node1:8786", "to which everybody in its network can send code"),
    ("192.0.2.7:8786", "to which everybody in its network can send code"),
    ("tls://127.0.0.1:8786", "needs credentials"),
    ("http://127.0.0.1:8786", "allowed: such as tls://host:8786"),
    ("node1", "allowed: such as tls://host:8786"),
])
def test_a_scheduler_without_a_credential_is_refused(one_job, address, message):
    refused = call_sweep(one_job, "--scheduler", address)
    assert refused.exit_code == 2
    assert message in refused.stderr


def all_sweeps():
    return sorted((root()/"nbs"/"sweeps").glob("*.yaml"))


@pytest.mark.parametrize("path", all_sweeps(), ids=lambda path: path.stem)
def test_the_sweeps_that_come_with_the_project_can_be_run(path):
    jobs = sweep.read(path)
    names = {job.name for job in jobs}
    assert len(jobs) > 1
    assert len(names) == len(jobs)
    assert "forward passes" in path.read_text(), "it tells what it costs"


# shards

THROWS = """
import numpy as np
from xai_repro.workbook.shards import shard
from xai_repro.cache import Store
from xai_repro.ground import digest
computed = []
def throw(i):
    computed.append(i)
    return dict(throw=np.random.default_rng(i).integers(1, sides + 1, 5))
store = Store()
thrown = []
for i in shard(list(range(n))):
    key = digest("throw", i, sides)
    thrown.append(store.get(key, lambda: throw(i))["throw"])
"""
COUNT = """
import os
from pathlib import Path
out = Path(os.environ["XAI_REPRO_RUN"])
out.mkdir(parents=True, exist_ok=True)
(out/"throws.csv").write_text("".join(f"{row.tolist()}\\n" for row in thrown))
(out/"computed.txt").write_text(str(len(computed)))
"""


@pytest.fixture
def shared(coin):
    """The experiment `coin` computes something of each of its seven inputs, and then counts."""
    write("coin", THROWS, COUNT, defaults=DEFAULTS.replace("n = 2", "n = 7"))
    path = coin/"nbs"/"papers"/"coin.ipynb"
    notebook = nbformat.read(path, as_version=4)
    claims = nbformat.v4.new_markdown_cell("## The claims")
    notebook.cells.insert(-1, claims)
    nbformat.write(notebook, path)
    return coin


def test_shards_prepare_what_the_whole_reads(shared, write_sweep):
    (whole,) = sweep.run([sweep.Job("coin")])
    throws = whole.results/"throws.csv"
    computed = whole.results/"computed.txt"
    alone = throws.read_bytes()
    assert computed.read_text() == "7"
    for folder in ("cache", "results", "runs"):
        shutil.rmtree(shared/"data"/folder)

    path = write_sweep("jobs: [{experiment: coin, shards: 3, passes: 70}]")
    jobs = sweep.read(path)
    assert [job.shard for job in jobs] == ["1/3", "2/3", "3/3"]
    assert [job.passes for job in jobs] == [23]*3
    status = call_sweep(path, "--status").output
    assert "3 waiting" in status
    assert "about 69 forward passes to go" in status

    sweep.run(jobs[:2])
    not_done = r"1 of 3 shards are not done, such as coin/smoke-3-of-3 \(waiting\)"
    with pytest.raises(ValueError, match=not_done):
        sweep.aggregate(jobs)
    refused = call("aggregate", str(path))
    assert "1 of 3 shards are not done" in refused.stderr
    folder = shared/"data"/"results"/"coin"
    assert not folder.exists(), "a shard leaves no results"

    assert states(sweep.run(jobs)) == ["skipped", "skipped", "done"]
    shown = call("aggregate", str(path))
    assert "coin/smoke: done" in shown.output
    assert throws.read_bytes() == alone, "the same table"
    assert computed.read_text() == "0", "and nothing is computed again"


def test_shards_on_workers_share_only_the_store(shared, real_code_version):
    jobs = [sweep.Job("coin", shard=f"{k}/4") for k in (1, 2, 3, 4)]
    with sweep.local_workers(2) as client:
        records = sweep.run(jobs, client)
        assert states(records) == ["done"]*4
        (whole,) = sweep.aggregate(jobs, client)
    throws = (whole.results/"throws.csv").read_text()
    computed = (whole.results/"computed.txt").read_text()
    assert computed == "0"
    assert len(throws.splitlines()) == 7


@pytest.mark.parametrize("shard, message", [
    ("0/3", "allowed: k/n"),
    ("4/3", "allowed: k/n"),
    ("half", "allowed: k/n"),
])
def test_a_shard_that_does_not_exist_is_refused(shared, shard, message):
    job = sweep.Job("coin", shard=shard)
    with pytest.raises(ValueError, match=message):
        job.locate()
    assert call("run", "coin", "--shard", shard).exit_code == 2


def test_more_shards_than_inputs_are_refused(shared):
    record = runner.run("coin", shard="8/8", progress=False)
    assert record.state == "failed"
    assert "shard is 8/8, and there are 7 inputs" in record.error


def test_an_experiment_without_shards_is_refused(coin):
    with pytest.raises(ValueError, match="has no shards"):
        sweep.aggregate([sweep.Job("coin")])
    with pytest.raises(ValueError, match="does not loop over shard"):
        runner.locate("coin", shard="1/2")


@pytest.mark.parametrize("experiment", [
    "glime_stability",
    "lima_faithfulness",
    "lime_g_robustness",
    "stability_soft_vs_hard",
])
def test_experiments_that_can_be_shared_out(experiment):
    assert experiment in runner.experiments()
    assert runner.shared_out(experiment)


@pytest.mark.parametrize("experiment", [
    "glime_theory",
    "lfa_equivalence",
    "lime_g_inpainter",
    "lime_g_labels",
    "lima_histology",
])
def test_experiments_that_evaluate_no_input_alone_cannot_be_shared_out(experiment):
    """Or that use the position of an input among the others."""
    assert not runner.shared_out(experiment)


# the same numbers, on any workers

def test_here_on_workers_and_on_a_scheduler_that_runs_already(coin):
    seeds = (3, 4, 5)
    jobs = [sweep.Job("coin", overrides=dict(n=n)) for n in seeds]
    expected = [throws_table(n).encode() for n in seeds]

    def tables(client):
        records = sweep.run(jobs, client, force=True)
        assert states(records) == ["done"]*3
        return [(record.results/"throws.csv").read_bytes() for record in records]

    assert tables(None) == expected
    with sweep.local_workers(2) as client:
        assert tables(client) == expected
        with sweep.local_workers(1) as other:
            address = other.scheduler.address
            with sweep.scheduled(address, other.security) as scheduled:
                assert tables(scheduled) == expected
        assert states(sweep.run(jobs, client)) == ["skipped"]*3


def test_a_job_that_fails_stops_no_other(write_sweep, real_code_version):
    path = write_sweep("jobs: [{experiment: coin, grid: {sides: [13, 6]}}]")
    shown = call_sweep(path)
    assert shown.exit_code == 1
    assert "1 done, 1 failed" in shown.output
    assert "ZeroDivisionError" in shown.stderr
    assert ".ipynb" in shown.stderr
    table = sweep.status(sweep.read(path))
    assert table.state.tolist() == ["failed", "done"]
    assert os.path.exists(table.notebook[0])
    status = call_sweep(path, "--status")
    assert "1 failed" in status.output

    corrected = THROW.replace("1/(sides - 13)", "pass")
    write("coin", corrected, defaults=DEFAULTS)
    table = sweep.status(sweep.read(path))
    assert table.state.tolist() == ["waiting", "waiting"]


# recovery

def test_an_error_outside_the_notebook_is_reported_and_stops_no_other(write_sweep, monkeypatch):
    real = runner.run

    def run(experiment, profile, device, overrides, *rest, **more):
        if overrides.get("n") == 1: raise OSError("disk full")
        return real(experiment, profile, device, overrides, *rest, **more)

    monkeypatch.setattr(runner, "run", run)
    path = write_sweep("jobs: [{experiment: coin, grid: {n: [1, 3]}}]")
    shown = call_sweep(path)
    assert shown.exit_code == 1
    assert "OSError: disk full" in shown.stderr
    assert "1 done, 1 failed" in shown.output
    table = sweep.status(sweep.read(path))
    assert table.state.tolist() == ["failed", "done"]


def test_a_failure_that_a_full_disk_leaves_no_room_for_is_told(coin, one_job, monkeypatch):
    def full(*rest):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runner, "publish", full)
    monkeypatch.setattr(runner, "write_atomically", full)
    shown = call_sweep(one_job)
    assert shown.exit_code == 1
    assert "1 failed" in shown.output
    assert "it can be run again when there is room" in shown.stderr
    table = runner.locate("coin").results/"throws.csv"
    assert not table.exists(), "it makes room for others"


def test_a_run_in_another_process_is_seen_and_waited_for(coin):
    job = sweep.Job("coin")
    lock = job.locate().lock
    with runner.locked(lock):
        assert sweep.status([job]).state.tolist() == ["running"]
    assert sweep.status([job]).state.tolist() == ["waiting"]
    assert not runner.running(lock)


def test_each_worker_sees_its_own_gpu_and_its_share_of_the_cores(coin, monkeypatch):
    """The variables are set whether there are GPUs or not."""
    for name in sweep.THREADS:
        monkeypatch.delenv(name, raising=False)
    save_environment = "import json\n(out/'seen.json').write_text(json.dumps(dict(os.environ)))"
    write("coin", THROW + save_environment, defaults=DEFAULTS)
    jobs = [sweep.Job("coin", overrides=dict(n=n)) for n in range(4)]
    with sweep.local_workers(1, ["7", "GPU-abc"]) as client:
        records = sweep.run(jobs, client)
    texts = [(record.results/"seen.json").read_text() for record in records]
    seen = [json.loads(text) for text in texts]
    gpus = {variables["CUDA_VISIBLE_DEVICES"] for variables in seen}
    threads = {variables[name] for variables in seen for name in sweep.THREADS}
    trim = {variables["MALLOC_TRIM_THRESHOLD_"] for variables in seen}
    share = max(1, os.cpu_count()//2)
    assert gpus == {"7", "GPU-abc"}
    assert threads == {str(share)}
    assert trim == {runner.ALLOCATOR["MALLOC_TRIM_THRESHOLD_"]}
    assert "OMP_NUM_THREADS" not in os.environ
