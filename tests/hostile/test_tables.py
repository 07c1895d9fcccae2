"""Tables as pandas makes them, in any precision, and rows, backgrounds and files that are bad."""
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from front_values import NO_COUNTS, NO_FUNCTIONS, NO_NUMBERS, attempt, enter
from torch import nn

import xai_repro as xr
from xai_repro.evaluate.faithfulness import perturbation_test
from xai_repro.evaluate.metrics import pareto, rank_methods
from xai_repro.explain import distributions, lfa
from xai_repro.explain.captum_methods import captum_attribute
from xai_repro.inputs.tabular import MaskedRow
from xai_repro.zoo.tabular import load_table, make_table

AGES = pd.DataFrame({"age": [30., 40., 50., 60.], "city": list("abab")})
FLAGS = pd.get_dummies(AGES)              # float and bool columns, as pandas makes them
NUMBERS = FLAGS.to_numpy(float)
PLAIN = pd.DataFrame(NUMBERS, columns=FLAGS.columns)
ROWS = np.array([1., -2., 3.])
MASKS = distributions.all_masks(3)


def occluded(instance):
    """The scores of occlusion."""
    return xr.explain(instance, "occlusion").scores


# what takes a frame

def total(rows):
    """A function of rows."""
    return rows @ np.array([1., 10., 100.])


def sum_of_columns(X):
    """The same of tensors."""
    weights = torch.tensor([1., 10., 100.], dtype=X.dtype)
    return (X*weights).sum(1)


def row_of(frame):
    row = frame.iloc[0]
    return occluded(xr.tabular(row, total))


def row_before(frame):
    instance = xr.tabular(NUMBERS[0], total, background=frame)
    return occluded(instance)


def gradients_of(frame):
    return lfa.attribute("vanilla_gradients", sum_of_columns, frame)


def captum_of(frame):
    return captum_attribute("vanilla_gradients", sum_of_columns, frame)


def perturbed(frame):
    return perturbation_test(sum_of_columns, frame, np.ones((4, 3)))


def clustered(frame):
    near = distributions.cluster(frame, NUMBERS[0])
    return near.sample(4, 3, 0)


def made(frame):
    with_target = frame.assign(y=[1., 2., 3., 4.])
    table = make_table("mine", "regression", with_target, "y")
    return np.concatenate([table.X_train, table.X_test])


TAKERS_OF_TENSORS = [gradients_of, captum_of, perturbed]
TAKERS = [row_of, row_before, *TAKERS_OF_TENSORS, clustered, made]


# frames of the kinds that there are

@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("take", TAKERS)
@pytest.mark.parametrize("kind, frame", {
    "float and bool": FLAGS,
    "nullable": FLAGS.astype("Float64"),
    "nullable flags": FLAGS.convert_dtypes(),
    "objects": FLAGS.astype(object),
    "whole": FLAGS.astype(int),
    "float32": FLAGS.astype(np.float32),
    "nullable whole": FLAGS.astype("Int64"),
    "uint8": FLAGS.astype(np.uint8),
}.items())
def test_a_frame_is_the_numbers_that_it_holds(tally, take, kind, frame):
    found = take(frame)
    tolerance = 1e-4 if kind == "float32" else 1e-8
    same = _close(found, take(PLAIN), tolerance)
    outcome = "right" if same else "wrong"
    tally.add(outcome, f"{take.__name__} of {kind}: {found}")


def _close(found, expected, tolerance):
    if isinstance(found, pd.DataFrame): return found.equals(expected)
    return np.allclose(np.asarray(found), np.asarray(expected), rtol=tolerance, atol=tolerance)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("take", [row_before, *TAKERS_OF_TENSORS, made])
@pytest.mark.parametrize("frame", [
    pytest.param(FLAGS.assign(city_a=["a", "b", "c", "d"]), id="text"),
    pytest.param(
        FLAGS.astype("Float64").assign(city_a=pd.array([1, None, 0, 1], "Int64")),
        id="a missing flag"),
    pytest.param(
        FLAGS.astype(object).assign(city_a=[None, True, 1, 2.]), id="a missing object"),
    pytest.param(FLAGS.assign(city_a=[1j, 0, 0, 0]), id="complex"),
    pytest.param(FLAGS.assign(city_a=pd.to_datetime(["2020-01-01"]*4)), id="dates"),
    pytest.param(FLAGS.assign(city_a=[[1], [2], [3], [4]]), id="lists"),
])
def test_a_frame_that_is_no_numbers_is_refused_by_its_column(tally, take, frame):
    attempt(tally, lambda: take(frame), "city_a", frame)


