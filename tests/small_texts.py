"""Small tokenizers of the kinds that there are, and small text classifiers with random weights."""
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from xai_repro.zoo.text import HubTextClassifier

CORPUS = [
    "film, great film and a bad film.",
    "a great café",
    "don't, isn't it",
    "Film (good) film",
]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]     # ids 0 to 4
PADDING = 1


def _settings(size):
    return {"vocab_size": size, "special_tokens": SPECIAL, "show_progress": False}


def byte_level(prefix_space=False):
    """As RoBERTa's and GPT's: 'Ġfilm', 'cafÃ©'."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(initial_alphabet=alphabet, **_settings(400))
    made.train_from_iterator(CORPUS*20, trainer)
    return made


def sentence_piece():
    """As XLM-R's and T5's: '▁film'."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.normalizer = normalizers.NFKC()
    trainer = trainers.UnigramTrainer(unk_token="<unk>", **_settings(70))
    made.train_from_iterator(CORPUS*20, trainer)
    return made


def without_cutting():
    """As Llama's: '▁film', and one word for its library, which cuts texts nowhere."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    spaces = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    made.normalizer = normalizers.Sequence(spaces)
    made.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(**_settings(45))
    made.train_from_iterator(CORPUS*20, trainer)
    made.pre_tokenizer = None
    return made


def word_piece():
    """As BERT's, without case: 'film', '##s'."""
    made = Tokenizer(models.WordPiece(unk_token="<unk>"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(**_settings(70))
    made.train_from_iterator(CORPUS*20, trainer)
    return made


TOKENIZERS = {
    "byte-level": byte_level,
    "byte-level with a space": lambda: byte_level(True),
    "SentencePiece": sentence_piece,
    "without cutting": without_cutting,
    "WordPiece": word_piece,
}


def fast(made):
    """A tokenizer as transformers', with a token before and after a text."""
    frame = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    own = [processors.ByteLevel(trim_offsets=True)]
    is_byte_level = isinstance(made.pre_tokenizer, pre_tokenizers.ByteLevel)
    made.post_processor = processors.Sequence([*own, frame]) if is_byte_level else frame
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", pad_token="<pad>", cls_token="<s>",
        sep_token="</s>", mask_token="<mask>", model_max_length=40)


SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "initializer_range": .5,
    "pad_token_id": PADDING,
}


def roberta(tokenizer, n_labels=3, positions=42, **settings):
    """A RoBERTa with random weights: positions count from after the padding token."""
    config = RobertaConfig(
        vocab_size=len(tokenizer), num_labels=n_labels, max_position_embeddings=positions,
        **SIZES, **settings)
    return _seeded(RobertaForSequenceClassification, config)


def bert(tokenizer, n_labels=3, positions=40, **settings):
    """A BERT with random weights."""
    config = BertConfig(
        vocab_size=len(tokenizer), num_labels=n_labels, max_position_embeddings=positions,
        **SIZES, **settings)
    return _seeded(BertForSequenceClassification, config)


def _seeded(kind, config):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(config).eval().requires_grad_(False)


def classifier(tokenizer, network, **settings):
    """A classifier of transformers' kind with a network of one's own."""
    empty = torch.zeros(0)
    n = network.config.num_labels
    names = [f"class {k}" for k in range(n)]
    return HubTextClassifier(
        "mine", network, tokenizer, empty, empty, names, torch.device("cpu"),
        **{"window": 40} | settings)
