"""Texts as people have them: other tokenizers, padding, lengths, outputs; and bad values of all."""
import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from front_values import MASKS_OF_3, NO_COUNTS, NO_FUNCTIONS, NO_TEXTS, attempt
from small_texts import PADDING, TOKENIZERS, bert, classifier, fast, roberta

import xai_repro as xr
from xai_repro.inputs.text import MaskedText, MaskedTokens, of_text, over_words
from xai_repro.zoo import text
from xai_repro.zoo.text import load_text


@pytest.fixture(scope="module", params=TOKENIZERS, name="tokenizer")
def _tokenizer(request):
    return fast(TOKENIZERS[request.param]())


@pytest.fixture(scope="module", name="word_piece")
def _word_piece():
    return fast(TOKENIZERS["WordPiece"]())


# words

WRITTEN = {
    "film great film": ["film", "great"],
    "great café": ["great", "café"],
    " film  great\n\tfilm ": ["film", "great"],
    "a great film and a bad film": ["a", "great", "film", "and", "bad"],
    "café café": ["café"],
}


@pytest.mark.parametrize("written, expected", WRITTEN.items(), ids=range(len(WRITTEN)))
def test_words_are_as_written_with_any_tokenizer(tokenizer, tally, written, expected):
    value, words = over_words(classifier(tokenizer, roberta(tokenizer)), written)
    same = words == expected and value.n_features == len(expected)
    tally.add("right" if same else "wrong", f"{written!r}: {words}")
    full = value(np.ones((1, len(words)), bool))
    whole = classifier(tokenizer, roberta(tokenizer)).predict([written])
    assert np.allclose(full, whole, atol=1e-5), "with all words it is the text"


def test_signs_are_words_and_white_space_is_none(tokenizer, tally):
    _, words = over_words(classifier(tokenizer, roberta(tokenizer)), "a film. A bad (film) ")
    blank = [word for word in words if word != word.strip() or not word]
    tally.add("wrong" if blank else "right", f"blank words {blank}")
    joined = "".join(words)
    assert "film" in joined
    assert "(" in joined


def test_words_that_are_read_alike_are_one_feature(word_piece):
    one = classifier(word_piece, bert(word_piece))
    _, words = over_words(one, "Film film FILM Café cafe")
    assert words == ["Film", "Café"], "lower case and accents are not read; written as it first is"
    each, words = over_words(one, "Film film", distinct=False)
    assert (each.n_features, words) == (2, ["Film", "film"])


def test_tokens_are_named_by_what_is_written(tokenizer):
    one = classifier(tokenizer, roberta(tokenizer))
    names = one.tokens("great café")
    assert names[0] == "<s>"
    assert names[-1] == "</s>"
    assert not any("Ġ" in name or "▁" in name or "Ã" in name for name in names)


# padding, positions and lengths

def test_rows_are_filled_up_with_the_tokenizers_padding(tokenizer):
    one = classifier(tokenizer, roberta(tokenizer))
    ids, attention = next(iter(one.batches(["film", "a great film and a bad film"])))
    assert set(ids[attention == 0].tolist()) == {PADDING}
    together = one.predict(["film", "a great film and a bad film"])
    alone = one.predict(["film"])
    assert torch.allclose(together[:1], alone, atol=1e-5)


def test_the_baseline_is_the_padding_token(tokenizer):
    one = classifier(tokenizer, roberta(tokenizer))
    view = of_text(one, "a great film")
    padding = one.network.get_input_embeddings().weight[PADDING]
    assert torch.equal(view.baseline[0], padding)


def test_dropped_words_are_those_of_the_text_without_them(tokenizer):
    """The last token that is no padding is read by the heads of GPT and its kin."""
    rows = []

    class Reads:
        window = 40

        def __init__(self): self.tokenizer = tokenizer

        def encode(self, written): return np.array(tokenizer(written)["input_ids"])

        def attend(self, ids, attention):
            rows.append((ids, attention))
            return attention.sum(1, keepdims=True)

    value, _ = over_words(Reads(), "film great")
    value(np.array([[True, False], [True, True]]))
    ids, attention = rows[0]
    assert (ids[attention == 0] == PADDING).all()


@pytest.mark.parametrize("make, limit", [(bert, 40), (roberta, 40)])
def test_a_window_beyond_the_positions_is_refused(word_piece, tally, make, limit):
    network = make(word_piece)
    assert classifier(word_piece, network, window=limit).window == limit
    for window in (limit + 1, 512, 10**6, 2, 0, -1, *NO_COUNTS):
        attempt(tally, lambda window=window: classifier(word_piece, network, window=window),
                "window", window)
    one = classifier(word_piece, network, window=limit)
    long = "film "*200
    assert one.predict([long]).isfinite().all()
    attempt(tally, lambda: one.encode(long, limit + 1), "longest", limit + 1)


