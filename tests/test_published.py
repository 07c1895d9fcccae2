"The transcribed numbers against what the papers' own sentences say of them."
from pathlib import Path

import pandas as pd
import pytest

FOLDER = Path(__file__).parent.parent/"data"/"published"
COUNTS = {
    "glime": {"Table 1": 48},
    "lime_g": {"Table S1": 24, "Table S2": 24},
    "lima": {"Table I": 108, "Table II": 24, "Table III": 24, "Table IV": 28, "Table V": 28, "Table VI": 54, "Table VII": 30, "Table VIII": 56, "Table IX": 110, "Table X": 40, "Table XI": 30,
             "Table XII": 120, "Table XIII": 24, "Table XIV": 24, "Table XV": 15, "Table XVI": 6, "Table XVII": 16, "Table XVIII": 25},
    "lfa": {"Experiment 1, heatmaps": 8*7*7*2, "Experiment 1, convergence": 8*2*5*2, "Experiment 2, recovery": 2*2*7*2, "Experiment 3, perturbation": 8*7*2*11*2, "A.4, models": 8*2},
    "soft_stability": {"Fig. 4 (ViT, soft)": 80, "Fig. 4 (ViT, hard)": 500, "Fig. 4 (RoBERTa, soft)": 285, "Fig. 4 (RoBERTa, hard)": 500, "Fig. 6 (ResNet-18)": 30}}


def rows(paper): return pd.read_csv(FOLDER/f"{paper}.csv")


@pytest.fixture
def value():
    tables = {p: rows(p).set_index(["table", "row", "column"]).value.sort_index() for p in COUNTS}
    return lambda paper, table, row, column: float(tables[paper].loc[(table, row, column)])


@pytest.mark.parametrize("paper", COUNTS)
def test_tidy(paper):
    found = rows(paper)
    assert list(found) == ["paper", "table", "row", "column", "value", "spread", "note"] and set(found.paper) == {paper}
    assert not found.duplicated(["table", "row", "column"]).any() and found[["table", "row", "column"]].notna().all().all()
    assert found.value.dtype == float and found.groupby("table").size().to_dict() == COUNTS[paper]
    assert found[found.value.isna()].note.eq("printed as a dash").all() or paper == "soft_stability"


def better(new, old): return round(100*abs(new - old)/old, 1)


