"""The endpoints for programs over real HTTP: as the README shows them, as MCP tools, and what they leave behind."""

import asyncio
import base64
import importlib.util
import json
import re
import select
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file

from benchmarks.app_process import running_app
from skin_gradio import lesions
from skin_gradio.ui.dropzone import uploaded_path
from skin_gradio.ui.examples import write_examples
from skin_gradio.ui.expiry import Expiry

ROOT = Path(__file__).resolve().parents[1]
MCP = importlib.util.find_spec("mcp") is not None
ANSWER = {
    *("file", "status", "reason", "probabilities", "top_diagnosis", "malignancy_score", "doubts", "prediction_sets"),
    *("prior", "model", "revision"),
}


class App:
    """`app.py` as somebody else would run it, with its own temporary folder and a proxy that never answers."""

    def __init__(self, folder):
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.proxy = socket.create_server(("127.0.0.1", 0))
        outside = f"http://127.0.0.1:{self.proxy.getsockname()[1]}"
        proxies = {name: outside for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy")}
        environment = {**proxies, "NO_PROXY": "127.0.0.1,localhost", "TMPDIR": str(self.temporary)}
        self._running = running_app(*(["--mcp"] if MCP else []), environment=environment, log=folder / "log.txt")
        self.url, self.process = self._running.__enter__()

    def files(self):
        """The files that it keeps in the temporary folder now."""
        return [path for path in self.temporary.rglob("*") if path.is_file()]

    def called_outside(self):
        """Whether it has tried to reach another host."""
        return bool(select.select([self.proxy], [], [], 0)[0])

    def stop(self):
        """Stop it as a server is stopped, and wait until it has ended."""
        self._running.__exit__(None, None, None)
        self.proxy.close()


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    opened = App(tmp_path_factory.mktemp("app"))
    yield opened
    opened.stop()


@pytest.fixture(scope="module")
def lesion(tmp_path_factory):
    """A folder with the picture that the README's examples name."""
    folder = tmp_path_factory.mktemp("pictures")
    shutil.copy(write_examples(folder / "drawings")[1], folder / "lesion.jpg")
    return folder / "lesion.jpg"


@pytest.fixture(scope="module")
def client(app):
    return Client(app.url, verbose=False, analytics_enabled=False)


def blocks(language):
    """The README's code blocks in a language that ask a page that runs."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [code for code in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL) if "127.0.0.1:7860" in code]


def test_the_readmes_python_example_runs(app, lesion):
    (code,) = blocks("python")
    script = code.replace("http://127.0.0.1:7860", app.url.rstrip("/"))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=lesion.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "malignancy_score" in done.stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
def test_the_readmes_curl_example_runs(app, lesion):
    (code,) = blocks("bash")
    script = code.replace("http://127.0.0.1:7860", app.url.rstrip("/"))
    done = subprocess.run(["bash", "-euc", script], cwd=lesion.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(re.search(r"event: complete\ndata: (.*)", done.stdout).group(1))
    assert set(answer) == ANSWER


def test_an_answer_has_everything_that_the_page_shows(client, lesion):
    answer = client.predict(handle_file(lesion), api_name="/classify")
    assert set(answer) == ANSWER
    assert set(answer["probabilities"]) == set(lesions.CODES)
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["prior"] == "collection"
    assert [one["coverage"] for one in answer["prediction_sets"]] == [0.9, 0.95]
    assert all(answer["top_diagnosis"] or one["diagnoses"] for one in answer["prediction_sets"])
    assert answer["status"] == ("doubted" if answer["doubts"] else "ok")


def test_looking_carefully_gives_the_spread_of_the_views(client, lesion):
    once = client.predict(handle_file(lesion), "equal", api_name="/classify")
    careful = client.predict(handle_file(lesion), "equal", "", True, api_name="/classify")
    assert "views" not in once
    assert set(careful["views"]) == set(lesions.CODES)
    assert all(spread["lowest"] <= spread["highest"] for spread in careful["views"].values())
    assert careful["probabilities"] != once["probabilities"]


def test_a_bundled_model_can_be_asked_by_its_key(client, lesion):
    offered = client.predict(api_name="/models")
    assert [one["default"] for one in offered].count(True) == 1
    for one in offered:
        described = client.predict(one["key"], api_name="/model")
        assert described["key"] == one["key"]
        answer = client.predict(handle_file(lesion), "collection", one["key"], api_name="/classify")
        assert answer["model"] == described["name"]


@pytest.mark.parametrize("key", ["/etc", "user/repository", "no-such-model"])
def test_a_program_cannot_have_other_models_opened(client, lesion, key):
    with pytest.raises(Exception, match="model must be one of"):
        client.predict(handle_file(lesion), "collection", key, api_name="/classify")


def test_a_batch_gives_rows_and_a_csv(client, lesion, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    rows, csv = client.predict([handle_file(lesion), handle_file(bad)], api_name="/classify_batch")
    assert [row["status"] for row in rows] in (["ok", "failed"], ["doubted", "failed"])
    assert set(rows[0]) == ANSWER
    assert rows[1]["code"] == "not_an_image"
    assert "lesion.jpg" in Path(csv).read_text(encoding="utf-8-sig")


def test_every_endpoint_says_what_it_takes_and_gives(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {"/classify", "/classify_batch", "/model", "/models"}
    names = [parameter["parameter_name"] for parameter in endpoints["/classify"]["parameters"]]
    assert names == ["picture", "prior", "model", "carefully"]
    assert all(endpoint["description"] for endpoint in endpoints.values())


def call(app, name, *data):
    """Call an endpoint by plain HTTP; return what its stream says."""
    route = f"{app.url}gradio_api/call/{name}"
    event = httpx.post(route, json={"data": list(data)}, timeout=60).json()["event_id"]
    return httpx.get(f"{route}/{event}", timeout=60).text


@pytest.mark.parametrize("path", ["/etc/passwd", "/work", "../../app.py"])
def test_a_file_that_no_upload_made_is_not_read(app, path):
    said = call(app, "classify", {"path": path, "meta": {"_type": "gradio.FileData"}}, "collection", "", False)
    assert "event: error" in said
    assert "root:" not in said


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "/proc/self/environ", f"{ROOT}/app.py", "app.py", "weights/mobilenet_v2/model.json"),
        *("../../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "/", f"{ROOT}/.git/config"),
        *("https://example.org/lesion.jpg", "http://169.254.169.254/"),
    ],
)
def test_only_what_was_uploaded_or_made_for_the_page_is_served(app, path):
    for route in ("gradio_api/file=", "gradio_api/file/", "file=", "static/", "assets/", "gradio_api/proxy="):
        answer = httpx.get(f"{app.url}{route}{path}", timeout=60)
        assert answer.status_code in (400, 403, 404, 405), (route, answer.status_code, answer.text[:200])


def test_an_upload_is_served_to_who_knows_its_name_and_to_nobody_once_it_has_expired(app, lesion):
    with lesion.open("rb") as picture:
        (uploaded,) = httpx.post(f"{app.url}gradio_api/upload", files={"files": picture}, timeout=60).json()
    address = f"{app.url}gradio_api/file={uploaded}"
    assert httpx.get(address, timeout=60).content == lesion.read_bytes()
    (uploads,) = app.temporary.glob("skin-uploads-*")
    Expiry(uploads, age=0).sweep()
    assert httpx.get(address, timeout=60).status_code in (403, 404)


def test_nothing_is_fetched_that_a_request_names(app):
    for address in ("http://127.0.0.1:9/lesion.jpg", "https://example.org/lesion.jpg", "http://169.254.169.254/"):
        said = call(app, "classify", {"path": address, "meta": {"_type": "gradio.FileData"}}, "collection", "", False)
        assert "fetches nothing from other addresses" in said


@pytest.mark.skipif(not MCP, reason='mcp is not installed: pip install "gradio[mcp]"')
def test_the_endpoints_are_tools_of_an_mcp_server(app, lesion):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    picture = lesion.read_bytes()
    uploaded = httpx.post(f"{app.url}gradio_api/upload", files={"files": ("lesion.jpg", picture)}).json()[0]
    sent = "data:image/jpeg;base64," + base64.b64encode(picture).decode()

    async def talk():
        async with (
            streamable_http_client(f"{app.url}gradio_api/mcp/") as (reading, writing, _),
            ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            answers = [
                await session.call_tool("classify", {"picture": named, "prior": "equal"})
                for named in (sent, f"{app.url}gradio_api/file={uploaded}", "https://example.org/lesion.jpg")
            ]
            return {tool.name: tool for tool in tools}, answers

    tools, (inline, by_address, foreign) = asyncio.run(talk())
    assert set(tools) == {"classify", "classify_batch", "model", "models"}
    assert "no answer is a diagnosis" in tools["classify"].description
    assert set(tools["classify"].inputSchema["properties"]) == {"picture", "prior", "model", "carefully"}
    assert "top_diagnosis" in inline.content[0].text
    assert "top_diagnosis" in by_address.content[0].text
    assert foreign.isError


def test_the_program_calls_no_other_host(app, client, lesion):
    client.predict(handle_file(lesion), api_name="/classify")
    client.predict([handle_file(lesion)], api_name="/classify_batch")
    assert not app.called_outside()


# What stays


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has loaded is read from Linux' /proc")
def test_the_program_loads_no_package_that_it_has_no_use_for(app, client, lesion):
    client.predict(handle_file(lesion), api_name="/classify")
    loaded = Path(f"/proc/{app.process}/maps").read_text()
    assert "/onnxruntime/" in loaded
    assert not [name for name in ("matplotlib", "pyarrow", "scipy", "tensorflow") if f"/{name}/" in loaded]


def test_an_upload_expires_and_a_new_one_does_not(tmp_path):
    folder = tmp_path / "uploads" / "hash"
    folder.mkdir(parents=True)
    (folder / "old.jpg").write_bytes(b"a picture")
    expiry = Expiry(tmp_path / "uploads", age=3600)
    expiry.sweep(now=0)
    (folder / "new.jpg").write_bytes(b"a picture")
    expiry.sweep(now=3599)
    assert (folder / "old.jpg").exists()
    expiry.sweep(now=3601)
    assert [path.name for path in folder.iterdir()] == ["new.jpg"]
    expiry.sweep(now=7201)
    expiry.sweep(now=10802)
    assert list((tmp_path / "uploads").iterdir()) == []


def test_what_requests_left_on_disk_lies_where_it_expires(app, client, lesion):
    client.predict(handle_file(lesion), api_name="/classify")
    client.predict([handle_file(lesion)], api_name="/classify_batch")
    (uploads,) = app.temporary.glob("skin-uploads-*")
    kept = app.files()
    own = [path for path in kept if not path.is_relative_to(uploads)]
    assert all("skin-drawings" in str(path) for path in own)
    assert any(path.suffix == ".csv" for path in kept)
    Expiry(uploads, age=0).sweep()
    assert not [path for path in uploads.rglob("*") if path.is_file()]


def test_nothing_is_left_when_the_program_was_stopped(tmp_path, lesion):
    app = App(tmp_path)
    Client(app.url, verbose=False, analytics_enabled=False).predict(handle_file(lesion), api_name="/classify")
    assert any(path.name == "lesion.jpg" for path in app.files())
    app.stop()
    assert app.files() == []


def test_an_address_on_this_server_means_the_uploaded_file(tmp_path, monkeypatch):
    from gradio import Error

    from skin_gradio.ui.outside import own_file

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    (tmp_path / "a b.jpg").write_bytes(b"x")
    address = f"http://127.0.0.1:7860/gradio_api/file={tmp_path}/a%20b.jpg"
    assert asyncio.run(own_file(address, "")) == str(uploaded_path(f"{tmp_path}/a b.jpg"))
    for foreign in ("http://127.0.0.1:7860/gradio_api/file=/etc/passwd", "https://example.org/a.jpg"):
        with pytest.raises(Error, match="fetches nothing"):
            asyncio.run(own_file(foreign, ""))
