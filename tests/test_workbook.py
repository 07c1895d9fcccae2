"The replication record: intervals, verdicts, storage, and the README."
import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from xai_repro import ground
from xai_repro import cache as store
from xai_repro import workbook
from xai_repro.workbook import runner
from xai_repro.ground import root


def test_intervals_cover_the_mean_as_often_as_they_say():
    "Nominal 95% over 300 samples of 40 (the percentile bootstrap falls a little short at 40)."
    rng = np.random.default_rng(0)
    covers = [low <= 1 <= high for low, high in (workbook.interval(rng.exponential(1, 40), n_resamples=1000) for _ in range(300))]
    assert .88 <= np.mean(covers) <= .98


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.floats(-1, 1), min_size=2, max_size=20), shift=st.floats(-2, 2))
def test_intervals_move_with_the_values(values, shift):
    low, high = workbook.interval(values, n_resamples=200)
    moved = workbook.interval(np.array(values) + shift, n_resamples=200)
    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12 and np.allclose(moved, [low + shift, high + shift], atol=1e-9)


@pytest.mark.parametrize("values", [[1.], [1., np.nan], [[1., 2.]]])
def test_no_interval_without_two_finite_values(values):
    with pytest.raises(ValueError, match="at least 2 finite"): workbook.interval(values)


@settings(max_examples=100, deadline=None)
@given(a=st.floats(-1, 1), width=st.floats(0, 1))
def test_the_rule(a, width):
    low, high = a, a + width
    assert workbook.verdict("greater", low, high) == workbook.verdict("less", -high, -low)
    assert (workbook.verdict("greater", low, high) == "holds") == (low > 0)
    assert (workbook.verdict("equal", low, high) == "holds") == (low >= -.05 and high <= .05)
    assert (workbook.verdict("equal", low, high) == "contradicted") == (low > .05 or high < -.05)


def test_a_claim_of_several_comparisons():
    rng = np.random.default_rng(0)
    effects = {"up": rng.normal(.3, .1, 30), "unclear": rng.normal(0, .1, 30) - rng.normal(0, .1, 30).mean(), "down": rng.normal(-.3, .1, 30)}
    judged = lambda *names: workbook.test_claim("c", "s", "greater", "e", {n: effects[n] for n in names})
    assert [judged(*n).verdict for n in (["up"], ["up", "unclear"], ["up", "unclear", "down"])] == ["holds", "undecided", "contradicted"]
    row = judged("up", "unclear", "down").row()
    assert row["weakest"] == "down" and row["holding"] == "1 of 3" and row["n"] == 30 and row["low"] < row["effect"] < row["high"] < 0
    with pytest.raises(ValueError, match="effects is empty"): judged()
    assert workbook.test_claim("c", "s", "greater", "e", {"few": effects["up"][:7]}).verdict == "undecided", "too few to decide anything"


def test_results_are_unfinished_until_sealed(tmp_path, monkeypatch):
    monkeypatch.setenv("XAI_REPRO_ROOT", str(tmp_path))
    for profile, x in (("smoke", 1), ("standard", 2)):
        results = workbook.Results("toy", profile)
        results.save("table", pd.DataFrame({"x": [x]})); results.seal(model="m")
    assert workbook.largest("toy").load("table").x[0] == 2
    facts = workbook.largest("toy").provenance
    assert facts["model"] == "m" and facts["profile"] == "standard" and len(facts["code"]) == 16 and facts["versions"]["torch"]
    results.save("table", pd.DataFrame({"x": [3]}))          # a new run that stops here
    assert workbook.largest("toy").profile == "smoke"
    with pytest.raises(FileNotFoundError, match="no table 'tabel'; it has: table"): results.load("tabel")
    with pytest.raises(ValueError, match="profile is 'huge'; allowed: smoke, standard, paper"): workbook.Results("toy", "huge")
    with pytest.raises(FileNotFoundError, match="nothing has no finished results"): workbook.largest("nothing")


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path/"a.txt"; path.write_text("old")
    def write(p): p.write_text("half"); raise OSError("disk full")
    with pytest.raises(OSError): ground.write_atomically(path, write)
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_published_beside_ours():
    printed = workbook.published("glime", "Table 1").query("row == 'sigma=0.25 | GLIME-Binomial'")
    ours = pd.DataFrame([dict(row="sigma=0.25 | GLIME-Binomial", column="n=128", ours=.95, low=.94, high=.96, inputs=20)])
    beside = workbook.compare(printed, ours).set_index("column")
    assert len(beside) == len(printed) and beside.loc["n=128", "published"] == .952 and beside.loc["n=128", "inside"] and np.isnan(beside.loc["n=1024", "ours"])
    with pytest.raises(ValueError, match="Table 9.*allowed.*Table 1"): workbook.published("glime", "Table 9")
    with pytest.raises(ValueError, match="allowed.*lima"): workbook.published("gline")


def test_readme_is_the_index_notebook():
    assert (root()/"README.md").read_text() == workbook.readme(), "run `make readme`"


def test_readme_shows_the_two_commands_first_and_the_present_scoreboard():
    text = (root()/"README.md").read_text()
    first_screen = "\n".join(text.splitlines()[:20])
    assert "make run" in first_screen and "make test" in first_screen
    for row in runner.scoreboard().query("profile != 'smoke'").itertuples():
        assert f"| {row.claim} | {row.source} | **{row.verdict}** ({row.holding}) | {row.weakest}: {row.effect:.3f} [{row.low:.3f}, {row.high:.3f}], {row.n} |" in text
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text): assert (root()/target).exists(), target


def test_committed_results_say_where_they_come_from():
    for path in sorted((root()/"data"/"results").glob("*/*/provenance.json")):
        facts = json.loads(path.read_text())
        for key in ("model", "weights", "dtype", "inputs", "n_inputs", "source", "substitution", "code", "versions", "date"): assert key in facts, (path, key)
        claims = pd.read_csv(path.parent/"claims.csv")
        if facts["n_inputs"] < workbook.FEWEST: assert set(claims.verdict) == {"undecided"}; continue
        assert claims[["effect", "low", "high", "n"]].notna().all().all() and set(claims.verdict) <= {"holds", "contradicted", "undecided"}
        recomputed = [workbook.verdict(c.expected, c.low, c.high) if c.n >= workbook.FEWEST else "undecided" for c in pd.read_csv(path.parent/"claim_cells.csv").merge(claims[["claim", "expected"]], on="claim").itertuples()]
        assert recomputed == pd.read_csv(path.parent/"claim_cells.csv").merge(claims[["claim"]], on="claim").verdict.tolist()


def test_the_style_puts_back_its_own_settings_only():
    import matplotlib as mpl
    mpl.get_backend()                       # chosen at the first need
    before = mpl.rcParams.copy()
    with workbook.style():
        assert mpl.rcParams["axes.spines.top"] is False
        mpl.rcParams["interactive"] = not before["interactive"]
    changed = {k for k in before if mpl.rcParams[k] != before[k]}
    mpl.rcParams["interactive"] = before["interactive"]
    assert changed == {"interactive"}