@pytest.mark.parametrize("take, place", [
    (row_before, "city_a"), (made, "city_a"), *[(take, "row 1") for take in TAKERS_OF_TENSORS]])
def test_an_infinite_frame_is_refused_by_its_column_or_of_tensors_its_row(tally, take, place):
    frame = FLAGS.assign(city_a=[1., np.inf, 0, 0])
    attempt(tally, lambda: take(frame), place, frame)


@pytest.mark.parametrize(
    "value", [None, pd.NA, "a", np.nan, np.inf, 1j, pd.Timestamp("2020-01-01"), [1.]])
def test_a_row_that_is_no_numbers_is_refused_by_its_column(tally, value):
    row = pd.Series([1., value, 2.], ["age", "city_a", "city_b"], dtype=object)
    attempt(tally, lambda: xr.tabular(row, total), "city_a", row)


def test_columns_go_by_their_names():
    row = FLAGS.iloc[0]
    shuffled = FLAGS[["city_b", "age", "city_a"]]
    expected = xr.tabular(row, total, background=FLAGS)
    found = xr.tabular(row, total, background=shuffled)
    assert np.array_equal(found(MASKS), expected(MASKS))
    renamed = FLAGS.rename(columns={"age": "height"})
    with pytest.raises(ValueError, match=r"background has the columns .*'height'"):
        xr.tabular(row, total, background=renamed)


# what functions and networks answer

def two(rows):
    """Two scores of rows: their sum, and less it."""
    y = rows.sum(1)
    return np.stack([y, -y], 1)


def read_only(rows):
    scores = two(rows)
    scores.setflags(write=False)
    return scores


@pytest.mark.parametrize("kind, model", {
    "array": two,
    "list": lambda rows: two(rows).tolist(),
    "list of arrays": lambda rows: list(two(rows)),
    "tuple of one": lambda rows: (two(rows),),
    "dict": lambda rows: {"logits": two(rows)},
    "tensor": lambda rows: torch.tensor(two(rows)),
    "tensor with a gradient": lambda rows: torch.tensor(two(rows), requires_grad=True),
    "float32": lambda rows: two(rows).astype(np.float32),
    "half": lambda rows: torch.tensor(two(rows)).half(),
    "bfloat16": lambda rows: torch.tensor(two(rows)).bfloat16(),
    "whole": lambda rows: two(rows).astype(int),
    "flags": lambda rows: two(rows) > 0,
    "frame": lambda rows: pd.DataFrame(two(rows), columns=["yes", "no"]),
    "objects": lambda rows: two(rows).astype(object),
    "read-only": read_only,
    "fortran": lambda rows: np.asfortranarray(two(rows)),
}.items())
def test_an_answer_in_any_form(tally, kind, model):
    numbers = xr.tabular(ROWS, two)(MASKS)
    expected = numbers > 0 if kind == "flags" else numbers
    instance = xr.tabular(ROWS, model)
    same = np.allclose(instance(MASKS), expected, rtol=1e-2)
    outcome = "right" if same else "wrong"
    tally.add(outcome, kind)
    scores = occluded(instance)
    assert np.isfinite(scores).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind, model", {
    "None": lambda rows: None,
    "a number": lambda rows: 3.,
    "a text": lambda rows: "yes",
    "texts": lambda rows: ["yes"]*len(rows),
    "NaN": lambda rows: two(rows)*np.nan,
    "infinite": lambda rows: two(rows)*np.inf,
    "complex": lambda rows: two(rows)*1j,
    "three dimensions": lambda rows: two(rows)[:, None],
    "one row": lambda rows: two(rows)[:1],
    "no column": lambda rows: two(rows)[:, :0],
    "two tensors": lambda rows: (two(rows), two(rows) + 1, two(rows)),
    "a dict without logits": lambda rows: {"a": two(rows)},
    "labels and scores": lambda rows: [{"label": "yes", "score": .3}]*len(rows),
    "rows of unequal lengths": lambda rows: [[1.], [1., 2.]]*len(rows),
    "a generator": lambda rows: (row for row in two(rows)),
    "missing": lambda rows: [[None, 1.]]*len(rows),
}.items())
def test_another_answer_is_refused(tally, kind, model):
    instance = xr.tabular(ROWS, model, target=0)
    attempt(tally, lambda: instance(MASKS), "returned", kind)


