"""Values of parameters: what they become, and what is refused before a kernel starts."""
import json
import math
from itertools import count, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_project import call, write

from xai_repro.workbook import runner, sweep
from xai_repro.workbook.cli import parse_set
from xai_repro.workbook.overview import overview
from xai_repro.workbook.values import like, read_yaml, yaml_text

NOTHING = {"None": None, "null": None, "~": None, "": None}
TRUTH = {"True": True, "true": True, "FALSE": False}
WHOLE = {"1": 1, "-1": -1, "+1": 1, "010": 10, "0o10": 8, "0x1F": 31, "00": 0}
REAL = {"1e-3": .001, "1E5": 1e5, "1.e1": 10., ".5": .5, "5.": 5., "-.5e2": -50.}
TEXTS_OF_YAML_1_1 = ["yes", "no", "on", "Off", "y", "0b11", "1_000", "1:30", "1:30:00", "="]
DATES = ["2020-01-01", "2020-01-01 10:00:00"]
WORDS = ["1-2", "1e", "1.2.3", "it's", "a=b", "text", "two words", "C:\\new", "ü😀"]
AS_WRITTEN = {text: text for text in [*TEXTS_OF_YAML_1_1, *DATES, *WORDS]}
QUOTED = {"'5'": "5", '"5"': "5", "'None'": "None", "'it''s'": "it's"}
LISTS = {"[]": [], "[1, 2,]": [1, 2], "- 1\n- 2": [1, 2], "[None]": [None], "[None, 1]": [None, 1]}
MIXED = {"[1:30]": ["1:30"], "[1e-3]": [.001], "[a, 'b', 1]": ["a", "b", 1]}
NESTED = {"[[1, 2], [3]]": [[1, 2], [3]], "{a: {b: [1]}}": {"a": {"b": [1]}}}
TABLES = {"{}": {}, "{a: 1e3}": {"a": 1000.}}
SCALARS = NOTHING | TRUTH | WHOLE | REAL | AS_WRITTEN | QUOTED
READ = SCALARS | LISTS | MIXED | NESTED | TABLES


@pytest.mark.parametrize("text", READ)
def test_a_value_is_what_it_looks_like(tally, text):
    expected = {"x": READ[text]}
    parsed = parse_set([f"x={text}"])
    is_same = repr(parsed) == repr(expected)
    tally.right_if(is_same, f"{text!r} became {parsed}")


def bomb():
    """Lists of lists: ten times as much behind each alias."""
    lines = ["a: &a [1,1,1,1,1,1,1,1,1,1]\n"]
    for before, name in pairwise("abcdefghi"):
        aliases = ",".join([f"*{before}"]*10)
        lines.append(f"{name}: &{name} [{aliases}]\n")
    return "".join(lines)


@pytest.mark.parametrize("text", [
    "[1, 2", "{a: 1", "'open", "@x", "%x", "`x`", "*x", "!x y", "!!python/name:os.system",
    "!!python/object/apply:os.system ['touch pwned']", "!!binary aGVsbG8=", "!!set {a, b}",
    "!!int x", "!!float x", "{a: 1, a: 2}", "{a: 1, 'a': 2}", "{1: 2, 1.0: 3}", "{1: a, true: b}",
    "{[1]: 2}", "&a [*a]", "&a {b: *a}", "["*3000 + "]"*3000, "["*102 + "]"*102, "9"*5000, "\0",
    "\x1b[2J", "\tx: 1", "a: b: c", "--- 1\n--- 2", bomb(), "- 1\n 2: 3", "]", "a: 1\na: 2",
], ids=count())
def test_what_is_not_plain_data_is_refused_by_name(tally, text):
    with pytest.raises(ValueError, match="x in a command") as error:
        read_yaml("x in a command", text)
    told = str(error.value)
    is_short = len(told) < 400
    tally.refused_if(is_short, told[:200])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers()
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS


