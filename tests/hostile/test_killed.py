"""Processes killed and stopped at any moment: nothing is lost, wrong, twice or left running."""
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from test_sweep import DEFAULTS, THROW, check_table, coin  # noqa: F401 (coin is a fixture)
from toy_project import write

from xai_repro.workbook import keys, records, runner, sweep, workers

PROGRAM = "from xai_repro.workbook.cli import app; app()"
PATIENCE = 600      # seconds, for a machine with much to do
SIGNALS = {"kill": signal.SIGKILL, "TERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}


def processes_of(folder):
    """The processes that belong to a project, but for this one."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_ours = process.environ().get("XAI_REPRO_ROOT") == str(folder)
            is_alive = process.status() != psutil.STATUS_ZOMBIE
            if is_ours and is_alive and process.pid != os.getpid(): found.append(process)
    return found


def wait_until(condition, seconds=PATIENCE):
    """Whether a condition comes true in that time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition(): return True
        time.sleep(.05)
    return False


def all_gone(folder, seconds=10):
    """Whether no process of a project is left after some seconds."""
    return wait_until(lambda: not processes_of(folder), seconds)


class Command:
    """The command line in a process group of its own, as a terminal starts it."""

    def __init__(self, folder, *arguments):
        self.folder = folder
        self.output = folder/"said.txt"
        self.arguments = arguments
        self.n_starts = 0
        self.start()

    def start(self):
        self.n_starts += 1
        environment = os.environ | dict(XAI_REPRO_ROOT=str(self.folder), OMP_NUM_THREADS="1")
        command = [sys.executable, "-c", PROGRAM, *self.arguments]
        with open(self.output, "a") as output:
            self.process = subprocess.Popen(
                command, env=environment, stdout=output, stderr=subprocess.STDOUT,
                cwd=self.folder, start_new_session=True,
            )

    def said(self):
        return self.output.read_text()

    def end(self):
        """The exit code."""
        return self.process.wait(timeout=PATIENCE)

    def stop(self, kind):
        """Send a signal: Ctrl-C to the whole group, others to the process; the exit code."""
        send = os.killpg if kind == "Ctrl-C" else os.kill
        send(self.process.pid, SIGNALS[kind])
        return self.end()

    def count(self, word):
        """How often the runs wrote a word in their logs."""
        logs = self.folder.glob("smoke*.log")
        return sum(path.read_text().split().count(word) for path in logs)

    def kernels(self):
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "ipykernel" in " ".join(child.cmdline())]

    def kill_part(self, kind):
        """Kill a worker or a kernel, if a kernel runs; False where none does."""
        try:
            kernels = self.kernels()
            if not kernels: return False
            victim = kernels[0] if kind == "kernel" else kernels[0].parent()
            victim.kill()
        except psutil.NoSuchProcess:
            return False
        return True


