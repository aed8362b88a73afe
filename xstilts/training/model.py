"""The model: an encoder of a family that runs (`xstilts.config.families`), with one head a task.

Encoders carry over from stage to stage, and a pooler where the recipe says so; heads along a chain
alone (`xstilts.training.heads`).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import transformers
from torch import Tensor, nn
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from xstilts.config.families import family_of, num_types
from xstilts.errors import StageError
from xstilts.kinds.kind import Vocabulary
from xstilts.plan.stage import Train
from xstilts.training.compiling import compiled
from xstilts.training.dropout import Masks, install, rates_of
from xstilts.training.heads import HEADS_FILE, build_heads, shape, take_head
from xstilts.training.lora import adapters_of, add_adapters, merge_adapters, save_adapters
from xstilts.training.micro_batches import MicroBatch
from xstilts.training.packed.anatomy import anatomy_of, can_pack
from xstilts.training.packed.last_layer import first_layers, install_packing
from xstilts.training.packed.layout import unpack
from xstilts.training.pooling import add_pooler, carried_weights, take_pooler

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()
logger = logging.getLogger(__name__)

LOADING_ERRORS = (OSError, ValueError, KeyError, RuntimeError, safetensors.SafetensorError)

NO_CODE: dict[str, Any] = {"trust_remote_code": False}
SAFELY: dict[str, Any] = {**NO_CODE, "use_safetensors": True}
"""How weights are loaded: neither code nor pickles of a folder are run, whatever lies in it."""

ALL_STATES = "the positions that are read are those of the last layer"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """The context in which an encoder computes."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


class Model(nn.Module):
    """An encoder and the heads of a stage's tasks, by task name.

    An encoder of a known family computes attention packed, any other as its class does. The
    precision is the encoder's alone: heads take and give float32, for in the eight bits of a
    bfloat16 number the scores of different answers are equal, and the rule for ties would choose.
    """

    def __init__(self, encoder: PreTrainedModel, heads: Mapping[str, nn.Module]):
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict(heads)
        self.masks: Masks | None = None
        self._num_types = _num_types(encoder)
        self._compiled: Callable[..., Any] | None = None
        if can_pack(encoder):
            install_packing(encoder)
        install(self, lambda: self.masks)

    def hidden(self, work: MicroBatch, layer: int | None = None, precision: str = "fp32") -> Tensor:
        """Hidden states: (sequences, length, hidden size), float32.

        `layer` counts from 0, the embeddings; None is the last, whose states are computed where
        the batch says that they are read, and may be anything elsewhere.
        """
        encode: Callable[..., Any] = self.encoder
        if layer is None:
            if self._compiled is not None and self.training:
                encode = self._compiled
        elif work.layout is None:
            return self.states(work, precision)[layer]
        else:
            assert work.layout.read is None, ALL_STATES
            encode = first_layers(self.encoder, layer)
        return self._padded(self._encode(encode, work, precision).last_hidden_state, work)

    def states(self, work: MicroBatch, precision: str = "fp32") -> tuple[Tensor, ...]:
        """All hidden states, the embeddings first: (sequences, length, hidden size) each,
        float32."""
        assert work.layout is None or work.layout.read is None, ALL_STATES
        encoded = self._encode(self.encoder, work, precision, output_hidden_states=True)
        states = encoded.hidden_states
        return tuple(self._padded(state, work) for state in states)

    def compile_training(self) -> None:
        """Compile the passes of training from here on."""
        self._compiled = compiled(self.encoder.forward)

    def _encode(
        self, encode: Callable[..., Any], work: MicroBatch, precision: str, **options: bool
    ) -> Any:
        packed: dict[str, Any] = {}
        if work.layout is not None:
            layout = work.layout
            packed = {"buckets": layout.buckets, "masks": self.masks, "read": layout.read}
            packed |= anatomy_of(self.encoder.config).options
        with autocast(work.inputs["input_ids"].device, precision):
            return encode(**self._with_known_types(work.inputs), **options, **packed)

    def _with_known_types(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The inputs with no token type that the encoder has no vector for: those are 0, which is
        left out where it is the only one. A tokenizer of another family may give them."""
        types = inputs.get("token_type_ids")
        if types is None or self._num_types is None:
            return inputs
        if self._num_types > 1:
            return {**inputs, "token_type_ids": types * (types < self._num_types)}
        return {name: tensor for name, tensor in inputs.items() if name != "token_type_ids"}

    def _padded(self, hidden: Tensor, work: MicroBatch) -> Tensor:
        hidden = hidden.float()
        return hidden if work.layout is None else unpack(hidden, work.layout)


def _num_types(encoder: PreTrainedModel) -> int | None:
    """Token types that an encoder has vectors for, 0 where it reads none; None: any will do."""
    if "token_type_ids" not in signature(encoder.forward).parameters:
        return 0
    return num_types(encoder.config.to_dict())


class LmHead(nn.Module):
    """The language-modelling head of a checkpoint, whose output matrix is its embeddings.

    Transformers gives a masked-LM model as a base and the modules that follow it; applied in order
    they are the head. `load_encoder_with_lm_head` verifies that on the model at hand.
    """

    def __init__(self, modules: list[nn.Module]):
        super().__init__()
        self.modules_in_order = nn.ModuleList(modules)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., hidden size) to (..., vocabulary)."""
        for module in self.modules_in_order:
            hidden = module(hidden)
        return hidden


def load_tokenizer(folder: Path) -> Any:
    """The fast tokenizer of a model folder.

    Raises:
        StageError: it cannot be loaded, or is not a fast one.
    """
    pieces = [path.name for path in sorted(folder.glob("*.model"))]
    if pieces and not (folder / "tokenizer.json").is_file() and find_spec("sentencepiece") is None:
        rule = f"its tokenizer is made from {pieces[0]}, which sentencepiece reads"
        raise StageError(f"{folder}: {rule}: pip install sentencepiece")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **NO_CODE)
    except Exception as error:  # `tokenizers` raises no other class
        reason = first_line(error)
        raise StageError(f"{folder}: its tokenizer cannot be loaded: {reason}") from error
    if not tokenizer.is_fast:
        raise StageError(f"{folder}: needs a fast tokenizer (tokenizer.json), for offsets")
    if tokenizer.pad_token_id is None:
        # What stands at padding is masked, so that any token will do.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def load_encoder(
    folder: Path, dropout: float | None = None, adapters: Sequence[Path] = ()
) -> PreTrainedModel:
    """The encoder of a folder in float32, without pooler where its class allows. `dropout` takes
    the place of the rates that its configuration says, which stays as it is.

    Args:
        adapters: folders of stages that trained adapters alone, one after the other from that
            encoder on; they are merged into its weights.

    Raises:
        StageError: the folder's files cannot be loaded.
    """
    options = {**SAFELY, "dtype": torch.float32, "output_loading_info": True}
    rates: dict[str, float] = {}
    try:
        config = AutoConfig.from_pretrained(folder, **NO_CODE)
        part = family_of(config.to_dict()).part
        if dropout is not None:
            rates = rates_of(config)
            options |= dict.fromkeys(rates, dropout)
        if part:
            encoder, info = _load_part(folder, part, options)
        else:
            try:
                encoder, info = AutoModel.from_pretrained(
                    folder, add_pooling_layer=False, **options
                )
            except TypeError:  # classes without a pooler do not know the argument
                encoder, info = AutoModel.from_pretrained(folder, **options)
    except LOADING_ERRORS as error:
        raise StageError(f"{folder}: its model cannot be loaded: {first_line(error)}") from error
    absent = sorted(key for key in info["missing_keys"] if "pooler" not in key)
    if absent:
        raise StageError(f"{folder}: its weights lack {', '.join(absent)}")
    for own in adapters:
        merge_adapters(encoder, own)
    _say(encoder, rates)
    return encoder


