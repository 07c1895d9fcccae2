"The replication record: intervals, verdicts, effects, a run and what it stores."
import json
import re
import subprocess
import sys
from itertools import product

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_repro import ground
from xai_repro import workbook as wb
from xai_repro.ground import root
from xai_repro.workbook import runner


@pytest.fixture
def project(tmp_path, monkeypatch):
    "A project's folder that is thrown away."
    monkeypatch.setenv("XAI_REPRO_ROOT", str(tmp_path))
    return tmp_path


# ---------------------------------------------------------------- the face for notebooks


def test_every_name_of_the_face_is_there_and_importing_it_is_light():
    for name in wb.__all__:
        assert getattr(wb, name) is not None, name
    assert set(wb.__all__) <= set(dir(wb))
    assert wb.judge is wb.test_claim, "the old name"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        wb.nothing     # noqa: B018 - looked up for its error
    heavy = "{'pandas', 'torch', 'matplotlib'} & set(sys.modules)"
    command = [sys.executable, "-c", f"import sys, xai_repro.workbook; print(*{heavy})"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""


# ---------------------------------------------------------------- intervals and verdicts


def test_intervals_cover_the_mean_as_often_as_they_say():
    "Nominal 95% over 300 samples of 40 (the percentile bootstrap falls a little short at 40)."
    rng = np.random.default_rng(0)
    covers = []
    for _ in range(300):
        low, high = wb.interval(rng.exponential(1, 40), n_resamples=1000)
        covers.append(low <= 1 <= high)
    assert .88 <= np.mean(covers) <= .98


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.floats(-1, 1), min_size=2, max_size=20), shift=st.floats(-2, 2))
def test_intervals_move_with_the_values(values, shift):
    low, high = wb.interval(values, n_resamples=200)
    shifted = np.array(values) + shift
    moved = wb.interval(shifted, n_resamples=200)
    assert low <= high
    assert low >= min(values) - 1e-12
    assert high <= max(values) + 1e-12
    assert moved == pytest.approx((low + shift, high + shift), abs=1e-9, rel=1e-5)


@pytest.mark.parametrize("values", [[1.], [1., np.nan], [[1., 2.]]])
def test_no_interval_without_two_finite_values(values):
    with pytest.raises(ValueError, match="at least 2 finite"):
        wb.interval(values)


@settings(max_examples=100, deadline=None)
@given(low=st.floats(-1, 1), width=st.floats(0, 1))
def test_the_rule(low, width):
    high = low + width
    greater = wb.verdict("greater", low, high)
    assert greater == wb.verdict("less", -high, -low)
    assert (greater == "holds") == (low > 0)
    equal = wb.verdict("equal", low, high)
    inside = low >= -.05 and high <= .05
    outside = low > .05 or high < -.05
    assert (equal == "holds") == inside
    assert (equal == "contradicted") == outside


@pytest.fixture
def effects_of_claim():
    "An effect on 30 inputs that is clearly above 0, one that is unclear, and one clearly below."
    rng = np.random.default_rng(0)
    up = rng.normal(.3, .1, 30)
    noise = rng.normal(0, .1, 30)
    unclear = noise - rng.normal(0, .1, 30).mean()
    down = rng.normal(-.3, .1, 30)
    return {"up": up, "unclear": unclear, "down": down}


@pytest.mark.parametrize("names, verdict", [
    (["up"], "holds"),
    (["up", "unclear"], "undecided"),
    (["up", "unclear", "down"], "contradicted")])
def test_a_claim_of_several_comparisons(effects_of_claim, names, verdict):
    effects = {name: effects_of_claim[name] for name in names}
    assert wb.test_claim("c", "s", "greater", "e", effects).verdict == verdict


def test_a_claim_shows_its_weakest_comparison(effects_of_claim):
    row = wb.test_claim("c", "s", "greater", "e", effects_of_claim).row()
    assert row["weakest"] == "down"
    assert row["holding"] == "1 of 3"
    assert row["n"] == 30
    low, effect, high = row["low"], row["effect"], row["high"]
    assert low < effect < high < 0


