"""A small server that answers as the Hugging Face hub does to uploads and downloads of one repository's files."""

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hub(ThreadingHTTPServer):
    """Keeps the files of each repository in memory."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/repos/create":
            content = json.loads(body)
            repository = (
                f"{content['organization']}/{content['name']}" if content.get("organization") else content["name"]
            )
            self.server.repositories.setdefault(repository, {})
            return self._json({"url": f"{self.server.url}/{repository}"})
        if self.path == "/api/validate-yaml":
            return self._json({"warnings": [], "errors": []})
        repository, _, action = self.path.removeprefix("/api/models/").rpartition("/")[0].rpartition("/")
        files = self.server.repositories[repository]
        if action == "preupload":
            asked = json.loads(body)["files"]
            return self._json(
                {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]}
            )
        assert action == "commit"
        for line in map(json.loads, body.decode().splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "deletedFile":
                del files[line["value"]["path"]]
        return self._json({"commitUrl": f"{self.server.url}/{repository}/commit/{'1' * 40}", "commitOid": "1" * 40})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/"):
            rest = self.path.removeprefix("/api/models/").partition("?")[0]
            repository = "/".join(rest.split("/")[:2])
            if repository not in self.server.repositories:
                return self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            files = self.server.repositories[repository]
            if "/tree/" in rest:
                return self._json(
                    [{"type": "file", "path": name, "size": len(data), "oid": "0" * 40} for name, data in files.items()]
                )
            return self._json(
                {
                    "id": repository,
                    "sha": "1" * 40,
                    "siblings": [{"rfilename": name} for name in files],
                    "private": False,
                }
            )
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        content = self.server.repositories.get(repository, {}).get(rest.partition("/")[2])
        if content is None:
            return self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": "1" * 40}
        return self._send(content, 200, {"Content-Type": "application/octet-stream", **headers})

    def _json(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(content).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _send(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
