"""What the tests share: texts in several scripts, tiny models, mirrors in the layout of the Hub.

Nothing here needs a network or the miniature benchmark.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from xstilts.config.load import parse_sweep
from xstilts.config.schema import Sweep
from xstilts.run.places import Places
from xstilts.run.stage_results import next_folder, seal
from xstilts.run.storage import STORE, open_storage
from xstilts.study import glmer
from xstilts.tasks import Task, catalogue

WriteDataset = Callable[..., Path]
RECORDS = Path(__file__).parents[2] / "shared" / "data"

TEXTS = {
    "en": (
        "The cat sleeps on the old chair.",
        "My brother bought three red apples.",
        "Water boils at a hundred degrees.",
        "She was born in Berlin in 1968.",
        "The train to the city leaves at noon.",
        "Do you want to drink tea?",
    ),
    "de": (
        "Die Katze schläft auf dem alten Stuhl.",
        "Mein Bruder kaufte drei rote Äpfel.",
        "Wasser kocht bei hundert Grad.",
        "Sie wurde 1968 in Berlin geboren.",
        "Der Zug in die Stadt fährt um zwölf.",
        "Möchtest du Tee trinken?",
    ),
    "th": (
        "แมวนอนอยู่บนเก้าอี้เก่า",
        "พี่ชายของฉันซื้อแอปเปิลสีแดงสามลูก",
        "น้ำเดือดที่หนึ่งร้อยองศา",
        "เธอเกิดที่เบอร์ลินในปี 1968",
        "รถไฟเข้าเมืองออกตอนเที่ยง",
        "คุณอยากดื่มชาไหม",
    ),
    "zh": (
        "猫睡在旧椅子上。",
        "我哥哥买了三个红苹果。",
        "水在一百度沸腾。",
        "她1968年出生于柏林。",
        "进城的火车中午出发。",
        "你想喝茶吗?",
    ),
    "ar": (
        "القطة تنام على الكرسي القديم.",
        "اشترى أخي ثلاث تفاحات حمراء.",
        "يغلي الماء عند مئة درجة.",
        "ولدت في برلين عام 1968.",
        "يغادر القطار إلى المدينة ظهرا.",
        "هل تريد أن تشرب الشاي؟",
    ),
    "my": (
        "ကြောင်က ကုလားထိုင်အဟောင်းပေါ်မှာ အိပ်နေတယ်။",
        "အစ်ကိုက ပန်းသီးနီသုံးလုံး ဝယ်ခဲ့တယ်။",
        "ရေက တစ်ရာဒီဂရီမှာ ဆူတယ်။",
        "သူမကို ၁၉၆၈ ခုနှစ်မှာ ဘာလင်မြို့မှာ မွေးခဲ့တယ်။",
        "မြို့သွားရထားက နေ့လယ်မှာ ထွက်တယ်။",
        "လက်ဖက်ရည် သောက်ချင်လား။",
    ),
}
"""Six sentences and their translations."""

ROBERTA_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
BERT_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    # Larger than usual, so that an untrained model tells inputs apart.
    "initializer_range": 0.1,
}


def require(name: str, condition: bool, reason: str) -> None:
    """Skip a test for which this machine lacks something; fail it if `name` must not be lacking.

    `XSTILTS_REQUIRE=cluster,records` names what must be there, so that where everything can run
    nothing is left out unseen.
    """
    __tracebackhide__ = True
    if condition:
        return
    if name in os.environ.get("XSTILTS_REQUIRE", "").split(","):
        pytest.fail(f"{name} is required: {reason}")
    pytest.skip(reason)


SOFTWARE = glmer.software
"""As it is, which tests replace."""


@pytest.fixture(scope="session", autouse=True)
def without_r() -> Iterator[None]:
    """R fits nothing, which takes seconds, but where a test asks for `with_r`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glmer, "software", lambda: None)
        yield


