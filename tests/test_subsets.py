"Subset search: against enumeration, by counting, and on bad input."
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from xai_repro.explain import subsets as S
from xai_repro.value import Columns, MaskFunction

COVER = (1, 0, 0, 0)     # the objective is the function itself


def modular(gains):
    gains = np.asarray(gains, float)
    def f(masks): return masks @ gains
    f.n_features = len(gains)
    return f


def coverage(d, seed, share=.2):
    "How many of 30 elements some of the parts cover: monotone and submodular."
    parts = np.random.default_rng(seed).random((d, 30)) < share
    def f(masks): return (masks.astype(int) @ parts > 0).sum(1).astype(float)
    f.n_features = d
    return f


def random_set_function(d, seed):
    table = np.random.default_rng(seed).random(2**d)
    def f(masks): return table[masks @ (1 << np.arange(d))]
    f.n_features = d
    return f


# the searches

@settings(max_examples=40, deadline=None)
@given(d=st.integers(2, 12), seed=st.integers(0, 10**6), search=st.sampled_from(sorted(S.SEARCHES)), n_pending=st.integers(1, 12))
def test_modular_functions_are_ordered_exactly(d, seed, search, n_pending):
    gains = np.random.default_rng(seed).permutation(d) + 1.
    order = S.lima(modular(gains), 0, search=search, n_pending=n_pending).order
    assert (gains[order] == np.sort(gains)[::-1]).all()


@settings(max_examples=40, deadline=None)
@given(d=st.integers(2, 12), seed=st.integers(0, 10**6))
def test_greedy_reaches_its_share_of_the_best_coverage(d, seed):
    f = coverage(d, seed)
    best = S.best_values(f, d)
    found = f(S.prefixes(S.lima(f, 0, weights=COVER, search="greedy").order))
    assert (found >= (1 - 1/np.e)*best - 1e-9).all() and found[1] == best[1] and found[-1] == best[-1]