@pytest.fixture(scope="module")
def library_cache(tmp_path_factory):
    """What the commands remember of the library's code, which all of them read."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def project_of_commands(coin, library_cache, monkeypatch):  # noqa: F811
    """A project that commands in other processes work in; none is left afterwards."""
    (coin/"data"/"cache").symlink_to(library_cache)
    monkeypatch.setattr(runner, "code_version", keys.code_version)
    monkeypatch.setattr(runner, "code_files", keys.code_files)
    yield coin
    for process in processes_of(coin):
        with contextlib.suppress(psutil.NoSuchProcess): process.kill()


def kill_while_running(command, kind, delay, tally):
    """After the next start of a job and a delay; a stopped command is started again.

    Returns: whether a process was killed; there is none where the sweep is done.
    """
    before = command.count("start")
    until_start = wait_until(lambda: command.count("start") > before or command.process.poll())
    assert until_start, command.said()[-2000:]
    time.sleep(delay)
    if kind not in SIGNALS:
        killed = False

        def try_to_kill():
            nonlocal killed
            killed = command.kill_part(kind)
            return killed or command.process.poll() is not None

        wait_until(try_to_kill)
        return killed
    command.stop(kind)
    left = not all_gone(command.folder)
    tally.add("wrong" if left else "right", f"after {kind}: {processes_of(command.folder)}")
    command.start()
    return True


SHORT = (6, ["kill", "worker", "kernel", "TERM"])
LONG = (44, ["kill"]*3 + ["TERM", "Ctrl-C"] + ["worker"]*5 + ["kernel"]*4)


@pytest.mark.parametrize("n_jobs, kinds", [
    pytest.param(*SHORT, id="short"),
    pytest.param(*LONG, id="long", marks=pytest.mark.long),
])
def test_a_sweep_whose_processes_are_killed(project_of_commands, tally, n_jobs, kinds):
    """At random moments the command, a worker or a kernel is killed, and the command repeated.

    In the end each job is done, its table is whole, no two processes ever ran one job together,
    and only what a killed process was at was done again. One job always fails.
    """
    path = project_of_commands/"s.yaml"
    path.write_text(f"jobs:\n- {{experiment: coin, grid: {{n: {list(range(n_jobs))}}}}}\n"
                    "- {experiment: coin, set: {sides: 13}}\n")
    rng = random.Random(0)
    rng.shuffle(kinds)
    command = Command(project_of_commands, "sweep", str(path), "--workers", "2")
    for kind in kinds:
        if command.process.poll() is not None: command.start()
        assert kill_while_running(command, kind, rng.uniform(0, .8), tally), kind
    assert command.end() == 1, "one job always fails"
    jobs = sweep.read(path)
    table = sweep.status(jobs)[:n_jobs]
    broken = table[table.state != "done"]   # only their kernel was killed: their runs failed
    assert set(broken.state) <= {"failed"}
    assert len(broken) <= kinds.count("kernel")
    assert broken.error.str.contains("kernel").all(), broken
    # a stopped command costs two jobs, a worker or a kernel one; each command tries the bad job
    cost = sum(2 if kind in SIGNALS else 1 for kind in kinds)
    assert command.count("start") <= n_jobs + cost + command.n_starts
    command.start()
    assert command.end() == 1
    table = sweep.status(jobs)
    assert table.state.tolist() == ["done"]*n_jobs + ["failed"]
    assert "ZeroDivisionError" in table.error[n_jobs]
    for job in jobs[:n_jobs]:
        check_table(project_of_commands, job)
        tally.add("right", job.name)
    # a job is repeated only where it was killed between its last cell and its record
    assert n_jobs <= command.count("end") <= n_jobs + len(kinds)
    assert all_gone(project_of_commands), processes_of(project_of_commands)


def stored_in(folder):
    """What is stored of results and figures: each file and what is in it."""
    files = [path for name in ("data/results", "figures") for path in (folder/name).rglob("*")]
    return {path: path.read_bytes() for path in files if path.is_file()}


@pytest.mark.parametrize("n_kills", [4, pytest.param(40, marks=pytest.mark.long)])
def test_a_killed_run_leaves_what_is_stored_byte_for_byte(project_of_commands, tally, n_kills):
    """Stored results are those of the run before, or those of a run that was done when killed."""
    folder = project_of_commands
    profiles = folder/"nbs"/"papers"/"profiles.toml"
    profiles.write_text("[coin.standard]\nn = 1\n")
    assert runner.run("coin", "standard", progress=False).error == ""
    results = folder/"data"/"results"/"coin"/"standard"
    before = stored_in(folder)
    rng = random.Random(1)
    for k in range(n_kills):
        n = k + 2
        profiles.write_text(f"[coin.standard]\nn = {n}\n")
        command = Command(folder, "run", "coin", "--profile", "standard")
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.process.wait(rng.uniform(.5, 5))
        if command.process.poll() is None: command.stop("kill")
        assert all_gone(folder), processes_of(folder)
        now = stored_in(folder)
        is_new = now != before
        is_whole = records.finished(results)["parameters"]["n"] == n and not records.damage(results)
        tally.add("wrong" if is_new and not is_whole else "right", f"killed run {k}")
        before = now
    tables = {path.name for path in before}
    assert tables == {"throws.csv", "run.json"}


COMMANDS = {
    "run": ["run", "coin"],
    "sweep": ["sweep", "s.yaml"],
    "workers": ["sweep", "s.yaml", "--workers", "1"],
}
ALWAYS = (("run", "TERM"), ("workers", "Ctrl-C"))


@pytest.mark.parametrize("name, kind", [
    pytest.param(name, kind, marks=() if (name, kind) in ALWAYS else pytest.mark.long)
    for name in COMMANDS for kind in ("TERM", "Ctrl-C")
])
def test_a_command_that_is_asked_to_stop_stops(project_of_commands, tally, name, kind):
    """Without a traceback, with an exit code that says so; what it ran is not called failed."""
    folder = project_of_commands
    (folder/"s.yaml").write_text("jobs: [{experiment: coin, grid: {n: [1, 2]}}]")
    write("coin", THROW.replace("sleep(.3)", "sleep(60)"), defaults=DEFAULTS)
    command = Command(folder, *COMMANDS[name])
    assert wait_until(lambda: command.count("start")), command.said()[-2000:]
    code = command.stop(kind)
    said = command.said()
    faults = [
        code != 128 + SIGNALS[kind] and f"exit code {code}",
        "Traceback" in said and said[-1000:],
        command.count("start") > 1 and "it went on to the next job",
        list(folder.glob("data/runs/*/*.json")) and "recorded as failed",
        not all_gone(folder) and f"left: {processes_of(folder)}",
    ]
    wrong = [fault for fault in faults if fault]
    tally.add("wrong" if wrong else "right", f"{name}, {kind}: {wrong}")


STUBBORN = """
import os, signal, subprocess
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"])
open(os.environ["XAI_REPRO_ROOT"] + "/begun.log", "w").write("start")
sum(range(80*10**9))
"""


def test_a_kernel_dies_with_the_process_that_started_it(project_of_commands, tally):
    """Within ten seconds, even inside one long call in C; and what its cells have started."""
    write("coin", STUBBORN, defaults=DEFAULTS)
    command = Command(project_of_commands, "run", "coin")
    assert wait_until((project_of_commands/"begun.log").exists), command.said()[-2000:]
    assert len(processes_of(project_of_commands)) >= 3
    command.stop("kill")
    is_gone = all_gone(project_of_commands)
    tally.add("right" if is_gone else "wrong", f"left: {processes_of(project_of_commands)}")
    (job,) = sweep.status([sweep.Job("coin")]).state
    tally.add("right" if job == "waiting" else "wrong", f"the job is {job}")


def test_a_file_system_without_room(project_of_commands, tally):
    """No file may have more than 40 KB: what needs more fails, is told, and goes on later."""
    folder = project_of_commands
    big = "\nif n % 2: open(out/'big.bin', 'wb').write(b'x'*200_000)\n"
    write("coin", THROW.replace("sleep(.3)", "sleep(0)") + big, defaults=DEFAULTS)
    (folder/"s.yaml").write_text("jobs: [{experiment: coin, grid: {n: [0, 1, 2]}}]")
    environment = os.environ | dict(XAI_REPRO_ROOT=str(folder), OMP_NUM_THREADS="1")
    sweep_it = [sys.executable, "-c", PROGRAM, "sweep", "s.yaml"]
    options = dict(env=environment, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    limited = subprocess.run(["bash", "-c", 'ulimit -f 40; exec "$@"', "-", *sweep_it], **options)
    is_told = "2 done, 1 failed" in limited.stdout and "when there is room" in limited.stderr
    has_traceback = "Traceback" in limited.stderr
    right = limited.returncode == 1 and is_told and not has_traceback
    tally.add("right" if right else "wrong", f"{limited.stdout} {limited.stderr}")
    assert not list(folder.rglob("big.bin"))
    again = subprocess.run(sweep_it, **options)
    is_right = again.returncode == 0 and "3 done" in again.stdout
    tally.add("right" if is_right else "wrong", again.stderr[-1000:])


def test_a_disk_that_is_nearly_full_is_left_to_results(coin, monkeypatch):  # noqa: F811
    """What is remembered of the library's code is not stored on it, though the root has room."""
    full = coin/"data"
    usage = type(shutil.disk_usage(coin))
    free = {True: 100_000, False: 10**12}
    monkeypatch.setattr(
        keys.shutil, "disk_usage", lambda path: usage(0, 0, free[full in (path, *path.parents)]))
    keys._stored_module("a = 1", "some")
    assert not (full/"cache").exists()
    free[True] = 10**9
    keys._stored_module("a = 1", "some")
    assert len(list((full/"cache"/"code").iterdir())) == 1