def _say(encoder: PreTrainedModel, rates: Mapping[str, float]) -> None:
    """Have an encoder's configuration say these rates, whatever its modules drop: what is saved is
    loaded with them."""
    for name, rate in rates.items():
        setattr(encoder.config, name, rate)


def _load_part(folder: Path, part: str, options: dict[str, Any]) -> tuple[PreTrainedModel, Any]:
    """The encoder of an encoder-decoder, from the whole or from what a stage saved of it."""
    config = AutoConfig.from_pretrained(folder, **NO_CODE)
    reads_both = getattr(transformers, part, None)
    if reads_both is None and config.architectures != [part]:
        whole, info = AutoModel.from_pretrained(folder, **options)
        return whole.get_encoder(), info
    module = sys.modules[MODEL_MAPPING[type(config)].__module__]
    loaded: tuple[PreTrainedModel, Any]
    loaded = (reads_both or getattr(module, part)).from_pretrained(folder, **options)
    return loaded


def empty_encoder(folder: Path) -> PreTrainedModel:
    """The encoder of a folder's class and shape, without weights.

    Raises:
        StageError: its class cannot be made.
    """
    try:
        config = AutoConfig.from_pretrained(folder, **NO_CODE)
        with torch.device("meta"):
            model: Any = AutoModel.from_config(config, **NO_CODE)
    except LOADING_ERRORS as error:
        raise StageError(f"{folder}: its model cannot be made: {first_line(error)}") from error
    has_decoder = family_of(config.to_dict()).part and hasattr(model, "get_encoder")
    encoder: PreTrainedModel = model.get_encoder() if has_decoder else model
    return encoder


