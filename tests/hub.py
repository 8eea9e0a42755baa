"""A stand-in for the Hugging Face Hub on loopback: the endpoints that the real `huggingface_hub` client calls.

It keeps real bytes, checks real checksums and tokens, and breaks in the ways that a test asks for:

    with Hub({"secret": "ada"}) as hub:
        hub.add("ada/lesions", {"README.md": b"..."}, tags=["v1"])
        hub.faults.append(Fault("POST", "/commit/", status=503))
        subprocess.run([...], env={**os.environ, **hub.environment(tmp_path, token="secret")})
        hub.repositories["model", "ada/lesions"].files("main")

Large files go by git LFS to a second server with another port, as the Hub's go to its storage: uploads by signed PUT,
downloads by redirect. Xet, the Hub's other transport, is not served; `environment` turns it off.
"""

import base64
import hashlib
import json
import re
import socket
import struct
import threading
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

LFS_SUFFIXES = (".keras", ".onnx", ".h5", ".npz", ".png", ".jpg", ".zip")
PREFIXES = {"model": "", "space": "spaces/", "dataset": "datasets/"}


@dataclass
class Fault:
    """What goes wrong with requests whose method and path (query included) match; the first fault that matches counts.

    `cut` closes the connection in the middle of the request's body, or of the answer's where the request has none;
    `hang` gives no answer until the stand-in stops; `corrupt` flips a byte of the answer's body; else the answer is
    `status` with `message` and `headers`.
    """

    method: str
    path: str
    status: int = 0
    message: str = ""
    headers: dict = field(default_factory=dict)
    cut: bool = False
    hang: bool = False
    corrupt: bool = False
    times: int = 10**9
    """How many requests it strikes."""


@dataclass
class Repository:
    """A repository with its whole history; a commit is a table of paths and bytes."""

    kind: str
    name: str
    private: bool
    commits: dict = field(default_factory=dict)
    parents: dict = field(default_factory=dict)
    branches: dict = field(default_factory=dict)
    tags: dict = field(default_factory=dict)
    variables: dict = field(default_factory=dict)
    sdk: str | None = None
    messages: list = field(default_factory=list)

    def commit(self, files, message, branch="main"):
        """Add a commit with this whole table of files to a branch; return its hash."""
        parent = self.branches.get(branch)
        digest = hashlib.sha1(f"{self.kind}{self.name}{parent}{message}{len(self.commits)}".encode())
        for path in sorted(files):
            digest.update(path.encode() + hashlib.sha256(files[path]).digest())
        self.commits[digest.hexdigest()] = dict(files)
        self.parents[digest.hexdigest()] = parent
        self.branches[branch] = digest.hexdigest()
        self.messages.append(message)
        return digest.hexdigest()

    def resolve(self, revision):
        """Return the commit hash that a branch, tag or hash means, None when there is none."""
        found = self.branches.get(revision) or self.tags.get(revision)
        return found or (revision if revision in self.commits else None)

    def files(self, revision="main"):
        """Return path -> bytes at a revision."""
        return self.commits[self.resolve(revision)]


def is_lfs(path, content):
    return path.endswith(LFS_SUFFIXES) or len(content) > 10_000_000 or b"\0" in content[:512]


def git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub:
    """The stand-in; a context manager. `users` maps tokens to user names; see `organizations` and `read_only`."""

    def __init__(self, users=None):
        self.users = {"secret": "ada"} if users is None else users
        self.organizations = {}
        """User name -> names of the organizations that they may write to."""
        self.read_only = set()
        """Tokens that may not write."""
        self.repositories = {}
        """(kind, "user/name") -> Repository; kind is model, space or dataset."""
        self.objects = {}
        """sha256 -> bytes of every uploaded LFS object, committed or not."""
        self.faults = []
        self.requests = []
        """(method, path) of every request, in order."""
        self.uploads = set()
        self.lock = threading.RLock()
        self.stopped = threading.Event()

    def add(self, name, files, *, kind="model", private=False, tags=()):
        """Add a repository with one commit; return its hash."""
        repository = self.repositories[kind, name] = Repository(kind, name, private)
        oid = repository.commit({".gitattributes": b"", **files}, "initial commit")
        large = (content for path, content in files.items() if is_lfs(path, content))
        self.objects.update((hashlib.sha256(content).hexdigest(), content) for content in large)
        repository.tags.update(dict.fromkeys(tags, oid))
        return oid

    def start(self):
        self.stopped.clear()
        self._servers = [self._serve(HubHandler), self._serve(StorageHandler)]
        self.url, self.storage = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)
        return self

    def stop(self):
        self.stopped.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    __enter__ = start

    def __exit__(self, *_):
        self.stop()

    def _serve(self, handler):
        server = ThreadingHTTPServer(("127.0.0.1", 0), type(handler.__name__, (handler,), {"hub": self}))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def environment(self, home, token=None):
        """Return the environment of a process whose Hub this is and whose caches are under `home`."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_TOKEN": token or "",
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def use(self, monkeypatch, home, token=None):
        """Make this the Hub of the running process, without the waits between the client's repeated attempts."""
        from types import SimpleNamespace

        from huggingface_hub import close_session, constants, file_download
        from huggingface_hub.utils import _http

        close_session()
        for name, value in self.environment(home, token).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "ENDPOINT", self.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", self.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HOME", str(home))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        for module in (_http, file_download):
            kept = {name: getattr(module.time, name) for name in ("time", "monotonic", "perf_counter")}
            monkeypatch.setattr(module, "time", SimpleNamespace(sleep=lambda _: None, **kept))


