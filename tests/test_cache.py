"""What a model answered is remembered: in memory, on disk, for threads and for processes."""
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from xai_repro.cache import Answers, Cache, Memory
from xai_repro.explain import lfa
from xai_repro.value import MaskFunction

D = 12
W = np.random.default_rng(0).normal(size=(D, 50))


def scores_of(masks):
    """Fifty classes, row by row: the same bits in any batch."""
    return (masks[:, :, None]*W).sum(1)


def masks_of(n, seed=0):
    return np.random.default_rng(seed).random((n, D)) < .5


def test_memory_holds_the_latest_within_its_bounds():
    memory = Memory(max_rows=100, max_bytes=10*(8*50 + 232))
    keys = [bytes([i]) for i in range(30)]
    memory.add(keys, np.arange(1500.).reshape(30, 50))
    assert len(memory) == 10, "keys and rows are both counted"
    assert np.array_equal(memory[keys[-10:]], np.arange(1500.).reshape(30, 50)[-10:])
    assert keys[0] not in memory


def test_memory_takes_another_type_and_forgets_nothing():
    memory = Memory()
    memory.add([b"a"], np.zeros((1, 2), np.float32))
    memory.add([b"b"], np.ones((1, 2)))
    assert memory[[b"b"]].dtype == np.float64
    assert memory[[b"a", b"b"]].tolist() == [[0., 0.], [1., 1.]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_answers_come_back_to_the_last_bit(tmp_path, dtype):
    answers = Cache(tmp_path).answers("a1")
    scores = scores_of(masks_of(1200)).astype(dtype)
    keys = [str(i).encode() for i in range(1200)]
    answers.write(keys, scores)
    back = Answers(answers.path).read(keys)
    assert all(np.array_equal(back[key], row) for key, row in zip(keys, scores, strict=True))
    assert back[keys[0]].dtype == dtype
    column = answers.read(keys[:3], column=7)
    assert [column[key] for key in keys[:3]] == scores[:3, 7].tolist()


def test_only_the_column_that_is_asked_for_is_written(tmp_path):
    answers = Cache(tmp_path).answers("a1")
    value = MaskFunction(scores_of, D, answers=answers)
    value.of_class(masks_of(40), 3)
    assert answers.read([b"x"], 3) == {}
    again = MaskFunction(scores_of, D, answers=answers)
    assert np.array_equal(again.of_class(masks_of(40), 3), scores_of(masks_of(40))[:, 3])
    assert (again.n_passes, again.n_queries) == (0, value.n_queries)
    again.of_class(masks_of(40), 4)
    assert again.n_passes == value.n_queries, "another column is another answer"


def test_every_column_that_was_asked_for_is_on_disk(tmp_path):
    for n_passes in (20, 0):
        value = MaskFunction(scores_of, D, answers=Cache(tmp_path).answers("a1"))
        for target in (3, 4, 3):
            assert np.array_equal(value.of_class(masks_of(20), target),
                                  scores_of(masks_of(20))[:, target])
        assert (value.n_passes, value.n_queries >= 20) == (n_passes, True)


def test_a_second_run_makes_no_pass_and_costs_the_same_from_nothing(tmp_path):
    runs = []
    for _ in range(2):
        value = MaskFunction(scores_of, D, answers=Cache(tmp_path).answers("a1"))
        found = lfa.glime(value, 5, 300, sigma=1., seed=2)
        runs.append((found.weights, value.n_queries, value.n_passes))
    assert np.array_equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1] > 0
    assert (runs[0][2], runs[1][2]) == (runs[0][1], 0)


def test_a_damaged_file_is_named_removed_and_made_anew(tmp_path):
    answers = Cache(tmp_path).answers("a1")
    answers.write([b"k"], np.ones((1, 3)))
    answers.path.write_bytes(b"not a database" * 100)
    with pytest.warns(UserWarning, match=f"{answers.path.name} is damaged"):
        assert answers.read([b"k"]) == {}
    assert not answers.path.exists()
    answers.write([b"k"], np.ones((1, 3)))
    assert np.array_equal(answers.read([b"k"])[b"k"], np.ones(3))


def test_the_folder_is_bounded(tmp_path):
    cache = Cache(tmp_path, max_bytes=50_000)
    for i in range(8):
        cache.answers(f"file{i}").write([b"k"], np.zeros((1, 2000)))
    files = sorted(tmp_path.glob("*/*.sqlite"))
    assert 0 < len(files) < 8
    assert sum(file.stat().st_size for file in files) < 100_000


@pytest.mark.parametrize("identity", ["../x", "", "a b", "a/b"])
def test_an_identity_is_a_plain_name(tmp_path, identity):
    with pytest.raises(ValueError, match="identity"):
        Cache(tmp_path).answers(identity)


def explain_alone(seed, target):
    return lfa.lime(MaskFunction(scores_of, D), target, 128, 2., seed=seed).weights


def test_600_explanations_over_8_threads_are_those_made_alone():
    alone = [explain_alone(i, i % 50) for i in range(200)]
    for _ in range(3):
        shared = MaskFunction(scores_of, D, cache_size=300)

        def one(i, value=shared):
            return lfa.lime(value, i % 50, 128, 2., seed=i).weights

        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(one, range(200)))
        assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def explain_shared(folder, seed):
    value = MaskFunction(scores_of, D, answers=Cache(folder).answers("shared"))
    return lfa.lime(value, 1, 128, 2., seed=seed).weights


def test_two_processes_share_a_file(tmp_path):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map(partial(explain_shared, tmp_path), range(12))
    for seed, weights in enumerate(found):
        assert np.array_equal(weights, explain_alone(seed, 1))


def test_a_value_function_survives_pickle_without_its_memory():
    value = MaskFunction(scores_of, D)
    value(masks_of(5))
    back = pickle.loads(pickle.dumps(value))
    assert np.array_equal(back(masks_of(5)), value(masks_of(5)))
    assert back.n_queries == 2*value.n_queries


def test_of_predictions_only_the_class_is_written(tmp_path):
    answers = Cache(tmp_path).answers("a1")
    masks = masks_of(30)
    first = MaskFunction(scores_of, D, answers=answers).labels(masks)
    assert np.array_equal(first, scores_of(masks).argmax(1))
    again = MaskFunction(scores_of, D, answers=answers)
    assert np.array_equal(again.labels(masks), first)
    assert again.n_passes == 0
    assert answers.path.stat().st_size < 20_000, "fifty classes would take more"


def test_a_row_of_all_classes_answers_for_one_and_for_the_label(tmp_path):
    answers = Cache(tmp_path).answers("a1")
    masks = masks_of(30)
    MaskFunction(scores_of, D, answers=answers)(masks)
    again = MaskFunction(scores_of, D, answers=answers)
    assert np.array_equal(again.labels(masks), scores_of(masks).argmax(1))
    assert np.array_equal(again.of_class(masks, 9), scores_of(masks)[:, 9])
    assert again.n_passes == 0
