"""Tables and LFA's networks: the pipeline against the authors' files, and the authors' models."""
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression

from xai_repro.workbook.comparison import published
from xai_repro.zoo import tabular_networks as networks
from xai_repro.zoo.tabular import HELOC_FEATURES, heloc_raw, load_table, make_table, who_raw


@pytest.fixture(scope="module")
def diabetes():
    return load_table("diabetes")


@pytest.fixture(scope="module")
def cancer():
    return load_table("breast_cancer")


# the pipeline

@pytest.mark.parametrize("part", ["X_train", "y_train", "X_test", "y_test"])
def test_raw_who_gives_the_authors_numbers(assets, part):
    ours, theirs = load_table("who_raw"), load_table("who")
    our_part = getattr(ours, part)
    their_part = getattr(theirs, part)
    assert np.allclose(our_part, their_part, rtol=0, atol=1e-11)
    assert ours.unit == pytest.approx(theirs.unit)
    names = [feature.strip() for feature in ours.features]
    assert names == [feature.strip() for feature in theirs.features]


def test_raw_heloc_has_the_papers_rows_and_no_filled_cells(assets):
    table = load_table("heloc_raw")
    n_rows = len(table.X_train) + len(table.X_test)
    assert n_rows == 9871
    assert table.X_train.shape[1] == 23
    for feature, column in zip(table.features, table.X_train.T, strict=True):
        steps = np.diff(np.unique(column))
        multiples = steps/steps.min()
        on_a_grid = np.allclose(multiples, multiples.round(), atol=1e-6)
        assert on_a_grid, f"{feature} is on a grid of whole numbers: no mean was filled in"


def test_the_authors_who(assets):
    who = load_table("who")
    points = who.points(100)
    assert points.shape == (100, 19)
    assert np.array_equal(who.points(3), points[:3])
    least_squares = LinearRegression().fit(who.X_train, who.y_train)
    residuals = least_squares.predict(who.X_test) - who.y_test
    measured_before = pytest.approx(5.514e-3, abs=2e-6)    # when the files were prepared
    assert (residuals**2).mean() == measured_before


def test_the_authors_heloc(assets):
    heloc = load_table("heloc")
    assert heloc.points(100).shape == (100, 23)
    assert set(np.unique(heloc.y_train)) == {0., 1.}
    fitted = LogisticRegression(max_iter=2000).fit(heloc.X_train, heloc.y_train)
    accuracy = fitted.score(heloc.X_test, heloc.y_test)
    assert accuracy == pytest.approx(.7357, abs=.006)


def rows_of(X):
    return {tuple(row) for row in X}


TABLES = [("diabetes", 10, "regression"), ("breast_cancer", 30, "classification")]


@pytest.mark.parametrize("name, p, task", TABLES)
def test_embedded_tables(name, p, task):
    table = load_table(name)
    assert table.task == task
    assert table.X_train.shape[1] == p == len(table.features)
    assert table.X_train.min() == 0
    assert table.X_train.max() == 1
    trained_on = rows_of(table.X_train)
    explained = rows_of(table.points(20))
    assert not trained_on & explained, "explained rows are not trained on"
    points = table.points(5, seed=1)
    again = table.points(5, seed=1)
    other = table.points(5, seed=2)
    assert np.array_equal(points, again)
    assert not np.array_equal(points, other)


# the networks

@pytest.mark.parametrize("architecture", networks.of_task("classification"))
def test_the_authors_classifiers_are_as_good_as_printed(assets, architecture):
    measured = performance_of_authors(architecture, "heloc")["accuracy"]
    expected = printed(architecture, "test accuracy")
    assert measured == pytest.approx(expected, abs=.006)


@pytest.mark.parametrize("architecture", networks.of_task("regression"))
def test_the_authors_regressions_are_as_good_as_printed(assets, architecture):
    measured = performance_of_authors(architecture, "who")["mse"]
    expected = printed(architecture, "test MSE")     # a sum of batch means over rows
    assert measured/64 == pytest.approx(expected, rel=.08)


def performance_of_authors(architecture, name):
    table = load_table(name)
    network = networks.authors_network(architecture)
    return networks.performance(network, table.X_test, table.y_test)


def printed(architecture, column):
    values = published("lfa", "A.4, models").set_index(["row", "column"]).value
    name = networks.published_name(architecture)
    return values[name, column]


@pytest.mark.parametrize("name", ["diabetes", "breast_cancer"])
def test_the_committed_networks_have_learned(name):
    table = load_table(name)
    for network in networks.load_networks(table).values():
        assert networks.learned(network, table)
        measured = networks.performance(network, table.X_test, table.y_test)
        assert measured.get("accuracy", 1.) > .9
        assert ("accuracy" in measured) == (table.task == "classification")


def flat(network):
    return torch.cat([part.flatten() for part in network.parameters()])


def test_training_is_the_recipe_and_repeatable(cancer):
    state = torch.random.get_rng_state()
    first = networks.train(cancer, "nna", seed=5, epochs=3)
    again = networks.train(cancer, "nna", seed=5, epochs=3)
    other = networks.train(cancer, "nna", seed=6, epochs=3)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(flat(first), flat(again))
    assert not torch.equal(flat(first), flat(other))


