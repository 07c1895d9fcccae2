"""Tables as pandas makes them, in any precision, and rows, backgrounds and files that are bad."""
import numpy as np
import pandas as pd
import pytest
import torch
from front_values import NO_COUNTS, NO_FUNCTIONS, NO_NUMBERS, attempt
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


def total(rows): return rows @ np.array([1., 10., 100.])


# frames of the kinds that there are

FRAMES = {
    "float and bool": FLAGS,
    "nullable": FLAGS.astype("Float64"),
    "nullable flags": FLAGS.convert_dtypes(),
    "objects": FLAGS.astype(object),
    "whole": FLAGS.astype(int),
    "float32": FLAGS.astype(np.float32),
    "nullable whole": FLAGS.astype("Int64"),
    "uint8": FLAGS.astype(np.uint8),
}
BAD_FRAMES = {
    "text": FLAGS.assign(city_a=["a", "b", "c", "d"]),
    "a missing flag": FLAGS.astype("Float64").assign(city_a=pd.array([1, None, 0, 1], "Int64")),
    "a missing object": FLAGS.astype(object).assign(city_a=[None, True, 1, 2.]),
    "infinite": FLAGS.assign(city_a=[1., np.inf, 0, 0]),
    "complex": FLAGS.assign(city_a=[1j, 0, 0, 0]),
    "dates": FLAGS.assign(city_a=pd.to_datetime(["2020-01-01"]*4)),
    "lists": FLAGS.assign(city_a=[[1], [2], [3], [4]]),
}


def sum_of_columns(X): return (X*torch.tensor([1., 10., 100.], dtype=X.dtype)).sum(1)


def row_of(frame): return xr.explain(xr.tabular(frame.iloc[0], total), "occlusion").scores


def row_before(frame):
    return xr.explain(xr.tabular(NUMBERS[0], total, background=frame), "occlusion").scores


def gradients_of(frame): return lfa.attribute("vanilla_gradients", sum_of_columns, frame)


def captum_of(frame): return captum_attribute("vanilla_gradients", sum_of_columns, frame)


def perturbed(frame): return perturbation_test(sum_of_columns, frame, np.ones((4, 3)))


def clustered(frame):
    return distributions.cluster(frame, NUMBERS[0]).sample(4, 3, 0)


def made(frame):
    table = make_table("mine", "regression", frame.assign(y=[1., 2., 3., 4.]), "y")
    return np.concatenate([table.X_train, table.X_test])


TAKERS = [row_of, row_before, gradients_of, captum_of, perturbed, clustered, made]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("take", TAKERS)
def test_a_frame_is_the_numbers_that_it_holds(tally, take):
    expected = take(pd.DataFrame(NUMBERS, columns=FLAGS.columns))
    for kind, frame in FRAMES.items():
        found = take(frame)
        same = _close(found, expected, 1e-4 if kind == "float32" else 1e-8)
        tally.add("right" if same else "wrong", f"{take.__name__} of {kind}: {found}")


def _close(found, expected, tolerance):
    if isinstance(found, pd.DataFrame): return found.equals(expected)
    return np.allclose(np.asarray(found), np.asarray(expected), rtol=tolerance, atol=tolerance)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("take", [row_before, gradients_of, captum_of, perturbed, made])
def test_a_frame_that_is_no_numbers_is_refused_by_its_column(tally, take):
    for kind, frame in BAD_FRAMES.items():
        attempt(tally, lambda frame=frame: take(frame), _place(take, kind), frame)


def _place(take, kind):
    """What the error names: the column; of tensors, where NaN was read, the row."""
    of_rows = take in (gradients_of, captum_of, perturbed) and kind == "infinite"
    return "row 1" if of_rows else "city_a"


def test_a_row_that_is_no_numbers_is_refused_by_its_column(tally):
    for value in (None, pd.NA, "a", np.nan, np.inf, 1j, pd.Timestamp("2020-01-01"), [1.]):
        row = pd.Series([1., value, 2.], ["age", "city_a", "city_b"], dtype=object)
        attempt(tally, lambda row=row: xr.tabular(row, total), "city_a", row)


def test_columns_go_by_their_names():
    row = FLAGS.iloc[0]
    shuffled = FLAGS[["city_b", "age", "city_a"]]
    expected = xr.tabular(row, total, background=FLAGS)(_all_masks())
    found = xr.tabular(row, total, background=shuffled)(_all_masks())
    assert np.array_equal(found, expected)
    with pytest.raises(ValueError, match=r"background has the columns .*'height'"):
        xr.tabular(row, total, background=FLAGS.rename(columns={"age": "height"}))