def test_no_claim_without_comparisons_and_no_verdict_on_few_inputs(effects_of_claim):
    with pytest.raises(ValueError, match="effects is empty"):
        wb.test_claim("c", "s", "greater", "e", {})
    few = {"few": effects_of_claim["up"][:7]}
    assert wb.test_claim("c", "s", "greater", "e", few).verdict == "undecided"


# ---------------------------------------------------------------- effects within inputs


@pytest.fixture
def stability() -> pd.DataFrame:
    "A made-up grid: methods, σ, sample sizes and images, in an order that is not sorted."
    rng = np.random.default_rng(0)
    grid = product(("LIME", "GLIME", "chance"), (.5, .25), (16, 8), ("c", "a", "b"))
    table = pd.DataFrame(grid, columns=["method", "sigma", "n", "image"])
    return table.assign(top=rng.random(len(table)))


def test_effects_are_what_subtracting_by_hand_gives(stability):
    by_hand = stability.set_index(["method", "sigma", "n", "image"]).top.sort_index()
    wide = wb.paired(stability, "top", columns=["method", "sigma", "n"])
    found = wb.effects(wide, "GLIME", "LIME", sigma=[.5, .25], n=[16, 8])
    assert list(found) == ["σ=0.5, n=16", "σ=0.5, n=8", "σ=0.25, n=16", "σ=0.25, n=8"]
    settings = product((.5, .25), (16, 8))
    for (sigma, n), values in zip(settings, found.values(), strict=True):
        glime = by_hand.loc["GLIME", sigma, n]
        lime = by_hand.loc["LIME", sigma, n]
        assert values.tolist() == (glime - lime).tolist()
    every = wb.effects(wide, "GLIME", "LIME")
    assert list(every) == ["σ=0.25, n=8", "σ=0.25, n=16", "σ=0.5, n=8", "σ=0.5, n=16"]


def test_several_conditions_are_named_and_inputs_keep_a_given_order(stability):
    one = stability.query("sigma == .5 and n == 8")
    wide = wb.paired(one, "top", order=["c", "b"])
    found = wb.effects(wide, "GLIME", ["LIME", "chance"])
    assert list(found) == ["LIME", "chance"]
    values = one.set_index(["image", "method"]).top
    for image, effect in zip("cb", found["chance"], strict=True):
        glime = values[image, "GLIME"]
        assert effect == glime - values[image, "chance"]
    few = stability[stability.n == 8]
    part = wb.paired(few, "top", columns=["method", "sigma"])
    named = wb.effects(part, "GLIME", ["LIME"], sigma=[.25])
    assert list(named) == ["LIME, σ=0.25"]


def test_inputs_without_a_value_are_left_out_where_that_is_said(stability):
    missing = stability.eval("method == 'LIME' and n == 8 and image != 'a'")
    table = stability.assign(top=stability.top.mask(missing))
    wide = wb.paired(table, "top", columns=["method", "sigma", "n"])
    kept = wb.effects(wide, "GLIME", "LIME", dropna=True)
    assert list(kept) == ["σ=0.25, n=16", "σ=0.5, n=16"], "one input is no comparison"
    every = wb.effects(wide, "GLIME", "LIME")
    assert np.isnan(every["σ=0.5, n=8"]).sum() == 2


def test_what_cannot_be_paired_is_named(stability):
    with pytest.raises(ValueError, match="two values of 'top'"):
        wb.paired(stability, "top")
    wide = wb.paired(stability, "top", columns=["method", "sigma", "n"])
    with pytest.raises(ValueError, match="condition is 'SHAP'; allowed: LIME, GLIME, chance"):
        wb.effects(wide, "GLIME", "SHAP")
    with pytest.raises(ValueError, match="setting is 'size'; allowed: sigma, n"):
        wb.effects(wide, "GLIME", "LIME", size=[8])


# ---------------------------------------------------------------- a run and its results


def test_results_are_unfinished_until_sealed(project):
    for profile, x in (("smoke", 1), ("standard", 2)):
        results = wb.Results("toy", profile)
        results.save("table", pd.DataFrame({"x": [x]}))
        results.seal(model="m")
    assert wb.largest("toy").table("table").x[0] == 2
    facts = wb.largest("toy").provenance
    assert facts["model"] == "m"
    assert facts["profile"] == "standard"
    assert len(facts["code"]) == 16
    assert facts["versions"]["torch"]
    results.save("table", pd.DataFrame({"x": [3]}))          # a new run that stops here
    assert not results.finished
    assert wb.largest("toy").profile == "smoke"
    with pytest.raises(FileNotFoundError, match="no table 'tabel'; it has: table"):
        results.table("tabel")
    with pytest.raises(ValueError, match="profile is 'huge'; allowed: smoke, standard, paper"):
        wb.Results("toy", "huge")
    with pytest.raises(FileNotFoundError, match="nothing has no finished results"):
        wb.largest("nothing")


