"""The hostile suite: bad values, damaged files, killed processes, strangers' models, many threads.

Each attempt is counted by what came of it: right, refused (an error that names the argument, the
value and what is allowed) or wrong; the counts are printed at the end. `make hostile` tries more.
"""
from collections import Counter

import pytest

OUTCOMES = ("right", "refused", "wrong")
COUNTS: dict[str, Counter] = {}


def pytest_addoption(parser):
    """Add `--long`, which also runs the attempts that take minutes."""
    parser.addoption("--long", action="store_true", help="also run what takes minutes")


def pytest_configure(config):
    """Name the marker of what takes minutes."""
    config.addinivalue_line("markers", "long: takes minutes; run with --long (make hostile)")


def pytest_collection_modifyitems(config, items):
    """Leave out what takes minutes, unless it is wanted."""
    if config.getoption("--long", default=False): return
    long = [item for item in items if item.get_closest_marker("long")]
    if not long: return
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if not item.get_closest_marker("long")]


class Tally:
    """What came of the attempts of one group."""

    def __init__(self, group):
        self.counts = COUNTS.setdefault(group, Counter())
        self.wrong = []

    def add(self, outcome, what=""):
        """Count one attempt: right, refused or wrong; `what` is told of a wrong one."""
        assert outcome in OUTCOMES, outcome
        self.counts[outcome] += 1
        if outcome == "wrong": self.wrong.append(what)

    def right_if(self, is_right, what=""):
        """Count one attempt: right where `is_right`, or else wrong."""
        outcome = "right" if is_right else "wrong"
        self.add(outcome, what)

    def refused_if(self, is_refused, what=""):
        """Count one attempt: refused where `is_refused`, or else wrong."""
        outcome = "refused" if is_refused else "wrong"
        self.add(outcome, what)

    def refusal(self, call, *words, errors=ValueError, what=""):
        """Count a call that has to be refused by one of `errors` that holds each of `words`."""
        try:
            got = call()
        except errors as error:
            told = str(error)
            is_told = all(word in told for word in words)
            self.refused_if(is_told, f"{what}: {told}")
        else:
            self.add("wrong", f"{what}: gave {got}")

    def check(self):
        """Fail where an attempt went wrong, and say which."""
        assert not self.wrong, f"{len(self.wrong)} wrong:\n" + "\n".join(map(str, self.wrong))


@pytest.fixture
def tally(request):
    """The counts of the file's group (test_files.py: "files"); wrong attempts fail the test."""
    counted = Tally(request.path.stem.removeprefix("test_"))
    yield counted
    counted.check()


def pytest_terminal_summary(terminalreporter):
    """Print how many were tried in each group, and what came of them."""
    if not COUNTS: return
    terminalreporter.section("hostile")
    for group, counts in sorted(COUNTS.items()):
        numbers = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES)
        terminalreporter.write_line(f"{group}: {counts.total()} tried, {numbers}")