def test_a_second_run_waits_and_says_so(coin, capfd):  # noqa: F811
    job = sweep.Job("coin").locate()
    entered = threading.Event()

    def wait():
        with runner.locked(job.lock, "coin (smoke)"):
            entered.set()

    with runner.locked(job.lock):
        second = threading.Thread(target=wait)
        second.start()
        assert wait_until(lambda: "coin (smoke) runs in another process" in capfd.readouterr().err)
        assert not entered.is_set()
        shutil.rmtree(coin/"data"/"runs", ignore_errors=True)   # make clean, in another terminal
        assert runner.running(job.lock)
    second.join(PATIENCE)
    assert entered.is_set()


def test_who_waited_for_a_lock_that_is_removed_locks_the_new_one(coin):  # noqa: F811
    """And waits for who has that."""
    job = sweep.Job("coin").locate()
    order = []

    def wait(name):
        with runner.locked(job.lock):
            order.append(f"{name} enters")
            time.sleep(.2)
            order.append(f"{name} leaves")

    others = [threading.Thread(target=wait, args=(name,)) for name in "ab"]
    with runner.locked(job.lock):
        others[0].start()
        time.sleep(.2)
        job.lock.unlink()
        others[1].start()
        time.sleep(.1)
    for other in others: other.join(PATIENCE)
    first, second = order[0][0], order[2][0]
    assert order == [f"{first} enters", f"{first} leaves", f"{second} enters", f"{second} leaves"]