def files_of(results: wb.Results) -> dict[str, bytes]:
    "The tables of a run, as they lie on disk."
    return {path.name: path.read_bytes() for path in results.folder.glob("*.csv")}


def test_a_run_writes_what_its_results_would_write_by_hand(project, effects_of_claim):
    "Byte for byte, in the same order of columns and facts, but for the seconds."
    table = pd.DataFrame(dict(image=["a", "b"], x=[1/3, 2.]))
    claim = ("up", "Table 1", "greater", "b - a", effects_of_claim)
    flat = ("flat", "our hypothesis", "equal", "b - a", {"unclear": effects_of_claim["unclear"]})

    by_hand = wb.Results("toy", "standard", "by_hand")
    by_hand.save("each", table)
    rows, cells = [], []
    for tested in (wb.test_claim(*claim), wb.test_claim(*flat, margin=.5)):
        rows.append(tested.row())
        cells.append(tested.cells.assign(claim=tested.claim))
    by_hand.save("claims", pd.DataFrame(rows))
    by_hand.save("claim_cells", pd.concat(cells))
    substitution = wb.substitutions({"seeds": 5}, {"seeds": 10})
    by_hand.seal(model="m", inputs="2 images", seconds={"part": 0.}, substitution=substitution)

    run = wb.open_run("toy", "standard", "run")
    with run.clock("part"):
        run.save(each=table)
    assert run.claim(*claim).verdict == "contradicted"
    run.claim(*flat, margin=.5)
    finished = run.finish(run={"seeds": 5}, paper={"seeds": 10}, model="m", inputs="2 images")

    assert files_of(finished) == files_of(by_hand)
    assert set(files_of(finished)) == {"each.csv", "claims.csv", "claim_cells.csv"}
    assert list(finished.provenance) == list(by_hand.provenance)
    facts = finished.provenance
    expected = by_hand.provenance
    assert facts.pop("seconds").keys() == expected.pop("seconds").keys()
    assert facts == expected
    assert facts["substitution"] == "seeds 5 for 10"


def test_a_run_without_claims_or_timed_parts_finishes_too(project):
    finished = wb.open_run("toy", "smoke").finish(substitution="a theorem", model="m")
    assert "seconds" not in finished.provenance
    claims = finished.table("claims")
    assert list(claims)[:2] == ["claim", "source"]
    assert len(finished.table("claim_cells")) == 0
    assert finished.provenance["substitution"] == "a theorem"
    with pytest.raises(ValueError, match="profile is 'huge'"):
        wb.open_run("toy", "huge")
    with pytest.raises(KeyError, match="seeds"):
        wb.open_run("toy", "smoke").finish(run={}, paper={"seeds": 10})


def test_the_rule_is_shown_when_a_run_is_opened(project, capsys):
    run = wb.open_run("toy", "smoke")
    assert run.results.folder == project/"data"/"runs"/"toy"/"by_hand"
    assert "Markdown" in capsys.readouterr().out


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path/"a.txt"
    path.write_text("old")

    def write(temporary):
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        ground.write_atomically(path, write)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_published_beside_ours():
    table = wb.published("glime", "Table 1")
    printed = table[table["row"] == "sigma=0.25 | GLIME-Binomial"]
    row = dict(method="GLIME-Binomial", sigma=.25, n=128, ours=.95, low=.94, high=.96, inputs=20)
    ours = pd.DataFrame([row])
    beside = wb.beside_published("glime", printed, ours, "sigma={sigma:g} | {method}", "n={n}")
    beside = beside.set_index("column")
    assert len(beside) == len(printed)
    assert beside.loc["n=128", "published"] == .952
    assert beside.loc["n=128", "inside"]
    assert np.isnan(beside.loc["n=1024", "ours"])
    with pytest.raises(ValueError, match=r"Table 9.*allowed.*Table 1"):
        wb.beside_published("glime", "Table 9", ours, "{method}", "{n}")
    with pytest.raises(ValueError, match=r"allowed.*lima"):
        wb.published("gline")


