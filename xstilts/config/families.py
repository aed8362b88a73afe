"""Model types of transformers: which run, which part of them is the encoder, which do not and why.

All that is asked of a model before its weights are opened is answered here, from its config.json
alone. A type that runs keeps the contract of `tests/training/test_families.py`: what stands behind
a sequence as padding changes nothing of it, all hidden states can be had, the longest sequence has
positions, and what is saved is loaded again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Settings = Mapping[str, Any]
"""What a config.json holds."""

DEFAULT_LENGTH = 512
"""Of encoders whose positions have no end, or that do not say how many they have."""


@dataclass(frozen=True, slots=True)
class Family:
    """What is known of a model type.

    Attributes:
        layers: the keys that may count the encoder's layers, the first that is there.
        after_padding: whether positions count from behind the padding's id on, so that the table
            has as many rows that no token uses.
        blocks: the key whose multiples lengths are rounded up to, if they are.
        packed: whether its attention is known to compute the same without padding.
        version: of what its encoders compute; raised when that changes for the type alone, as when
            it comes to run packed, so that nothing older is taken for the same.
        part: of an encoder-decoder, the class that is its encoder.
        any_types: whether token types are compared with each other, and have no table.
        refused: why it does not run.
    """

    layers: tuple[str, ...] = ("num_hidden_layers", "n_layers")
    after_padding: bool = False
    blocks: str = ""
    packed: bool = False
    version: int = 0
    part: str = ""
    any_types: bool = False
    refused: str = ""

    @property
    def treatment(self) -> Literal["packed", "padded", "encoder part", "refused"]:
        """How the type is treated, in a word."""
        if self.refused:
            return "refused"
        if self.part:
            return "encoder part"
        return "packed" if self.packed else "padded"


_STACK = ("encoder_layers", "num_layers", "num_hidden_layers")
_AFTER = Family(after_padding=True)
_PACKED_AFTER = Family(after_padding=True, packed=True)


def _refused(reason: str, *names: str) -> dict[str, Family]:
    return dict.fromkeys(names, Family(refused=reason))


FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(("bert", "electra"), Family(packed=True)),
    **dict.fromkeys(
        ("deberta-v2", "eurobert", "gte", "modernbert"), Family(packed=True, version=1)
    ),
    **dict.fromkeys(("camembert", "roberta", "xlm-roberta", "xlm-roberta-xl"), _PACKED_AFTER),
    **dict.fromkeys(
        (
            *("albert", "bert-generation", "deberta", "distilbert", "ernie"),
            *("flaubert", "jina_embeddings_v3", "megatron-bert", "mobilebert"),
            *("nomic_bert", "rembert", "roc_bert", "roformer", "splinter"),
            *("squeezebert", "ultrabert", "xlm"),
        ),
        Family(),
    ),
    **dict.fromkeys(
        ("data2vec-text", "ibert", "longformer", "luke", "mpnet", "roberta-prelayernorm"), _AFTER
    ),
    "big_bird": Family(blocks="block_size"),
    "xlnet": Family(layers=("n_layer", "num_hidden_layers"), any_types=True),
    **{
        name: Family(layers=_STACK, part=part)
        for name, part in {
            "bart": "BartEncoder",
            "blenderbot": "BlenderbotEncoder",
            "longt5": "LongT5EncoderModel",
            "m2m_100": "M2M100Encoder",
            "marian": "MarianEncoder",
            "mbart": "MBartEncoder",
            "mt5": "MT5EncoderModel",
            "mvp": "MvpEncoder",
            "pegasus": "PegasusEncoder",
            "plbart": "PLBartEncoder",
            "t5": "T5EncoderModel",
            "umt5": "UMT5EncoderModel",
        }.items()
    },
    **_refused(
        "has an adapter for every language, and nothing here switches them", "xmod", "nllb-moe"
    ),
    **_refused(
        "is an encoder-decoder whose encoder is not taken alone",
        *("bigbird_pegasus", "blenderbot-small", "encoder-decoder", "fsmt", "led", "pegasus_x"),
        *("prophetnet", "seamless_m4t", "seamless_m4t_v2", "switch_transformers", "t5gemma"),
        *("t5gemma2", "udop", "whisper"),
    ),
    **_refused(
        "computes a token from the padding behind it too, so that its batch would change it",
        *("convbert", "fnet", "yoso"),
    ),
    **_refused("reads lengths of certain multiples alone", "nystromformer", "reformer"),
    **_refused("joins tokens, so that not each has states of its own", "funnel"),
    **_refused("needs kernels of its own, which are compiled where it runs", "mra"),
    **_refused("reads characters or bytes without a vocabulary of tokens", "canine", "perceiver"),
    **_refused(
        "reads pages with the places of their words, which no task here has",
        *("bros", "layoutlm", "layoutlmv2", "layoutlmv3", "lilt", "markuplm", "tapas"),
    ),
    **_refused("gives a vector for a text, not for its tokens", "dpr"),
    **_refused("reads proteins", "esm", "esmc"),
    **_refused(
        "is a decoder, whose states see only what comes before them",
        *("bitnet", "biogpt", "bloom", "clip_text_model", "codegen", "cohere", "cohere2", "ctrl"),
        *("deepseek_v2", "deepseek_v3", "exaone4", "falcon", "falcon_mamba", "gemma", "gemma2"),
        *("gemma3", "gemma3_text", "gemma3n", "gemma4", "glm", "glm4", "gpt-sw3", "gpt2"),
        *("gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_oss", "gptj", "granite", "jamba", "llama"),
        *("llama4", "mamba", "mamba2", "ministral", "mistral", "mixtral", "modernbert-decoder"),
        *("mpt", "olmo", "olmo2", "olmo3", "openai-gpt", "opt", "persimmon", "phi", "phi3"),
        *("qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen3_5", "qwen3_next", "rwkv", "smollm3"),
        *("stablelm", "starcoder2", "xglm", "zamba2"),
    ),
}
"""By `model_type`. What is not here has not been tried, and is refused with a line that says so."""

RUNNING = tuple(sorted(name for name, family in FAMILIES.items() if not family.refused))


def family_of(settings: Settings) -> Family:
    """The family of a model; one that nothing is known of where its type is not in the table."""
    return FAMILIES.get(str(settings.get("model_type")), Family(refused="is not known here"))


def why_refused(settings: Settings) -> str:
    """Why a model does not run, in one sentence; empty if it does."""
    name = settings.get("model_type")
    if not name:
        return "its config.json names no model_type"
    family = FAMILIES.get(str(name))
    if family is not None and family.refused:
        return f'its model_type "{name}" {family.refused}'
    if settings.get("is_decoder"):
        return "its config.json says is_decoder: its states see only what comes before them"
    if name == "xlm" and settings.get("use_lang_emb", True) and _number(settings, "n_langs", 1) > 1:
        return "it adds a vector for every language (use_lang_emb), which nothing here gives it"
    if family is not None:
        return ""
    architectures = settings.get("architectures") or ()
    if any(str(one).endswith(("ForCausalLM", "LMHeadModel")) for one in architectures):
        return f'its model_type "{name}" is a decoder, whose states see only what comes before them'
    if not any(key in settings for key in ("vocab_size", "n_words")):
        return f'its model_type "{name}" has no vocabulary: it reads no text'
    return f'its model_type "{name}" has not been tried here'


def num_layers(settings: Settings) -> int:
    """The layers of a model's encoder.

    Raises:
        ValueError: the settings do not say.
    """
    for key in family_of(settings).layers:
        if settings.get(key) is not None:
            return int(settings[key])
    raise ValueError(f"it has none of {', '.join(family_of(settings).layers)}")


def max_length(settings: Settings) -> int:
    """The longest sequence that a model has positions for, special tokens included."""
    family = family_of(settings)
    positions = _number(settings, "max_position_embeddings", DEFAULT_LENGTH)
    if positions <= 0:  # as XLNet says that it has no end
        return DEFAULT_LENGTH
    if family.after_padding:
        positions -= _number(settings, "pad_token_id", 1) + 1
    if family.blocks:
        positions -= positions % _number(settings, family.blocks, 64)
    return positions


def pooler_weight(key: str) -> str:
    """Which weight of a pooler a key of a checkpoint names: `dense.weight` or `dense.bias`; empty
    if none. In a checkpoint with heads the encoder's keys have a prefix, as `bert.`."""
    before, is_pooler, name = key.rpartition("pooler.")
    is_one = is_pooler and before.count(".") <= 1 and name in ("dense.weight", "dense.bias")
    return name if is_one else ""


def num_token_vectors(settings: Settings) -> int | None:
    """Rows of a model's token table, None where its settings do not say."""
    number = _number(settings, "vocab_size", 0) or _number(settings, "n_words", 0)
    return number or None


def num_types(settings: Settings) -> int | None:
    """Rows of a model's table of token types, 0 where it has none; None: any types will do."""
    if family_of(settings).any_types:
        return None
    return _number(settings, "type_vocab_size", 0)


def _number(settings: Settings, key: str, default: int) -> int:
    value = settings.get(key)
    return default if value is None else int(value)
