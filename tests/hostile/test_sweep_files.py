"""Hostile files of sweeps and of SLURM: each refused in a line, before it takes time or memory."""
import os

import pytest
from test_sweep import coin  # noqa: F401 (a fixture)
from toy_project import call

from xai_repro.workbook import sweep, workers

LONGEST = 1000      # characters of an error


def job(**entry):
    """A sweep of one entry, in YAML."""
    parts = ", ".join(f"{name}: {value}" for name, value in entry.items())
    return f"jobs: [{{experiment: coin, {parts}}}]"


def bomb(name, depth=9):
    """Lists of lists: ten times as much behind each alias."""
    lines = ["x0: &x0 [z, z, z, z, z, z, z, z, z, z]"]
    for i in range(1, depth):
        lines.append(f"x{i}: &x{i} [{', '.join([f'*x{i - 1}']*10)}]")
    return "\n".join([*lines, f"{name}: *x{depth - 1}", ""])


THOUSAND = str(list(range(1000)))
REFUSED = {
    "a bomb as jobs": bomb("jobs"),
    "a bomb as profile": bomb("profile") + job(),
    "a bomb in set": job(set="{n: &a [z, z, z, z], sides: &b [*a, *a, *a, *a]}"),
    "a list in itself": job(set="{n: &a [*a]}"),
    "lists in lists": job(set="{n: " + "["*3000 + "]"*3000 + "}"),
    "an open bracket": "["*100_000,
    "a grid of a million": job(grid=f"{{n: {THOUSAND}, sides: {THOUSAND}}}"),
    "too many jobs in two entries": "jobs:\n" + f"- {{experiment: coin, grid: {{n: {THOUSAND}"
    f", sides: {list(range(20, 26))}}}}}\n"*2,
    "a list of a million": job(list=f"[{', '.join(['{}']*1001)}]", grid=f"{{n: {THOUSAND}}}"),
    "shards without end": job(shards=10**9),
    "a tag that calls": job(set="{n: !!python/object/apply:os.system ['touch pwned']}"),
    "a tag that names": "jobs: [{experiment: !!python/name:os.system }]",
    "a tag of another kind": job(set="{n: !!binary aGVsbG8=}"),
    "a path": "jobs: [{experiment: ../../etc/passwd}]",
    "a number as experiment": "jobs: [{experiment: 3}]",
    "a table as experiment": "jobs: [{experiment: {coin: 1}}]",
    "nothing as experiment": "jobs: [{experiment: [null]}]",
    "a list as profile": job(profile="[smoke]"),
    "nothing as profile": job(profile="null"),
    "a number as device": job(device=3),
    "nothing as device": job(device=""),
    "a list as grid": job(grid="[1]"),
    "nothing as grid": job(grid=""),
    "nothing as set": job(set="null"),
    "a list in list": job(list="[[1]]"),
    "a text as shards": job(shards="two"),
    "half a shard": job(shards=2.5),
    "true as shards": job(shards="true"),
    "NaN passes": job(passes=".nan"),
    "a value that is NaN": job(set="{n: .nan}"),
    "None": job(set="{n: None}"),
    "sexagesimal": job(set="{n: 1:30}"),
    "a number of 5,000 digits": job(set="{n: " + "9"*5000 + "}"),
    "a list as name": job(set="{[1]: 2}"),
    "a number as name": job(set="{1: 2}"),
    "a name that is given twice": job(set="{n: 1, n: 2}"),
    "jobs that are given twice": "jobs: [{experiment: coin}]\njobs: []",
    "another parameter": job(set="{__class__: 1}"),
    "a parameter of the runner": job(set="{results: ../../somewhere}"),
    "two documents": "jobs: []\n---\njobs: []",
    "a tab": "jobs:\n\t- experiment: coin",
    "no UTF-8": b"\xff\xfe\x00j",
    "zero bytes": b"jobs: \0",
    "nothing": "",
    "a large file": "#"*(workers.LARGEST_FILE + 1),
}


def outcome(result):
    """Whether a command refused in a line, and what is wrong otherwise."""
    error = result.stderr
    if result.exit_code == 2 and error.startswith("error: ") and len(error) < LONGEST:
        return "refused"
    return "wrong"


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("kind", REFUSED)
def test_a_hostile_sweep_is_refused(coin, tally, kind):  # noqa: F811
    path = write(coin/"s.yaml", REFUSED[kind])
    result = call("sweep", str(path), "--status")
    tally.add(outcome(result), f"{kind}: {result.exit_code} {result.stderr[:300]}")
    assert not (coin/"pwned").exists()
    assert not (coin/"data"/"runs").exists()


