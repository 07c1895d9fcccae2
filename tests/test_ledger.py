"The ledgers are what the results say, and README what the ledgers say."
import io

import numpy as np
import pandas as pd
import pytest
from nbdev.test import test_nb as run_notebook
from scipy.stats import false_discovery_control

from xai_repro.workbook import ledger
from xai_repro.ground import root
from xai_repro.workbook.claims import Claim, verdict

LEDGERS = root()/"data"/"results"


@pytest.fixture(scope="module")
def claims() -> pd.DataFrame: return ledger.claims()


def test_the_committed_claims_are_those_of_the_results(claims):
    text = io.StringIO()
    claims[list(ledger.COLUMNS)].to_csv(text, index=False, float_format="%.6g")
    assert (LEDGERS/"claims.csv").read_text() == text.getvalue(), "run nbs/papers/claims.ipynb"


def test_every_claim_stands_once_and_says_how_it_was_tested(claims):
    assert not claims.duplicated(["paper", "place", "statement"]).any()
    assert len(claims) >= 60 and (claims.verdict != ledger.NOT_RUN).sum() >= 45
    run = claims[claims.verdict != ledger.NOT_RUN]
    assert run[["n", "effect", "low", "high", "substitution", "profile", "test"]].notna().all().all() and (run.low <= run.effect).all() and (run.effect <= run.high).all()
    assert set(run.profile) <= {"standard", "paper"} and all((root()/n).exists() for n in run.notebook)
    assert claims[claims.verdict == ledger.NOT_RUN].test.str.len().gt(20).all(), "with the reason"


def test_a_verdict_follows_from_the_stored_comparisons(claims):
    "Counted again from the files, claim by claim, without the ledger's code for putting tests together."
    said = {}
    for results in ledger.finished():
        told = results.load("claims").set_index("claim")
        for claim, cells in results.load("claim_cells").groupby("claim", sort=False):
            if (where := ledger.place_of(told.source[claim])) is None: continue
            found = {verdict(told.expected[claim], c.low, c.high) if c.n >= 8 else "undecided" for c in cells.itertuples()}
            statement = claim
            for kind in ledger.KINDS: statement = statement.removesuffix(f" ({kind})")
            said.setdefault((*where, statement), set()).update(found)
    one = {key: next(v for v in ("contradicted", "undecided", "holds") if v in found) for key, found in said.items()}
    run = claims[claims.verdict != ledger.NOT_RUN]
    assert {(r.paper, r.place, r.statement): r.verdict for r in run.itertuples()} == {key: ledger.VERDICTS[v] for key, v in one.items()}


def test_what_survives_is_what_benjamini_and_yekutieli_leave(claims):
    run = claims[claims.verdict != ledger.NOT_RUN]
    m = len(run)
    def kept(p):      # the procedure by its definition
        order = np.sort(p)
        bound = np.arange(1, m + 1)/m*ledger.LEVEL/sum(1/k for k in range(1, m + 1))
        return p <= (order[order <= bound].max() if (order <= bound).any() else -1)
    for said, p in (("reproduced", run.p_reproduced), ("not reproduced", run.p_not)):
        assert (run.survives == kept(p.to_numpy()))[run.verdict == said].all()
        np.testing.assert_array_equal(kept(p.to_numpy()), false_discovery_control(p, method="by") <= ledger.LEVEL)


def test_one_contradiction_is_paid_for_by_the_number_of_comparisons():
    rng = np.random.default_rng(0)
    def claim(effects): return Claim("c", "s", "greater", "e", pd.DataFrame([dict(cell=i, effect=e, low=e - 1.959964, high=e + 1.959964, n=20, verdict="") for i, e in enumerate(effects)]))
    null = np.array([ledger.of_claim(claim(rng.normal(size=10))) for _ in range(2000)])
    assert (null[:, 1] <= .05).mean() < .07, "under no effect a contradiction is found no more often than it should be"
    assert (null[:, 0] <= .05).mean() < .01, "and all ten hold hardly ever"


def test_the_findings_are_regenerated_from_results_alone(monkeypatch):
    monkeypatch.delenv("XAI_REPRO_ASSETS", raising=False)
    before = (LEDGERS/"findings.csv").read_text()
    passed, _ = run_notebook(root()/"nbs"/"papers"/"findings.ipynb")
    assert passed and (LEDGERS/"findings.csv").read_text() == before


def test_there_are_findings_of_every_paper_and_kind():
    found = pd.read_csv(LEDGERS/"findings.csv")
    assert tuple(found.columns) == ledger.Findings.columns and found.notna().all().all()
    assert len(found) >= 40 and not found.finding.duplicated().any() and set(found.severity) == set(ledger.SEVERITIES)
    assert set(found.paper) == set(ledger.PAPERS) and all((root()/n).exists() for n in found.notebook)


def test_readme_carries_the_present_summary(claims):
    text = (root()/"README.md").read_text()
    counts = ledger.summary(claims)
    first_screen = "\n".join(text.splitlines()[:40])
    for paper, row in zip(counts.index, counts.to_numpy()): assert f"| {paper} | " + " | ".join(map(str, row)) + " |" in first_screen, "run `make readme`"
    assert counts.loc["all"].sum() == len(claims)