def test_tokens_that_are_left_out_leave_the_others_where_they_are(word_piece):
    """A head of one's own on an encoder whose positions count from after the padding."""
    encoder = roberta(word_piece).roberta
    weight = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    one = text.TextClassifier(
        "mine", encoder, word_piece, weight, torch.zeros(3), list("abc"), torch.device("cpu"),
        window=40)
    value = MaskedTokens(one, "a great film")
    masks = np.eye(value.n_features, dtype=bool) | (np.arange(value.n_features) == 0)
    ids = torch.as_tensor(np.tile(value.tokens, (len(masks), 1)))
    with torch.no_grad():
        slow = one.scores(one.logits(ids, torch.as_tensor(masks).long()))
    assert np.allclose(value(masks), slow, atol=1e-5)


# what outputs mean

SCORES = [
    (3, None, lambda logits: logits.softmax(1)),
    (3, "single_label_classification", lambda logits: logits.softmax(1)),
    (3, "multi_label_classification", torch.sigmoid),
    (3, "regression", torch.clone),
    (1, None, torch.sigmoid),
    (1, "regression", torch.clone),
]


@pytest.mark.parametrize("n_labels, problem_type, expected", SCORES)
def test_scores_are_what_the_configuration_says(
        word_piece, tmp_path, n_labels, problem_type, expected):
    network = bert(word_piece, n_labels, problem_type=problem_type)
    network.save_pretrained(tmp_path)
    word_piece.save_pretrained(tmp_path)
    loaded = load_text(f"hf:{tmp_path}", "cpu")
    written = "a great film"
    inputs = word_piece(written, return_tensors="pt")
    with torch.no_grad():
        logits = network(inputs["input_ids"], inputs["attention_mask"]).logits
    scores = loaded.predict([written])
    assert torch.allclose(scores, expected(logits), atol=1e-5)
    instance = xr.text(written, loaded)
    assert np.allclose(instance(np.ones((1, instance.d), bool)), scores, atol=1e-5)
    with torch.no_grad(): of_view = instance.view.scores(instance.view.x[None])
    assert torch.allclose(of_view, scores, atol=1e-5)
    path = xr.explain(instance, "integrated_gradients", 300)
    with torch.no_grad(): empty = instance.view.scores(instance.view.baseline[None])
    change = float((scores - empty)[0, instance.target])
    assert path.scores.sum() == pytest.approx(change, abs=.03)


def test_what_a_caller_says_of_outputs_wins(word_piece, tally):
    network = bert(word_piece, 3)
    logits = classifier(word_piece, network, output="identity").predict(["film"])
    said = classifier(word_piece, network, output="sigmoid").predict(["film"])
    assert torch.allclose(said, logits.sigmoid(), atol=1e-6)
    for output in ("soft", 3, True, ["sigmoid"]):
        attempt(tally, lambda output=output: classifier(word_piece, network, output=output),
                "output", output)


# what is kept, and how it is left

def test_what_changes_answers_changes_the_identity(word_piece):
    encoder = bert(word_piece).bert
    weight = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    base = text.TextClassifier(
        "mine", encoder, word_piece, weight, torch.zeros(3), list("abc"), torch.device("cpu"),
        window=40)
    other = deepcopy(encoder)
    other.get_input_embeddings().weight.mul_(2)
    buffered = deepcopy(encoder)
    buffered.register_buffer("scale", torch.ones(1))
    colder = deepcopy(encoder)
    colder.temperature = 2.
    changed = {
        "head": replace(base, weight=weight.flip(0)),
        "bias": replace(base, bias=torch.ones(3)),
        "encoder": replace(base, network=other),
        "buffer": replace(base, network=buffered),
        "number": replace(base, network=colder),
        "precision": replace(base, dtype=torch.bfloat16),
        "output": replace(base, output="sigmoid"),
        "named weights, another head": replace(base, weights="v1", bias=torch.ones(3)),
    }
    identities = [base.identity(), *(one.identity() for one in changed.values())]
    assert len(set(identities)) == len(identities)
    assert replace(base, network=deepcopy(encoder)).identity() == base.identity()


def test_a_network_in_training_is_asked_in_evaluation_and_left(word_piece):
    network = bert(word_piece).train()
    one = classifier(word_piece, network)
    first, second = (one.predict(["a great film"]) for _ in range(2))
    assert torch.equal(first, second)
    assert network.training


# models of the hub

def test_an_encoder_without_a_head_is_refused(word_piece, tmp_path):
    bert(word_piece).bert.save_pretrained(tmp_path)
    word_piece.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"classifier\.(bias|weight).*allowed"):
        load_text(f"hf:{tmp_path}", "cpu")


