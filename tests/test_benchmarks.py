"The committed measurements of cost: what was measured, and that the claims follow from it."
import numpy as np
import pandas as pd
import pytest

from xai_repro import value as masked
from xai_repro.explain import distributions as N
from xai_repro.inputs import segmentation as features
from xai_repro.zoo.photographs import embedded_photographs
from xai_repro.workbook.results import Results


@pytest.fixture(scope="module")
def measured():
    found = Results("benchmarks", "standard")
    if not (found.folder/"provenance.json").exists(): pytest.skip("benchmarks has not been run at standard")
    return found


def ratio(table: pd.DataFrame, a: str, b: str) -> pd.Series:
    wide = table.pivot(index="round", columns="what", values="seconds")
    return wide[a]/wide[b]


def cells(measured, claim: str) -> pd.DataFrame:
    table = measured.load("claim_cells")
    return table[table.claim.str.startswith(claim)].set_index("cell")


def test_the_machine_and_the_peers_are_named(measured):
    facts = measured.provenance
    assert "cores" in facts["kind"] and facts["threads_of_each"] == 1 and facts["n_masks"] == 1000 and facts["n_inputs"] >= 8
    assert set(facts["packages"]) == {"captum", "lime", "shap"} and facts["substitution"] == "nothing"
    assert (measured.load("own").groupby("what")["round"].nunique() == facts["n_inputs"]).all()


@pytest.mark.parametrize("claim, a, b, offset", [("Own cost of masks is at most half", "lfa.lime", "plain torch.where", .5), ("captum's Lime takes at least 5", "captum Lime", "lfa.lime", 5), ("lime takes at least 10", "lime", "lfa.lime", 10)])
def test_a_claim_is_the_mean_ratio_of_the_rounds(measured, claim, a, b, offset):
    "Ratios are of works of the same round."
    found, row = ratio(measured.load("own"), a, b), cells(measured, claim).loc[{"lfa.lime": a, "plain torch.where": a}.get(b, a)]
    assert row.effect == pytest.approx(found.mean() - offset, abs=1e-4) and row.n == len(found) and row.low <= row.effect <= row.high


def test_own_cost_is_what_the_project_promises(measured):
    "Half of torch.where, a fifth of captum's Lime, a tenth of lime's, by the nearer end of the interval."
    assert (cells(measured, "Own cost of masks is at most half").high < 0).all()
    assert (cells(measured, "captum's Lime takes at least 5").low > 0).all() and (cells(measured, "lime takes at least 10").low > 0).all()


def test_what_an_explanation_adds_to_its_network_is_at_most_a_fiftieth(measured):
    bare = measured.load("bare")
    around = bare[bare.what != "network alone"]
    assert ((around.seconds - around.inside) > 0).all() and (around.groupby(["device", "what"]).size() == measured.provenance["n_inputs"]).all()
    found = cells(measured, "An explanation takes at most 1.02 times what the network takes of it (cpu)")
    for what, part in around[around.device == "cpu"].groupby("what"): assert found.effect[what] == pytest.approx((part.seconds/part.inside).mean() - 1.02, abs=1e-4)
    assert (found.high < 0).all()


def test_passes_of_the_grid_are_counted_not_timed(measured):
    "One photograph's count again: distinct masks of five laws, ten seeds."
    grid = measured.load("grid")
    assert (grid.groupby("methods").size() >= 8).all() and (grid.share <= .2).all() and np.allclose(grid.share, grid.ours/grid.fresh)
    row = grid[(grid.methods == "without") & (grid.superpixels == "quickshift")].iloc[0]
    d = int(features.quickshift(embedded_photographs()[row.photograph]).max()) + 1
    masks = np.concatenate([law.sample(2048, d, seed) for law in (N.uniform(), *(N.binomial(s) for s in (.25, .5, 1., 5.))) for seed in range(10)])
    assert row.d == d and row.ours == len(np.unique(masks, axis=0)) and row.fresh == 4*4*10*(128 + 256 + 512 + 1024 + 2048)


def test_memory_is_bounded(measured):
    memory = measured.load("memory")
    allowed = 60 + np.where(memory.n > 1000, memory.perturbations_mb + .4 + masked.CACHE_BYTES/2**20, 0)
    assert set(memory.n) == {1000, 100_000} and (memory.groupby(["distribution", "n"]).size() >= 8).all() and (memory.grown_mb <= allowed).all()
