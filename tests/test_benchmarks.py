"""The committed measurements of cost: what was measured, and that the claims follow from it."""
import numpy as np
import pandas as pd
import pytest

from xai_repro.cache import CACHE_BYTES
from xai_repro.explain.distributions import binomial, uniform
from xai_repro.inputs.segmentation import quickshift
from xai_repro.workbook.results import Results
from xai_repro.zoo.photographs import embedded_photographs


@pytest.fixture(scope="module")
def measured():
    results = Results("benchmarks", "standard")
    if not (results.folder/"provenance.json").exists():
        pytest.skip("benchmarks has not been run at standard")
    return results


def ratio(table: pd.DataFrame, work: str, reference: str) -> pd.Series:
    """Seconds of a work over those of another in the same round."""
    wide = table.pivot(index="round", columns="what", values="seconds")
    return wide[work]/wide[reference]


def cells(measured, claim: str) -> pd.DataFrame:
    """The comparisons of the claims that begin so, by the name of the work."""
    table = measured.load("claim_cells")
    of_claim = table.claim.str.startswith(claim)
    return table[of_claim].set_index("cell")


def test_the_machine_and_the_peers_are_named(measured):
    facts = measured.provenance
    assert "cores" in facts["kind"]
    assert facts["threads_of_each"] == 1
    assert facts["n_masks"] == 1000
    assert facts["n_inputs"] >= 8
    assert set(facts["packages"]) == {"captum", "lime", "shap"}
    assert facts["substitution"] == "nothing"
    rounds = measured.load("own").groupby("what")["round"].nunique()
    assert (rounds == facts["n_inputs"]).all()


@pytest.mark.parametrize("claim, work, reference, limit", [
    ("Own cost of masks is at most half", "lfa.lime", "plain torch.where", .5),
    ("captum's Lime takes at least 5", "captum Lime", "lfa.lime", 5),
    ("lime takes at least 10", "lime", "lfa.lime", 10),
])
def test_a_claim_is_the_mean_ratio_of_the_rounds(measured, claim, work, reference, limit):
    """Ratios are of works of the same round."""
    ratios = ratio(measured.load("own"), work, reference)
    cell = cells(measured, claim).loc[work]
    assert cell.effect == pytest.approx(ratios.mean() - limit, abs=1e-4)
    assert cell.n == len(ratios)
    assert cell.low <= cell.effect <= cell.high


def test_own_cost_is_what_the_project_promises(measured):
    """Half of torch.where, a fifth of captum's Lime, a tenth of lime's.

    By the nearer end of the interval.
    """
    over_where = cells(measured, "Own cost of masks is at most half")
    captum = cells(measured, "captum's Lime takes at least 5")
    lime = cells(measured, "lime takes at least 10")
    assert (over_where.high < 0).all()
    assert (captum.low > 0).all()
    assert (lime.low > 0).all()


def test_an_explanation_adds_at_most_a_fiftieth_to_its_network(measured):
    bare = measured.load("bare")
    around = bare[bare.what != "network alone"]
    own = around.seconds - around.inside
    rounds = around.groupby(["device", "what"]).size()
    assert (own > 0).all()
    assert (rounds == measured.provenance["n_inputs"]).all()

    claim = "An explanation takes at most 1.02 times what the network takes of it (cpu)"
    effects = cells(measured, claim)
    on_cpu = around[around.device == "cpu"]
    for what, times in on_cpu.groupby("what"):
        ratios = times.seconds/times.inside
        assert effects.effect[what] == pytest.approx(ratios.mean() - 1.02, abs=1e-4)
    assert (effects.high < 0).all()


def test_the_table_of_passes_is_consistent(measured):
    grid = measured.load("grid")
    photographs = grid.groupby("methods").size()
    assert (photographs >= 8).all()
    assert (grid.share <= .2).all()
    assert np.allclose(grid.share, grid.ours/grid.fresh)


def test_passes_of_the_grid_are_counted_not_timed(measured):
    """Count one photograph's again: distinct masks of five distributions, ten seeds."""
    grid = measured.load("grid")
    selected = (grid.methods == "without") & (grid.superpixels == "quickshift")
    row = grid[selected].iloc[0]
    image = embedded_photographs()[row.photograph]
    d = int(quickshift(image).max()) + 1
    distributions = [uniform(), *map(binomial, (.25, .5, 1., 5.))]
    samples = []
    for distribution in distributions:
        samples += [distribution.sample(2048, d, seed) for seed in range(10)]
    distinct = np.unique(np.concatenate(samples), axis=0)
    sizes = (128, 256, 512, 1024, 2048)
    assert row.d == d
    assert row.ours == len(distinct)
    assert row.fresh == 4*4*10*sum(sizes)


def test_memory_is_bounded(measured):
    memory = measured.load("memory")
    cache = CACHE_BYTES/2**20
    beyond = np.where(memory.n > 1000, memory.perturbations_mb + .4 + cache, 0)
    rounds = memory.groupby(["distribution", "n"]).size()
    assert set(memory.n) == {1000, 100_000}
    assert (rounds >= 8).all()
    assert (memory.grown_mb <= 60 + beyond).all()
