"""Texts as people have them: other tokenizers, padding, lengths, outputs; and bad values of all."""
import json
from copy import deepcopy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import transformers
from cases import cases
from front_values import MASKS_OF_3, NO_COUNTS, NO_FUNCTIONS, NO_TEXTS, attempt
from small_texts import PADDING, TOKENIZERS, bert, classifier, fast, roberta

import xai_repro as xr
from xai_repro.inputs.text import MaskedText, MaskedTokens, of_text, over_words
from xai_repro.zoo import text
from xai_repro.zoo.text import load_text


@pytest.fixture(scope="module", params=TOKENIZERS, name="tokenizer")
def _tokenizer(request):
    make = TOKENIZERS[request.param]
    return fast(make())


@pytest.fixture(scope="module", name="word_piece")
def _word_piece():
    make = TOKENIZERS["WordPiece"]
    return fast(make())


def of_roberta(tokenizer): return classifier(tokenizer, roberta(tokenizer))


def of_bert(tokenizer): return classifier(tokenizer, bert(tokenizer))


def of_head(encoder, tokenizer, weight):
    """A head of one's own on an encoder."""
    bias = torch.zeros(3)
    cpu = torch.device("cpu")
    return text.TextClassifier(
        "mine", encoder, tokenizer, weight, bias, list("abc"), cpu, window=40)


def random_weight():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 16, generator=generator)


def all_shown(value): return np.ones((1, value.n_features), bool)


def attempts(tally, call, argument, values):
    """Try a call with each of the bad values of an argument."""
    for value in values: attempt(tally, partial(call, value), argument, value)


# words

@pytest.mark.parametrize("written, expected", [
    ("film great film", ["film", "great"]),
    ("great café", ["great", "café"]),
    (" film  great\n\tfilm ", ["film", "great"]),
    ("a great film and a bad film", ["a", "great", "film", "and", "bad"]),
    ("café café", ["café"]),
], ids=range(5))
def test_words_are_as_written_with_any_tokenizer(tokenizer, tally, written, expected):
    one = of_roberta(tokenizer)
    value, words = over_words(one, written)
    is_counted = value.n_features == len(expected)
    tally.right_if(is_counted and words == expected, f"{written!r}: {words}")
    full = value(all_shown(value))
    whole = one.predict([written])
    assert np.allclose(full, whole, atol=1e-5), "with all words it is the text"


def test_signs_are_words_and_white_space_is_none(tokenizer, tally):
    one = of_roberta(tokenizer)
    _, words = over_words(one, "a film. A bad (film) ")
    blank = [word for word in words if not word or word != word.strip()]
    tally.right_if(not blank, f"blank words {blank}")
    joined = "".join(words)
    assert "film" in joined
    assert "(" in joined


def test_words_that_are_read_alike_are_one_feature(word_piece):
    one = of_bert(word_piece)
    _, words = over_words(one, "Film film FILM Café cafe")
    assert words == ["Film", "Café"], "lower case and accents are not read; written as it first is"
    each, words = over_words(one, "Film film", distinct=False)
    assert each.n_features == 2
    assert words == ["Film", "film"]


def test_tokens_are_named_by_what_is_written(tokenizer):
    one = of_roberta(tokenizer)
    names = one.tokens("great café")
    assert names[0] == "<s>"
    assert names[-1] == "</s>"
    written = "".join(names)
    for sign in "Ġ▁Ã": assert sign not in written


def test_a_sign_for_a_space_is_not_named_by_the_next_letter():
    one = of_roberta(fast(TOKENIZERS["SentencePiece"]()))
    pieces = one.tokenizer.convert_ids_to_tokens(one.encode("Film isn't zzz").tolist())
    names = one.tokens("Film isn't zzz")
    spaces = [name for name, piece in zip(names, pieces, strict=True) if piece == "▁"]
    assert spaces
    assert set(spaces) == {" "}
    written = "".join(name for name in names if name not in ("<s>", "</s>", " "))
    assert written.replace("<unk>", "") in "Filmisn'tzzz"


# padding, positions and lengths

def test_rows_are_filled_up_with_the_tokenizers_padding(tokenizer):
    one = of_roberta(tokenizer)
    texts = ["film", "a great film and a bad film"]
    ((ids, attention),) = one.batches(texts)
    filled = ids[attention == 0]
    assert len(filled)
    assert (filled == PADDING).all()
    together = one.predict(texts)
    alone = one.predict(["film"])
    assert torch.allclose(together[:1], alone, atol=1e-5)