def test_a_run_whose_lock_is_removed_does_not_count(coin, monkeypatch):  # noqa: F811
    execute = runner._execute

    def clean_meanwhile(paths, *rest):
        error = execute(paths, *rest)
        shutil.rmtree(coin/".locks")
        return error

    monkeypatch.setattr(runner, "_execute", clean_meanwhile)
    record = runner.run("coin", progress=False)
    assert record.state == "failed"
    assert "another run may have written the same tables" in record.error


STRANGER = """
import asyncio, json, os, sys
from dask.distributed import Client, Security
from distributed.comm import connect
own = Security.temporary()
ports = sys.argv[1:]
async def reach(name, address, **options):
    try: return name, str(await asyncio.wait_for(connect(address, timeout=3, **options), 6))
    except BaseException as error: return name, f"refused: {type(error).__name__}"
async def reach_all():
    key = own.get_connection_args("client")
    clear = [reach(f"in clear, {port}", f"tcp://127.0.0.1:{port}") for port in ports]
    keyed = [reach(f"own key, {port}", f"tls://127.0.0.1:{port}", **key) for port in ports]
    return dict(await asyncio.gather(*clear, *keyed))
told = asyncio.run(reach_all())
try:
    with Client(f"tls://127.0.0.1:{ports[0]}", security=own, timeout=3) as client:
        told["run"] = client.run_on_scheduler(os.getpid)
except OSError as error: told["run"] = f"refused: {type(error).__name__}"
print(json.dumps(told), flush=True)
os._exit(0)
"""


def test_a_stranger_gets_in_nowhere(tally):
    """Workers of this machine listen on the loopback alone, and take only who has their key."""
    with sweep.local_workers(1) as client:
        address = client.scheduler.address
        process = psutil.Process()
        family = [process, *process.children(recursive=True)]
        ports = [port for member in family for port in member.net_connections(kind="inet")]
        listening = {port.laddr for port in ports if port.status == psutil.CONN_LISTEN}
        first = int(address.rpartition(":")[2])
        others = sorted({place.port for place in listening} - {first})
        command = [sys.executable, "-c", STRANGER, *map(str, [first, *others])]
        told = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert address.startswith("tls://127.0.0.1:")
    assert len(listening) >= 3
    for place in listening:
        tally.add("right" if place.ip == "127.0.0.1" else "wrong", f"listens on {place}")
    for attempt, outcome in json.loads(told.stdout).items():
        is_refused = str(outcome).startswith("refused")
        tally.add("refused" if is_refused else "wrong", f"{attempt}: {outcome}")


def test_a_key_of_another_run_opens_nothing(tally, tmp_path):
    workers.write_credentials(tmp_path/"other")
    with sweep.local_workers(1) as client:
        address = client.scheduler.address
        with pytest.raises(OSError), sweep.scheduled(address, tmp_path/"other"):
            pass
        tally.add("refused", "the key of another run")
        with sweep.scheduled(address, client.security) as same:
            tally.add("right" if same.run_on_scheduler(os.getpid) else "wrong", "its own key")