def test_an_undefined_comparison_decides_nothing_and_stays_in_the_record(project, capsys):
    run = wb.open_run("toy", "smoke")
    whole, nothing = np.ones(9), np.full(9, np.nan)
    partly = np.where(np.arange(9) < 8, 1., np.nan)
    given = {"whole": whole, "partly": partly, "nothing": nothing, "one": [1.]}
    claim = run.claim("It is above 0", "a source", "greater", "x", given)
    verdicts = claim.cells.set_index("cell").verdict.to_dict()
    assert verdicts == dict(whole="holds", partly="undecided", nothing="undecided", one="undecided")
    assert claim.cells.set_index("cell").n.to_dict() == dict(whole=9, partly=8, nothing=0, one=1)
    assert (claim.verdict, claim.row()["holding"]) == ("undecided", "1 of 4")
    assert "undefined, so undecided: partly, nothing, one" in capsys.readouterr().out
    none = run.claim("It is below 0", "a source", "less", "x", {"nothing": nothing})
    assert none.verdict == "undecided"
    table = run.finish(substitution="none", model="m", dtype="d", inputs="i").table("claims")
    assert table.verdict.tolist() == ["undecided", "undecided"], "no claim is lost"


def test_readme_is_short_and_shows_first_what_a_reader_needs():
    text = (root()/"README.md").read_text()
    assert len(text.encode()) <= 15_000
    first_screen = "\n".join(text.splitlines()[:50])
    for needed in ("pip install", "xr.explain(model, photo", "make run", "make test", "![The"):
        assert needed in first_screen
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (root()/target).exists(), target


STORED = sorted((root()/"data"/"results").glob("*/*/provenance.json"))
FACTS = ("model", "weights", "dtype", "inputs", "n_inputs", "source", "substitution", "code",
         "versions", "date")


