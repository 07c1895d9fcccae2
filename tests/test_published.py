"The transcribed numbers against what the papers' own sentences say of them."
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parent.parent/"data"/"published"
COUNTS = {      # paper -> table -> numbers
    "glime": {
        "Table 1": 48,
    },
    "lime_g": {
        "Table S1": 24, "Table S2": 24,
    },
    "lima": {
        "Table I": 108, "Table II": 24, "Table III": 24, "Table IV": 28, "Table V": 28,
        "Table VI": 54, "Table VII": 30, "Table VIII": 56, "Table IX": 110, "Table X": 40,
        "Table XI": 30, "Table XII": 120, "Table XIII": 24, "Table XIV": 24, "Table XV": 15,
        "Table XVI": 6, "Table XVII": 16, "Table XVIII": 25,
    },
    "lfa": {
        "Experiment 1, heatmaps": 784, "Experiment 1, convergence": 160,
        "Experiment 2, recovery": 56, "Experiment 3, perturbation": 2464, "A.4, models": 16,
    },
    "soft_stability": {
        "Fig. 4 (ViT, soft)": 80, "Fig. 4 (ViT, hard)": 500, "Fig. 4 (RoBERTa, soft)": 285,
        "Fig. 4 (RoBERTa, hard)": 500, "Fig. 6 (ResNet-18)": 30,
    },
}


def rows(paper: str) -> pd.DataFrame:
    "All that a paper prints."
    return pd.read_csv(FOLDER/f"{paper}.csv")


@pytest.fixture(scope="module")
def value():
    "A number by paper, table, row and column."
    tables = {}
    for paper in COUNTS:
        table = rows(paper).set_index(["table", "row", "column"])
        tables[paper] = table.value.sort_index()

    def look_up(paper: str, table: str, row: str, column: str) -> float:
        return tables[paper].loc[(table, row, column)]

    return look_up


@pytest.mark.parametrize("paper", COUNTS)
def test_tidy(paper):
    found = rows(paper)
    assert list(found) == ["paper", "table", "row", "column", "value", "spread", "note"]
    assert set(found.paper) == {paper}
    names = found[["table", "row", "column"]]
    assert not names.duplicated().any()
    assert names.notna().all().all()
    assert found.value.dtype == float
    counts = found.groupby("table").size()
    assert counts.to_dict() == COUNTS[paper]
    missing = found[found.value.isna()]
    if paper != "soft_stability": assert missing.note.eq("printed as a dash").all()


# ---------------------------------------------------------------- LiMA's percentages

SLICO = "LiMA (w/ SLICO)"
PATCHES = "LiMA (10x10)"
REACHED = ("highest confidence 0-100%", "Insertion")
MODEL_IN_ROW = ("IX", "X", "XI", "XII")     # tables where the model is part of the row

# by how many percent the text of 6.3 and 6.4 says that LiMA is better, and what the table gives
# where the sentence does not follow from it
PERCENTAGES = pd.read_csv(Path(__file__).parent/"lima_percentages.csv")


def improvement(value, table: str, model: str, column: str, ours: str, other: str) -> float:
    "By how many percent our number is better than the other's."
    name = f"Table {table}"

    def number(method: str) -> float:
        if table in MODEL_IN_ROW: return value("lima", name, f"{model} | {method}", column)
        return value("lima", name, method, f"{model} | {column}")

    new = number(ours)
    old = number(other)
    return round(100*abs(new - old)/old, 1)


@pytest.mark.parametrize("said", PERCENTAGES.itertuples(index=False), ids=str)
def test_lima_improvements_named_in_the_text(value, said):
    found = improvement(value, said.table, said.model, said.column, said.ours, said.other)
    if np.isnan(said.from_table):
        assert found == pytest.approx(said.percent, abs=.11)
    else:
        assert found == pytest.approx(said.from_table, abs=.11)
        assert abs(found - said.percent) > .11


@pytest.mark.parametrize("model, column, percent", [
    ("ImageBind", REACHED[0], 28.8), ("ImageBind", REACHED[1], 294.1),
    ("LanguageBind", REACHED[0], 35.6), ("LanguageBind", REACHED[1], 162.1)])
def test_lima_improvements_on_audio_are_over_integrated_gradients(value, model, column, percent):
    "6.4.2 names RISE, but its percentages are the distances to Integrated Gradients."
    found = improvement(value, "X", model, column, PATCHES, "Integrated Gradients")
    assert found == pytest.approx(percent, abs=.11)