class Handler(BaseHTTPRequestHandler):
    """What both servers share: bodies, answers and faults."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        pass

    def _handle(self):
        self.body_read = False
        with self.hub.lock:
            self.hub.requests.append((self.command, self.path))
            self.fault = next(
                (f for f in self.hub.faults if f.times and f.method == self.command and re.search(f.path, self.path)),
                None,
            )
            if self.fault:
                self.fault.times -= 1
        fault = self.fault
        if fault and fault.hang:
            self.hub.stopped.wait()
            self.close_connection = True
        elif fault and fault.cut and self.command in ("PUT", "POST"):
            self.rfile.read(int(self.headers.get("Content-Length") or 2000) // 2)
            self._cut()
        elif fault and fault.status:
            self._body()
            self._error(fault.status, fault.message, **fault.headers)
        else:
            self.answer()

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _cut(self):
        """Close the connection so that the other side sees a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _body(self):
        if self.body_read:
            return b""
        self.body_read = True
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, status, content=b"", length=None, **headers):
        self._body()
        if self.fault and self.fault.corrupt and content:
            middle = len(content) // 2
            content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.fault and self.fault.cut:
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self._cut()
            return
        self.wfile.write(content)

    def _json(self, value, status=200, **headers):
        self._send(status, json.dumps(value).encode(), Content_Type="application/json", **headers)

    def _error(self, status, message, code="", **headers):
        extra = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **headers}
        self._json({"error": message}, status, **extra)


class StorageHandler(Handler):
    """The storage of large files: signed PUT and GET, no tokens."""

    def answer(self):
        oid = self.path.split("?")[0].strip("/")
        if self.command == "PUT":
            content = self._body()
            if f"{oid}?signed" not in self.path or oid not in self.hub.uploads:
                self._error(403, "The signature does not match.")
            elif hashlib.sha256(content).hexdigest() != oid:
                self._error(400, "The content's SHA-256 is not the one that was announced.")
            else:
                with self.hub.lock:
                    self.hub.objects[oid] = content
                self._send(200, ETag=f'"{oid}"')
        elif oid not in self.hub.objects:
            self._error(404, "There is no such object.")
        else:
            content = self.hub.objects[oid]
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if wanted:
                first, size = int(wanted[1]), len(content)
                self._send(206, content[first:], Content_Range=f"bytes {first}-{size - 1}/{size}")
            else:
                self._send(200, content, ETag=f'"{oid}"')