@pytest.fixture
def with_r(monkeypatch: pytest.MonkeyPatch) -> None:
    """R with lme4, where this machine has it."""
    reason = "it needs Rscript with lme4 (r-cran-lme4)"
    require("lme4", SOFTWARE() is not None, reason)
    monkeypatch.setattr(glmer, "software", SOFTWARE)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What starts a Ray wants the machine for itself; `-m "not slow"` may run in parallel. What is
    marked `soak` runs only where that is named."""
    for item in items:
        if item.get_closest_marker("ray") or item.get_closest_marker("cluster"):
            item.add_marker("slow")
    if "soak" not in config.option.markexpr:
        soaking = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=soaking)
        items[:] = [item for item in items if item not in soaking]


def make_sweep(**changes: Any) -> Sweep:
    """A valid sweep over the miniature NLI target, with some keys changed."""
    data = {
        "name": "s",
        "benchmark": "custom",
        "recipe": "mini",
        "models": {"m": {"path": "builtin:mini"}},
        "data": {"root": "builtin:mini"},
        "targets": ["mini_xnli"],
        **changes,
    }
    return parse_sweep(data, "test")


def make_places(root: Path, name: str = "s") -> Places:
    """The folders of a sweep that has begun, those of its first launch and of its storage too."""
    open_storage(root)
    places = Places(root, name)
    for folder in (places.sweep, places.launches, places.trials, places.launch(1)):
        folder.mkdir()
    return places


def make_stage(root: Path, name: str, files: Mapping[str, str], **manifest: Any) -> Path:
    """A stage of a storage that is open, as the process that computed it left it; the folder of its
    result."""
    work = root / STORE / name / "work-0001"
    for file, content in files.items():
        (work / file).parent.mkdir(parents=True, exist_ok=True)
        (work / file).write_text(content)
    seal(work, {"name": name, **manifest})
    return work.rename(next_folder(work.parent))


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a sweep remembers of itself is none of the user's."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A storage that is open and empty."""
    open_storage(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def texts() -> dict[str, tuple[str, ...]]:
    """Six sentences by language, translations of each other."""
    return TEXTS


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer XLM-R with random weights, LM head and Unigram tokenizer, 128 tokens at most."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM, XLMRobertaTokenizer

    learnt = Tokenizer(models.Unigram())
    learnt.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    trainer = trainers.UnigramTrainer(vocab_size=400, unk_token="<unk>", show_progress=False)
    learnt.train_from_iterator([text for lines in TEXTS.values() for text in lines], trainer)
    pieces = json.loads(learnt.to_str())["model"]["vocab"]
    vocabulary = [(token, 0.0) for token in ROBERTA_SPECIALS]
    # The trainer's order of equal scores varies; ids must not.
    vocabulary += sorted((p, s) for p, s in pieces if p not in ROBERTA_SPECIALS)
    vocabulary.append(("<mask>", 0.0))
    tokenizer = XLMRobertaTokenizer(vocab=vocabulary, model_max_length=128)

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=130,
        type_vocab_size=1,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        **SHAPE,
    )
    folder = tmp_path_factory.mktemp("tiny_model")
    XLMRobertaForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer BERT with random weights, LM head and WordPiece tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import BertConfig, BertForMaskedLM, BertTokenizer

    learnt = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learnt.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    learnt.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=500, special_tokens=list(BERT_SPECIALS), show_progress=False
    )
    learnt.train_from_iterator([text for lines in TEXTS.values() for text in lines], trainer)
    pieces = sorted(set(learnt.get_vocab()) - set(BERT_SPECIALS))
    vocabulary = {token: i for i, token in enumerate([*BERT_SPECIALS, *pieces])}
    tokenizer = BertTokenizer(vocab=vocabulary, do_lower_case=False, model_max_length=128)

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=128, **SHAPE)
    folder = tmp_path_factory.mktemp("tiny_bert")
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_model: Path) -> Any:
    """The tokenizer of `tiny_model`, as the product loads it."""
    from xstilts.training.model import load_tokenizer

    return load_tokenizer(tiny_model)


@pytest.fixture(scope="session")
def tiny_bert_tokenizer(tiny_bert: Path) -> Any:
    """The tokenizer of `tiny_bert`, as the product loads it."""
    from xstilts.training.model import load_tokenizer

    return load_tokenizer(tiny_bert)


@pytest.fixture(scope="session")
def write_dataset() -> WriteDataset:
    """Writes a data set as the Hub holds it: Parquet files and a README that declares them.

    `write(root, hub_id, {config: {split: columns}}, features={column: feature})`; features are
    those of `datasets`, inferred where none is given.
    """

    def write(
        root: Path,
        hub_id: str,
        configs: Mapping[str, Mapping[str, Mapping[str, list[Any]]]],
        features: Mapping[str, Any] | None = None,
    ) -> Path:
        import datasets

        datasets.disable_progress_bars()
        folder = root / hub_id
        header = ["---", "configs:"]
        for config, splits in configs.items():
            header += [f"- config_name: {config}", "  data_files:"]
            for split, columns in splits.items():
                name = f"{config}/{split}-00000-of-00001.parquet"
                header += [f"  - split: {split}", f"    path: {name}"]
                schema = datasets.Features(dict(features)) if features else None
                (folder / config).mkdir(parents=True, exist_ok=True)
                rows = datasets.Dataset.from_dict(dict(columns), features=schema)
                rows.to_parquet(str(folder / name))
        (folder / "README.md").write_text("\n".join([*header, "---", ""]), encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the real records."""
    require("records", RECORDS.is_dir(), f"no real records at {RECORDS}")
    return RECORDS


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Real records of the tasks' data sets, imported into a mirror: folders by Hub id."""
    from xstilts.data.importers import import_folder

    require("records", RECORDS.is_dir(), f"no real records at {RECORDS}")
    root = tmp_path_factory.mktemp("records")
    import_folder(RECORDS, root)
    readmes = root.glob("*/*/README.md")
    return {path.parent.relative_to(root).as_posix(): path.parent for path in readmes}


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Callable[[Task], Task]:
    """Puts a task into the catalogue for one test."""

    def put(task: Task) -> Task:
        monkeypatch.setitem(catalogue._TASKS, task.name, task)
        return task

    return put


@pytest.fixture(scope="session")
def shared_mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature benchmark's data, written once for all tests that only read it."""
    from xstilts import mini

    root = tmp_path_factory.mktemp("data") / "mini"
    shutil.copytree(mini.data_path(), root)
    return root