def decoder(kind, configuration, tokenizer, **settings):
    """A classifier of transformers that reads the last token, with random weights."""
    config = configuration(vocab_size=len(tokenizer), num_labels=2, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return classifier(tokenizer, kind(config).eval().requires_grad_(False))


def xlnet(tokenizer):
    return decoder(
        transformers.XLNetForSequenceClassification, transformers.XLNetConfig, tokenizer,
        d_model=16, n_layer=1, n_head=2, d_inner=16, initializer_range=.5, pad_token_id=PADDING)


def gpt2(tokenizer):
    return decoder(
        transformers.GPT2ForSequenceClassification, transformers.GPT2Config, tokenizer,
        n_embd=16, n_layer=1, n_head=2, n_positions=40, initializer_range=.5,
        pad_token_id=PADDING)


def llama(tokenizer):
    return decoder(
        transformers.LlamaForSequenceClassification, transformers.LlamaConfig, tokenizer,
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=40, initializer_range=.5, pad_token_id=PADDING)


def opt(tokenizer):
    """Takes another token for padding than its tokenizer does."""
    return decoder(
        transformers.OPTForSequenceClassification, transformers.OPTConfig, tokenizer,
        hidden_size=16, ffn_dim=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=40, word_embed_proj_dim=16, init_std=.5, pad_token_id=4)


def logits_alone(one, written):
    read = one.tokenizer(written, return_tensors="pt", return_token_type_ids=False)
    return one.network(**read).logits


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("make", [xlnet, gpt2, llama, opt])
def test_a_text_is_scored_as_alone_on_whichever_side_others_are_padded(make, side, tally):
    tokenizer = fast(TOKENIZERS["SentencePiece"]())
    tokenizer.padding_side = side
    one = make(tokenizer)
    texts = ["film", "a great film, and a bad film", "great"]
    alone = torch.cat([logits_alone(one, written) for written in texts]).softmax(1)
    together = one.predict(texts)
    tally.right_if(torch.allclose(together, alone, atol=1e-5), f"{together}, not {alone}")
    value, words = over_words(one, texts[1], "drop")
    masks = np.ones((3, len(words)), bool)
    masks[0, 0] = masks[1, 2:] = False
    rows = [over_words(one, texts[1], "drop")[0](mask[None]) for mask in masks]
    same = np.allclose(value(masks), np.concatenate(rows), atol=1e-5)
    tally.right_if(same, "words that are dropped")


def test_a_batch_is_the_tokenizers_own_where_it_is_padded_on_the_left():
    tokenizer = fast(TOKENIZERS["SentencePiece"]())
    tokenizer.padding_side = "left"
    one = xlnet(tokenizer)
    texts = ["film", "a great film, and a bad film"]
    ((ids, attention),) = one.batches(texts)
    theirs = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
    assert torch.equal(ids, theirs["input_ids"])
    assert torch.equal(attention, theirs["attention_mask"])
    hub = one.network(**theirs).logits.softmax(1)
    assert torch.allclose(one.predict(texts), hub, atol=1e-5)


def test_a_network_that_takes_no_embeddings_says_so(word_piece):
    sizes = {f"{part}_{name}": n for part in ("encoder", "decoder")
             for name, n in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 16))}
    one = decoder(
        transformers.BartForSequenceClassification, transformers.BartConfig, word_piece,
        d_model=16, max_position_embeddings=40, pad_token_id=PADDING, bos_token_id=0,
        eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=None, **sizes)
    instance = xr.text("a great film", one)
    assert np.isfinite(xr.explain(instance, "lime", seed=0).scores).all()
    with pytest.raises(ValueError, match="no word embeddings; allowed"):
        xr.explain(instance, "vanilla_gradients")


def test_the_baseline_is_the_padding_token(tokenizer):
    one = of_roberta(tokenizer)
    view = of_text(one, "a great film")
    padding = one.network.get_input_embeddings().weight[PADDING]
    assert torch.equal(view.baseline[0], padding)


def test_dropped_words_are_those_of_the_text_without_them(tokenizer):
    """The last token that is no padding is read by the heads of GPT and its kin."""
    rows = []

    class Reads:
        window = 40

        def __init__(self): self.tokenizer = tokenizer

        def encode(self, written):
            read = tokenizer(written)
            return np.array(read["input_ids"])

        def attend(self, ids, attention):
            rows.append((ids, attention))
            return attention.sum(1, keepdims=True)

    value, _ = over_words(Reads(), "film great")
    masks = np.array([[True, False], [True, True]])
    value(masks)
    ids, attention = rows[0]
    left_out = ids[attention == 0]
    assert (left_out == PADDING).all()


