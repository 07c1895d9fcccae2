"""The committed numbers of soft stability, and a part of them computed again."""
import pytest

from xai_repro.evaluate import certificates
from xai_repro.evaluate.boolean import STATEMENTS
from xai_repro.explain.attribution import select_top
from xai_repro.explain.methods import METHODS, STABILITY
from xai_repro.workbook.results import Results
from xai_repro.zoo import text
from xai_repro.zoo.instances import text_instances

RENAMED = {"glime_binomial": "glime"}     # rows of METHODS since the run


@pytest.fixture(scope="module")
def soft_vs_hard():
    return Results("stability_soft_vs_hard", "standard")


@pytest.fixture(scope="module")
def each(soft_vs_hard):
    return soft_vs_hard.table("each")


@pytest.fixture(scope="module")
def sizes(soft_vs_hard):
    return soft_vs_hard.table("sizes")


def test_every_method_has_its_inputs(each):
    count = each.groupby(["kind", "method"]).input.nunique()
    methods = each.method.replace(RENAMED)
    assert set(methods) == set(STABILITY)
    assert (count["photographs"] >= 100).all()
    assert (count["texts"] >= 200).all()


def test_a_quarter_of_a_photograph_is_selected(each):
    photographs = each[each.kind == "photographs"]
    assert (photographs.selected == 49).all()
    assert (photographs.d == 196).all()


def test_soft_rates_go_up_to_all_the_rest_of_a_photograph(soft_vs_hard):
    soft = soft_vs_hard.table("soft")
    assert soft.ours.between(0, 1).all()
    photographs = soft[soft.kind == "photographs"]
    assert photographs.radius.max() == 147


def test_hard_radii_are_below_their_limit(soft_vs_hard, each):
    lam = soft_vs_hard.provenance["lam"]
    limit = 1 / (2 * lam)
    assert each.hard_means.between(0, limit).all()
    assert each.hard_votes.between(0, limit).all()


def test_sequential_stopping_never_takes_more_than_hoeffding(soft_vs_hard, sizes):
    facts = soft_vs_hard.provenance
    size = certificates.hoeffding_size(facts["eps"], facts["delta"])
    assert sizes.sequential.max() <= facts["cap"]
    assert facts["cap"] <= facts["hoeffding"]
    assert facts["hoeffding"] == size


@pytest.fixture(scope="module")
def accuracy():
    return Results("stability_smoothing", "standard").table("accuracy")


def test_accuracy_is_of_enough_inputs(accuracy):
    assert (accuracy.inputs >= 200).all()
    assert accuracy.ours.between(0, 1).all()
    assert {1.0, .5, .25} <= set(accuracy.lam)


def test_accuracy_without_masks_is_that_of_the_head(accuracy):
    means = accuracy[accuracy.how == "means"]
    by_kind = means.set_index(["kind", "lam"]).ours
    expected = pytest.approx(.717, abs=.02)        # validation accuracy; here in bfloat16
    assert by_kind["texts", 1.0] == expected


def of_random_selection(table, name):
    """The row of a text whose selection is random."""
    texts = table[(table.kind == "texts") & (table.method == "random")]
    return texts[texts.input == name].iloc[0]


@pytest.fixture(scope="module")
def texts(soft_vs_hard):
    """The first eight texts as instances."""
    facts = soft_vs_hard.provenance
    classifier = text.load_text("emotion", "cpu", facts["dtype"])
    return text_instances(classifier, "tweets_val", 8, facts["draw_seed"])


@pytest.mark.parametrize("index", [0, 7])
def test_one_text_again(assets, soft_vs_hard, each, sizes, texts, index):
    """A random selection: neither radius nor draws depend on an attribution's rounding."""
    facts = soft_vs_hard.provenance
    instance = texts[index]
    attribution = METHODS["random"](instance, seed=0)
    alpha = select_top(attribution.scores, facts["share"])
    hard = certificates.hard_stability(instance.value, alpha, facts["lam"], facts["quant"])
    committed = of_random_selection(each, instance.name)
    assert hard.radius == pytest.approx(committed.hard_means, abs=.02)
    n_absent = int((~alpha).sum())
    radius = min(facts["draw_radius"]["texts"], n_absent)
    drawn = certificates.sample_additive(alpha, radius, facts["hoeffding"])
    whole, = certificates.predictions(instance.value, alpha[None])
    stable = certificates.predictions(instance.value, drawn) == whole
    recorded = of_random_selection(sizes, instance.name).rate
    assert stable.mean() == pytest.approx(recorded, abs=.03)


FALSE_AS_PRINTED = {"Lemma B.4", "Lemma B.5", "Lemma B.6", "Corollary B.8"}


@pytest.fixture(scope="module")
def statements():
    return Results("stability_boolean", "standard").table("statements")


def test_every_statement_was_checked(statements):
    assert statements.place.tolist() == [statement.place for statement in STATEMENTS]
    assert statements.problems.min() >= 400


def test_the_statements_that_fail_are_known(statements):
    failing = statements.holds < statements.problems
    assert set(statements.place[failing]) == FALSE_AS_PRINTED
    others = statements[~statements.place.isin(FALSE_AS_PRINTED)]
    assert (others.violation <= 1e-10).all()