def lazy_by_sets(F, d, n_pending):
    "Both ends in turn, each trying the features whose last known gain is best for it."
    def value(chosen): return float(F(np.isin(np.arange(d), list(chosen))[None])[0])
    empty = value([])
    gain = [{a: value([a]) - empty for a in range(d)} for _ in range(2)]
    ends, at, left = [[], []], [empty, empty], set(range(d))
    while len(left) > 1:
        for end, sign, n in ((0, 1, n_pending), (1, -1, -(-n_pending//2))):
            if len(left) < 2: break
            asked = sorted(left, key=lambda a: (-sign*gain[end][a], a))[:n] if ends[end] else sorted(left)
            score = {a: value([*ends[end], a]) for a in sorted(asked)}
            gain[end].update({a: score[a] - at[end] for a in asked} if ends[end] else {})
            best = max(sorted(asked), key=lambda a: sign*score[a])
            ends[end].append(best); at[end] = score[best]; left.remove(best)
    return ends[0] + sorted(left) + ends[1][::-1]


@settings(max_examples=30, deadline=None)
@given(d=st.integers(2, 10), n_pending=st.integers(1, 10), seed=st.integers(0, 10**6))
def test_lazy_is_its_description_written_with_sets(d, n_pending, seed):
    f = random_set_function(d, seed)
    assert S.SEARCHES["lazy"](f, d, n_pending) == lazy_by_sets(f, d, n_pending)


def test_lazy_asks_for_a_quarter_at_49():
    f = modular(np.random.default_rng(0).permutation(49)/1000)
    counts = {n: S.lima(f, 0, search="lazy", n_pending=n).n_evaluations for n in (4, 7, 8)}
    assert counts[7] < 1225/4 < counts[8] and counts[4] < counts[7], counts


@pytest.mark.parametrize("search", sorted(S.SEARCHES))
def test_every_feature_is_ordered_once(search):
    for d in range(2, 61):
        for n_pending in {1, 2, 3, 8, d - 1, d, d + 5} - {0}:
            order = S.SEARCHES[search](lambda masks: np.sin(masks @ np.arange(1., d + 1)), d, min(n_pending, d))
            assert sorted(order) == list(range(d)), (d, n_pending)


def test_evaluations_at_49():
    "The counts of the released code (the paper's formula gives 624.75, 692.25, 768.25, 828.25 and 872.25)."
    f = modular(np.random.default_rng(0).permutation(49)/1000)
    assert [S.lima(f, 0, n_pending=n).n_evaluations for n in (1, 4, 8, 12, 16)] == [648, 718, 804, 882, 952]
    assert S.lima(f, 0, search="greedy").n_evaluations == 1225


def bidirectional_by_sets(F, d, n_pending):
    "Algorithm 1 written with sets, and finished."
    forward, reverse, left = [], [], set(range(d))
    def value(chosen): return float(F(np.isin(np.arange(d), list(chosen))[None])[0])
    while len(left) > 1:
        gain = {a: value({*forward, a}) for a in sorted(left)}
        best = max(gain, key=gain.get)
        forward.append(best)
        if len(left) > n_pending:
            pending = [a for a in sorted(gain, key=gain.get)[:n_pending] if a != best]
            back = {a: value({*reverse, a}) for a in pending}
            if back: reverse.append(min(back, key=back.get))
        left -= {best, *reverse}
    return forward + sorted(left) + reverse[::-1]


@settings(max_examples=30, deadline=None)
@given(d=st.integers(2, 10), n_pending=st.integers(1, 10), seed=st.integers(0, 10**6))
def test_bidirectional_is_the_algorithm_written_with_sets(d, n_pending, seed):
    f = random_set_function(d, seed)
    n_pending = min(n_pending, d)
    assert S.SEARCHES["bidirectional"](f, d, n_pending) == bidirectional_by_sets(f, d, n_pending)


def test_algorithm_1_as_printed_leaves_a_feature_unordered():
    "(49 + 8)/2 rounds, the size tested after the best has left: 28 in front, 20 at the back."
    left, front, back = 49, 0, 0
    for _ in range(int((49 + 8)/2)):
        if not left: break
        left, front = left - 1, front + 1
        if left > 8: left, back = left - 1, back + 1
    assert (front, back, left) == (28, 20, 1)


# the objective

def counted(d, n_pending):
    "Sets asked for, round by round: every feature left at the front, and the pending ones at the back while more are left than those."
    total, left = 0, d
    while left > 1:
        total += left + (n_pending if left > n_pending else 0)
        left -= 2 if left > n_pending else 1
    return total


@settings(max_examples=150, deadline=None)
@given(d=st.integers(2, 60), n_pending=st.integers(1, 60), seed=st.integers(0, 10**6))
def test_bidirectional_orders_every_feature_at_a_counted_cost(d, n_pending, seed):
    ranking = S.lima(modular((np.random.default_rng(seed).permutation(d) + 1)/d**2), 0, n_pending=n_pending)
    assert sorted(ranking.order) == list(range(d)) and ranking.n_evaluations == counted(d, min(n_pending, d))


@pytest.mark.parametrize("search, floor", [("greedy", 1 - 1/np.e), ("bidirectional", 1 - 1/np.e)])
def test_no_prefix_is_far_below_the_best_coverage(search, floor):
    "Theorem 1 with ε = 0, on 60 functions: proved for naive greedy, found for the bidirectional search."
    for seed in range(60):
        f = coverage(9, seed)
        best = S.best_values(f, 9)
        for n_pending in (1, 4): assert (f(S.prefixes(S.lima(f, 0, weights=COVER, search=search, n_pending=n_pending).order))[1:] >= floor*best[1:] - 1e-9).all()


@pytest.mark.parametrize("search", sorted(S.SEARCHES))
def test_no_batch_is_larger_than_asked_for(search):
    import torch
    from xai_repro.inputs.image import MaskedModel
    seen = []
    def predict(images):
        seen.append(len(images))
        return torch.softmax(torch.stack([images.mean((1, 2, 3)), images.amax((1, 2, 3))], 1), 1)
    image, segments = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0)), torch.arange(400).view(20, 20)//20
    value = MaskedModel(predict, image, segments, batch_size=6)
    ranking = S.lima(value, 0, search=search, n_pending=4)
    assert max(seen) == 6 and sum(seen) == ranking.n_queries == value.n_queries


def test_terms_by_hand():
    f = random_set_function(4, 3)
    def value(masks): p = f(masks); return np.stack([p, (1 - p)/2, (1 - p)/2], 1)
    value.n_features = 4
    E = np.random.default_rng(1).normal(size=(16, 5))
    def features(masks): return E[masks @ (1 << np.arange(4))]
    F = S.Objective(value, 0, features)
    masks = (np.arange(16)[:, None] >> np.arange(4) & 1).astype(bool)
    for mask, (cons, colla, conf, eff) in zip(masks, F.terms(masks)):
        p = value(mask[None])[0]
        assert np.isclose(cons, p[0], atol=1e-6) and np.isclose(colla, 1 - value(~mask[None])[0, 0], atol=1e-6)
        assert np.isclose(conf, 1 + (p*np.log(p)).sum()/np.log(3), atol=1e-6)
        chosen = mask.nonzero()[0]
        unit = {i: features(np.eye(4, dtype=bool)[i:i + 1])[0] for i in chosen}
        unit = {i: e/np.linalg.norm(e) for i, e in unit.items()}
        expected = sum(min(1 - unit[i] @ unit[j] for j in chosen if j != i) for i in chosen) if len(chosen) > 1 else 0
        assert np.isclose(eff, expected, atol=1e-6)
    assert np.allclose(F(masks), F.terms(masks) @ (20, 5, .05, .01))
    angle = S.Objective(value, 0, features, distance="angle").terms(masks)[3, 3]
    both = [features(np.eye(4, dtype=bool)[i:i + 1])[0] for i in (0, 1)]
    assert np.isclose(angle, 2*np.arccos(both[0] @ both[1]/np.linalg.norm(both[0])/np.linalg.norm(both[1]))/np.pi, atol=1e-6)


def test_consistency_as_a_cosine():
    f, E = modular([.1, .2, .3]), np.random.default_rng(0).normal(size=(8, 4))
    features = lambda masks: E[masks @ (1 << np.arange(3))]
    masks = np.array([[1, 0, 0], [1, 1, 1]], bool)
    terms = S.Objective(f, 0, features, consistency="cosine").terms(masks)
    cosine = lambda a, b: a @ b/np.linalg.norm(a)/np.linalg.norm(b)
    assert np.allclose(terms[:, 0], [cosine(E[1], E[7]), 1]) and np.allclose(terms[:, 1], [1 - cosine(E[6], E[7]), 1 - cosine(E[0], E[7])])
    direction = np.array([0, 1, 0, 0.])
    assert np.allclose(S.Objective(f, 0, features, consistency="cosine", direction=direction).terms(masks)[:, 0], [cosine(E[1], direction), cosine(E[7], direction)])


def test_scores_that_are_no_probabilities_are_said():
    def value(masks): return np.stack([masks @ [1., 2.], masks @ [3., 1.]], 1)
    value.n_features = 2
    with pytest.warns(UserWarning, match="no probabilities, so the confidence score is left out"): assert (S.Objective(value, 0).terms(np.ones((1, 2), bool))[:, 2] == 0).all()


# importance

def test_importance_by_hand():
    terms = np.zeros((5, 4))
    terms[:, 0], terms[:, 1] = [0, .5, .8, .9, .7], [0, .1, .1, .1, .1]
    fallen = np.cumsum([0, .3, .1, .2])
    assert np.allclose(S.importance(terms), 1 - fallen/.6)
    assert (S.importance(np.zeros((3, 4))) == 1).all(), "nothing changes: all are alike"


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), search=st.sampled_from(sorted(S.SEARCHES)))
def test_importance_follows_the_order(seed, search):
    ranking = S.lima(random_set_function(7, seed), 0, search=search, n_pending=3)
    along = ranking.importance[ranking.order]
    assert along[0] == 1 and along[-1] == 0 and (np.diff(along) <= 1e-12).all()
    assert ranking.terms.shape == (8, 4) and ranking.order.dtype == np.int64