def containers(inner):
    """Lists and tables of what is inner."""
    lists = st.lists(inner, max_size=3)
    tables = st.dictionaries(TEXTS, inner, max_size=3)
    return lists | tables


VALUES = st.recursive(LEAVES, containers, max_leaves=8)


@settings(max_examples=300, deadline=None)
@given(value=VALUES)
def test_what_list_prints_is_taken_back(value):
    printed = yaml_text(value)
    assert "\n" not in printed
    back = parse_set([f"x={printed}"])
    assert repr(back) == repr({"x": value})


@pytest.mark.parametrize(
    "value", [None, True, False, 3, -.5, 1e-7, "text", "it's", [1, "a"], [None]])
def test_what_python_writes_of_plain_values_is_taken_back(value):
    assert parse_set([f"x={value!r}"]) == {"x": value}


def test_an_overview_gives_what_set_takes(project):
    write("odd", defaults=ODD)
    shown = overview("odd").parameters.set_index("parameter").smoke
    defaults = runner.parameters("odd")
    for name, value in defaults.items():
        if name in runner.OWN: continue
        pair = f"{name}={shown[name]}"
        assert shown[name] == yaml_text(value)
        resolved = runner.resolve("odd", overrides=parse_set([pair]))
        assert resolved[name] == value


ODD = """
profile = "smoke"
results = ""
device = "auto"
text = "it's \\"so\\", a#b: {c}\\n\\u2028\\\\"
empty = []
nothing = None
some = [None, 1]
tables = {"a b": [1e-7, 2.0], "c": {"d": True}}
mixed = [1, "a"]
"""
SINGLE = dict(n=2, rate=.5, name="a", flag=False, nothing=None)
LISTED = dict(sizes=[1, 2], rates=[.5], names=["a"], flags=[True], nested=[[1], [2, 3]])
LOOSE = dict(mixed=[1, "a"], empty=[], some=[None, 1])
DEFAULTS = SINGLE | LISTED | LOOSE | dict(masks={"lime": 20}, tables={"a": [.5]})


@pytest.mark.parametrize("name, value, expected", [
    ("n", 3, 3), ("rate", 1, 1.), ("rate", 1e-3, .001),
    ("name", "", ""), ("flag", True, True), ("sizes", [], []), ("sizes", [5], [5]),
    ("rates", [1, .5], [1., .5]), ("rates", [np.float64(.25)], [.25]), ("nested", [[4]], [[4]]),
    ("masks", {"lime": 5}, {"lime": 5}), ("masks", {"rise": 5}, {"rise": 5}),
    ("tables", {"a": [1]}, {"a": [1.]}), ("mixed", ["b", 2], ["b", 2]),
    ("empty", [1, "a"], [1, "a"]),
    ("nothing", [1], [1]), ("some", [None, 3], [None, 3]), ("masks", {}, {}),
], ids=repr)
def test_a_value_of_the_defaults_types_is_taken(tally, name, value, expected):
    taken = like(name, "a test", value, DEFAULTS[name])
    written = json.dumps(taken)
    is_same = written == json.dumps(expected)
    tally.right_if(is_same, f"{name} is {written}")


CYCLE: list = []
CYCLE.append(CYCLE)
DEEP: list = []
for _ in range(2000): DEEP = [DEEP]
NOT_FINITE = [math.nan, math.inf, [math.inf], {"a": math.nan}]
OF_PYTHON = [1 + 2j, b"a", {1}, (1, 2), range(3), object()]
OF_NUMPY = [np.arange(2), np.int64(3)]
NO_NAMES = ["\ud800", {"\ud800": 1}, {1: 2}]


def refuse(tally, name, value):
    """Count a value that has to be refused in a few words, by name."""
    with pytest.raises(ValueError, match=f"{name}.* in a test is ") as error:
        like(name, "a test", value, DEFAULTS[name])
    told = str(error.value)
    is_short = len(told) < 300
    is_told = "allowed: " in told
    tally.refused_if(is_short and is_told, told[:200])


