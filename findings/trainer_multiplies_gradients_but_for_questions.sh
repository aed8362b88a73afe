#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0 and accelerate 1.15.0: a batch that Trainer takes in four parts
# (gradient_accumulation_steps=4) has four times its gradient where XLM-R classifies sentences or tags
# words, and its own where it answers questions.
#
# Guess: 4 times 4 rows give the loss and gradient of 16, for every task; what was wrong of that in 2024
# concerned the weights of tokens, and was put right.
# Seen: 4.0 times the loss and gradient of XLMRobertaForSequenceClassification and
# ForTokenClassification, 1.0 of ForQuestionAnswering; 1.0 of all with label smoothing. Trainer leaves
# the division to every model whose forward takes **kwargs; these heads take them and use none. Where
# no column is called `labels` it divides, and the label smoother divides itself. AdamW hides a factor,
# but gradients are clipped before it: the default max_grad_norm=1 acts as 0.25 for NLI and names and as
# 1 for questions of one recipe, and within 40 steps the tagger's weights are a tenth of their way
# elsewhere. The same recipe on machines that hold other numbers of rows is another experiment. BERT,
# mDeBERTa, RemBERT and mT5 do the same. Set `accepts_loss_kwargs = False` on the model.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  transformers==5.24.0 torch==2.13.0 accelerate==1.15.0
cat > "$folder/accumulate.py" <<'PY'
import contextlib
import io
import sys

import torch
import transformers
from transformers import Trainer, TrainingArguments, XLMRobertaConfig

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)


def rows(task):
    random = torch.Generator().manual_seed(0)

    def draw(low, high, *shape):
        return torch.randint(low, high, shape, generator=random)

    for _ in range(640):
        row = {"input_ids": draw(5, 50, 8), "attention_mask": torch.ones(8, dtype=torch.long)}
        if task == "QuestionAnswering":
            row |= {"start_positions": draw(0, 8), "end_positions": draw(0, 8)}
        else:
            row["labels"] = draw(0, 3, *([8] if task == "TokenClassification" else []))
        yield row


def train(task, size, parts, smoothing=0.0, accepts=None, steps=1):
    transformers.set_seed(0)
    config = XLMRobertaConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=20, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, num_labels=2 if task == "QuestionAnswering" else 3,
    )
    model = getattr(transformers, f"XLMRobertaFor{task}")(config)
    if accepts is not None:
        model.accepts_loss_kwargs = accepts
    before = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    arguments = TrainingArguments(
        sys.argv[1], per_device_train_batch_size=size, gradient_accumulation_steps=parts,
        label_smoothing_factor=smoothing, max_steps=steps, logging_steps=1, report_to=[],
        save_strategy="no", disable_tqdm=True, use_cpu=True,
    )
    trainer = Trainer(model, arguments, train_dataset=list(rows(task)))
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.train()
    first = trainer.state.log_history[0]
    way = torch.nn.utils.parameters_to_vector(model.parameters()).detach() - before
    return float(first["loss"]), float(first["grad_norm"]), way


def compare(task, expected, told="", **options):
    (loss, norm, _), (loss_parts, norm_parts, _) = (
        train(task, size, parts, **options) for size, parts in ((16, 1), (4, 4))
    )
    print(
        f"{task}{told}: loss {loss:.2f} at once, {loss_parts:.2f} in four parts, "
        f"gradient {norm:.2f} and {norm_parts:.2f}"
    )
    for at_once, in_parts in ((loss, loss_parts), (norm, norm_parts)):
        assert abs(in_parts / at_once - expected) < 0.01, (in_parts, at_once)


def apart(told, **options):
    at_once, in_parts = (
        train("TokenClassification", size, parts, steps=40, **options)[2]
        for size, parts in ((16, 1), (4, 4))
    )
    share = float((at_once - in_parts).norm() / at_once.norm())
    print(f"TokenClassification{told}, 40 steps: the weights' ways differ by {share:.1%}")
    return share


compare("SequenceClassification", 4)
compare("TokenClassification", 4)
compare("QuestionAnswering", 1)
smoothed, cured = ", label smoothing", ", accepts_loss_kwargs = False"
for task in ("SequenceClassification", "TokenClassification"):
    compare(task, 1, smoothed, smoothing=0.1)
    compare(task, 1, cured, accepts=False)
assert apart("") > 0.05
assert apart(cured, accepts=False) < 0.01
PY
"$folder/venv/bin/python" "$folder/accumulate.py" "$folder/out" 2> "$folder/log" ||
  { cat "$folder/log"; exit 1; }
echo "as described"
