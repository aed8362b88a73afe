"""Tasks beyond the benchmarks, one entry each: NLI that was written in its own language or domain,
topics in fifty languages, parallel text that is nobody's test set.

None of their rows is a training row of another entry. What their texts share with what is scored:
IndoNLI takes a part of its premises from UD's Indonesian treebanks, which UDPOS scores.
"""

from __future__ import annotations

from xstilts.tasks.intermediate import NLI_LABELS, TRAIN_AND_DEV
from xstilts.tasks.task import Source, Task

_CODES = (
    "af ar az bg bn de el en es et eu fa fi fr gu he hi ht hu id it ja jv ka kk ko lt ml mr "
    "ms my nl pa pl pt qu ro ru sw ta te th tl tr uk ur vi wo yo zh"
)
_FLORES = (
    "afr_Latn arb_Arab azj_Latn bul_Cyrl ben_Beng deu_Latn ell_Grek eng_Latn spa_Latn "
    "est_Latn eus_Latn pes_Arab fin_Latn fra_Latn guj_Gujr heb_Hebr hin_Deva hat_Latn "
    "hun_Latn ind_Latn ita_Latn jpn_Jpan jav_Latn kat_Geor kaz_Cyrl kor_Hang lit_Latn "
    "mal_Mlym mar_Deva zsm_Latn mya_Mymr nld_Latn pan_Guru pol_Latn por_Latn quy_Latn "
    "ron_Latn rus_Cyrl swh_Latn tam_Taml tel_Telu tha_Thai tgl_Latn tur_Latn ukr_Cyrl "
    "urd_Arab vie_Latn wol_Latn yor_Latn zho_Hans"
)

FLORES = dict(zip(_CODES.split(), _FLORES.split(), strict=True))
"""Languages under the codes of FLORES-200 and of the sets made from it."""

NTREX = {
    code: name.partition("_")[0]
    for code, name in FLORES.items()
    if code not in ("en", "ht", "jv", "qu")
}
NTREX |= {"az": "aze-Latn", "fa": "fas", "ms": "msa", "sw": "swa", "tl": "fil", "zh": "zho-CN"}
"""Languages under the codes of NTREX-128, which has no Haitian, Javanese and Quechua."""

TOPICS = (
    *("science/technology", "travel", "politics", "sports", "health", "entertainment"),
    "geography",
)

_TWO_CLASSES = "copies on the Hub have two classes, or need a loading script; import "

