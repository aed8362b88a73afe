"""Benchmarks: their languages are those that their scorers want, their groups are whole."""

from __future__ import annotations

from dataclasses import replace

from xstilts.tasks import Source, Task, known_tasks, lookup
from xstilts.tasks.benchmarks import BENCHMARKS, all_languages, groups_of, usual_languages

# As `evaluate.py` of google-research/xtreme lists them.
XTREME = {
    "xnli": "ar,bg,de,el,en,es,fr,hi,ru,sw,th,tr,ur,vi,zh",
    "udpos": "af,ar,bg,de,el,en,es,et,eu,fa,fi,fr,he,hi,hu,id,it,ja,kk,ko,mr,nl,pt,ru,ta,te,th,"
    "tl,tr,ur,vi,yo,zh",
    "panx": "ar,he,vi,id,jv,ms,tl,eu,ml,ta,te,af,nl,en,de,el,bn,hi,mr,ur,fa,fr,it,pt,es,bg,ru,ja,"
    "ka,ko,th,sw,yo,my,zh,kk,tr,et,fi,hu",
    "xquad": "en,es,de,el,ru,tr,ar,vi,th,zh,hi",
    "mlqa": "en,es,de,ar,hi,vi,zh",
    "tydiqa": "en,ar,bn,fi,id,ko,ru,sw,te",
    "tatoeba": "ar,he,vi,id,jv,tl,eu,ml,ta,te,af,nl,de,el,bn,hi,mr,ur,fa,fr,it,pt,es,bg,ru,ja,ka,"
    "ko,th,sw,zh,kk,tr,et,fi,hu",
}
ADDED = {
    "udpos": "lt,pl,ro,uk,wo",
    "panx": "az,gu,lt,pa,pl,qu,ro,uk",
    "xquad": "ro",
    "tatoeba": "az,lt,pl,ro,uk",
}
OWN = {
    "xcopa": "et,ht,id,it,qu,sw,ta,th,tr,vi,zh",
    "lareqa": "ar,de,el,en,es,hi,ru,th,tr,vi,zh",
    "mewslix": "ar,de,en,es,fa,ja,pl,ro,ta,tr,uk",
}
KNOWN = {task.name: task for task in known_tasks()}


def test_every_benchmark_is_of_targets_that_have_its_split_and_languages() -> None:
    for name, benchmark in BENCHMARKS.items():
        assert benchmark.name == name
        tasks = [KNOWN[target] for target in benchmark.targets if target in KNOWN]
        assert {*benchmark.targets} - KNOWN.keys() <= {*OWN}
        assert all(task.is_target for task in tasks)
        assert all(benchmark.split in task.splits for task in tasks if benchmark.split)
        scored = {task.name: all_languages(benchmark, task) for task in tasks}
        assert all(set(scored[x.name]) == set(benchmark.languages_of(x)) for x in tasks)
        if len(tasks) == len(benchmark.targets):
            assert benchmark.lacks(tasks, scored, benchmark.split or "test") == ""


def test_languages_are_those_of_the_official_scorers() -> None:
    for name, languages in XTREME.items():
        official = set(languages.split(","))
        assert set(BENCHMARKS["xtreme"].languages_of(lookup(name))) == official
        assert set(usual_languages(lookup(name))) == official
        official |= set(filter(None, ADDED.get(name, "").split(",")))
        assert set(BENCHMARKS["xtreme-r"].languages_of(lookup(name))) == official
    for name, languages in OWN.items():
        assert set(BENCHMARKS["xtreme-r"].languages[name]) == set(languages.split(","))
    assert len(BENCHMARKS["xtreme-r"].targets) == len({*XTREME, *OWN}) == 10


def test_groups_of_xtreme_r_are_whole() -> None:
    benchmark = BENCHMARKS["xtreme-r"]
    ten = [Task(name, "retrieval", Source("x/y"), ("en",), {}, ()) for name in benchmark.targets]
    found = {group: [x.name for x in tasks] for group, tasks in groups_of(ten, benchmark).items()}
    assert found["classification"] == ["xnli", "xcopa"] and found["multi_choice"] == ["xcopa"]
    assert found["retrieval"] == ["tatoeba", "mewslix"], "without lareqa, as its scorer has it"
    without = [task for task in ten if task.name not in ("xcopa", "mlqa")]
    assert set(groups_of(without, benchmark)) == {"tagging", "retrieval"}
    # Where a benchmark has no groups of its own, tasks are in those that their entries name.
    named = [replace(task, group="qa") for task in ten[:2]]
    assert groups_of(named, BENCHMARKS["xtreme"]) == groups_of(named) == {"qa": named}