SLICO, SAM, PATCHES, AUC, REACHED = "LiMA (w/ SLICO)", "LiMA (w/ Segment Anything)", "LiMA (10x10)", ("Deletion", "Insertion"), ("highest confidence 0-100%", "Insertion")
ALL, PRIOR, HSIC = (*AUC, "muFidelity"), "Previous work", "HSIC-Attribution"
CLAIMS = [(f"Table {table}", model, columns, ours, theirs, said) for table, model, columns, ours, theirs, said in (
    # 6.3.1, first paragraph
    ("I", "CLIP (ViT-L)", ALL, SLICO, "Grad-ECLIP", (32.6, 61.8, 4.0)), ("I", "ImageBind (Huge)", ALL, SLICO, "Integrated Gradients", (9.8, 33.8, 85.0)), ("I", "LanguageBind (Large)", ALL, SLICO, HSIC, (43.9, 48.8, .9)),
    ("I", "CLIP (ViT-L)", AUC, SLICO, PRIOR, (31.5, 10.2)), ("I", "ImageBind (Huge)", AUC, SLICO, PRIOR, (7.1, 12.2)), ("I", "LanguageBind (Large)", AUC, SLICO, PRIOR, (27.5, 19.2)),
    # 6.3.1, second paragraph
    ("II", "CLIP (ResNet-101)", AUC, SLICO, HSIC, (31.9, 51.8)), ("II", "CLIP (ResNet-101)", AUC, SLICO, PRIOR, (8.4, 21.3)),
    # 6.3.2, CNN, vision transformer, vision Mamba
    ("III", "ResNet-101", AUC, SLICO, HSIC, (34.5, 47.0)), ("III", "ResNet-101", AUC, SLICO, PRIOR, (11.8, 29.1)),
    ("IV", "ViT-L", AUC, SLICO, "RISE", (48.9, 19.9)), ("IV", "Swin-L", AUC, SLICO, "RISE", (56.4, 34.9)),
    ("V", "Vision Mamba (base)", AUC, SLICO, "RISE", (58.9, 30.0)), ("V", "MambaVision (L2)", AUC, SLICO, "RISE", (59.8, 25.3)),
    # 6.3.3
    ("VI", "Celeb-A (ArcFace ResNet-101)", ALL, SLICO, HSIC, (42.0, 5.9, 9.0)), ("VI", "VGGFace2 (ArcFace ResNet-101)", ALL, SLICO, HSIC, (46.3, 2.2, 1.2)),
    ("VI", "Celeb-A (ArcFace ResNet-101)", AUC, SLICO, PRIOR, (36.4, 4.8)), ("VI", "VGGFace2 (ArcFace ResNet-101)", AUC, SLICO, PRIOR, (45.8, 2.0)),
    # 6.3.4, 6.3.5
    ("VII", "CUB-200-2011", ALL, SLICO, HSIC, (13.44, 13.22, 3.3)), ("VII", "CUB-200-2011", AUC, SLICO, PRIOR, (8.6, 6.7)),
    ("VIII", "ImageBind", AUC, PATCHES, "Square-Grad", (56.0, 83.9)), ("VIII", "LanguageBind", AUC, PATCHES, "RISE", (42.8, 79.6)),
    # 6.4.1 to 6.4.4: here the model is part of the row
    ("IX", "CLIP (ViT-L)", REACHED, SAM, "RISE", (61.5, 127.2)), ("IX", "ImageBind", REACHED, SAM, "RISE", (52.4, 89.4)), ("IX", "LanguageBind", REACHED, SAM, "EAC (w/ Segment Anything)", (63.8, 101.9)),
    ("X", "ImageBind", REACHED, PATCHES, "RISE", (28.8, 294.1)), ("X", "LanguageBind", REACHED, PATCHES, "RISE", (35.6, 162.1)), ("XI", "QuiltNet (ViT/B-32)", REACHED, SLICO, HSIC, (39.2, 137.5)),
    ("XII", "ResNet-101", REACHED, SAM, HSIC, (217.5, 178.7)), ("XII", "MobileNetV2", REACHED, SAM, HSIC, (152.2, 101.7)), ("XII", "EfficientNetV2-M", REACHED, SAM, HSIC, (123.9, 139.4)),
    ("XII", "ResNet-101", REACHED, SAM, PRIOR, (75.4, 127.4)), ("XII", "MobileNetV2", REACHED, SAM, PRIOR, (36.9, 71.5)), ("XII", "EfficientNetV2-M", REACHED, SAM, PRIOR, (81.5, 120.7)))]
# where the sentence does not follow from the table, what the table gives
DISAGREE = {("Table I", "CLIP (ViT-L)", "Insertion", "Grad-ECLIP"): 55.6, ("Table I", "ImageBind (Huge)", "Deletion", "Integrated Gradients"): 8.9, ("Table I", "LanguageBind (Large)", "Deletion", HSIC): 37.9,
            ("Table IV", "Swin-L", "Deletion", "RISE"): 58.9, ("Table VI", "Celeb-A (ArcFace ResNet-101)", "Insertion", HSIC): 2.8, ("Table VI", "Celeb-A (ArcFace ResNet-101)", "muFidelity", HSIC): 3.9,
            ("Table VI", "Celeb-A (ArcFace ResNet-101)", "Deletion", PRIOR): 36.6, ("Table VI", "Celeb-A (ArcFace ResNet-101)", "Insertion", PRIOR): 1.7,
            ("Table X", "ImageBind", REACHED[0], "RISE"): 97.5, ("Table X", "ImageBind", "Insertion", "RISE"): 370.9, ("Table X", "LanguageBind", REACHED[0], "RISE"): 106.0, ("Table X", "LanguageBind", "Insertion", "RISE"): 201.9,
            ("Table XI", "QuiltNet (ViT/B-32)", REACHED[0], HSIC): 37.9, ("Table XI", "QuiltNet (ViT/B-32)", "Insertion", HSIC): 131.7}


def improvement(value, table, model, column, ours, theirs):
    at = (lambda m: value("lima", table, f"{model} | {m}", column)) if table in ("Table IX", "Table X", "Table XI", "Table XII") else (lambda m: value("lima", table, m, f"{model} | {column}"))
    return better(at(ours), at(theirs))


