"""The named recipes: one entry each, with the evidence for its values.

"Recalled" marks values of Phang et al. 2020 (arXiv 2005.13013) that were not read in the paper
itself; "read" those that stand in released code. XTREME's values are those of the scripts of
google-research/xtreme for xlm-roberta-large, at commit 9e562ff (June 2020) and 838c13b (head).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from xstilts.config.recipe import Recipe, StageRecipe

ALL_ROWS = 10**9
"""A dev sample that is the whole set."""

PerTask = Mapping[str, Mapping[str, Any]]

_MINI = StageRecipe(
    learning_rate=7e-4, batch_size=16, epochs=1, max_length=64, checks=4, dev_examples=100
)
_SMALL = StageRecipe(
    learning_rate=1e-4, batch_size=16, epochs=1, max_length=128, checks=2, dev_examples=60
)
_RETRIEVAL: PerTask = {"tatoeba": {"max_length": 512}, "bucc2018": {"max_length": 512}}
# The links of XCOPA by XTREME-R's train_xcopa.sh: 3e-5 for XLM-R large, this rate for others.
_XCOPA_LINKS: PerTask = {
    name: {
        "learning_rate": 2e-5,
        "epochs": 5,
        "max_length": 128,
        "warmup_ratio": 0,
        "weight_decay": 0,
    }
    for name in ("siqa", "copa")
}
_XCOPA_LARGE: PerTask = {
    name: {**values, "learning_rate": 3e-5} for name, values in _XCOPA_LINKS.items()
}
_QA_TASKS = ("squad_v1", "squad_v2", "xquad", "tydiqa")

# jiant: batches of 4 gathered to 32, QA to 16; a tenth of the steps warms up.
_JIANT = StageRecipe(
    learning_rate=1e-5,
    batch_size=32,
    epochs=2,
    max_length=256,
    check_every=1000,
    patience=30,
    dev_sample="first",
)
# What its models have beside: transformers' pooler is part of the encoder (taskmodels.py reads the
# second output of it, model_setup.py loads all that stages share), and QAHead drops nothing.
_JIANT_MODELS = replace(_JIANT, pooler="carried", span_dropout=False)
_JIANT_EPOCHS: PerTask = {
    "xnli": {"epochs": 2},
    "pawsx": {"epochs": 5},
    "udpos": {"epochs": 10},
    "panx": {"epochs": 10},
    **{name: {"epochs": 2, "batch_size": 16, "max_length": 384} for name in _QA_TASKS},
    **_RETRIEVAL,
}
_PHANG_INTERMEDIATES: PerTask = {
    "anli_plus": {"epochs": 2},
    # Copies of one data set train alike.
    **{name: {"epochs": 2} for name in ("mnli", "mnli_genres")},
    "qqp": {"epochs": 3},
    "squad_v1": {"epochs": 3, "batch_size": 8, "max_length": 384},
    "squad_v2": {"epochs": 3, "batch_size": 8, "max_length": 384},
    "hellaswag": {"epochs": 7},
    "ccg": {"epochs": 15},
    "cosmosqa": {"epochs": 15, "batch_size": 4},
    "commonsenseqa": {"epochs": 10, "batch_size": 4},
    "mlm": {"batch_size": 8},
}

# XTREME: no warm-up and no decay except in QA, the best English dev check except in QA; its models
# are those of transformers, without a pooler before XLM-R's classifier and dropout before QA's.
_XTREME = StageRecipe(
    learning_rate=2e-5,
    batch_size=32,
    epochs=5,
    max_length=128,
    warmup_ratio=0,
    weight_decay=0,
    dev_examples=ALL_ROWS,
    span_dropout=False,
)


def _xtreme_tasks(xnli_rate: float, qa: Mapping[str, Any]) -> PerTask:
    qa = {
        "learning_rate": 3e-5,
        "max_length": 384,
        "warmup_steps": 500,
        "weight_decay": 1e-4,
        "keep": "last",
        **qa,
    }
    return {
        "xnli": {"learning_rate": xnli_rate, "check_every": 100},
        "pawsx": {"check_every": 200},
        "panx": {"epochs": 10, "check_every": 1000},
        "udpos": {"epochs": 10, "check_every": 500},
        **dict.fromkeys(_QA_TASKS, qa),
        **_RETRIEVAL,
    }


_XTREME_HEAD: PerTask = {
    **_xtreme_tasks(3e-5, {"epochs": 3, "batch_size": 32}),
    **_XCOPA_LARGE,
}
# XTREME-R's train_lareqa.sh, and train_mewslix.sh for XLM-R Large: batches of 4 and of 8, of which
# four make an update; rows of different ones are not compared.
_RANKED: PerTask = {
    "lareqa": {
        "learning_rate": 2e-5,
        "batch_size": 16,
        "negatives": 3,
        "epochs": 3,
        "max_length": 256,
        "keep": "last",
    },
    "mewslix": {
        "learning_rate": 1e-5,
        "batch_size": 32,
        "negatives": 7,
        "epochs": 2,
        "max_length": 64,
        "keep": "last",
    },
}

# nlu-evals (izhx/nlu-evals at b8193ba), whose scripts leave to Trainer what they do not name: no
# warm-up, no decay, the gradient's norm bounded by 1, the last weights. Its classifiers and the
# heads of QA are transformers' own.
_NLU_EVALS = replace(_XTREME, epochs=3, dev_examples=500, keep="last")
_NLU_NLI: Mapping[str, Any] = {"epochs": 3, "warmup_ratio": 0.06}  # run_glue_one.sh
_NLU_QA: Mapping[str, Any] = {  # run_squad.sh and run_tydiqa.sh
    "learning_rate": 3e-5,
    "epochs": 3,
    "max_length": 384,
    "weight_decay": 1e-4,
}
_NLU_TASKS: PerTask = {
    **dict.fromkeys(("xnli", "mnli", "mnli_genres", "qqp"), _NLU_NLI),
    "pawsx": {"epochs": 2},
    "udpos": {"epochs": 10},
    "panx": {"epochs": 10},
    "siqa": {"epochs": 5},
    "copa": {"epochs": 5},
    **dict.fromkeys(_QA_TASKS, _NLU_QA),
    # Dual encoders compare the first token's state with the whole batch.
    "lareqa": {"batch_size": 16, "max_length": 256, "pooling": "first"},
    "mewslix": {"batch_size": 64, "epochs": 2, "max_length": 64, "pooling": "first"},
    **_RETRIEVAL,
}

# Our own: jiant's values, but every stage, however short, is checked ten times on a sample that
# has the labels' shares; steps between checks would leave a stage of 900 steps unchecked.
_STANDARD = replace(_JIANT, check_every=0, checks=10, patience=0, dev_sample="stratified")

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="standard",
            about="for real encoders: published values, ten checks a stage",
            evidence=(
                "jiant's XTREME scripts and Phang et al.'s intermediate stages, see phang2020; "
                "SIQA and COPA as XTREME-R's script trains XCOPA, at its rate for base models; the "
                "checks are ours: ten a stage on 500 stratified dev examples"
            ),
            intermediate=replace(_STANDARD, batch_size=24, epochs=3),
            target=_STANDARD,
            per_task={**_JIANT_EPOCHS, **_XCOPA_LINKS},
            intermediate_per_task=_PHANG_INTERMEDIATES,
        ),
        Recipe(
            name="phang2020",
            about="Phang et al. 2020, as far as known",
            evidence=(
                "Phang et al. 2020: intermediate learning rate, warm-up, clipping, checks and "
                "lengths read in jiant; batch sizes, intermediate epochs and the target learning "
                "rate 3e-6 recalled; target epochs recalled and equal to jiant's. XNLI's batch "
                "of 4 is as recalled; jiant has 32. The pooler is carried as in jiant, which was "
                "not verified for the paper"
            ),
            intermediate=replace(_JIANT_MODELS, batch_size=24, epochs=3),
            target=replace(_JIANT_MODELS, learning_rate=3e-6),
            per_task={**_JIANT_EPOCHS, "xnli": {"epochs": 2, "batch_size": 4}},
            intermediate_per_task=_PHANG_INTERMEDIATES,
        ),
        Recipe(
            name="jiant",
            about="the XTREME scripts that jiant released",
            evidence=(
                "the XTREME scripts that jiant released, read: 1e-5 in both phases; XLM-R's "
                "pooler, random at first, carried with the encoder, as its modeling code reads"
            ),
            intermediate=_JIANT_MODELS,
            target=_JIANT_MODELS,
            per_task=_JIANT_EPOCHS,
        ),
        Recipe(
            name="xtreme2020",
            about="the scripts of XTREME, June 2020",
            evidence="XTREME's scripts of June 2020, read; intermediates as its targets",
            intermediate=_XTREME,
            target=_XTREME,
            per_task=_xtreme_tasks(2e-5, {"epochs": 2, "batch_size": 16}),
        ),
        Recipe(
            name="xtreme_head",
            about="the scripts of XTREME as they stand",
            evidence=(
                "XTREME's scripts as they stand, read: XNLI 3e-5, QA 3 epochs of 32; XCOPA 5 "
                "epochs of SIQA, then of COPA, 3e-5 for XLM-R large (2e-5 for others), last weights"
            ),
            intermediate=_XTREME,
            target=_XTREME,
            per_task=_XTREME_HEAD,
        ),
        Recipe(
            name="xtreme_r",
            about="the scripts of XTREME-R, for XLM-R Large",
            evidence=(
                "XTREME-R's scripts, read at 838c13b: those of xtreme_head; LAReQA in batches of "
                "4, Mewsli-X of 8, four of them an update, the last weights. LAReQA's values "
                "are said for mBERT alone, and its evaluation takes the checkpoint of step 9,000 "
                "of some 16,400; mBERT's for Mewsli-X are 2e-5 in batches of 64"
            ),
            intermediate=_XTREME,
            target=_XTREME,
            per_task={**_XTREME_HEAD, **_RANKED},
        ),
        Recipe(
            name="nlu_evals",
            about="the scripts by which today's base encoders were compared",
            evidence=(
                "nlu-evals, by which mGTE compared base encoders, its scripts read at b8193ba: "
                "2e-5 in batches of 32, MNLI 3 epochs with 6 % warm-up, PAWS-X 2, tags 10, SIQA "
                "and COPA 5, span QA 3e-5, 3 epochs and decay 1e-4; the last weights. Its SQuAD "
                "v2.0, 5e-5 in batches of 48, is trained as v1.1 here, as copies of one data set "
                "are. What no script trains, such as HellaSwag, has 3 epochs, which are ours, as "
                "are the checks. mmBERT's authors published a copy of the scripts "
                "(orionw/nlu-evals, read at b9c8d01); the learning rates of its figures were not "
                "read"
            ),
            intermediate=_NLU_EVALS,
            target=_NLU_EVALS,
            per_task=_NLU_TASKS,
        ),
        Recipe(
            name="mini",
            about="for the miniature benchmark: seconds a stage",
            evidence=(
                "chosen on the English dev sets of the miniature benchmark so that a stage takes "
                "a few seconds on one core"
            ),
            intermediate=_MINI,
            target=_MINI,
            per_task={
                "mini_choice": {"epochs": 0.2},
                "mini_qa": {"epochs": 0.3},
                "mini_xnli": {"epochs": 0.35},
                "mini_udpos": {"epochs": 0.75},
                "mini_xquad": {"epochs": 0.25},
            },
        ),
        Recipe(
            name="small",
            about="for trying a sweep: a small encoder, a few records",
            evidence=(
                "all-MiniLM-L6-v2 on two thousand records a task: learning rates tried on English "
                "dev, epochs cut until a trial takes minutes on one core; made for trying a sweep, "
                "not for the best scores"
            ),
            intermediate=_SMALL,
            target=replace(_SMALL, learning_rate=2e-4),
            per_task={
                "xnli": {"epochs": 0.5},
                "pawsx": {"epochs": 0.5},
                "udpos": {"epochs": 0.4},
                "panx": {"epochs": 0.4},
                # Longer windows overlap less: a paragraph becomes one or two, not three.
                "squad_v1": {"max_length": 256},
                "squad_v2": {"max_length": 256},
                "xquad": {"epochs": 0.2, "max_length": 256},
                "tydiqa": {"epochs": 0.2, "max_length": 256},
            },
        ),
    )
}
