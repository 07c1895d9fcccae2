"""Values of parameters: what they become, and what is refused before a kernel starts."""
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_project import call, write

from xai_repro.workbook import runner, sweep
from xai_repro.workbook.cli import parse_set
from xai_repro.workbook.values import like, read_yaml, yaml_text

READ = {
    "None": None, "null": None, "~": None, "": None, "[None]": [None], "[None, 1]": [None, 1],
    "True": True, "true": True, "FALSE": False,
    "yes": "yes", "no": "no", "on": "on", "Off": "Off", "y": "y",
    "1": 1, "-1": -1, "+1": 1, "010": 10, "0o10": 8, "0x1F": 31, "0b11": "0b11", "1_000": "1_000",
    "1:30": "1:30", "1:30:00": "1:30:00", "[1:30]": ["1:30"], "00": 0, "1-2": "1-2",
    "1e-3": .001, "[1e-3]": [.001], "1E5": 1e5, "1.e1": 10., ".5": .5, "5.": 5., "-.5e2": -50.,
    "{a: 1e3}": {"a": 1000.}, "1e": "1e", "1.2.3": "1.2.3",
    "2020-01-01": "2020-01-01", "2020-01-01 10:00:00": "2020-01-01 10:00:00", "=": "=",
    "'5'": "5", '"5"': "5", "'None'": "None", "it's": "it's", "'it''s'": "it's", "a=b": "a=b",
    "text": "text", "two words": "two words", "C:\\new": "C:\\new", "ü😀": "ü😀",
    "[]": [], "{}": {}, "[[1, 2], [3]]": [[1, 2], [3]], "[a, 'b', 1]": ["a", "b", 1],
    "{a: {b: [1]}}": {"a": {"b": [1]}}, "[1, 2,]": [1, 2], "- 1\n- 2": [1, 2],
}


@pytest.mark.parametrize("text", READ)
def test_a_value_is_what_it_looks_like(tally, text):
    value = parse_set([f"x={text}"])["x"]
    is_same = repr(value) == repr(READ[text])
    tally.add("right" if is_same else "wrong", f"{text!r} became {value!r}")


BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)]*10)}]\n" for i in range(8))
NOT_READ = [
    "[1, 2", "{a: 1", "'open", "@x", "%x", "`x`", "*x", "!x y", "!!python/name:os.system",
    "!!python/object/apply:os.system ['touch pwned']", "!!binary aGVsbG8=", "!!set {a, b}",
    "!!int x", "!!float x", "{a: 1, a: 2}", "{a: 1, 'a': 2}", "{1: 2, 1.0: 3}", "{1: a, true: b}",
    "{[1]: 2}", "&a [*a]", "&a {b: *a}", "["*3000 + "]"*3000, "["*102 + "]"*102, "9"*5000, "\0",
    "\x1b[2J", "\tx: 1", "a: b: c", "--- 1\n--- 2", BOMB, "- 1\n 2: 3", "]", "a: 1\na: 2",
]


@pytest.mark.parametrize("text", NOT_READ, ids=range(len(NOT_READ)))
def test_what_is_not_plain_data_is_refused_by_name(tally, text):
    with pytest.raises(ValueError, match="x in a command") as error:
        read_yaml("x in a command", text)
    is_short = len(str(error.value)) < 400
    tally.add("refused" if is_short else "wrong", f"{text[:40]!r}: {error.value}"[:200])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers()
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3)
                      | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8)


@settings(max_examples=300, deadline=None)
@given(value=VALUES)
def test_what_list_prints_is_taken_back(value):
    printed = yaml_text(value)
    assert "\n" not in printed
    back = parse_set([f"x={printed}"])["x"]
    assert repr(back) == repr(value)


PLAIN = [None, True, False, 3, -.5, 1e-7, "text", "it's", [1, "a"], [None]]


@pytest.mark.parametrize("value", PLAIN)
def test_what_python_writes_of_plain_values_is_taken_back(value):
    assert parse_set([f"x={value!r}"]) == {"x": value}


def test_the_command_list_gives_what_set_takes(project):
    write("odd", defaults=ODD)
    printed = call("list").stdout
    defaults = runner.parameters("odd")
    for name, value in defaults.items():
        if name in runner.OWN: continue
        pair = f"{name}={yaml_text(value)}"
        assert pair in printed
        assert runner.resolve("odd", overrides=parse_set([pair]))[name] == value


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
DEFAULTS = dict(
    n=2, rate=.5, name="a", flag=False, sizes=[1, 2], rates=[.5], names=["a"], flags=[True],
    nested=[[1], [2, 3]], masks={"lime": 20}, tables={"a": [.5]}, mixed=[1, "a"], empty=[],
    nothing=None, some=[None, 1],
)
TAKEN = [
    ("n", 3, 3), ("rate", 1, 1.), ("rate", 1e-3, .001),
    ("name", "", ""), ("flag", True, True), ("sizes", [], []), ("sizes", [5], [5]),
    ("rates", [1, .5], [1., .5]), ("rates", [np.float64(.25)], [.25]), ("nested", [[4]], [[4]]),
    ("masks", {"lime": 5}, {"lime": 5}), ("masks", {"rise": 5}, {"rise": 5}),
    ("tables", {"a": [1]}, {"a": [1.]}), ("mixed", ["b", 2], ["b", 2]),
    ("empty", [1, "a"], [1, "a"]),
    ("nothing", [1], [1]), ("some", [None, 3], [None, 3]), ("masks", {}, {}),
]