def test_large_whole_numbers_stay_what_they_are():
    def counts(rows):
        y = 2**24 + 1 + rows.sum(1)
        return y.astype(int)

    instance = xr.tabular([1., 1.], counts)
    scores = instance(np.ones((1, 2), bool))
    assert scores.item() == 2**24 + 3


NOT_EXACT = ("mfaba", "vargrad")
GRADIENT_METHODS = [name for name, row in xr.METHODS.items() if row.needs == "gradients"]
PRECISE_METHODS = [name for name in GRADIENT_METHODS if name not in NOT_EXACT]


@pytest.mark.parametrize("method", [*PRECISE_METHODS, "lime", "occlusion"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_a_network_in_any_precision(tally, dtype, method):
    options = {"sigma": 5.} if method == "lime" else {}
    found = _scores_in(dtype, method, options)
    expected = _scores_in(torch.float64, method, options)
    furthest = np.abs(found - expected).max()
    scale = np.abs(expected).max()
    near = furthest <= _tolerance(dtype, method)*scale
    outcome = "right" if near else "wrong"
    tally.add(outcome, f"{method}: {found} for {expected}")


def _scores_in(dtype, method, options):
    network = _network().to(dtype)
    instance = xr.tabular(ROWS, network, background=[0., 1., 0.], target=1)
    return xr.explain(instance, method, **options).scores


def _tolerance(dtype, method):
    """Of numbers of so many bits; what is drawn is drawn in the network's precision."""
    few = dtype in (torch.float16, torch.bfloat16)
    loose = method in ("squaregrad", "captum_smoothgrad", "smoothgrad", "captum_lime")
    if few: return .5 if loose else .1
    return .3 if loose and dtype != torch.float64 else 1e-3


def _network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    return network.requires_grad_(False)


class Kinds(nn.Module):
    """A network that gives its scores in some form."""

    def __init__(self, form):
        super().__init__()
        linear = nn.Linear(3, 2)
        self.linear = linear.double()
        self.form = form

    def forward(self, rows): return self.form(self.linear(rows))


@pytest.mark.parametrize("form", [
    lambda y: y, lambda y: (y,), lambda y: {"logits": y}, lambda y: y[:, 0]])
def test_a_network_that_gives_its_scores_in_another_form(form):
    network = Kinds(form).requires_grad_(False)
    instance = xr.tabular(ROWS, network)
    scores = xr.explain(instance, "gradient_x_input").scores
    by_masks = occluded(instance)
    assert np.allclose(scores, by_masks)


def test_a_network_is_left_as_it_was():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(.5), nn.Linear(4, 2))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    instance = xr.tabular(ROWS, network)
    first = occluded(instance)
    second = occluded(instance.fresh())
    assert np.array_equal(first, second)
    xr.explain(instance, "integrated_gradients", 5)
    captum_attribute("vanilla_gradients", lambda x: network(x)[:, 0], torch.rand(2, 3))
    assert all(module.training for module in network.modules())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    after = network.state_dict()
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name])


# one feature

@pytest.mark.parametrize(
    "method", ["kernel_shap", "occlusion", "captum_kernel_shap", "integrated_gradients"])
def test_with_one_feature_its_score_is_what_it_changes(method):
    network = nn.Linear(1, 1).double()
    network.requires_grad_(False)
    network.weight.fill_(.7)
    instance = xr.tabular([1.], network)
    scores = xr.explain(instance, method).scores
    assert np.allclose(scores, [.7], atol=1e-6)


def test_captums_kernel_shap_of_one_column():
    def line(X): return .7*X[:, 0] + .1
    scores = captum_attribute("kernel_shap", line, np.ones((2, 1)), 20)
    assert np.allclose(scores, .7)


# functions of good arguments, and the bad values that each argument is given