ENTRIES = (
    Task(
        name="klue_nli",
        kind="pair",
        source=Source(
            "klue/klue",
            config="nli",
            revision="349481ec73fff722f88e0453ca05c77a447d967c",
            sizes={"train": 24_998, "validation": 3_000},
        ),
        languages=("ko",),
        train_language="ko",
        splits=TRAIN_AND_DEV,
        labels=NLI_LABELS,
        metrics=("accuracy",),
        description="entailment, written in Korean",
    ),
    Task(
        name="ocnli",
        kind="pair",
        source=Source(
            "xstilts/ocnli",
            instead=f"{_TWO_CLASSES}the authors' train.50k.json and dev.json in a folder ocnli "
            "with `xstilts data import`",
        ),
        languages=("zh",),
        train_language="zh",
        splits=TRAIN_AND_DEV,
        labels=NLI_LABELS,
        metrics=("accuracy",),
        description="entailment, written in Chinese, of five genres",
    ),
    Task(
        name="indonli",
        kind="pair",
        source=Source(
            "afaji/indonli",
            sizes={"train": 10_330, "validation": 2_197},
            instead=f"{_TWO_CLASSES}the authors' train.jsonl and val.jsonl in a folder indonli "
            "with `xstilts data import`",
        ),
        languages=("id",),
        train_language="id",
        splits=TRAIN_AND_DEV,
        labels=NLI_LABELS,
        metrics=("accuracy",),
        description="entailment, written in Indonesian",
    ),
    Task(
        name="farstail",
        kind="pair",
        source=Source(
            "xstilts/farstail",
            sizes={"train": 7_266, "validation": 1_537},
            instead=f"{_TWO_CLASSES}the authors' Train-word.csv and Val-word.csv with "
            "`xstilts data import`",
        ),
        languages=("fa",),
        train_language="fa",
        splits=TRAIN_AND_DEV,
        labels=NLI_LABELS,
        metrics=("accuracy",),
        description="entailment, written in Persian",
    ),
    Task(
        name="scitail",
        kind="pair",
        source=Source(
            "allenai/scitail",
            config="tsv_format",
            sizes={"train": 23_097, "validation": 1_304},
        ),
        languages=("en",),
        splits=TRAIN_AND_DEV,
        labels=("neutral", "entails"),
        metrics=("accuracy",),
        description="whether a sentence of the web entails an answer of a science exam",
    ),
    Task(
        name="scinli",
        kind="pair",
        source=Source(
            "xstilts/scinli",
            columns={"premise": "sentence1", "hypothesis": "sentence2"},
            sizes={"train": 101_412, "validation": 2_000},
            instead="the Hub's copy (tasksource/scinli) is JSON lines; import the authors' "
            "train.csv and dev.csv in a folder scinli with `xstilts data import`",
        ),
        languages=("en",),
        splits=TRAIN_AND_DEV,
        labels=("contrasting", "reasoning", "entailment", "neutral"),
        metrics=("accuracy",),
        description="how two sentences of a paper on computational linguistics relate",
    ),
    Task(
        name="contract_nli",
        kind="pair",
        source=Source(
            "xstilts/contract_nli",
            instead="the Hub's copy (kiddothe2b/contract-nli) is a loading script; import the "
            "authors' train.json and dev.json in a folder contract_nli with `xstilts data import`",
        ),
        languages=("en",),
        splits=TRAIN_AND_DEV,
        labels=NLI_LABELS,
        metrics=("accuracy",),
        description="whether a contract, cut at the length of a sequence, says something",
    ),
    Task(
        name="mednli",
        kind="pair",
        source=Source(
            "xstilts/mednli",
            instead="MedNLI (PhysioNet) is credentialed and on no Hub; where you may, import your "
            "own mli_train_v1.jsonl and mli_dev_v1.jsonl with `xstilts data import`",
        ),
        languages=("en",),
        splits=TRAIN_AND_DEV,
        labels=NLI_LABELS,
        metrics=("accuracy",),
        description="entailment from clinical notes, from files of your own",
    ),
    Task(
        name="sib200",
        kind="sentence",
        source=Source(
            "Davlan/sib200",
            config="{language}",
            revision="38977a667f6fc264d5c26ec57a01e16db040b358",
            columns={"label": "category"},
            names=FLORES,
            sizes={"train": 701, "validation": 99, "test": 204},
            instead="the Hub's copy was not seen in Parquet; import the folder data/annotated of "
            "dadelani/sib-200 with `xstilts data import`",
        ),
        languages=tuple(FLORES),
        splits={
            "train": "train",
            "dev": "validation",
            "validation": "validation",
            "test": "test",
        },
        labels=TOPICS,
        metrics=("accuracy",),
        group="classification",
        is_parallel=True,
        description="the topic of a sentence of FLORES-200, in 50 languages",
    ),
    Task(
        name="ntrex",
        kind="retrieval",
        source=Source(
            "xstilts/ntrex",
            config="{language}",
            names=NTREX,
            sizes={"test": 1_997},
            instead="the Hub's copy (mteb/NTREX) has a language a column; import the folder "
            "NTREX-128 of MicrosoftTranslator/NTREX with `xstilts data import`",
        ),
        languages=tuple(NTREX),
        splits={"validation": "test"},
        metrics=("accuracy",),
        description="parallel news for signals, in 46 languages",
    ),
)