@pytest.mark.parametrize("make, limit", [(bert, 40), (roberta, 40)])
def test_a_window_beyond_the_positions_is_refused(word_piece, tally, make, limit):
    network = make(word_piece)
    def of_window(window): return classifier(word_piece, network, window=window)

    attempts(tally, of_window, "window", [limit + 1, 512, 10**6, 2, 0, -1, *NO_COUNTS])
    one = of_window(limit)
    assert one.window == limit
    long = "film "*200
    assert one.predict([long]).isfinite().all()
    attempts(tally, partial(one.encode, long), "longest", [limit + 1])


def test_tokens_that_are_left_out_leave_the_others_where_they_are(word_piece):
    """A head of one's own on an encoder whose positions count from after the padding."""
    encoder = roberta(word_piece).roberta
    one = of_head(encoder, word_piece, random_weight())
    value = MaskedTokens(one, "a great film")
    masks = np.eye(value.n_features, dtype=bool)
    masks[:, 0] = True
    tokens = torch.as_tensor(value.tokens)
    ids = tokens.repeat(len(masks), 1)
    attention = torch.as_tensor(masks).long()
    with torch.no_grad(): slow = one.scores(one.logits(ids, attention))
    assert np.allclose(value(masks), slow, atol=1e-5)


# what outputs mean

def softmax(logits): return logits.softmax(1)


@pytest.mark.parametrize("n_labels, problem_type, expected", [
    (3, None, softmax),
    (3, "single_label_classification", softmax),
    (3, "multi_label_classification", torch.sigmoid),
    (3, "regression", torch.clone),
    (1, None, torch.sigmoid),
    (1, "regression", torch.clone),
])
def test_scores_are_what_the_configuration_says(
        word_piece, tmp_path, n_labels, problem_type, expected):
    network = bert(word_piece, n_labels, problem_type=problem_type)
    network.save_pretrained(tmp_path)
    word_piece.save_pretrained(tmp_path)
    loaded = load_text(f"hf:{tmp_path}", "cpu")
    written = "a great film"
    inputs = word_piece(written, return_tensors="pt")
    ids, attention = inputs["input_ids"], inputs["attention_mask"]
    with torch.no_grad(): logits = network(ids, attention).logits
    scores = loaded.predict([written])
    assert torch.allclose(scores, expected(logits), atol=1e-5)
    instance = xr.text(written, loaded)
    whole = instance(np.ones((1, instance.d), bool))
    assert np.allclose(whole, scores, atol=1e-5)
    view = instance.view
    ends = torch.stack([view.x, view.baseline])
    with torch.no_grad(): full, empty = view.scores(ends)
    assert torch.allclose(full, scores[0], atol=1e-5)
    path = xr.explain(instance, "integrated_gradients", 300)
    change = full - empty
    expected_sum = float(change[instance.target])
    assert path.scores.sum() == pytest.approx(expected_sum, abs=.03)


def test_what_a_caller_says_of_outputs_wins(word_piece, tally):
    network = bert(word_piece, 3)
    def of_output(output): return classifier(word_piece, network, output=output)

    logits = of_output("identity").predict(["film"])
    said = of_output("sigmoid").predict(["film"])
    assert torch.allclose(said, logits.sigmoid(), atol=1e-6)
    attempts(tally, of_output, "output", ["soft", 3, True, ["sigmoid"]])


# what is kept, and how it is left

def doubled(encoder):
    embedding = encoder.get_input_embeddings()
    embedding.weight.mul_(2)


def buffered(encoder): encoder.register_buffer("scale", torch.ones(1))


def colder(encoder): encoder.temperature = 2.


def changed(classifier, change):
    """A classifier with a copy of its encoder, of which something is changed."""
    encoder = deepcopy(classifier.network)
    change(encoder)
    return replace(classifier, network=encoder)


def test_what_changes_answers_changes_the_identity(word_piece):
    encoder = bert(word_piece).bert
    base = of_head(encoder, word_piece, random_weight())
    encoders = [changed(base, change) for change in (doubled, buffered, colder)]
    bias = torch.ones(3)
    others = [
        replace(base, weight=base.weight.flip(0)),
        replace(base, bias=bias),
        replace(base, dtype=torch.bfloat16),
        replace(base, output="sigmoid"),
        replace(base, weights="v1", bias=bias),
    ]
    identities = [one.identity() for one in (base, *encoders, *others)]
    assert len(set(identities)) == len(identities) == 9
    alike = replace(base, network=deepcopy(encoder))
    assert alike.identity() == base.identity()


