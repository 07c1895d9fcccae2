"""Hostile files of sweeps and of SLURM: each refused in a line, before it takes time or memory."""
import os

import pytest
from cases import cases
from test_sweep import coin  # noqa: F401 (a fixture)
from toy_project import call

from xai_repro.workbook import sweep, workers

LONGEST = 1000      # characters of an error


def job(**entry):
    """A sweep of one entry, in YAML."""
    pairs = [f"{name}: {value}" for name, value in entry.items()]
    parts = ", ".join(pairs)
    return f"jobs: [{{experiment: coin, {parts}}}]"


def bomb(name, depth=9):
    """Lists of lists: ten times as much behind each alias."""
    lines = ["x0: &x0 [z, z, z, z, z, z, z, z, z, z]"]
    for i in range(1, depth):
        aliases = ", ".join([f"*x{i - 1}"]*10)
        lines.append(f"x{i}: &x{i} [{aliases}]")
    lines.append(f"{name}: *x{depth - 1}\n")
    return "\n".join(lines)


THOUSAND = list(range(1000))
SIX = list(range(20, 26))


def write(path, content):
    """Write text or bytes; return the path as text."""
    if isinstance(content, str): content = content.encode()
    path.write_bytes(content)
    return str(path)


def refuse(tally, kind, *options):
    """Count a sweep that has to be refused in a line; return what it wrote."""
    result = call("sweep", *options)
    error = result.stderr
    is_line = error.startswith("error: ") and len(error) < LONGEST
    is_refused = result.exit_code == 2 and is_line
    tally.refused_if(is_refused, f"{kind}: {error[:300]}")
    return result.stdout


@cases("kind, content", {
    "a bomb as jobs": bomb("jobs"),
    "a bomb as profile": bomb("profile") + job(),
    "a bomb in set": job(set="{n: &a [z, z, z, z], sides: &b [*a, *a, *a, *a]}"),
    "a list in itself": job(set="{n: &a [*a]}"),
    "lists in lists": job(set="{n: " + "["*3000 + "]"*3000 + "}"),
    "an open bracket": "["*100_000,
    "a grid of a million": job(grid=f"{{n: {THOUSAND}, sides: {THOUSAND}}}"),
    "too many jobs in two entries":
        "jobs:\n" + f"- {{experiment: coin, grid: {{n: {THOUSAND}, sides: {SIX}}}}}\n"*2,
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
})
def test_a_hostile_sweep_is_refused(coin, tally, kind, content):  # noqa: F811
    path = write(coin/"s.yaml", content)
    refuse(tally, kind, path, "--status")
    runs = coin/"data"/"runs"
    assert not (coin/"pwned").exists()
    assert not runs.exists()


@pytest.mark.parametrize("kind", ["folder", "missing", "pipe"])
def test_a_path_that_is_no_file_is_refused(coin, tally, kind):  # noqa: F811
    path = coin/"s.yaml"
    if kind == "folder": path.mkdir()
    if kind == "pipe": os.mkfifo(path)
    refuse(tally, kind, str(path), "--status")


@cases("kind, expected, content", {
    "an alias": ({"n": 3}, "jobs: [{experiment: coin, set: &s {n: 3}}, "
                           "{experiment: coin, list: [*s]}]"),
    "octal": ({"n": 10}, job(set="{n: 010}")),
    "hexadecimal": ({"n": 16}, job(set="{n: 0x10}")),
    "a merge": ({"n": 3, "sides": 4}, job(set="{<<: {n: 3}, sides: 4}")),
})
def test_an_odd_sweep_is_read_as_it_is_meant(
        coin, tally, kind, expected, content):  # noqa: F811
    path = write(coin/"s.yaml", content)
    jobs = sweep.read(path)
    overrides = [each.overrides for each in jobs]
    tally.right_if(overrides == [expected], f"{kind}: {overrides}")


GOOD = {"queue": "gpu", "cores": "4", "memory": "8GB", "walltime": "'04:00:00'"}


def script_of(folder, options):
    """The arguments that ask for the script of a small sweep, with these options of SLURM."""
    jobs = write(folder/"s.yaml", "jobs: [{experiment: coin}]")
    lines = [f"{name}: {value}" for name, value in options.items()]
    cluster = write(folder/"slurm.yaml", "\n".join(lines))
    return jobs, "--slurm", cluster, "--script"


@cases("kind, options", {
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
})
def test_a_hostile_file_for_slurm_is_refused(coin, tally, kind, options):  # noqa: F811
    asked = script_of(coin, GOOD | options)
    written = refuse(tally, kind, *asked)
    assert not written


PROLOGUE = ["module load cuda", "source '~/my env/bin/activate'"]


@pytest.mark.parametrize(
    "line", ["#SBATCH -t 04:00:00", "#SBATCH -p gpu", "#SBATCH --mem=8G", *PROLOGUE])
def test_what_slurm_is_to_do_before_a_job_is_written_as_it_is(coin, tally, line):  # noqa: F811
    asked = script_of(coin, GOOD | {"job_script_prologue": PROLOGUE})
    script = call("sweep", *asked).stdout
    tally.right_if(line in script.splitlines(), f"{line} is not in {script}")
