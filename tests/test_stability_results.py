"The committed numbers of soft stability: what they must be, and a part of them made again."
import numpy as np
import pytest

from xai_repro.evaluate import certificates as C
from xai_repro.explain import methods as A
from xai_repro.zoo import instances as inputs, text
from xai_repro.workbook.results import Results


@pytest.fixture(scope="module")
def soft_vs_hard(): return Results("stability_soft_vs_hard", "standard")


def test_the_standard_run_is_what_it_should_be(soft_vs_hard):
    each, soft, sizes = (soft_vs_hard.load(t) for t in ("each", "soft", "sizes"))
    count = each.groupby(["kind", "method"]).input.nunique()
    assert set(each.method) == set(A.STABILITY) and (count["photographs"] >= 100).all() and (count["texts"] >= 200).all()
    assert (each[each.kind == "photographs"].selected == 49).all() and (each[each.kind == "photographs"].d == 196).all()
    assert soft.ours.between(0, 1).all() and soft[(soft.kind == "photographs")].radius.max() == 147
    limit = 1/(2*soft_vs_hard.provenance["lam"])
    assert each.hard_means.between(0, limit).all() and each.hard_votes.between(0, limit).all()


def test_sequential_stopping_never_takes_more_than_hoeffding(soft_vs_hard):
    sizes, facts = soft_vs_hard.load("sizes"), soft_vs_hard.provenance
    assert sizes.sequential.max() <= facts["cap"] <= facts["hoeffding"] == C.hoeffding_size(facts["eps"], facts["delta"])


def test_accuracy_is_of_enough_inputs():
    table = Results("stability_smoothing", "standard").load("accuracy")
    assert (table.inputs >= 200).all() and table.ours.between(0, 1).all() and {1.0, .5, .25} <= set(table.lam)
    at = table[table.how == "means"].set_index(["kind", "lam"]).ours
    assert at["texts", 1.0] == pytest.approx(.717, abs=.02), "the validation accuracy of the head, in bfloat16"


@pytest.mark.parametrize("index", [0, 7])
def test_one_text_again(soft_vs_hard, assets, index):
    "A random selection: its hard radius and its draws do not depend on an attribution's rounding."
    facts, each, sizes = soft_vs_hard.provenance, soft_vs_hard.load("each"), soft_vs_hard.load("sizes")
    x = inputs.text_inputs(text.load_text("emotion", "cpu", facts["dtype"]), "tweets_val", index + 1, facts["draw_seed"])[index]
    alpha = A.select_top(A.attribute("random", 0, x.value, seed=0), facts["share"])
    stored = each.query("kind == 'texts' and method == 'random' and input == @x.name").iloc[0]
    assert C.hard_stability(x.value, alpha, facts["lam"], facts["quant"]).radius == pytest.approx(stored.hard_means, abs=.02)
    radius = min(facts["draw_radius"]["texts"], int((~alpha).sum()))
    drawn = C.sample_additive(alpha, radius, facts["hoeffding"])
    rate = (C.predictions(x.value, drawn) == C.predictions(x.value, alpha[None])[0]).mean()
    assert rate == pytest.approx(sizes.query("kind == 'texts' and method == 'random' and input == @x.name").rate.iloc[0], abs=.03)


def test_every_statement_was_checked():
    from xai_repro.evaluate.boolean import STATEMENTS
    table = Results("stability_boolean", "standard").load("statements")
    assert table.place.tolist() == [s.place for s in STATEMENTS] and table.problems.min() >= 400
    failing = set(table.place[table.holds < table.problems])
    assert failing == {"Lemma B.4", "Lemma B.5", "Lemma B.6", "Corollary B.8"} and (table.violation[~table.place.isin(failing)] <= 1e-10).all()