CASES: dict[str, tuple] = {}
NO_TABLES = [None, "abc", NUMBERS]
CHARACTERS = list("abc")
IMAGINARY = np.ones(3)*1j
OF_OBJECTS = np.array([None]*3, object)
NO_NUMBERS_OF_A_ROW = [[np.nan]*3, [np.inf, 1, 2], CHARACTERS, IMAGINARY, OF_OBJECTS, [1, None]]
NO_FLAT_ROWS = [None, "abc", b"abc", 3, [], [[1], [1, 2]], {"a": 1.}, two, *NO_NUMBERS_OF_A_ROW]
MASKED_ARRAY = np.ma.array([1., 2.], mask=[True, False])
RANKED = pd.DataFrame({"photograph": ["p", "p"], "method": ["a", "b"], "insertion": [.1, .2]})
bad = partial(enter, CASES)


@bad(
    row=[*NO_FLAT_ROWS, np.ones((1, 3)), MASKED_ARRAY],
    model=[*NO_FUNCTIONS, "model", [two]],
    background=[
        "abc", np.nan, np.inf, [1., 2.], np.ones((0, 3)), np.ones((2, 4)), np.ones((2, 3, 1)), 1j,
        [None]*3, CHARACTERS, [[1, 2, 3], [1, 2]], {"a": 1.}, two, np.full((2, 3), np.nan)],
    cache=["c", 3, {}, True, two],
)
def tabular(row=ROWS, model=two, **others):
    return xr.tabular(row, model, **others)


@bad(target=[2, -1, *NO_COUNTS[1:]])
def of_class(target):
    instance = xr.tabular(ROWS, two, target=target)
    return occluded(instance)


@bad(
    noise=[
        None, "abc", [], np.ones(3), np.ones((2, 4)), np.full((2, 3), np.nan), np.ones((2, 3))*1j,
        [["a"]*3], np.array([[None]*3])],
)
def add(noise):
    row = MaskedRow(two, ROWS)
    return row.add(noise)


@bad(frame=[*NO_TABLES, FLAGS[:1], FLAGS[:0], pd.concat([FLAGS, FLAGS], axis=1)])
def make_table_of(frame):
    return make_table("t", "regression", frame, "y")


@bad(
    task=[None, "ranking", 3, ["regression"]],
    target=[None, "height", 3, 1.5],
    test_size=[0, 1, -1, 2, *NO_NUMBERS],
)
def make_table_of_flags(task="regression", target="age", **test_size):
    return make_table("t", task, FLAGS, target, **test_size)


@bad(seed=[-1, 2**40, *NO_COUNTS])
def make_table_by_halves(seed):
    return make_table("t", "regression", FLAGS, "age", .5, seed)


@bad(name=[None, "iris", 3, ["who"], b"who"])
def load(name):
    return load_table(name)


@bad(n=[0, 10**6, *NO_COUNTS])
def points_of_a_table(n):
    table = load_table("diabetes")
    return table.points(n)


@bad(points=[*NO_TABLES, FLAGS[:0], FLAGS.assign(age=np.nan), AGES])
def pareto_of(points):
    return pareto(points)


@bad(
    table=[
        *NO_TABLES, RANKED[:0], RANKED.drop(columns="method"), RANKED.assign(insertion="a"),
        RANKED.assign(other=1.)],
)
def rank_of_a_table(table):
    return rank_methods(table, {"insertion": 1})


@bad(better=["insertion", 3, {"insertion": 0}, {"insertion": "more"}, {"deletion": 1}, [1]])
def rank(better):
    return rank_methods(RANKED, better)


@bad(method=[None, "grad", 3, ["lime"]])
def captum(method):
    return captum_attribute(method, sum_of_columns, NUMBERS)


@bad(f=NO_FUNCTIONS)
def captum_lime_of(f):
    return captum_attribute("lime", f, NUMBERS)


@bad(
    X=[*NO_FLAT_ROWS, np.ones(3), np.ones((0, 3)), np.ones((2, 2, 2)), np.full((2, 3), np.nan)],
)
def captum_gradients(X):
    return captum_attribute("vanilla_gradients", sum_of_columns, X)


@bad(n_samples=[0, -1, *NO_COUNTS], seed=[-1, *NO_COUNTS])
def captum_lime(n_samples=5, **seed):
    return captum_attribute("lime", sum_of_columns, NUMBERS, n_samples, **seed)


@bad(sigma=[0, -1, *NO_NUMBERS])
def captum_smoothgrad(sigma):
    return captum_attribute("smoothgrad", sum_of_columns, NUMBERS, 5, 0, sigma)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_bad_values_are_named(tally, case):
    call, argument, values = CASES[case]
    for value in values:
        attempt(tally, partial(call, **{argument: value}), argument, value)