@pytest.mark.parametrize(
    "value", [*NOT_FINITE, *OF_PYTHON, *OF_NUMPY, *NO_NAMES, CYCLE, DEEP], ids=count())
@pytest.mark.parametrize("name", DEFAULTS)
def test_what_is_no_plain_value_is_refused_for_each(tally, name, value):
    refuse(tally, name, value)


@pytest.mark.parametrize("name, values", [
    ("n", ["2", 2.5, True, None, [2], {"n": 2}, 2., "2e0"]),
    ("rate", ["0.5", True, None, [.5], 10**400]),
    ("name", [1, None, True, ["a"], {"a": 1}]),
    ("flag", [0, 1, "no", "yes", None]),
    ("sizes", [1, "1", [1, "2"], [1.5], [True], [None], [[1]], {"0": 1}]),
    ("rates", [["1e-3"], [True], [[.5]], [None], [10**400]]),
    ("names", [[1], "a", [None], [["a"]], [True]]),
    ("flags", [[0], [1], ["no"]]),
    ("nested", [[1], [[1.5]], [["a"]], [[[1]]]]),
    ("masks", [{"lime": "20"}, {"rise": 2.5}, [20], {"lime": None}]),
    ("tables", [{"a": .5}, {"a": ["x"]}, {"b": [True]}]),
    ("mixed", [[.5], [None], [True]]),
])
def test_another_type_is_refused_to_the_leaves(tally, name, values):
    for value in values: refuse(tally, name, value)


@pytest.mark.parametrize("pair", [
    "n", "=3", "n =3", " n=3", "n-1=3", "", "n", "profile=paper", "m=3", "n=", "n=None", "n=1:30",
    "sizes=[1e-3]", "sizes=1", "rate=fast", "name=5", "name=no: yes", "fast=no", "fast=0", "n=2.0",
    "sizes=[1,'2']", "n=1e2", "name=null", "rate=.nan", "rate=.inf", "rate=1e999", "sizes=[1, 2",
    "n=0b11", "n=1_000", "name=2020-01-01: 3",
])
def test_a_mistake_is_one_line_before_anything_runs(project, tally, pair):
    refused = call("run", "dice", "--set", pair)
    error = refused.stderr
    is_line = len(error.splitlines()) == 1
    is_named = error.startswith("error: ") and "allowed: " in error
    is_refused = refused.exit_code == 2 and is_line and is_named
    runs = project/"data"/"runs"
    tally.refused_if(is_refused and not runs.exists(), f"{pair!r}: {error[:200]}")


def test_a_name_is_given_once(project):
    refused = call("run", "dice", "--set", "n=3", "--set", "n=4")
    assert refused.exit_code == 2
    assert refused.stderr == "error: --set gives 'n' twice; allowed: each name once\n"


def test_a_sweep_file_reads_as_a_command_does(project, tally):
    path = project/"s.yaml"
    for text, expected in READ.items():
        if "\n" in text or text in ("{}", "C:\\new"): continue
        path.write_text(f"jobs: [{{experiment: dice, set: {{limit: {text}}}}}]", encoding="utf-8")
        if any(sign in text for sign in ",=:'\"{}[]"):
            path.write_text(f"jobs:\n- experiment: dice\n  set:\n    limit: {text}\n", "utf-8")
        (job,) = sweep.read(path)
        is_same = repr(job.overrides) == repr({"limit": expected})
        tally.right_if(is_same, f"{text!r} became {job.overrides}")


@pytest.mark.parametrize("text", ["n: 1, n: 2", "n: 1, 'n': 1"])
def test_a_key_that_is_there_twice_drops_nothing(project, text):
    path = project/"s.yaml"
    path.write_text(f"jobs:\n- experiment: dice\n  set: {{{text}}}\n")
    with pytest.raises(ValueError, match=r"s.yaml is not YAML: 'n' is given twice \(line 3\)"):
        sweep.read(path)
