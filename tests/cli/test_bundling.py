"""The commands `bundle` and `verify`: what they print, and how they end."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from xstilts.cli import app
from xstilts.study import glmer
from xstilts.study.answer import LogisticFit

from ..study.bundled import stored_results


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored_results(tmp_path_factory.mktemp("bundling") / "runs").places.storage


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)


def test_a_bundle_is_packed_here_and_verified(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    packed = call("bundle", "s", "--storage", storage)
    assert packed.exit_code == 0, packed.output
    assert packed.stdout.startswith("s.bundle.zip: s verifies\n")
    assert "odds" not in packed.stdout
    assert packed.stderr == "Packing 12 trials, then verifying the bundle\n"
    (digest,) = re.findall(r"sha256 of its manifest: (\w{64})\n", packed.stdout)
    named = call("bundle", "s", "--storage", storage, "--out", "other.zip")
    assert digest in named.stdout
    found = call("verify", "s.bundle.zip", "other.zip")
    assert (found.exit_code, found.stdout.count(digest)) == (0, 2)
    told = json.loads(call("verify", "s.bundle.zip", "--json").stdout)
    assert [one["manifest_sha256"] for one in told] == [digest]
    assert told[0]["scores"] == 36


def test_it_says_whether_r_has_fitted_again(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = LogisticFit(0.5, 0.25, {}, True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glmer, "software", lambda: ("4.2.2", "1.1.31"))
        patch.setattr(glmer, "fit", lambda *_: found)
        packed = call("bundle", "s", "--storage", storage)
        assert "\n  odds ratios: 2 of the items, their fits believed; --refit" in packed.stdout
        told = call("verify", "s.bundle.zip", "--refit").stdout
        assert "\n  odds ratios: 2 fitted again by lme4 1.1.31 in R 4.2.2\n" in told
        found = replace(found, has_converged=False)
        told = call("verify", "s.bundle.zip", "--refit").stdout
        assert ": 0 fitted again by lme4 1.1.31 in R 4.2.2, 2 believed, as a fit did not" in told
    refused = call("verify", "s.bundle.zip", "--refit")
    assert refused.exit_code == 2
    assert "--refit: needs Rscript with lme4; got none on the PATH; install them" in refused.output


def test_what_is_wrong_is_one_line_and_a_status(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("bundle", "s", "--storage", storage).exit_code == 0
    path = tmp_path / "s.bundle.zip"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (tmp_path / "text.zip").write_text("x")
    for arguments, status in (
        (("verify", "s.bundle.zip"), 1),
        (("verify", "text.zip"), 2),
        (("verify", "none.zip"), 2),
        (("bundle", "t", "--storage", storage), 2),
        (("bundle", "s", "--storage", storage, "--out", "none/b.zip"), 2),
        (("bundle", "s", "--storage", storage, "--out", "s.yaml"), 2),
    ):
        done = call(*arguments)
        assert (done.exit_code, done.stdout) == (status, ""), arguments
        assert len(done.stderr.splitlines()) <= 2, done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["s.bundle.zip", "text.zip"]