def test_one_step_of_training_is_plain_sgd(diabetes):
    """One epoch on fewer rows than a batch: w - lr ∇."""
    X_few = diabetes.X_train[:20]
    y_few = diabetes.y_train[:20]
    few = replace(diabetes, X_train=X_few, y_train=y_few)
    generator = torch.Generator().manual_seed(7)
    start = networks._initialized("linear", 10, generator).linears[0]
    w = start.weight[0].double()
    X = torch.tensor(X_few)
    fitted = X @ w + start.bias.double()
    residuals = fitted - torch.tensor(y_few)
    gradient = 2*(residuals[:, None]*X).mean(0)
    lr = networks.RECIPES["linear"].lr
    expected = w - lr*gradient
    network = networks.train(few, "linear", seed=7, epochs=1)
    trained = network.linears[0].weight[0]
    assert torch.allclose(trained.double(), expected, atol=1e-6)


def untrained(architecture):
    generator = torch.Generator().manual_seed(0)
    return networks._initialized(architecture, 5, generator)


@pytest.fixture
def path(tmp_path):
    return tmp_path/"network.safetensors"


@pytest.mark.parametrize("architecture", networks.RECIPES)
def test_a_checkpoint_comes_back(path, architecture):
    network = untrained(architecture)
    networks.save_checkpoint(network, path)
    loaded = networks.load_checkpoint(path, architecture)
    X = torch.rand(4, 5)
    expected = network(X).detach()
    assert torch.equal(loaded(X), expected)


@pytest.mark.parametrize("architecture", networks.RECIPES)
def test_a_checkpoint_of_another_architecture_is_refused(path, architecture):
    networks.save_checkpoint(untrained(architecture), path)
    layers = {name: recipe.layers for name, recipe in networks.RECIPES.items()}
    others = [name for name in layers if layers[name] != layers[architecture]]
    wrong = others[0]
    with pytest.raises(ValueError, match=f"is not a '{wrong}'"):
        networks.load_checkpoint(path, wrong)


# bad input

def test_a_csv_with_missing_columns_is_named(tmp_path):
    who = tmp_path/"who.csv"
    table = pd.DataFrame({"Country": ["A"], "Year": [2000]})
    table.to_csv(who, index=False)
    lacking = r"lacks the columns \['Status', 'Life expectancy '\]; it has: 'Country', 'Year'"
    with pytest.raises(ValueError, match=lacking):
        who_raw(who)
    heloc = tmp_path/"heloc.csv"
    table = pd.DataFrame({"RiskPerformance": ["Good"]})
    table.to_csv(heloc, index=False)
    with pytest.raises(ValueError, match=r"lacks the columns.*ExternalRiskEstimate"):
        heloc_raw(heloc)


def test_a_table_with_nan_is_refused():
    frame = pd.DataFrame({"a": [1., np.nan, 3.], "y": [0., 1., 2.]})
    with pytest.raises(ValueError, match=r"columns \['a'\] of t hold NaN"):
        make_table("t", "regression", frame, "y")


def raises_with(call, words):
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    return all(word in message for word in words)


def test_an_unknown_table_is_refused():
    assert raises_with(lambda: load_table("iris"), ["name", "iris", "breast_cancer"])


def test_no_points_are_refused(diabetes):
    assert raises_with(lambda: diabetes.points(0), ["n", "0", "from 1"])


@pytest.mark.parametrize(
    "architecture, words",
    [
        ("nna", ["architecture", "nna", "linear, nn1, nn2, nn3"]),
        ("resnet", ["architecture", "resnet"]),
    ],
)
def test_an_architecture_of_another_task_is_refused(diabetes, architecture, words):
    assert raises_with(lambda: networks.train(diabetes, architecture), words)


def test_an_unknown_task_is_refused():
    words = ["task", "regression, classification"]
    assert raises_with(lambda: networks.of_task("ranking"), words)


def test_a_missing_network_says_how_to_train_it(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "data_file", lambda name: tmp_path/name)
    command = r"train it: save_checkpoint\(first_that_learns"
    with pytest.raises(FileNotFoundError, match=command):
        networks.load_network("diabetes", "nn1")


def test_a_bad_value_in_a_table_is_named_with_file_and_column(tmp_path):
    path = tmp_path/"table.csv"
    path.write_text("Year,Country,Status,Life expectancy \n2000,A,B,60\nsoon,A,B,61\n")
    with pytest.raises(ValueError, match=r"table.csv has 'soon' in column 'Year'; allowed: numb"):
        who_raw(path)
    names, ones = ",".join(HELOC_FEATURES), ",".join("1"*23)
    path.write_text(f"RiskPerformance,{names}\nGood,{ones}\nfine,{ones}\n")
    told = r"table.csv has 'fine' in column 'RiskPerformance'; allowed: 'Good', 'Bad'"
    with pytest.raises(ValueError, match=told):
        heloc_raw(path)
    path.write_text("")
    with pytest.raises(ValueError, match=r"table.csv is no table in csv"):
        who_raw(path)


@pytest.mark.parametrize("labels", [[1, 2], [0, 1.5], [-1, 1]])
def test_labels_of_a_classification_are_0_and_1(labels):
    frame = pd.DataFrame(dict(x=range(10), y=labels*5))
    with pytest.raises(ValueError, match=r"toy has .* in column 'y'; allowed: 0, 1"):
        make_table("toy", "classification", frame, "y")
    with pytest.raises(ValueError, match="target is 'z'; allowed: a column of toy: 'x', 'y'"):
        make_table("toy", "regression", frame, "z")