@pytest.mark.parametrize("name, value, expected", TAKEN, ids=repr)
def test_a_value_of_the_defaults_types_is_taken(tally, name, value, expected):
    taken = like(name, "a test", value, DEFAULTS[name])
    is_same = json.dumps(taken) == json.dumps(expected)
    tally.add("right" if is_same else "wrong", (name, value, taken))


CYCLE: list = []
CYCLE.append(CYCLE)
DEEP: list = []
for _ in range(2000): DEEP = [DEEP]
BAD = [math.nan, math.inf, 1 + 2j, b"a", {1}, (1, 2), CYCLE, DEEP, "\ud800", {"\ud800": 1}, {1: 2},
       object(), np.arange(2), {"a": math.nan}, [math.inf], range(3), np.int64(3)]
OTHER_TYPES = [
    *[("n", bad) for bad in ("2", 2.5, True, None, [2], {"n": 2}, 2., "2e0")],
    *[("rate", bad) for bad in ("0.5", True, None, [.5], 10**400)],
    *[("name", bad) for bad in (1, None, True, ["a"], {"a": 1})],
    *[("flag", bad) for bad in (0, 1, "no", "yes", None)],
    *[("sizes", bad) for bad in (1, "1", [1, "2"], [1.5], [True], [None], [[1]], {"0": 1})],
    *[("rates", bad) for bad in (["1e-3"], [True], [[.5]], [None], [10**400])],
    *[("names", bad) for bad in ([1], "a", [None], [["a"]], [True])],
    *[("flags", bad) for bad in ([0], [1], ["no"])],
    *[("nested", bad) for bad in ([1], [[1.5]], [["a"]], [[[1]]])],
    *[("masks", bad) for bad in ({"lime": "20"}, {"rise": 2.5}, [20], {"lime": None})],
    *[("tables", bad) for bad in ({"a": .5}, {"a": ["x"]}, {"b": [True]})],
    *[("mixed", bad) for bad in ([.5], [None], [True])],
    *[(name, bad) for name in DEFAULTS for bad in BAD],
]


@pytest.mark.parametrize("name, value", OTHER_TYPES, ids=range(len(OTHER_TYPES)))
def test_another_type_is_refused_to_the_leaves(tally, name, value):
    with pytest.raises(ValueError, match=f"{name}.* in a test is ") as error:
        like(name, "a test", value, DEFAULTS[name])
    told = str(error.value)
    tally.add("refused" if "allowed: " in told and len(told) < 300 else "wrong", told[:200])


PAIRS = ["n", "=3", "n =3", " n=3", "n-1=3", "", "n", "profile=paper", "m=3", "n=", "n=None",
         "n=1:30", "n=3 # x", "sizes=[1e-3]", "sizes=1", "rate=fast", "name=5", "name=no: yes",
         "fast=no", "fast=0", "n=2.0", "sizes=[1,'2']", "n=1e2", "name=null", "rate=.nan",
         "rate=.inf", "rate=1e999", "sizes=[1, 2", "n=0b11", "n=1_000", "name=2020-01-01: 3"]
REFUSED = [pair for pair in PAIRS if pair != "n=3 # x"]


@pytest.mark.parametrize("pair", REFUSED)
def test_a_mistake_is_one_line_before_anything_runs(project, tally, pair):
    refused = call("run", "dice", "--set", pair)
    is_line = refused.exit_code == 2 and len(refused.stderr.splitlines()) == 1
    is_named = refused.stderr.startswith("error: ") and "allowed: " in refused.stderr
    nothing_ran = not (project/"data"/"runs").exists()
    is_right = is_line and is_named and nothing_ran
    tally.add("refused" if is_right else "wrong", f"{pair!r}: {refused.stderr[:200]}")


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
        is_same = repr(job.overrides["limit"]) == repr(expected)
        tally.add("right" if is_same else "wrong", f"{text!r} became {job.overrides}")


DOUBLED = ["n: 1, n: 2", "n: 1, 'n': 1"]


@pytest.mark.parametrize("text", DOUBLED)
def test_a_key_that_is_there_twice_drops_nothing(project, text):
    path = project/"s.yaml"
    path.write_text(f"jobs:\n- experiment: dice\n  set: {{{text}}}\n")
    with pytest.raises(ValueError, match=r"s.yaml is not YAML: 'n' is given twice \(line 3\)"):
        sweep.read(path)