def _all_masks(): return distributions.all_masks(3)


# what functions and networks answer

ROWS = np.array([1., -2., 3.])


def two(rows): return np.stack([rows.sum(1), -rows.sum(1)], 1)


ANSWERS = {
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
    "read-only": lambda rows: _read_only(two(rows)),
    "fortran": lambda rows: np.asfortranarray(two(rows)),
}


def _read_only(array):
    array.setflags(write=False)
    return array


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_in_any_form(tally, kind):
    masks = _all_masks()
    expected = xr.tabular(ROWS, two)(masks)
    if kind == "flags": expected = expected > 0
    instance = xr.tabular(ROWS, ANSWERS[kind])
    same = np.allclose(instance(masks), expected, rtol=1e-2)
    tally.add("right" if same else "wrong", kind)
    assert np.isfinite(xr.explain(instance, "occlusion").scores).all()


NO_ANSWERS = {
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
}


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_another_answer_is_refused(tally, kind):
    instance = xr.tabular(ROWS, NO_ANSWERS[kind], target=0)
    attempt(tally, lambda: instance(_all_masks()), "returned", kind)


def test_large_whole_numbers_stay_what_they_are():
    def counts(rows): return (2**24 + 1 + rows.sum(1)).astype(int)
    assert xr.tabular([1., 1.], counts)(np.ones((1, 2), bool)).item() == 2**24 + 3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_a_network_in_any_precision(tally, dtype):
    network = _network().to(dtype)
    exact = xr.tabular(ROWS, _network().double(), background=[0., 1., 0.], target=1)
    instance = xr.tabular(ROWS, network, background=[0., 1., 0.], target=1)
    methods = [name for name, row in xr.METHODS.items()
               if row.needs == "gradients" and name not in ("mfaba", "vargrad")]
    for method in [*methods, "lime", "occlusion"]:
        options = {"sigma": 5.} if method == "lime" else {}
        found = xr.explain(instance, method, **options).scores
        expected = xr.explain(exact, method, **options).scores
        scale = np.abs(expected).max()
        near = np.abs(found - expected).max() <= _tolerance(dtype, method)*scale
        tally.add("right" if near else "wrong", f"{method}: {found} for {expected}")


def _tolerance(dtype, method):
    """Of numbers of so many bits; what is drawn is drawn in the network's precision."""
    few = dtype in (torch.float16, torch.bfloat16)
    loose = method in ("squaregrad", "captum_smoothgrad", "smoothgrad", "captum_lime")
    if few: return .5 if loose else .1
    return .3 if loose and dtype != torch.float64 else 1e-3


def _network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).requires_grad_(False)


class Kinds(nn.Module):
    """A network that gives its scores in some form."""

    def __init__(self, form):
        super().__init__()
        self.linear = nn.Linear(3, 2).double()
        self.form = form

    def forward(self, rows): return self.form(self.linear(rows))


@pytest.mark.parametrize("form", [
    lambda y: y, lambda y: (y,), lambda y: {"logits": y}, lambda y: y[:, 0]])
def test_a_network_that_gives_its_scores_in_another_form(form):
    instance = xr.tabular(ROWS, Kinds(form).requires_grad_(False))
    scores = xr.explain(instance, "gradient_x_input").scores
    by_masks = xr.explain(instance, "occlusion").scores
    assert np.allclose(scores, by_masks)


def test_a_network_is_left_as_it_was():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(.5), nn.Linear(4, 2))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    instance = xr.tabular(ROWS, network)
    first = xr.explain(instance, "occlusion").scores
    assert np.array_equal(first, xr.explain(instance.fresh(), "occlusion").scores)
    xr.explain(instance, "integrated_gradients", 5)
    captum_attribute("vanilla_gradients", lambda x: network(x)[:, 0], torch.rand(2, 3))
    assert all(module.training for module in network.modules())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    for name, tensor in network.state_dict().items(): assert torch.equal(tensor, before[name])


# one feature

ONE = ["kernel_shap", "occlusion", "captum_kernel_shap", "integrated_gradients"]


@pytest.mark.parametrize("method", ONE)
def test_with_one_feature_its_score_is_what_it_changes(method):
    network = nn.Linear(1, 1).double().requires_grad_(False)
    with torch.no_grad(): network.weight.fill_(.7)
    scores = xr.explain(xr.tabular([1.], network), method).scores
    assert np.allclose(scores, [.7], atol=1e-6)


def test_captums_kernel_shap_of_one_column():
    scores = captum_attribute("kernel_shap", lambda X: .7*X[:, 0] + .1, np.ones((2, 1)), 20)
    assert np.allclose(scores, .7)