# cost

def test_no_set_is_passed_twice():
    seen = []
    def f(masks): seen.extend(map(bytes, np.packbits(masks, axis=1))); return masks @ np.arange(9.)
    f.n_features = 9
    ranking = S.lima(f, 0)
    assert ranking.n_queries == len(seen) == len(set(seen)) and ranking.n_queries < 2*ranking.n_evaluations + 2*10


def test_probabilities_and_embeddings_of_one_pass_are_counted_once():
    joint = MaskFunction(lambda masks: np.stack([masks.mean(1), 1 - masks.mean(1), masks[:, 0], masks.sum(1)], 1), 6)
    value, features = Columns(joint, slice(0, 2)), Columns(joint, slice(2, None))
    before = S.lima(value, 0, features).n_queries
    assert before == joint.n_queries
    assert S.lima(value, 0, features).n_queries == 0, "all of it is remembered"
    apart = S.lima(MaskFunction(lambda m: joint(m)[:, :2], 6), 0, MaskFunction(lambda m: joint(m)[:, 2:], 6))
    assert apart.n_queries == before + 6, "single features are passed again where the two do not share"


def test_batches_change_nothing():
    table = np.random.default_rng(0).random(2**8)
    rankings = [S.lima(MaskFunction(lambda m: table[m @ (1 << np.arange(8))], 8, batch_size=b), 0) for b in (1, 3, 64)]
    assert all((r.order == rankings[0].order).all() and (r.importance == rankings[0].importance).all() for r in rankings)


