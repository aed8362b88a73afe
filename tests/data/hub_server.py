"""A loopback server that speaks as much of the Hub's file protocol as its client needs.

Run as a script: `python hub_server.py ROOT` serves `ROOT/<datasets|models>/<owner>/<name>/` and, as
a pull request of a model, `ROOT/pulls/<owner>/<name>/`; it prints its address and appends every
request to `ROOT/requests.log`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(sys.argv[1])


def commit_of(repo: Path) -> str:
    """The repository's one commit: it changes with any file."""
    digest = hashlib.sha1()
    for path in sorted(path for path in repo.rglob("*") if path.is_file()):
        digest.update(path.relative_to(repo).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


PULL_REF = "refs/pr/7"
PULL = {
    "num": 7,
    "title": "Adding `safetensors` variant of this model",
    "author": {"name": "SFconvertbot"},
    "status": "open",
    "isPullRequest": True,
    "createdAt": "2026-01-01T00:00:00.000Z",
    "repo": {"name": "", "type": "model"},
}


def repo_at(sort: str, owner: str, name: str, revision: str) -> Path:
    """The folder of a repository, or of its pull request where that is asked for."""
    pull = ROOT / "pulls" / owner / name
    if pull.is_dir() and revision in (PULL_REF, commit_of(pull)):
        return pull
    return ROOT / sort / owner / name


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        with (ROOT / "requests.log").open("a") as log:
            log.write(f"{self.command} {self.path}\n")
        if parts[0] == "api":
            self.api(parts[1:])
            return
        sort = parts.pop(0) if parts[0] == "datasets" else "models"
        repo, path = repo_at(sort, *parts[:2], parts[3]), "/".join(parts[4:])
        file = repo / path
        if not file.is_file():
            self.fail("EntryNotFound" if repo.is_dir() else "RepoNotFound")
            return
        body = file.read_bytes()
        self.send_response(200)
        self.send_header("X-Repo-Commit", commit_of(repo))
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def api(self, parts: list[str]) -> None:
        sort, owner, name, what = *parts[:3], parts[3] if len(parts) > 3 else ""
        revision = "/".join(parts[4:7]) if parts[4:5] == ["refs"] else "".join(parts[4:5])
        repo = repo_at(sort, owner, name, revision)
        if not repo.is_dir():
            self.fail("RepoNotFound")
            return
        files = sorted(path for path in repo.rglob("*") if path.is_file())
        commit = commit_of(repo)
        if what == "discussions" and name == "silent":
            self.fail("DiscussionsDisabled", 403)
        elif what == "discussions":
            pulls = (ROOT / "pulls" / owner / name).is_dir()
            self.send({"discussions": [PULL] if pulls else [], "count": int(pulls), "start": 0})
        elif what == "revision" and revision not in ("main", PULL_REF, commit):
            self.fail("RevisionNotFound")
        elif what == "tree":
            self.send(
                [
                    {
                        "type": "file",
                        "oid": hashlib.sha1(path.read_bytes()).hexdigest(),
                        "size": path.stat().st_size,
                        "path": path.relative_to(repo).as_posix(),
                    }
                    for path in files
                ]
            )
        else:
            names = [{"rfilename": path.relative_to(repo).as_posix()} for path in files]
            self.send({"id": f"{owner}/{name}", "sha": commit, "siblings": names, "tags": []})

    def send(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fail(self, code: str, status: int = 404) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on stderr; the log file has it."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