@pytest.mark.parametrize("table, model, column, ours, theirs, said", [(t, m, c, o, th, s) for t, m, cs, o, th, ss in CLAIMS for c, s in zip(cs, ss, strict=True)])
def test_lima_improvements_named_in_the_text(value, table, model, column, ours, theirs, said):
    found, otherwise = improvement(value, table, model, column, ours, theirs), DISAGREE.get((table, model, column, theirs))
    assert found == pytest.approx(said if otherwise is None else otherwise, abs=.11)
    if otherwise is not None: assert abs(found - said) > .11


def test_lima_improvements_on_audio_are_over_integrated_gradients(value):
    "6.4.2 names RISE, but its percentages are the distances to Integrated Gradients."
    for model, said in (("ImageBind", (28.8, 294.1)), ("LanguageBind", (35.6, 162.1))):
        for column, percent in zip(REACHED, said, strict=True): assert improvement(value, "Table X", model, column, PATCHES, "Integrated Gradients") == pytest.approx(percent, abs=.11)


def test_lima_bidirectional_search_takes_less_time(value):
    "6.5.1: n_p = 8 takes 62.5% of the naive search's time."
    assert value("lima", "Table XIII", "n_p=8", "execution time (s)")/value("lima", "Table XIII", "n_p=0 (naive greedy)", "execution time (s)") == .625


def test_lima_repeats_itself_but_for_one_number(value):
    "|V| = 49 and n_p = 8 is the default: its row stands in four tables, with two different muFidelities."
    for column, printed in (("Deletion", .1280), ("Insertion", .7463)):
        assert {value("lima", "Table XIII", "n_p=8", column), value("lima", "Table XVII", "|V|=49", column), value("lima", "Table I", "LiMA (w/ SLICO)", f"ImageBind (Huge) | {column}")} == {printed}
    assert value("lima", "Table XIII", "n_p=8", "muFidelity") == .3526 and value("lima", "Table I", "LiMA (w/ SLICO)", "ImageBind (Huge) | muFidelity") == .3551
    assert value("lima", "Table XVI", "Importance Assessment", "ImageBind (Huge) | muFidelity") == value("lima", "Table XVII", "|V|=49", "muFidelity") == .3551
    assert value("lima", "Table XV", "row 3", "Insertion") == value("lima", "Table XVIII", "|V|=49", "Insertion") == value("lima", "Table IX", "ImageBind | LiMA (w/ SLICO)", "Insertion") == .4681
    assert value("lima", "Table III", "Integrated Gradients", "ResNet-101 | Deletion") < value("lima", "Table III", "LiMA (w/ SLICO)", "ResNet-101 | Deletion")


def test_glime_table_1(value):
    at = lambda s, m, n: value("glime", "Table 1", f"sigma={s} | {m}", f"n={n}")
    assert (at(.25, "GLIME-Binomial", 128), at(.25, "GLIME-Binomial", 1024), at(5, "ALIME", 128), at(1, "GLIME-Gauss", 256)) == (.952, .998, .489, .894)
    for s in (.25, .5, 1, 5):
        for n in (128, 256, 512, 1024): assert at(s, "GLIME-Binomial", n) > at(s, "ALIME", n) and at(s, "GLIME-Gauss", n) > at(s, "ALIME", n)      # A.8


def test_lime_g_is_more_robust_but_for_one_metric(value):
    for table in ("Table S1", "Table S2"):
        for column in ("SSIM", "HOG", "Spearman"):
            for size in (50, 150): assert value("lime_g", table, f"LIME-G ({size})", column) > value("lime_g", table, f"LIME ({size})", column)
        assert value("lime_g", table, "SP-G", "Spearman") < value("lime_g", table, "SP", "Spearman")
    spreads = rows("lime_g").set_index(["table", "row", "column"]).spread
    assert spreads.notna().all() and spreads["Table S1", "SP", "SSIM"] == .114


def test_figures_without_printed_numbers(value):
    assert value("soft_stability", "Fig. 4 (ViT, soft)", "LIME", "radius=1") == pytest.approx(.885, abs=.001)
    assert value("soft_stability", "Fig. 6 (ResNet-18)", "lambda=0.6", "radius=100") == pytest.approx(.707, abs=.001)
    diagonal = value("lfa", "Experiment 1, heatmaps", "regr_who_linear | captum=LIME", "lfa=LIME | mean L1")
    assert diagonal == 5e-6
