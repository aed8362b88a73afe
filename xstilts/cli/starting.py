"""The command that writes a first sweep file, from five answers."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from xstilts.cli.app import command, note, out, program
from xstilts.errors import ConfigError, Problem

if TYPE_CHECKING:
    from xstilts.config.schema import Sweep

T = TypeVar("T")

HUB = "hub"
"""The answer that stands for the Hub itself."""

ENCODER = "FacebookAI/xlm-roberta-base"
INTERMEDIATES = {True: "mini_nli, mini_choice, mini_qa", False: "mnli, squad_v2, hellaswag"}
"""By whether all is of the miniature benchmark: what is offered."""


@command("xstilts init first.yaml --targets mini_xnli,mini_udpos")
def init(
    file: Annotated[
        Path, typer.Argument(metavar="file", help="The sweep file to write; none may be there.")
    ] = Path("sweep.yaml"),
    targets: Annotated[
        str | None,
        typer.Option(help="Target tasks with commas, and files of one of your own.", metavar="A,B"),
    ] = None,
    intermediates: Annotated[
        str | None, typer.Option(help="Intermediate tasks to try.", metavar="A,B")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The pretrained encoder: a folder, a Hub id, builtin:mini.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Where the data sets are: a mirror, hub, builtin:mini.")
    ] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs of each trial.")] = None,
) -> None:
    """Write a first sweep file: asks five questions, or as many as no option answers.

    Where nobody can be asked, what is not said is what would be offered.
    """
    from xstilts.config.starter import MINI, Answers, starter

    if file.exists():
        raise ConfigError([Problem(str(file), "is there already", repair="name another file")])
    if not file.parent.is_dir():
        raise ConfigError([Problem(str(file.parent), "no such folder", repair="make it")])
    own: dict[str, Any] = {}
    names = _ask(
        "Target tasks, or files of your own", targets, "mini_xnli, mini_udpos, mini_xquad",
        lambda text: _targets(text, file.parent, own),
    )  # fmt: skip
    is_mini = all(name.startswith("mini_") for name in names)
    tried = _ask("Intermediate tasks to try", intermediates, INTERMEDIATES[is_mini], _intermediates)
    is_mini = is_mini and all(name.startswith("mini_") for name in tried)
    encoder = _ask("Pretrained encoder", model, MINI if is_mini else ENCODER, _text)
    root = _ask("Data sets: a mirror's folder, or hub", data, MINI if is_mini else HUB, _text)
    cards = _ask("GPUs of each trial", gpus, str(_cards()), _count)
    answers = Answers(
        name=file.stem,
        targets=names,
        intermediates=tried,
        model=encoder,
        data=None if root == HUB else root,
        gpus=cards,
        cpus=1 if encoder == MINI else max(1, min(4, os.cpu_count() or 1)),
        own=own,
    )
    sweep = _written(file, starter(answers))
    told = f"{file}: {', '.join(tried)} before {', '.join(sweep.targets)}; next:"
    out.print(told, markup=False, soft_wrap=True)
    for step in ("validate", "plan", "sweep"):
        out.print(f"  {program()} {step} {file}", markup=False, soft_wrap=True)


def _written(file: Path, text: str) -> Sweep:
    """Write a sweep file that is valid, or nothing.

    Raises:
        ConfigError: it is not valid.
    """
    from xstilts.config.load import load_sweep

    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        sweep = load_sweep(draft)
        draft.replace(file)
        return sweep
    except ConfigError as error:
        # The draft's name is nobody's concern.
        own_name = [
            replace(one, where=one.where.replace(str(draft), str(file))) for one in error.problems
        ]
        raise ConfigError(own_name) from None
    finally:
        draft.unlink(missing_ok=True)


def _ask(question: str, given: object, offered: str, read: Callable[[str], T]) -> T:
    """What an option says, or a person, who is asked again after a wrong answer."""
    if given is not None:
        return read(str(given))
    if not sys.stdin.isatty():
        note(f"{question}: {offered}")
        return read(offered)
    while True:
        try:
            return read(str(typer.prompt(question, default=offered)))
        except ConfigError as error:
            note(str(error))


def _text(text: str) -> str:
    return text.strip()


def _count(text: str) -> int:
    if not text.strip().isdecimal():
        raise ConfigError([Problem("GPUs", "is a whole number, 0 or more", f'"{text}"')])
    return int(text)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _targets(text: str, folder: Path, own: dict[str, Any]) -> tuple[str, ...]:
    """Names of targets; files among them become an entry of `own`, relative to `folder`."""
    from xstilts.tasks import known_tasks

    known = [task.name for task in known_tasks() if task.is_target]
    parts = _parts(text)
    files = [part for part in parts if part not in known and (Path(part).suffix or "/" in part)]
    names = _known("targets", [part for part in parts if part not in files], known)
    if files:
        from xstilts.data.guess import guess_task

        guess = guess_task(files)
        for line in guess.odd:
            note(f"odd: {line}")
        own.clear()
        own[guess.name] = {**guess.entry, "files": _moved(guess.entry["files"], folder)}
        names = (*names, guess.name)
    if not names:
        raise ConfigError([Problem("targets", "name one or more", "none")])
    return names


def _moved(files: Any, folder: Path) -> Any:
    """Paths as they are named from a folder."""
    if isinstance(files, dict):
        return {key: _moved(value, folder) for key, value in files.items()}
    if isinstance(files, list):
        return [_moved(one, folder) for one in files]
    return os.path.relpath(files, folder)


def _intermediates(text: str) -> tuple[str, ...]:
    from xstilts.tasks import known_tasks

    known = [task.name for task in known_tasks() if task.is_trained]
    return _known("intermediates", _parts(text), known)


def _known(where: str, names: list[str], known: list[str]) -> tuple[str, ...]:
    from xstilts.tasks import suggest

    if not names and where == "intermediates":
        raise ConfigError([Problem(where, "name one or more", "none")])
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(
            [Problem(where, "unknown task", f'"{name}"', suggest(name, known)) for name in unknown]
        )
    return tuple(dict.fromkeys(names))


def _cards() -> int:
    """1 where a driver of NVIDIA's lies, else 0; without loading torch."""
    return int(shutil.which("nvidia-smi") is not None)
