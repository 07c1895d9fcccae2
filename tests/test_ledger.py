"The ledgers are what the results say, and README what the ledgers say."
import io

import numpy as np
import pandas as pd
import pytest
from nbdev.test import test_nb as run_notebook
from scipy.stats import false_discovery_control

from xai_repro.ground import root
from xai_repro.workbook import ledger
from xai_repro.workbook.claims import FEWEST, Claim, verdict

LEDGERS = root()/"data"/"results"


@pytest.fixture(scope="module")
def claims() -> pd.DataFrame:
    "All claims of the ledger."
    return ledger.claims()


@pytest.fixture(scope="module")
def run(claims) -> pd.DataFrame:
    "The claims that were run."
    return claims[claims.verdict != ledger.NOT_RUN]


def test_the_committed_claims_are_those_of_the_results(claims):
    text = io.StringIO()
    claims[list(ledger.COLUMNS)].to_csv(text, index=False, float_format="%.6g")
    stored = (LEDGERS/"claims.csv").read_text()
    assert stored == text.getvalue(), "run nbs/papers/claims.ipynb"


def test_every_claim_stands_once_and_says_how_it_was_tested(claims, run):
    assert not claims.duplicated(["paper", "place", "statement"]).any()
    assert len(claims) >= 60
    assert len(run) >= 45
    needed = ["n", "effect", "low", "high", "substitution", "profile", "test"]
    assert run[needed].notna().all().all()
    assert (run.low <= run.effect).all()
    assert (run.effect <= run.high).all()
    assert set(run.profile) <= {"standard", "paper"}
    assert all((root()/notebook).exists() for notebook in run.notebook)
    absent = claims[claims.verdict == ledger.NOT_RUN]
    assert absent.test.str.len().gt(20).all(), "with the reason"


def verdicts_of(expected: str, cells: pd.DataFrame) -> set[str]:
    "The verdicts on comparisons, by the rule."
    verdicts = set()
    for cell in cells.itertuples():
        decided = verdict(expected, cell.low, cell.high)
        verdicts.add(decided if cell.n >= FEWEST else "undecided")
    return verdicts


def test_a_verdict_follows_from_the_stored_comparisons(run):
    "Counted again from the files, claim by claim, without the ledger's code for joining tests."
    found: dict[tuple, set[str]] = {}
    for results in ledger.finished():
        claims = results.table("claims").set_index("claim")
        for claim, cells in results.table("claim_cells").groupby("claim", sort=False):
            where = ledger.split_source(claims.source[claim])
            if where is None: continue
            statement = claim
            for kind in ledger.KINDS: statement = statement.removesuffix(f" ({kind})")
            verdicts = found.setdefault((*where, statement), set())
            verdicts |= verdicts_of(claims.expected[claim], cells)
    worst_first = ("contradicted", "undecided", "holds")
    expected = {}
    for key, verdicts in found.items():
        worst = next(v for v in worst_first if v in verdicts)
        expected[key] = ledger.VERDICTS[worst]
    in_ledger = run.set_index(["paper", "place", "statement"]).verdict
    assert in_ledger.to_dict() == expected


def kept_by_definition(p: np.ndarray) -> np.ndarray:
    "Which p-values Benjamini and Yekutieli's procedure leaves, by its definition."
    m = len(p)
    ordered = np.sort(p)
    ranks = np.arange(1, m + 1)
    harmonic = (1/ranks).sum()
    bounds = ranks/m*ledger.LEVEL/harmonic
    below = ordered[ordered <= bounds]
    largest = below.max() if len(below) else -1
    return p <= largest


@pytest.mark.parametrize("said, column", [
    ("reproduced", "p_reproduced"), ("not reproduced", "p_not")])
def test_what_survives_is_what_benjamini_and_yekutieli_leave(run, said, column):
    p = run[column].to_numpy()
    kept = kept_by_definition(p)
    agree = run.survives == kept
    assert agree[run.verdict == said].all()
    adjusted = false_discovery_control(p, method="by")
    np.testing.assert_array_equal(kept, adjusted <= ledger.LEVEL)


def test_one_contradiction_is_paid_for_by_the_number_of_comparisons():
    rng = np.random.default_rng(0)

    def null_claim() -> Claim:
        "Ten comparisons under no effect."
        effects = rng.normal(size=10)
        cells = pd.DataFrame(dict(cell=range(10), effect=effects, n=20, verdict=""))
        cells["low"] = cells.effect - 1.959964
        cells["high"] = cells.effect + 1.959964
        return Claim("c", "s", "greater", "e", cells)

    p = np.array([ledger.claim_p_values(null_claim()) for _ in range(2000)])
    holds, contradicted = (p <= .05).mean(0)
    assert contradicted < .07, "no more often than it should be"
    assert holds < .01, "and all ten hold hardly ever"


def test_the_findings_are_regenerated_from_results_alone(monkeypatch):
    monkeypatch.delenv("XAI_REPRO_ASSETS", raising=False)
    before = (LEDGERS/"findings.csv").read_text()
    notebook = root()/"nbs"/"papers"/"findings.ipynb"
    passed, _ = run_notebook(notebook)
    assert passed
    assert (LEDGERS/"findings.csv").read_text() == before


def test_there_are_findings_of_every_paper_and_kind():
    found = pd.read_csv(LEDGERS/"findings.csv")
    assert tuple(found.columns) == ledger.Findings.columns
    assert found.notna().all().all()
    assert len(found) >= 40
    assert not found.finding.duplicated().any()
    assert set(found.severity) == set(ledger.SEVERITIES)
    five = {"GLIME", "LFA", "soft stability", "LIME-G", "LiMA"}
    assert five <= set(found.paper) <= set(ledger.PAPERS)
    assert all((root()/notebook).exists() for notebook in found.notebook)


def test_readme_carries_the_present_summary(claims):
    text = (root()/"README.md").read_text()
    counts = ledger.summary(claims)
    n_lines = 34 + len(counts)      # a line for each paper
    first_screen = "\n".join(text.splitlines()[:n_lines])
    for paper, row in zip(counts.index, counts.to_numpy(), strict=True):
        cells = " | ".join(map(str, row))
        assert f"| {paper} | {cells} |" in first_screen, "run `make readme`"
    assert counts.loc["all"].sum() == len(claims)


def test_markup_in_a_claim_is_shown_as_it_is_written(claims):
    paper = claims.paper[0]
    row = claims[claims.verdict != ledger.NOT_RUN].iloc[[0]]
    fields = ["place", "statement", "test", "weakest", "comparisons", "profile"]
    hostile = row.assign(**dict.fromkeys(fields, "<script>"), paper=paper)
    hostile = hostile.assign(notebook='nbs/papers/a" onclick="x.ipynb')
    shown = ledger.claims_html(hostile, paper)
    assert "<script" not in shown
    assert '" onclick' not in shown
    assert shown.count("&lt;script&gt;") == 5
