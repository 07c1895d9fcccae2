"What a model said is kept under everything that determined it."
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from xai_repro import ground
from xai_repro import cache as store
from xai_repro.explain import lfa, distributions as N
from xai_repro.inputs import segmentation as features
from xai_repro.zoo import instances as inputs, models
from xai_repro.inputs.image import MaskedModel
from xai_repro.inputs.removal import Blur, MeanColor

parts = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(max_size=5), st.lists(st.integers(), max_size=3))


@settings(max_examples=100, deadline=None)
@given(a=st.lists(parts, max_size=4), b=st.lists(parts, max_size=4))
def test_a_digest_is_of_content(a, b):
    assert ground.digest(*a) == ground.digest(*a) and (ground.digest(*a) == ground.digest(*b)) == (repr(a) == repr(b))


def test_a_digest_sees_type_shape_and_values():
    x = np.arange(6.)
    assert len({ground.digest(v) for v in (x, x.astype(np.float32), x.reshape(2, 3), x + 1, list(x), torch.arange(6))}) == 6
    assert ground.digest(torch.arange(6.)) == ground.digest(np.arange(6, dtype=np.float32))


@pytest.fixture
def asked(tmp_path):
    tiny = models.Classifier("tiny", torch.nn.Identity(), models.Preprocessing((0.,)*3, (1.,)*3), 12, [], torch.device("cpu"), weights="w")
    image = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(0))
    value = MaskedModel(lambda x: x.mean((2, 3)), image, features.grid(image, 4))
    return tiny, value, store.Store(tmp_path)


@pytest.mark.parametrize("row", [N.uniform(1.), N.binomial(1., exclude_full=True), N.gauss(1.), N.uniform(1., original_first=True), N.gauss(1., original_first=True)],
                         ids=["uniform", "binomial", "gauss", "original first", "gauss, original first"])
def test_a_kept_draw_is_the_draw(asked, row):
    classifier, value, kept = asked
    key = inputs.identity(classifier, value, 0)
    direct = lfa.draw(value, 0, row, 30, 4)
    first, passes = inputs.draw_once(kept, key, value, 0, row, 30, 4), value.n_queries
    again = inputs.draw_once(kept, key, value, 0, row, 30, 4)
    for s in (first, again): assert np.array_equal(s.Z, direct.Z) and np.array_equal(s.y, direct.y)
    assert value.n_queries == passes, "found again without a pass"


def test_what_determines_a_score_changes_the_key(asked):
    classifier, value, _ = asked
    image, segments = value.image, value.segments
    others = [MaskedModel(value.predict, image.flip(2), segments), MaskedModel(value.predict, image, segments.T.contiguous()), MaskedModel(value.predict, image, segments, Blur(2.))]
    keys = {inputs.identity(classifier, v, t) for v, t in [(value, 0), (value, 1), *((o, 0) for o in others)]}
    others = [replace(classifier, **changed) for changed in (dict(dtype=torch.bfloat16), dict(weights="v"), dict(weights=""), dict(weights="", network=torch.nn.Linear(1, 1)))]
    assert len(keys | {inputs.identity(other, value, 0) for other in others}) == 9
    assert inputs.identity(classifier, MaskedModel(value.predict, image, segments, MeanColor(), batch_size=3), 0) in keys