# bad values

def measured(table, better=None):
    return rank_methods(table, {"insertion": 1} if better is None else better)


RANKED = pd.DataFrame({"photograph": ["p", "p"], "method": ["a", "b"], "insertion": [.1, .2]})
CALLS = {
    "row": lambda v: xr.tabular(v, two),
    "model": lambda v: xr.tabular(ROWS, v),
    "background": lambda v: xr.tabular(ROWS, two, background=v),
    "target": lambda v: xr.explain(xr.tabular(ROWS, two, target=v), "occlusion"),
    "cache": lambda v: xr.tabular(ROWS, two, cache=v),
    "noise": lambda v: MaskedRow(two, ROWS).add(v),
    "frame": lambda v: make_table("t", "regression", v, "y"),
    "task": lambda v: make_table("t", v, FLAGS, "age"),
    "target of a table": lambda v: make_table("t", "regression", FLAGS, v),
    "test_size": lambda v: make_table("t", "regression", FLAGS, "age", v),
    "seed": lambda v: make_table("t", "regression", FLAGS, "age", .5, v),
    "name": load_table,
    "n": lambda v: load_table("diabetes").points(v),
    "points": pareto,
    "table": measured,
    "better": lambda v: measured(RANKED, v),
    "method": lambda v: captum_attribute(v, sum_of_columns, NUMBERS),
    "f": lambda v: captum_attribute("lime", v, NUMBERS),
    "X": lambda v: captum_attribute("vanilla_gradients", sum_of_columns, v),
    "n_samples": lambda v: captum_attribute("lime", sum_of_columns, NUMBERS, v),
    "seed of captum": lambda v: captum_attribute("lime", sum_of_columns, NUMBERS, 5, v),
    "sigma": lambda v: captum_attribute("smoothgrad", sum_of_columns, NUMBERS, 5, 0, v),
}
NO_ROWS = [
    None, "abc", 3, [], [np.nan]*3, [np.inf, 1, 2], list("abc"), np.ones((1, 3)), np.ones(3)*1j,
    np.array([None]*3, object), [[1], [1, 2]], {"a": 1.}, two, b"abc", [1, None],
    np.ma.array([1., 2.], mask=[True, False])]
BAD = {
    "row": NO_ROWS,
    "model": [*NO_FUNCTIONS, "model", [two]],
    "background": [
        "abc", np.nan, np.inf, [1., 2.], np.ones((0, 3)), np.ones((2, 4)), np.ones((2, 3, 1)), 1j,
        [None]*3, list("abc"), [[1, 2, 3], [1, 2]], {"a": 1.}, two, np.full((2, 3), np.nan)],
    "target": [2, -1, *NO_COUNTS[1:]],
    "cache": ["c", 3, {}, True, two],
    "noise": [None, "abc", [], np.ones(3), np.ones((2, 4)), np.full((2, 3), np.nan),
              np.ones((2, 3))*1j, [["a"]*3], np.array([[None]*3])],
    "frame": [None, "abc", NUMBERS, FLAGS[:1], FLAGS[:0], pd.concat([FLAGS, FLAGS], axis=1)],
    "task": [None, "ranking", 3, ["regression"]],
    "target of a table": [None, "height", 3, 1.5],
    "test_size": [0, 1, -1, 2, *NO_NUMBERS],
    "seed": [-1, 2**40, *NO_COUNTS],
    "name": [None, "iris", 3, ["who"], b"who"],
    "n": [0, 10**6, *NO_COUNTS],
    "points": [None, "abc", NUMBERS, FLAGS[:0], FLAGS.assign(age=np.nan), AGES],
    "table": [None, "abc", NUMBERS, RANKED[:0], RANKED.drop(columns="method"),
              RANKED.assign(insertion="a"), RANKED.assign(other=1.)],
    "better": ["insertion", 3, {"insertion": 0}, {"insertion": "more"}, {"deletion": 1}, [1]],
    "method": [None, "grad", 3, ["lime"]],
    "f": NO_FUNCTIONS,
    "X": [*NO_ROWS[:7], *NO_ROWS[8:-1], np.ones(3), np.ones((0, 3)), np.ones((2, 2, 2)),
          np.full((2, 3), np.nan)],
    "n_samples": [0, -1, *NO_COUNTS],
    "seed of captum": [-1, *NO_COUNTS],
    "sigma": [0, -1, *NO_NUMBERS],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("argument", CALLS)
def test_bad_values_are_named(tally, argument):
    for value in BAD[argument]:
        named = argument.partition(" ")[0]
        attempt(tally, lambda value=value: CALLS[argument](value), named, value)