def test_a_network_in_training_is_asked_in_evaluation_and_left(word_piece):
    network = bert(word_piece).train()
    one = classifier(word_piece, network)
    first = one.predict(["a great film"])
    second = one.predict(["a great film"])
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
    written = json.dumps({"model_type": "evil", "auto_map": maps})
    config = tmp_path/"config.json"
    config.write_text(written)
    code = tmp_path/"evil.py"
    code.write_text(f"open('{mark}', 'w')\nclass Evil: pass\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(ValueError): load_text(f"hf:{tmp_path}", "cpu")
    assert not mark.exists()


def test_a_tokenizer_that_does_not_know_its_places_is_named(word_piece, tally):
    one = of_bert(word_piece)
    slow = replace(one, tokenizer=Slow(word_piece))
    call = partial(over_words, slow, "a film")
    attempt(tally, call, "classifier.tokenizer", slow)


class Slow:
    """A tokenizer in Python: ids, and no offsets."""

    is_fast = False
    mask_token_id = pad_token_id = eos_token_id = None

    def __init__(self, inner): self.inner = inner

    def __call__(self, *args, **options): return self.inner(*args, **options)


# functions of texts

def lengths(texts):
    counts = [len(text) for text in texts]
    return np.outer(counts, [1., -1.])


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
    words = written.split()
    assert instance.feature_names == tuple(words)
    read = [text.split() for text in seen]
    for i in range(len(words)):
        others = words[:i] + words[i + 1:]
        assert others in read


# bad values

NO_MODELS = [torch.nn.Linear(2, 2), ["zero_shot"], b"zero_shot", "", "hf:", "no"]
NO_TOKENS = [*NO_TEXTS[:4], "a film", [], [None], ["a", 3], [1.5]]
ROWS_OF_TOKENS = [np.ones((2, 2), int), [[1], [2, 3]]]


@cases("argument, call, values", {
    "text": (lambda v: xr.text(v, lengths), NO_TEXTS),
    "model": (lambda v: xr.text("a film", v), [*NO_FUNCTIONS, *NO_MODELS]),
    "removal": (
        lambda v: xr.text("a film", lengths, removal=v),
        [None, "", "drop", 3, ["attention"], np.nan]),
    "target": (
        lambda v: xr.explain(xr.text("a film", lengths, target=v), "occlusion"),
        [2, -1, *NO_COUNTS[1:]]),
    "cache": (lambda v: xr.text("a film", lengths, cache=v), ["c", 3, {}, True, lengths]),
    "tokens": (lambda v: MaskedText(lengths, v), [*NO_TOKENS, *ROWS_OF_TOKENS]),
    "mask": (lambda v: MaskedText(lengths, ["a"], v), [None, "zero", 3, ["drop"]]),
    "features": (
        lambda v: MaskedText(lengths, ["a", "b"], features=v),
        ["ab", 3, [0], [0, 2], [0., 1.], [-1, -1], [None, None], [[0, 1]]]),
    "gaps": (
        lambda v: MaskedText(lengths, ["a", "b"], gaps=v), ["", "abc", [""], [1, 2, 3], 3]),
    "batch_size": (lambda v: MaskedText(lengths, ["a"], batch_size=v), [0, *NO_COUNTS]),
    "masks": (lambda v: MaskedText(lengths, ["a", "b", "c"])(v), MASKS_OF_3),
    "name": (load_text, [*NO_TEXTS, "bert", "hf:/no/such/folder", "torchvision:resnet18"]),
    "dtype": (lambda v: load_text("zero_shot", "cpu", v), [None, "float16", torch.float32, 3]),
    "split": (text.tweets, [None, "dev", 3, ["val"]]),
    "source": (lambda v: text.draw_texts(v, 3), [None, "imdb", 3, ["embedded"]]),
    "n": (lambda v: text.draw_texts("embedded", v), [0, 41, *NO_COUNTS]),
    "seed": (lambda v: text.draw_texts("embedded", 3, v), [*NO_COUNTS, -1]),
})
def test_bad_values_are_named(tally, argument, call, values):
    attempts(tally, call, argument, values)


def test_bad_values_given_to_a_classifier_are_named(word_piece, tally):
    one = of_bert(word_piece)
    no_texts = [*NO_TEXTS[:4], "a film", [], ["a", None], [""], {"a": 3.}.values()]
    attempts(tally, one.predict, "texts", no_texts)
    attempts(tally, partial(one.predict, ["a"]), "batch_size", [0, *NO_COUNTS])
    attempts(tally, one.encode, "text", NO_TEXTS)
    attempts(tally, partial(over_words, one), "text", NO_TEXTS)
    attempts(tally, lambda written: xr.text(written, one), "text", NO_TEXTS)
    attempts(tally, lambda target: xr.text("a film", one, target=target), "target", [3])


@pytest.mark.parametrize("ask", [over_words, MaskedTokens])
def test_what_is_no_classifier_is_named(tally, ask):
    attempts(tally, lambda made: ask(made, "a"), "classifier", [None, lengths, "zero_shot", 3])