def first_line(error: Exception) -> str:
    """Of an error of transformers, which may go on with a list of all its classes."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0]


def load_encoder_with_lm_head(
    folder: Path, dropout: float | None = None
) -> tuple[PreTrainedModel, LmHead]:
    """The encoder and its pretrained LM head, tied to the embeddings as the checkpoint has it;
    `dropout` as in `load_encoder`.

    Raises:
        StageError: the checkpoint has no trained LM head, or its form is not known.
    """
    rates: dict[str, float] = {}
    try:
        if dropout is not None:
            rates = rates_of(AutoConfig.from_pretrained(folder, **NO_CODE))
        full, info = AutoModelForMaskedLM.from_pretrained(
            folder,
            **SAFELY,
            dtype=torch.float32,
            output_loading_info=True,
            **dict.fromkeys(rates, dropout),
        )
    except LOADING_ERRORS as error:
        raise StageError(f"{folder}: its LM head cannot be loaded: {first_line(error)}") from error
    base_name = full.base_model_prefix
    absent = sorted(info["missing_keys"])
    if absent:
        raise StageError(
            f"{folder}: MLM needs a pretrained LM head; the weights lack {', '.join(absent)}"
        )
    head = LmHead([child for name, child in full.named_children() if name != base_name])
    encoder: PreTrainedModel = full.base_model
    _say(encoder, rates)
    full.eval()
    probe = torch.tensor([[0, 1, 2, 3]])
    with torch.no_grad():
        mask = torch.ones_like(probe)
        expected = full(input_ids=probe, attention_mask=mask).logits
        states = encoder(input_ids=probe, attention_mask=mask).last_hidden_state
        try:
            is_known = torch.allclose(expected, head(states), atol=1e-4)
        except TypeError:  # modules that want more than states, as DeBERTa's newer head does
            is_known = False
    if not is_known:
        raise StageError(f"{folder}: the LM head of {type(full).__name__} has an unknown form")
    return encoder, head


def build_model(
    stage: Train, folder: Path, device: torch.device, adapters: Sequence[Path] = ()
) -> Model:
    """The parent's encoder with new heads, or the parent's own where the stage carries it; an MLM
    part brings the pretrained LM head.

    Args:
        folder, adapters: those of the parent's encoder, as in `load_encoder`.

    Raises:
        StageError: the folder's files cannot be loaded.
    """
    tasks = {part.train.task: part.train.entry for part in stage.parts}
    mlm = [name for name, task in tasks.items() if task.kind_spec.is_self_supervised]
    others = {name: task for name, task in tasks.items() if name not in mlm}
    lm_heads = {}
    if mlm:
        backbone, lm_head = load_encoder_with_lm_head(folder, stage.recipe.adapt.dropout)
        lm_heads = dict.fromkeys(mlm, lm_head)
    else:
        backbone = load_encoder(folder, stage.recipe.adapt.dropout, adapters)
    if stage.lora is not None:
        add_adapters(backbone, stage.lora, stage.seed, stage.phase)
    own = adapters[-1] if adapters else folder  # where the parent's heads and its pooler are
    hidden_size, dropout, std = settings(backbone)
    recipe, seed, phase = stage.recipe, stage.seed, stage.phase
    dropout = dropout if recipe.adapt.dropout is None else recipe.adapt.dropout
    span_dropout = dropout if recipe.span_dropout else 0.0
    heads = build_heads(others, hidden_size, dropout, std, seed, phase, span_dropout=span_dropout)
    for head in heads.values():
        shape(head, recipe)
    if stage.carries_head:
        take_head(heads, stage, own.parent, hidden_size)
    else:
        if recipe.pooler != "none":
            add_pooler(heads, stage, own, std)
        take_pooler(heads.values(), stage, own)
    return Model(backbone, {**heads, **lm_heads}).to(device)


def check_vocabulary(model: Model, vocabulary: Vocabulary, folder: Path) -> None:
    """See that the weights have a vector for every token of the tokenizer.

    Raises:
        StageError: some tokens have none.
    """
    rows = int(model.encoder.get_input_embeddings().num_embeddings)
    if rows < vocabulary.size:
        raise StageError(
            f"{folder}: the weights have {rows} token vectors, the tokenizer {vocabulary.size} "
            "tokens; they do not belong together"
        )


def save(model: Model, folder: Path) -> None:
    """Write `encoder/` (a folder for `from_pretrained`; of a stage that trained adapters, these
    alone), a pooler that is carried with it, and the heads."""
    pooler = carried_weights(model.heads.values())
    if adapters := adapters_of(model.encoder):
        save_adapters(adapters, pooler, folder / "encoder")
    else:
        weights = {**model.encoder.state_dict(), **pooler}
        model.encoder.save_pretrained(folder / "encoder", state_dict=weights)
    heads = {
        name: tensor.clone(memory_format=torch.contiguous_format)  # heads share a pooler
        for name, tensor in model.heads.state_dict().items()
        if not isinstance(model.heads[name.partition(".")[0]], LmHead)
    }
    safetensors.torch.save_file(heads, folder / HEADS_FILE)


def settings(encoder: PreTrainedModel) -> tuple[int, float, float]:
    """Hidden size, dropout and initialiser range that the encoder's configuration names."""
    config = encoder.config
    dropout = getattr(config, "hidden_dropout_prob", None)
    return (
        int(config.hidden_size),
        0.1 if dropout is None else float(dropout),
        float(getattr(config, "initializer_range", 0.02)),
    )