class HubHandler(Handler):
    """The Hub's API and its pages' downloads."""

    def answer(self):
        path = urllib.parse.urlsplit(self.path).path
        for method, pattern, action in ROUTES:
            if method == self.command.replace("HEAD", "GET") and (match := re.fullmatch(pattern, path)):
                action(self, **{name: urllib.parse.unquote(value or "") for name, value in match.groupdict().items()})
                return
        self._error(404, f"The stand-in has no {self.command} {path}.")

    @property
    def token(self):
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    @property
    def user(self):
        return self.hub.users.get(self.token)

    def _may_write(self, name):
        namespaces = {self.user, *self.hub.organizations.get(self.user, ())}
        return self.token not in self.hub.read_only and name.split("/")[0] in namespaces

    def _repository(self, kind, name, write=False):
        """Return a repository, None after an error was answered."""
        repository = self.hub.repositories.get((kind, name))
        hidden = repository is None or (
            repository.private and name.split("/")[0] not in {self.user, *self.hub.organizations.get(self.user, ())}
        )
        if self.token and self.user is None:
            self._error(401, "Invalid credentials in Authorization header")
        elif hidden and self.user is None:
            self._error(401, "Invalid username or password.")
        elif hidden:
            self._error(404, "Repository not found", "RepoNotFound")
        elif write and not self._may_write(name):
            self._error(403, "Authorization error.")
        else:
            return repository
        return None

    def _commit_of(self, repository, revision):
        oid = repository.resolve(revision)
        if oid is None:
            self._error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return oid

    def whoami(self):
        if self.user is None:
            self._error(401, "Invalid credentials in Authorization header")
            return
        organizations = [{"type": "org", "name": n} for n in self.hub.organizations.get(self.user, ())]
        role = "read" if self.token in self.hub.read_only else "write"
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": role}}
        self._json({"type": "user", "name": self.user, "orgs": organizations, "auth": auth})

    def create(self):
        asked = json.loads(self._body())
        name, kind = f"{asked.get('organization') or self.user}/{asked['name']}", asked.get("type") or "model"
        url = f"{self.hub.url}/{PREFIXES[kind]}{name}"
        if self.user is None:
            self._error(401, "Invalid username or password.")
        elif not self._may_write(name):
            self._error(
                403, f'You don\'t have the rights to create a {kind} under the namespace "{name.split("/")[0]}"'
            )
        elif (kind, name) in self.hub.repositories:
            self._json({"error": f"You already created this {kind} repo", "url": url}, 409)
        else:
            private = asked.get("visibility") == "private" or bool(asked.get("private"))
            self.hub.add(name, {}, kind=kind, private=private)
            repository = self.hub.repositories[kind, name]
            repository.sdk = asked.get("sdk")
            repository.variables = {
                v["key"]: {"key": v["key"], "value": v["value"]} for v in asked.get("variables", ())
            }
            self._json({"url": url, "name": name})

    def validate_yaml(self):
        asked = json.loads(self._body())
        errors = list(metadata_errors(asked["content"]))
        self._json({"errors": [{"message": e} for e in errors], "warnings": []}, 400 if errors else 200)

    def preupload(self, kind, name, revision):
        asked = json.loads(self._body())
        if not (repository := self._repository(kind, name, write=True)):
            return
        present = repository.files(revision)
        answers = []
        for file in asked["files"]:
            path, sample = file["path"], base64.b64decode(file["sample"])
            lfs = is_lfs(path, sample) or file["size"] > 10_000_000
            oid = None
            if path in present:
                oid = hashlib.sha256(present[path]).hexdigest() if lfs else git_hash(present[path])
            mode = "lfs" if lfs else "regular"
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._json({"files": answers})

    def lfs_batch(self, prefix, name):
        asked = json.loads(self._body())
        kind = next(kind for kind, known in PREFIXES.items() if known == prefix)
        if not self._repository(kind, name, write=True):
            return
        answers = []
        for item in asked["objects"]:
            answer = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.hub.objects:
                self.hub.uploads.add(item["oid"])
                verify = {"href": f"{self.hub.url}/{prefix}{name}.git/info/lfs/verify"}
                answer["actions"] = {"upload": {"href": f"{self.hub.storage}/{item['oid']}?signed"}, "verify": verify}
            answers.append(answer)
        self._json({"transfer": "basic", "objects": answers})

    def lfs_verify(self, prefix, name):
        asked = json.loads(self._body())
        content = self.hub.objects.get(asked["oid"])
        if content is None or len(content) != asked["size"]:
            self._error(404, "The object was not uploaded.")
        else:
            self._json({})

    def commit(self, kind, name, revision):
        lines = [json.loads(line) for line in self._body().splitlines()]
        if not (repository := self._repository(kind, name, write=True)):
            return
        with self.hub.lock:
            files, message = dict(repository.files(revision)), ""
            for line in lines:
                key, value = line["key"], line["value"]
                if key == "header":
                    message = value["summary"]
                    if value.get("parentCommit") not in (None, repository.branches[revision]):
                        self._error(412, "A commit has happened since. Please refresh and try again.")
                        return
                elif key == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif key == "lfsFile" and value["oid"] in self.hub.objects:
                    files[value["path"]] = self.hub.objects[value["oid"]]
                elif key == "deletedFile" and value["path"] in files:
                    del files[value["path"]]
                else:
                    self._error(400, f"{key} {value['path']} cannot be committed.")
                    return
            oid = repository.commit(files, message, revision)
        url = f"{self.hub.url}/{PREFIXES[kind]}{name}/commit/{oid}"
        self._json({"success": True, "commitOid": oid, "commitUrl": url})

    def info(self, kind, name, revision):
        if not (repository := self._repository(kind, name)):
            return
        if not (oid := self._commit_of(repository, revision or "main")):
            return
        siblings = [{"rfilename": path} for path in sorted(repository.commits[oid])]
        about = {"_id": oid[:24], "id": name, "sha": oid, "private": repository.private, "siblings": siblings}
        self._json({**about, "author": name.split("/")[0], "sdk": repository.sdk, "tags": [], "disabled": False})

    def tree(self, kind, name, revision):
        if not (repository := self._repository(kind, name)):
            return
        if not (oid := self._commit_of(repository, revision)):
            return
        entries = []
        for path, content in sorted(repository.commits[oid].items()):
            entry = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
            if is_lfs(path, content):
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
                pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n"
                entry["oid"] = git_hash(pointer.encode())
            entries.append(entry)
        self._json(entries)

    def refs(self, kind, name):
        if repository := self._repository(kind, name):
            found = {
                part: [{"name": n, "ref": f"refs/{folder}/{n}", "targetCommit": oid} for n, oid in table.items()]
                for part, folder, table in (
                    ("branches", "heads", repository.branches),
                    ("tags", "tags", repository.tags),
                )
            }
            self._json({**found, "converts": []})

    def tag(self, kind, name, revision):
        asked = json.loads(self._body())
        if not (repository := self._repository(kind, name, write=True)):
            return
        if not (oid := self._commit_of(repository, revision)):
            return
        if asked["tag"] in repository.tags:
            self._error(409, "Tag reference exists already")
        else:
            repository.tags[asked["tag"]] = oid
            self._json({})

    def variables(self, name):
        if repository := self._repository("space", name, write=True):
            self._json(repository.variables)

    def set_variable(self, name):
        asked = json.loads(self._body())
        if repository := self._repository("space", name, write=True):
            repository.variables[asked["key"]] = {"key": asked["key"], "value": asked["value"]}
            self._json(repository.variables)

    def resolve(self, prefix, name, revision, path):
        kind = next(kind for kind, known in PREFIXES.items() if known == prefix)
        if not (repository := self._repository(kind, name)):
            return
        if not (oid := self._commit_of(repository, revision)):
            return
        content = repository.commits[oid].get(path)
        if content is None:
            self._error(404, "Entry not found", "EntryNotFound", X_Repo_Commit=oid)
        elif is_lfs(path, content):
            digest = hashlib.sha256(content).hexdigest()
            linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
            self._send(302, X_Repo_Commit=oid, Location=f"{self.hub.storage}/{digest}?signed", **linked)
        elif self.command == "HEAD":
            self._send(200, length=len(content), ETag=f'"{git_hash(content)}"', X_Repo_Commit=oid)
        else:
            self._send(200, content, ETag=f'"{git_hash(content)}"', X_Repo_Commit=oid)