@pytest.mark.parametrize("path", STORED, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_committed_results_say_where_they_come_from(path):
    facts = json.loads(path.read_text())
    assert set(FACTS) <= set(facts)
    claims = pd.read_csv(path.parent/"claims.csv")
    if facts["n_inputs"] < wb.FEWEST:
        assert set(claims.verdict) == {"undecided"}
        return
    assert claims[["effect", "low", "high", "n"]].notna().all().all()
    assert set(claims.verdict) <= {"holds", "contradicted", "undecided"}
    cells = pd.read_csv(path.parent/"claim_cells.csv")
    expected = claims.set_index("claim").expected
    for cell in cells.itertuples():
        decided = wb.verdict(expected[cell.claim], cell.low, cell.high)
        if cell.n < wb.FEWEST: decided = "undecided"
        assert cell.verdict == decided, cell.cell


def test_there_are_committed_results():
    assert len(STORED) >= 40


def test_the_style_puts_back_its_own_settings_only():
    mpl.get_backend()                       # chosen at the first need
    before = mpl.rcParams.copy()
    with wb.style():
        assert mpl.rcParams["axes.spines.top"] is False
        mpl.rcParams["interactive"] = not before["interactive"]
    after = mpl.rcParams.copy()
    mpl.rcParams["interactive"] = before["interactive"]
    changed = [name for name in before if after[name] != before[name]]
    assert changed == ["interactive"]


# ---------------------------------------------------------------- what others have written

MARKUP = "<img src=x onerror=alert(1)> *a* [b](c) `d` | $e$"


def hostile_results(project):
    "Results whose claims hold markup."
    out = wb.Results("toy", "standard")
    rng = np.random.default_rng(0)
    claim = wb.test_claim(MARKUP, MARKUP, "greater", MARKUP, {MARKUP: 1 + rng.random(30)})
    out.save_claims([claim])
    out.seal(model=MARKUP, dtype="float32", inputs=MARKUP, substitution=MARKUP)
    return out


def test_markup_is_shown_as_it_is_written(project):
    out = hostile_results(project)
    markdown = wb.verdicts(out)
    for sign in ("<img", "*a*", "[b]", "`d`", "$e$"): assert sign not in markdown
    for table in (wb.claims_table(out), wb.cells_table(out)):
        shown = table.to_html()
        assert "<img" not in shown
        assert "&lt;img" in shown


def test_a_name_with_dollars_is_no_formula_in_a_figure(project):
    axes = wb.show(np.full((3, 2, 2), .5), np.ones((2, 2)), title="$100 and $")
    axes.figure.canvas.draw()
    assert axes.get_title() == "$100 and $"


# ---------------------------------------------------------------- tables of a run that are damaged


def test_a_damaged_provenance_is_named(project):
    out = hostile_results(project)
    path = out.folder/"provenance.json"
    damaged = {"": "is damaged", "[]": "is damaged", "{}": "its profile is None"}
    for content, told in damaged.items():
        path.write_text(content)
        with pytest.raises(ValueError, match=f"provenance.json.*{told}"):
            wb.headline(out)


def test_a_table_that_is_not_as_its_run_left_it_is_not_read(project):
    from xai_repro.workbook import records
    out = wb.Results("toy", "standard")
    out.save("throws", pd.DataFrame(dict(throw=[1, 2, 3])))
    records.write_record(out.folder, dict(key="k"))
    assert len(out.table("throws")) == 3
    path = out.folder/"throws.csv"
    path.write_text("throw\n1\n")
    with pytest.raises(ValueError, match=r"throws.csv is damaged.* run: xai-repro run toy"):
        out.table("throws")
    out.save("throws", pd.DataFrame(dict(throw=[4])))
    assert out.table("throws").throw.tolist() == [4], "another run by hand, of which is no record"


def test_tables_of_another_run_are_data_of_this_one(project, monkeypatch):
    from toy_project import write_manifest

    from xai_repro.workbook import results as module
    monkeypatch.setattr(module, "FETCHED", {})
    (project/"data").mkdir()
    write_manifest(project)
    first, second = wb.Results("first", "standard"), wb.Results("second", "standard")
    for results in (first, second): results.save("throws", pd.DataFrame(dict(throw=[1])))
    first.table("throws")
    second.table("throws")
    second.seal()
    name = "results/first/standard/throws.csv"
    assert name in second.provenance["data"]
    assert not [each for each in second.provenance["data"] if "second" in each]
    state = runner._data_state(second.folder)
    first.save("throws", pd.DataFrame(dict(throw=[2])))
    assert (state, runner._data_state(second.folder)) == ("done", "stale")


@pytest.mark.parametrize("numbers, text", [
    ((.031, .012, .05), ".031 [.012, .050]"),
    ((-.031, -.05, -.012), "-.031 [-.050, -.012]"),
    ((.05, -.05, .15), ".05 [-.05, .15]"),
    ((1.25, .5, 2.), "1.2 [.5, 2.0]"),
    ((1234., 1100., 1250.), "1234 [1100, 1250]"),
    ((.02, .0004, .05), ".0200 [.0004, .0500]"),          # an end that is not 0 is not shown as 0
    ((-.0001, -.2, .2), ".00 [-.20, .20]"),
    ((.5, .4999999, .5000001), ".5000 [.5000, .5000]"),   # at most four decimals
    ((3e-12, 1e-12, 5e-12), "3.0e-12 [1.0e-12, 5.0e-12]"),
    ((0., 0., 0.), "0 [0, 0]"),
    ((1., 1., 1.), "1.0 [1.0, 1.0]"),
    ((2.5, float("nan"), float("nan")), "2.5 [–, –]"),
])
def test_an_effect_has_the_digits_of_its_interval(numbers, text):
    assert wb.effect_text(*numbers) == text


@pytest.mark.parametrize("scale", [.003, .1, 1., 40., 3000.])
def test_an_effect_can_be_read_back_to_a_twentieth_of_its_interval(scale):
    for low, effect, high in np.sort(np.random.default_rng(0).normal(0, scale, (50, 3))):
        shown = wb.effect_text(effect, low, high)
        read = [float(number) for number in re.findall(r"-?[\d.]+(?:e-\d+)?", shown)]
        tolerance = max((high - low)/20, .5*10**-4)
        assert np.allclose(read, [effect, low, high], rtol=0, atol=tolerance), shown