@pytest.mark.parametrize("kind", ["folder", "missing", "pipe"])
def test_a_path_that_is_no_file_is_refused(coin, tally, kind):  # noqa: F811
    path = coin/"s.yaml"
    if kind == "folder": path.mkdir()
    if kind == "pipe": os.mkfifo(path)
    result = call("sweep", str(path), "--status")
    tally.add(outcome(result), f"{kind}: {result.exit_code} {result.stderr[:300]}")


RIGHT = {
    "an alias": ({"n": 3}, "jobs: [{experiment: coin, set: &s {n: 3}}, "
                           "{experiment: coin, list: [*s]}]"),
    "octal": ({"n": 10}, job(set="{n: 010}")),
    "hexadecimal": ({"n": 16}, job(set="{n: 0x10}")),
    "a merge": ({"n": 3, "sides": 4}, job(set="{<<: {n: 3}, sides: 4}")),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_an_odd_sweep_is_read_as_it_is_meant(coin, tally, kind):  # noqa: F811
    expected, text = RIGHT[kind]
    jobs = sweep.read(write(coin/"s.yaml", text))
    overrides = [each.overrides for each in jobs]
    tally.add("right" if overrides == [expected] else "wrong", f"{kind}: {overrides}")


GOOD = {"queue": "gpu", "cores": "4", "memory": "8GB", "walltime": "'04:00:00'"}
BAD_SLURM = {
    "a bare number of minutes": {"walltime": "60"},
    "minutes and seconds": {"walltime": "90:00"},
    "no walltime": {"walltime": ""},
    "tomorrow": {"walltime": "tomorrow"},
    "a walltime and a line": {"walltime": '"04:00:00\\n#SBATCH --uid=0"'},
    "a list of walltimes": {"walltime": "[1]"},
    "a queue and a command": {"queue": '"gpu\\ntouch /tmp/pwned"'},
    "a queue and a carriage return": {"queue": '"gpu\\rtouch /tmp/pwned"'},
    "a queue and another option": {"queue": '"gpu --wrap=reboot"'},
    "an account and a command": {"account": '"me; touch pwned"'},
    "a job name and a command": {"job_name": '"x\\ntouch pwned"'},
    "a shebang and a command": {"shebang": '"#!/bin/sh\\ntouch pwned"'},
    "a folder with spaces": {"log_directory": "/tmp/my logs"},
    "a Python and a command": {"python": "'python; touch pwned'"},
    "one directive as a text": {"job_extra_directives": "'--gres=gpu:1'"},
    "a directive and a command": {"job_extra_directives": '["--gres=gpu:1\\ntouch pwned"]'},
    "a directive that is a number": {"job_extra_directives": "[1]"},
    "one line as a text": {"job_script_prologue": "module load cuda"},
    "two lines as one": {"job_script_prologue": '["a\\nb"]'},
    "arguments as a text": {"worker_extra_args": "--preload"},
    "no cores": {"cores": "0"},
    "four cores": {"cores": "four"},
    "lots of memory": {"memory": "lots"},
    "memory without a unit": {"memory": "8"},
    "workers without end": {"count": "1000000000"},
    "another security": {"security": "null"},
    "another protocol": {"protocol": "tcp"},
    "no TLS for the scheduler": {"scheduler_options": "{protocol: tcp}"},
    "a name that is no option": {"quue": "gpu"},
    "a tag that calls": {"queue": "!!python/object/apply:os.system ['touch pwned']"},
}


@pytest.mark.parametrize("kind", BAD_SLURM)
def test_a_hostile_file_for_slurm_is_refused(coin, tally, kind):  # noqa: F811
    jobs = write(coin/"s.yaml", "jobs: [{experiment: coin}]")
    entries = GOOD | BAD_SLURM[kind]
    lines = [f"{name}: {value}\n" for name, value in entries.items()]
    cluster = write(coin/"slurm.yaml", "".join(lines))
    result = call("sweep", str(jobs), "--slurm", str(cluster), "--script")
    tally.add(outcome(result), f"{kind}: {result.exit_code} {result.stderr[:300]}")
    assert not result.stdout


def test_what_slurm_is_to_do_before_a_job_is_written_as_it_is(coin, tally):  # noqa: F811
    jobs = write(coin/"s.yaml", "jobs: [{experiment: coin}]")
    prologue = ["module load cuda", "source '~/my env/bin/activate'"]
    lines = [f"{name}: {value}\n" for name, value in GOOD.items()]
    lines.append(f"job_script_prologue: {prologue}\n")
    cluster = write(coin/"slurm.yaml", "".join(lines))
    script = call("sweep", str(jobs), "--slurm", str(cluster), "--script").stdout.splitlines()
    for line in ["#SBATCH -t 04:00:00", "#SBATCH -p gpu", "#SBATCH --mem=8G", *prologue]:
        tally.add("right" if line in script else "wrong", f"{line} is not in {script}")
