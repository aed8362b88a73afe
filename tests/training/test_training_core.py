"""The training core runs on machines that have torch and transformers, and little else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path

BLOCKED = ("ray", "mlflow", "optuna", "datasets", "pydantic", "typer", "rich")
sys.modules.update(dict.fromkeys(BLOCKED))  # importing them fails

import pyarrow as pa
import torch
from xstilts.config.recipe import StageRecipe
from xstilts.kinds.kind import Encoded, Vocabulary
from xstilts.plan.stage import Part, Pretrained, Rows, Train
from xstilts.tasks import Source, Task, catalogue
from xstilts.training.feed import PartData
from xstilts.training.loop import train
from xstilts.training.heads import build_heads
from xstilts.training.model import Model, load_encoder, load_tokenizer, settings

torch.set_num_threads(1)
folder = Path(sys.argv[1])
labels = ("red", "green")
task = Task("toy", "pair", Source("toy/toy"), ("en",), {"train": "train"}, ("accuracy",), labels)
catalogue._TASKS["toy"] = task
encoder = load_encoder(folder)
model = Model(encoder, build_heads({"toy": task}, *settings(encoder), 0, "target"))
before = encoder.get_input_embeddings().weight.detach().clone()
features = {"example": [0, 1], "input_ids": [[0, 10, 2], [0, 11, 12, 2]], "label": [0, 1]}
encoded = Encoded(pa.table(features), pa.table({"id": ["0", "1"], "label": ["red", "green"]}))
rows = Rows("toy", "train", "a", (("en", 2),), 1, 1, labels, 8)
part = Part(rows, rows, 2, 2, (1.0,))
recipe = StageRecipe(learning_rate=1e-3, batch_size=2, epochs=1, max_length=8)
stage = Train(Pretrained("tiny", "", "w", "t"), "target", "toy", (part,), recipe, 0)
vocabulary = Vocabulary.of(load_tokenizer(folder))
outcome = train(model, stage, [PartData([encoded], encoded)], vocabulary)
assert outcome.steps == 1 and outcome.tokens == 7
assert not encoder.get_input_embeddings().weight.equal(before)
assert not [name for name in BLOCKED if sys.modules[name] is not None]
print("trained")
"""


def test_a_step_is_trained_without_the_rest(tiny_model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tiny_model)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "trained"