def metadata_errors(text):
    """Yield what is wrong with a card's metadata: a small part of what the Hub checks."""
    parts = re.match(r"---\n(.*?)\n---(\n|$)", text, re.DOTALL)
    try:
        metadata = yaml.safe_load(parts[1]) if parts else {}
    except yaml.YAMLError as error:
        yield f"YAML: {error}"
        return
    if not isinstance(metadata, dict):
        yield "the metadata must be a table"
        return
    for key in ("tags", "datasets", "metrics", "models"):
        if not all(isinstance(value, str) for value in metadata.get(key, [])):
            yield f'"{key}" must be a list of strings'
    for model in metadata.get("model-index", []):
        for result in model["results"]:
            if "type" not in result.get("task", {}):
                yield '"model-index" needs a task.type'
            if not {"name", "type"} <= set(result.get("dataset", {})):
                yield '"model-index" needs a dataset.name and a dataset.type'
            if not all({"type", "value"} <= set(metric) for metric in result.get("metrics", [])):
                yield '"model-index" needs the type and value of every metric'


_API = r"/api/(?P<kind>model|space|dataset)s/(?P<name>[^/]+/[^/]+)"
_GIT = r"/(?P<prefix>(?:spaces/|datasets/)?)(?P<name>[^/]+/[^/]+)"
ROUTES = [
    ("GET", "/api/whoami-v2", HubHandler.whoami),
    ("POST", "/api/repos/create", HubHandler.create),
    ("POST", "/api/validate-yaml", HubHandler.validate_yaml),
    ("POST", _API + "/preupload/(?P<revision>[^/]+)", HubHandler.preupload),
    ("POST", _GIT + r"\.git/info/lfs/objects/batch", HubHandler.lfs_batch),
    ("POST", _GIT + r"\.git/info/lfs/verify", HubHandler.lfs_verify),
    ("POST", _API + "/commit/(?P<revision>[^/]+)", HubHandler.commit),
    ("POST", _API + "/tag/(?P<revision>[^/]+)", HubHandler.tag),
    ("GET", _API + "(?:/revision/(?P<revision>[^/]+))?", HubHandler.info),
    ("GET", _API + "/tree/(?P<revision>[^/]+)/?", HubHandler.tree),
    ("GET", _API + "/refs", HubHandler.refs),
    ("GET", r"/api/spaces/(?P<name>[^/]+/[^/]+)/variables", HubHandler.variables),
    ("POST", r"/api/spaces/(?P<name>[^/]+/[^/]+)/variables", HubHandler.set_variable),
    ("GET", _GIT + "/resolve/(?P<revision>[^/]+)/(?P<path>.+)", HubHandler.resolve),
]