def test_lima_bidirectional_search_takes_less_time(value):
    "6.5.1: n_p = 8 takes 62.5% of the naive search's time."
    def seconds(search: str) -> float:
        return value("lima", "Table XIII", search, "execution time (s)")

    assert seconds("n_p=8")/seconds("n_p=0 (naive greedy)") == .625


@pytest.mark.parametrize("column, printed", [("Deletion", .1280), ("Insertion", .7463)])
def test_lima_repeats_its_default_in_three_tables(value, column, printed):
    "|V| = 49 and n_p = 8 is the default."
    assert value("lima", "Table XIII", "n_p=8", column) == printed
    assert value("lima", "Table XVII", "|V|=49", column) == printed
    assert value("lima", "Table I", SLICO, f"ImageBind (Huge) | {column}") == printed


def test_lima_prints_two_mu_fidelities_of_its_default(value):
    in_column = "ImageBind (Huge) | muFidelity"
    assert value("lima", "Table XIII", "n_p=8", "muFidelity") == .3526
    assert value("lima", "Table I", SLICO, in_column) == .3551
    assert value("lima", "Table XVI", "Importance Assessment", in_column) == .3551
    assert value("lima", "Table XVII", "|V|=49", "muFidelity") == .3551


def test_lima_repeats_itself_on_errors(value):
    assert value("lima", "Table XV", "row 3", "Insertion") == .4681
    assert value("lima", "Table XVIII", "|V|=49", "Insertion") == .4681
    assert value("lima", "Table IX", f"ImageBind | {SLICO}", "Insertion") == .4681


def test_integrated_gradients_has_the_lowest_deletion_of_table_iii(value):
    deletion = "ResNet-101 | Deletion"
    integrated = value("lima", "Table III", "Integrated Gradients", deletion)
    assert integrated < value("lima", "Table III", SLICO, deletion)


# ---------------------------------------------------------------- the other papers


def glime(value, sigma: float, method: str, n: int) -> float:
    "A number of GLIME's Table 1."
    row = f"sigma={sigma} | {method}"
    return value("glime", "Table 1", row, f"n={n}")


@pytest.mark.parametrize("sigma, method, n, printed", [
    (.25, "GLIME-Binomial", 128, .952), (.25, "GLIME-Binomial", 1024, .998),
    (5, "ALIME", 128, .489), (1, "GLIME-Gauss", 256, .894)])
def test_glime_table_1(value, sigma, method, n, printed):
    assert glime(value, sigma, method, n) == printed


@pytest.mark.parametrize("sigma", [.25, .5, 1, 5])
@pytest.mark.parametrize("n", [128, 256, 512, 1024])
def test_glime_is_more_stable_than_alime(value, sigma, n):
    "A.8."
    alime = glime(value, sigma, "ALIME", n)
    assert glime(value, sigma, "GLIME-Binomial", n) > alime
    assert glime(value, sigma, "GLIME-Gauss", n) > alime


@pytest.mark.parametrize("table", ["Table S1", "Table S2"])
def test_lime_g_is_more_robust_but_for_one_metric(value, table):
    for column in ("SSIM", "HOG", "Spearman"):
        for size in (50, 150):
            painted = value("lime_g", table, f"LIME-G ({size})", column)
            plain = value("lime_g", table, f"LIME ({size})", column)
            assert painted > plain
    painted = value("lime_g", table, "SP-G", "Spearman")
    plain = value("lime_g", table, "SP", "Spearman")
    assert painted < plain


def test_lime_g_prints_spreads():
    table = rows("lime_g").set_index(["table", "row", "column"])
    spreads = table.spread
    assert spreads.notna().all()
    assert spreads["Table S1", "SP", "SSIM"] == .114


def test_figures_without_printed_numbers(value):
    lime = value("soft_stability", "Fig. 4 (ViT, soft)", "LIME", "radius=1")
    smoothed = value("soft_stability", "Fig. 6 (ResNet-18)", "lambda=0.6", "radius=100")
    own = value("lfa", "Experiment 1, heatmaps", "regr_who_linear | captum=LIME",
                "lfa=LIME | mean L1")
    assert lime == pytest.approx(.885, abs=.001)
    assert smoothed == pytest.approx(.707, abs=.001)
    assert own == 5e-6
