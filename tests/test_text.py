"""Texts as functions of their tokens and words; sentence classifiers."""
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_repro.evaluate.certificates import soft_stability
from xai_repro.inputs.text import MaskedTokens, of_text, over_words
from xai_repro.zoo import text
from xai_repro.zoo.instances import text_instances

SENTENCE = "The sun is out, the sea is warm and the children are building castles."


@pytest.fixture(scope="module")
def zero():
    return text.load_text("zero_shot", "cpu")


@pytest.fixture(scope="module")
def value(zero):
    return MaskedTokens(zero, SENTENCE)


@pytest.fixture(scope="module")
def rows():
    return text.embedded_texts()


def accuracy(classifier, rows):
    predicted = classifier.predict(rows.text).argmax(1).numpy()
    return (predicted == rows.label).mean()


def repeated(ids, n):
    return torch.as_tensor(np.tile(ids, (n, 1)))


def random_masks(seed, n, d):
    return np.random.default_rng(seed).random((n, d)) < .5


def is_close(ours, theirs, atol):
    return np.allclose(ours, theirs, atol=atol)


def test_the_embedding_is_the_mean_of_the_last_layer(zero):
    ids = repeated(zero.encode(SENTENCE), 1)
    mean = zero.network(input_ids=ids).last_hidden_state.mean(1)
    expected = mean/mean.norm(dim=1, keepdim=True)
    embedding = zero.embed(ids, torch.ones_like(ids))
    assert torch.allclose(embedding, expected, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_leaving_tokens_out_is_masking_their_attention(zero, value, seed):
    masks = random_masks(seed, 6, value.n_features)
    masks[0] = True
    ids = repeated(value.tokens, 6)
    attention = torch.as_tensor(masks).long()
    slow = zero.logits(ids, attention).softmax(1)
    fast = MaskedTokens(zero, SENTENCE)(masks)
    assert is_close(fast, slow.numpy(), atol=1e-5)


def test_without_tokens_the_scores_are_the_heads_bias(zero, value):
    none = np.zeros((1, value.n_features), bool)
    expected = torch.softmax(zero.bias, 0)
    assert is_close(value(none), expected.numpy(), atol=1e-6)


def test_the_mask_token_replaces_absent_tokens(zero):
    masked = MaskedTokens(zero, SENTENCE, "mask_token")
    masks = random_masks(0, 1, masked.n_features)
    masks[:, [0, -1]] = True
    tokens = np.where(masks[0], zero.tokens(SENTENCE), "[MASK]")
    written = " ".join(tokens[1:-1])
    expected = zero.predict([written])
    assert is_close(masked(masks), expected.numpy(), atol=1e-5)


def test_word_embeddings_go_the_same_way_as_ids(zero):
    ids = zero.encode(SENTENCE)
    attention = torch.ones(1, len(ids), dtype=torch.long)
    embeddings = zero.word_embeddings(ids)
    of_embeddings = zero.logits(embeddings[None], attention)
    of_ids = zero.logits(repeated(ids, 1), attention)
    assert torch.allclose(of_embeddings, of_ids, atol=1e-5)


@pytest.mark.parametrize("split, n, stated", [("val", 374, .717), ("test", 300, .742)])
def test_the_trained_head_is_as_accurate_as_stated(assets, split, n, stated):
    """Validation .717, test .742, when it was trained; on 374 and the first 300."""
    classifier = text.load_text("emotion", "cpu")
    rows = text.tweets(split)
    measured = accuracy(classifier, rows.iloc[:n])
    assert abs(measured - stated) < .06


@pytest.mark.parametrize("split, n", [("train", 3257), ("val", 374), ("test", 1421)])
def test_the_tweets_are_all_there(assets, split, n):
    assert len(text.tweets(split)) == n


def test_the_sources(assets):
    rows = text.tweets("val")
    assert set(rows.label) == {0, 1, 2, 3}
    drawn = text.draw_texts("tweets_val", 10)
    again = text.draw_texts("tweets_val", 10)
    fewer = text.draw_texts("tweets_val", 5)
    assert drawn.equals(again)
    assert drawn[:5].equals(fewer)


def test_embedded_texts_are_balanced_and_mostly_understood(zero, rows):
    assert len(rows) == 40
    assert rows.label.value_counts().eq(10).all()
    assert rows.text.is_unique
    assert accuracy(zero, rows) > .5


def test_instances_are_ready_to_be_certified(zero):
    x, *_ = text_instances(zero, "embedded", 2, shortest=12)
    assert x.d >= 12
    _, index = x.name.split("/")
    rows = text.draw_texts("embedded", 40)
    scores = zero.predict([rows.text[int(index)]])
    assert x.target == scores.argmax()
    alpha = np.zeros(x.d, bool)
    alpha[:x.d//4] = True
    certificate = soft_stability(x.value, alpha, 2)
    assert certificate.n_queries <= 150
    n_absent = int((~alpha).sum())
    allowed = f"a whole number from 0 to {n_absent}, the number of features that alpha lacks"
    with pytest.raises(ValueError, match=f"radius is {x.d}; allowed: {allowed}"):
        soft_stability(x.value, alpha, x.d)


def raises_with(call, words):
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    return all(word in message for word in words)


def test_an_unknown_head_is_refused():
    assert raises_with(lambda: text.load_text("roberta"), ["name", "roberta", "zero_shot, emotion"])


@pytest.mark.parametrize(
    "source, n, words",
    [
        ("imdb", 3, ["source", "imdb", "embedded"]),
        ("embedded", 41, ["n is 41", "from 1 to 40"]),
    ],
)
def test_texts_that_there_are_not_are_refused(source, n, words):
    assert raises_with(lambda: text.draw_texts(source, n), words)


def test_an_unknown_split_is_refused(assets):
    assert raises_with(lambda: text.tweets("dev"), ["split", "train, val, test"])


@pytest.mark.parametrize(
    "written, removal, words",
    [
        ("  ", "attention", ["text", "a text with a word in it"]),
        ("a b", "zero", ["removal", "attention, mask_token"]),
    ],
)
def test_bad_tokens_are_refused(zero, written, removal, words):
    assert raises_with(lambda: MaskedTokens(zero, written, removal), words)


# heads

def embeddings(classifier, texts):
    with torch.no_grad():
        parts = [classifier.embed(*batch) for batch in classifier.batches(texts, 1)]
    return torch.cat(parts).numpy()


def test_training_a_head_learns(zero, rows):
    weight, bias = text.train_head(zero, rows, strength=100.)
    assert weight.shape == (4, 384)
    X = embeddings(zero, rows.text)
    logits = X @ weight.T + bias
    is_correct = logits.argmax(1) == rows.label
    assert is_correct.mean() > .9


def test_a_head_of_two_classes_gives_scikit_learns_probabilities(zero, rows):
    from sklearn.linear_model import LogisticRegression
    two = rows.query("label < 2").reset_index(drop=True)
    weight, bias = text.train_head(zero, two)
    assert weight.shape == (2, 384)
    X = embeddings(zero, two.text)
    regression = LogisticRegression(C=3., max_iter=5000).fit(X, two.label)
    theirs = regression.predict_proba(X)
    logits = torch.as_tensor(X @ weight.T + bias)
    ours = logits.softmax(1)
    assert is_close(ours, theirs, atol=1e-4)


# words as features

def word_of_each_token(zero):
    """The lower-case word of each token, None for special ones."""
    pieces = zero.tokens(SENTENCE)
    owner = zero.tokenizer(SENTENCE).word_ids()
    words = {}
    for piece, word in zip(pieces, owner, strict=True):
        words.setdefault(word, []).append(piece.removeprefix("##"))
    joined = {word: "".join(parts) for word, parts in words.items()}
    joined[None] = None
    return [joined[word] for word in owner]


def test_a_words_pieces_go_together_and_the_special_tokens_stay(zero, value):
    by_word, words = over_words(zero, SENTENCE, "attention")
    assert by_word.n_features == len(words) == len(set(words))
    masks = random_masks(3, 5, len(words))
    read = [word.lower() for word in words]     # as the tokenizer reads them
    of_words = dict(zip(read, masks.T, strict=True))
    of_words[None] = np.ones(5, bool)
    of_tokens = np.stack([of_words[word] for word in word_of_each_token(zero)], 1)
    assert is_close(by_word(masks), value(of_tokens), atol=1e-6)


def test_a_text_is_cut_off_at_the_window(zero):
    short = replace(zero, window=10)
    by_word, _ = over_words(short, SENTENCE)
    assert len(short.encode(SENTENCE)) == 10
    assert by_word.n_features <= 8
    full = np.ones((1, by_word.n_features), bool)
    expected = short.predict([SENTENCE])
    assert is_close(by_word(full), expected, atol=1e-5)
    with pytest.raises(ValueError, match="text is ' '; allowed: a text with a word in it"):
        over_words(zero, " ")


# a classifier of transformers' hub

@pytest.fixture(scope="module")
def hub(zero, tmp_path_factory):
    """A small RoBERTa with random weights and MiniLM's tokens, saved as the hub's are."""
    from transformers import RobertaConfig, RobertaForSequenceClassification
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(zero.tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=3,
        pad_token_id=zero.tokenizer.pad_token_id,
        initializer_range=.5,
    )
    folder = tmp_path_factory.mktemp("hub")
    RobertaForSequenceClassification(config).save_pretrained(folder)
    zero.tokenizer.save_pretrained(folder)
    return text.load_text(f"hf:{folder}", "cpu")


def test_a_hub_classifier_is_masked_by_its_attention(hub):
    value = MaskedTokens(hub, SENTENCE)
    masks = random_masks(0, 8, value.n_features)
    masks[0] = True
    masks[1, 0] = False               # the token that its head reads
    ids = repeated(value.tokens, 8)
    attention = torch.as_tensor(masks).long()
    with torch.no_grad():
        output = hub.network(input_ids=ids, attention_mask=attention)
    direct = output.logits.softmax(1)
    scores = value(masks)
    assert is_close(scores, direct.numpy(), atol=1e-6)
    predicted = hub.predict([SENTENCE])
    assert is_close(scores[:1], predicted.numpy(), atol=1e-5)
    assert np.ptp(scores, axis=0).max() > .01
    assert hub.class_names == ["LABEL_0", "LABEL_1", "LABEL_2"]


def test_a_hub_classifier_has_gradients_and_a_mask_token(hub):
    view = of_text(hub, SENTENCE)
    x = view.x[None].clone().requires_grad_()
    view.logits(x)[0, 0].backward()
    assert x.grad.abs().sum() > 0
    masked = MaskedTokens(hub, SENTENCE, "mask_token")
    none = np.zeros((1, len(view.x)), bool)
    assert masked(none).shape == (1, 3)
    with pytest.raises(NotImplementedError, match="has its own head"):
        hub.embed(None, None)