# diminishing returns

def test_diminishing_returns_tells_submodular_from_supermodular():
    gains = S.diminishing_returns(coverage(9, 0), 9, 500)
    assert (gains[:, 0] >= gains[:, 1]).all() and (gains[:, 0] > gains[:, 1]).any()
    square = S.diminishing_returns(lambda masks: masks.sum(1)**2., 9, 500)
    assert (square[:, 0] <= square[:, 1]).all()


def test_best_values_by_hand():
    assert S.best_values(modular([3, 1, 2]), 3).tolist() == [0, 3, 5, 6]


# bad input

F3 = modular([.1, .2, .3])


@pytest.mark.parametrize("call, words", [
    (lambda: S.lima(modular([.1]), 0), "number of features is 1; allowed: a whole number of at least 2"),
    (lambda: S.lima(F3, 0, n_pending=0), "n_pending is 0; allowed"),
    (lambda: S.lima(F3, 0, weights=(1, 2, 3)), r"weights is \(1, 2, 3\); allowed: four numbers of at least 0"),
    (lambda: S.lima(F3, 0, weights=(1, -2, 3, 0)), "allowed: four numbers of at least 0"),
    (lambda: S.lima(F3, 0, weights=(1, np.nan, 3, 0)), "weights holds 1 values that are NaN"),
    (lambda: S.lima(F3, 0, search="beam"), "search is 'beam'; allowed: greedy, bidirectional, lazy"),
    (lambda: S.lima(F3, 0, consistency="logit"), "consistency is 'logit'; allowed: probability, cosine"),
    (lambda: S.lima(F3, 0, consistency="cosine"), "features is None; allowed for consistency 'cosine'"),
    (lambda: S.lima(F3, 0, distance="euclidean"), "distance is 'euclidean'; allowed: cosine, angle"),
    (lambda: S.lima(F3, 1), "target is 1; allowed: a whole number from 0 to 0"),
    (lambda: S.best_values(F3, 17), "d is 17; allowed")])
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words): call()


def test_more_pending_than_features_is_all_of_them():
    assert (S.lima(F3, 0, n_pending=99).order == S.lima(F3, 0, n_pending=3).order).all()