def test_code_that_comes_with_a_model_is_not_run(tmp_path, monkeypatch):
    mark = tmp_path/"mark"
    maps = {"AutoConfig": "evil.Evil", "AutoModelForSequenceClassification": "evil.Evil"}
    (tmp_path/"config.json").write_text(json.dumps({"model_type": "evil", "auto_map": maps}))
    (tmp_path/"evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass Evil: pass\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(ValueError):
        load_text(f"hf:{tmp_path}", "cpu")
    assert not mark.exists()


def test_a_tokenizer_that_does_not_know_its_places_is_named(word_piece, tally):
    one = classifier(word_piece, bert(word_piece))
    slow = replace(one, tokenizer=Slow(word_piece))
    attempt(tally, lambda: over_words(slow, "a film"), "classifier.tokenizer", slow)


class Slow:
    """A tokenizer in Python: ids, and no offsets."""

    is_fast = False
    mask_token_id = pad_token_id = eos_token_id = None

    def __init__(self, inner): self.inner = inner

    def __call__(self, *args, **options): return self.inner(*args, **options)


# functions of texts

def lengths(texts): return np.array([[len(t), -len(t)] for t in texts], float)


@pytest.mark.parametrize("written", [
    "a film", " a\tfilm\n", "a\u00a0film  \n\n good", "\u3000日本 映画", "x"])
def test_a_function_is_given_the_text_as_it_is_written(written):
    seen = []

    def listen(texts):
        seen.extend(texts)
        return lengths(texts)

    instance = xr.text(written, listen)
    assert seen == [written]
    xr.explain(instance, "occlusion")
    assert instance.feature_names == tuple(written.split())
    for i, word in enumerate(written.split()):
        others = written.split()[:i] + written.split()[i + 1:]
        assert any(t.split() == others for t in seen), word


# bad values

CALLS = {
    "text": lambda v: xr.text(v, lengths),
    "model": lambda v: xr.text("a film", v),
    "removal": lambda v: xr.text("a film", lengths, removal=v),
    "target": lambda v: xr.explain(xr.text("a film", lengths, target=v), "occlusion"),
    "cache": lambda v: xr.text("a film", lengths, cache=v),
    "tokens": lambda v: MaskedText(lengths, v),
    "mask": lambda v: MaskedText(lengths, ["a"], v),
    "features": lambda v: MaskedText(lengths, ["a", "b"], features=v),
    "gaps": lambda v: MaskedText(lengths, ["a", "b"], gaps=v),
    "batch_size": lambda v: MaskedText(lengths, ["a"], batch_size=v),
    "masks": lambda v: MaskedText(lengths, ["a", "b", "c"])(v),
    "name": load_text,
    "dtype": lambda v: load_text("zero_shot", "cpu", v),
    "split": text.tweets,
    "source": lambda v: text.draw_texts(v, 3),
    "n": lambda v: text.draw_texts("embedded", v),
    "seed": lambda v: text.draw_texts("embedded", 3, v),
}
BAD = {
    "text": NO_TEXTS,
    "model": [*NO_FUNCTIONS, torch.nn.Linear(2, 2), ["zero_shot"], b"zero_shot", "", "hf:", "no"],
    "removal": [None, "", "drop", 3, ["attention"], np.nan],
    "target": [2, -1, *NO_COUNTS[1:]],
    "cache": ["c", 3, {}, True, lengths],
    "tokens": [*NO_TEXTS[:4], "a film", [], [None], ["a", 3], [1.5], np.ones((2, 2), int),
               [[1], [2, 3]]],
    "mask": [None, "zero", 3, ["drop"]],
    "features": ["ab", 3, [0], [0, 2], [0., 1.], [-1, -1], [None, None], [[0, 1]]],
    "gaps": ["", "abc", [""], [1, 2, 3], 3],
    "batch_size": [0, *NO_COUNTS],
    "masks": MASKS_OF_3,
    "name": [*NO_TEXTS, "bert", "hf:/no/such/folder", "torchvision:resnet18"],
    "dtype": [None, "float16", torch.float32, 3],
    "split": [None, "dev", 3, ["val"]],
    "source": [None, "imdb", 3, ["embedded"]],
    "n": [0, 41, *NO_COUNTS],
    "seed": [*NO_COUNTS, -1],
}


@pytest.mark.parametrize("argument", CALLS)
def test_bad_values_are_named(tally, argument):
    for value in BAD[argument]:
        attempt(tally, lambda value=value: CALLS[argument](value), argument, value)


def test_bad_values_of_a_classifier_are_named(word_piece, tally):
    one = classifier(word_piece, bert(word_piece))
    for value in NO_TEXTS:
        attempt(tally, lambda value=value: one.encode(value), "text", value)
        attempt(tally, lambda value=value: over_words(one, value), "text", value)
        attempt(tally, lambda value=value: xr.text(value, one), "text", value)
    for value in (*NO_TEXTS[:4], "a film", [], ["a", None], [""], {"a": 3.}.values()):
        attempt(tally, lambda value=value: one.predict(value), "texts", value)
    for value in (0, *NO_COUNTS):
        attempt(tally, lambda value=value: one.predict(["a"], value), "batch_size", value)
    for value in (None, lengths, "zero_shot", 3):
        attempt(tally, lambda value=value: over_words(value, "a"), "classifier", value)
        attempt(tally, lambda value=value: MaskedTokens(value, "a"), "classifier", value)
    attempt(tally, lambda: xr.text("a film", one, target=3), "target", 3)
