"Tables and LFA's small networks: the documented pipeline against the authors' files, the authors' models, and refusing what does not fit."
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression

from xai_repro.zoo import tabular_networks as networks, tabular
from xai_repro.workbook.comparison import published


# the pipeline

def test_raw_who_gives_the_authors_numbers(assets):
    ours, theirs = tabular.load_table("who_raw"), tabular.load_table("who")
    assert [f.strip() for f in ours.features] == [f.strip() for f in theirs.features]
    for part in ("X_train", "y_train", "X_test", "y_test"): assert np.allclose(getattr(ours, part), getattr(theirs, part), rtol=0, atol=1e-11), part
    assert ours.unit == pytest.approx(theirs.unit)


def test_raw_heloc_has_the_papers_rows_and_no_filled_cells(assets):
    table = tabular.load_table("heloc_raw")
    assert len(table.X_train) + len(table.X_test) == 9871 and table.X_train.shape[1] == 23
    steps = {f: np.unique(np.diff(np.unique(column))) for f, column in zip(table.features, table.X_train.T)}
    for f, found in steps.items(): assert np.allclose(found/found.min(), (found/found.min()).round(), atol=1e-6), f"{f} is on a grid of whole numbers: nothing was filled by a mean"


def test_the_authors_tables(assets):
    who, heloc = tabular.load_table("who"), tabular.load_table("heloc")
    assert who.points(100).shape == (100, 19) and heloc.points(100).shape == (100, 23) and set(np.unique(heloc.y_train)) == {0., 1.}
    assert np.array_equal(who.points(3), who.points(100)[:3])
    ols = LinearRegression().fit(who.X_train, who.y_train)
    assert ((ols.predict(who.X_test) - who.y_test)**2).mean() == pytest.approx(5.514e-3, abs=2e-6), "measured when the files were prepared"
    accuracy = LogisticRegression(max_iter=2000).fit(heloc.X_train, heloc.y_train).score(heloc.X_test, heloc.y_test)
    assert accuracy == pytest.approx(.7357, abs=.006)


@pytest.mark.parametrize("name, p, task", [("diabetes", 10, "regression"), ("breast_cancer", 30, "classification")])
def test_embedded_tables(name, p, task):
    table = tabular.load_table(name)
    assert table.task == task and table.X_train.shape[1] == p == len(table.features)
    assert table.X_train.min() == 0 and table.X_train.max() == 1
    assert not {tuple(r) for r in table.X_train} & {tuple(r) for r in table.points(20)}, "explained rows are not trained on"
    assert np.array_equal(table.points(5, seed=1), table.points(5, seed=1)) and not np.array_equal(table.points(5, seed=1), table.points(5, seed=2))


# the networks

@pytest.mark.parametrize("architecture", networks.RECIPES)
def test_the_authors_networks_are_as_good_as_printed(assets, architecture):
    network = networks.authors_network(architecture)
    table = tabular.load_table("who" if network.task == "regression" else "heloc")
    found = networks.performance(network, table.X_test, table.y_test)
    printed = published("lfa", "A.4, models").set_index(["row", "column"]).value
    if network.task == "classification": assert found["accuracy"] == pytest.approx(printed[networks.published_name(architecture), "test accuracy"], abs=.006)
    else: assert found["mse"]/64 == pytest.approx(printed[networks.published_name(architecture), "test MSE"], rel=.08), "a sum of batch means over rows"


@pytest.mark.parametrize("table", ["diabetes", "breast_cancer"])
def test_the_committed_networks_have_learned(table):
    loaded = tabular.load_table(table)
    for network in networks.load_networks(loaded).values():
        assert networks.learned(network, loaded)
        if loaded.task == "classification": assert networks.performance(network, loaded.X_test, loaded.y_test)["accuracy"] > .9


def test_training_is_the_recipe_and_repeatable():
    cancer = tabular.load_table("breast_cancer")
    state = torch.random.get_rng_state()
    first, again, other = (networks.train(cancer, "nna", seed=s, epochs=3) for s in (5, 5, 6))
    assert torch.equal(state, torch.random.get_rng_state())
    flat = lambda net: torch.cat([p.flatten() for p in net.parameters()])
    assert torch.equal(flat(first), flat(again)) and not torch.equal(flat(first), flat(other))


def test_one_step_of_training_is_plain_sgd():
    "One epoch on fewer rows than a batch: w - lr ∇."
    full = tabular.load_table("diabetes")
    few = tabular.Table("few", "regression", full.features, full.X_train[:20], full.y_train[:20], full.X_test, full.y_test)
    start = networks._started("linear", 10, torch.Generator().manual_seed(7))
    w, b = start.linears[0].weight[0].double(), start.linears[0].bias.double()
    X, y = torch.tensor(few.X_train), torch.tensor(few.y_train)
    rest = X @ w + b - y
    step = networks.RECIPES["linear"].lr*2*(rest[:, None]*X).mean(0)
    assert torch.allclose(networks.train(few, "linear", seed=7, epochs=1).linears[0].weight[0].double(), w - step, atol=1e-6)


@pytest.mark.parametrize("architecture", networks.RECIPES)
def test_a_checkpoint_comes_back(tmp_path, architecture):
    network = networks._started(architecture, 5, torch.Generator().manual_seed(0))
    networks.save_checkpoint(network, tmp_path/"n.safetensors")
    X = torch.rand(4, 5)
    assert torch.equal(networks.load_checkpoint(tmp_path/"n.safetensors", architecture)(X), network(X).detach())
    wrong = next(a for a in networks.RECIPES if networks.RECIPES[a].layers != networks.RECIPES[architecture].layers)
    with pytest.raises(ValueError, match=f"is not a '{wrong}'"): networks.load_checkpoint(tmp_path/"n.safetensors", wrong)


# bad input

def test_a_csv_with_missing_columns_is_named(tmp_path):
    pd.DataFrame({"Country": ["A"], "Year": [2000]}).to_csv(tmp_path/"who.csv", index=False)
    with pytest.raises(ValueError, match=r"lacks the columns \['Status', 'Life expectancy '\]; it has: 'Country', 'Year'"): tabular.who_raw(tmp_path/"who.csv")
    pd.DataFrame({"RiskPerformance": ["Good"]}).to_csv(tmp_path/"heloc.csv", index=False)
    with pytest.raises(ValueError, match="lacks the columns.*ExternalRiskEstimate"): tabular.heloc_raw(tmp_path/"heloc.csv")


def test_a_table_with_nan_is_refused():
    frame = pd.DataFrame({"a": [1., np.nan, 3.], "y": [0., 1., 2.]})
    with pytest.raises(ValueError, match=r"columns \['a'\] of t hold NaN"): tabular.make_table("t", "regression", frame, "y")


@pytest.mark.parametrize("call, words", [
    (lambda: tabular.load_table("iris"), ["name", "iris", "breast_cancer"]),
    (lambda: tabular.load_table("diabetes").points(0), ["n", "0", "from 1"]),
    (lambda: networks.train(tabular.load_table("diabetes"), "nna"), ["architecture", "nna", "linear, nn1, nn2, nn3"]),
    (lambda: networks.train(tabular.load_table("diabetes"), "resnet"), ["architecture", "resnet"]),
    (lambda: networks.of_task("ranking"), ["task", "regression, classification"])])
def test_bad_names(call, words):
    with pytest.raises(ValueError) as caught: call()
    for word in words: assert word in str(caught.value)


def test_a_missing_network_says_how_to_train_it(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "root", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"train it: save_checkpoint\(first_that_learns"): networks.load_network("diabetes", "nn1")
