"""What is offered to be started: the Compose file is one, and the command without Docker ends in a page."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from compose_spec import PyOptions

from tests.cli.conftest import write_catalogue
from tests.image import allowed, instructions
from tests.servers.ports import free_port
from tests.serving.web import get
from vecrec.config import Settings

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = _ROOT / "examples" / "quick_deploy"
_CLUSTER = _ROOT / "examples" / "cluster"
_MILVUS = {"coordinator", "proxy", "querynode", "datanode", "indexnode", "etcd", "minio", "pulsar"}
_REDIS = {"redis-cluster", *(f"redis-{number}" for number in range(1, 7))}
_FILES = {
    _FOLDER: {"milvus", "redis", "mysql", "service", "train"},
    _CLUSTER: {"service", "train", *_MILVUS, *_REDIS},
}
_each_file = pytest.mark.parametrize("folder", _FILES, ids=lambda folder: folder.name)


def _parsed(text: str) -> Any:
    options = PyOptions()
    options.apply_merge = True
    parsed = options.from_yaml(text)
    parsed.validate()
    return parsed


@_each_file
def test_the_compose_file_is_one(folder: Path) -> None:
    """It fits the Compose specification, and every volume, secret, file and dependency that it names is there."""
    text = (folder / "compose.yaml").read_text()
    _parsed(text)
    document = yaml.safe_load(text)
    services = document["services"]
    assert set(services) == _FILES[folder]
    assert services["train"]["profiles"] == ["train"]
    for name, service in services.items():
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert set(service.get("secrets", [])) <= set(document["secrets"]), name
        assert {each["source"] for each in service.get("configs", [])} <= set(document.get("configs", [])), name
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= set(document["volumes"]), name
        assert set(service.get("networks", [])) <= set(document.get("networks", [])), name
        for other, until in service.get("depends_on", {}).items():
            if until["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for the health of {other}"
            else:
                assert until["condition"] == "service_completed_successfully"
                assert services[other]["restart"] == "no", f"{name} waits for the end of {other}"


@_each_file
def test_no_secret_is_in_the_compose_file(folder: Path) -> None:
    """They come as files, and none of them is there before the user makes it."""
    document = yaml.safe_load((folder / "compose.yaml").read_text())
    for service in document["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|KEY(?!_ID)|METADATA_STORE", name):
                assert name.endswith("_FILE") or value == "yes", name
            assert "@" not in value
            if name.startswith("VECREC_") and name.endswith("_FILE"):
                assert value.removeprefix("/run/secrets/") in service["secrets"]
                assert hasattr(Settings(), name.removeprefix("VECREC_").removesuffix("_FILE").lower())
            elif name.startswith("VECREC_"):
                assert hasattr(Settings(), name.removeprefix("VECREC_").lower())
    for secret in document["secrets"].values():
        file = re.sub(r"\$\{\w+:-(.*)\}", r"\1", secret["file"])
        assert file == "./redis_url" or not (folder / file).exists()


def test_the_address_that_is_there_by_default_has_no_password() -> None:
    """It is read by the settings as the service does."""
    text = (_FOLDER / "compose.yaml").read_text()
    assert "${METADATA_STORE_FILE:-./redis_url}" in text
    assert (_FOLDER / "redis_url").read_text() == "redis://redis:6379/0\n"
    settings = Settings.load(None, {"VECREC_METADATA_STORE_FILE": str(_FOLDER / "redis_url")})
    assert settings.metadata_store == "redis://redis:6379/0"


def test_the_service_of_the_compose_file_asks_for_a_key(tmp_path: Path) -> None:
    """The user makes it by the command at the top of the file; no default and no empty file opens the service."""
    text = (_FOLDER / "compose.yaml").read_text()
    document = yaml.safe_load(text)
    assert document["services"]["service"]["environment"]["VECREC_API_KEYS_FILE"] == "/run/secrets/api_keys"
    assert document["secrets"]["api_keys"] == {"file": "${API_KEYS_FILE:-./api_keys}"}
    assert not (_FOLDER / "api_keys").exists()
    command = re.search(r'^# +(echo "admin:.* > api_keys)', text, re.MULTILINE)
    assert command
    keys = []
    for _ in range(2):
        subprocess.run(["sh", "-ec", command[1]], cwd=tmp_path, check=True)
        keys.append(Settings.load(None, {"VECREC_API_KEYS_FILE": str(tmp_path / "api_keys")}).api_keys)
    assert all(re.fullmatch("admin:[0-9a-f]{48}", key) for (key,) in keys)
    assert keys[0] != keys[1]
    (tmp_path / "api_keys").write_text("\n")
    environ = {**os.environ, "VECREC_API_KEYS_FILE": str(tmp_path / "api_keys")}
    command_line = [sys.executable, "-m", "vecrec", "serve", "--port", "0"]
    found = subprocess.run(
        command_line, capture_output=True, text=True, cwd=tmp_path, env=environ, timeout=120, check=False
    )
    assert found.returncode == 2
    assert "holds no key" in found.stderr


def test_the_builder_gets_what_the_image_is_made_of() -> None:
    """And nothing else: no tests, no history, no artifacts. The user's number is the one that the image makes."""
    steps = instructions((_FOLDER / "Dockerfile").read_text())
    copied = [name for step, rest in steps if step == "COPY" for name in rest.split()[:-1]]
    assert copied
    for name in copied:
        assert (_ROOT / name).exists(), name
        assert allowed(name), name
    inside = ["src/vecrec/__init__.py", "src/vecrec/serving/page/files/app.js"]
    outside = [".git/config", "tests/image.py", "docs/conf.py", "src/vecrec/__pycache__/ids.pyc", "artifacts/x", "a.db"]
    assert [name for name in [*inside, *outside] if allowed(name)] == inside
    user = yaml.safe_load((_FOLDER / "compose.yaml").read_text())["services"]["service"]["user"]
    assert any(f"--uid {user} " in rest for step, rest in steps if step == "RUN")
    assert ("USER", "vecrec") in steps


@pytest.mark.parametrize(
    ("good", "bad"),
    [("image: redis:7.4.2", "imge: redis:7.4.2"), ("interval: 5s", "interval: soon")],
)
def test_a_wrong_compose_file_would_be_caught(good: str, bad: str) -> None:
    """The test above is not there for show."""
    text = (_FOLDER / "compose.yaml").read_text()
    assert good in text
    with pytest.raises((ValueError, RuntimeError)):
        _parsed(text.replace(good, bad))


@_each_file
def test_every_image_is_pinned(folder: Path) -> None:
    """To a whole version: tomorrow's build is today's."""
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    images = [each["image"] for each in services.values()]
    images += re.findall(r"^FROM (\S+)", (_FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    for image in images:
        assert re.search(r":(v?\d+\.\d+\.\d+|RELEASE\.[\dTZ-]+)", image), image


@_each_file
def test_only_the_service_is_to_be_reached_and_from_this_machine_only(folder: Path) -> None:
    """The stores listen inside."""
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    assert {name: each["ports"] for name, each in services.items() if "ports" in each} == {
        "service": ["127.0.0.1:8000:8000"]
    }


def test_one_command_without_docker_ends_in_a_page(tmp_path: Path) -> None:
    """It trains, serves the page, and Ctrl-C ends it and cleans up."""
    log, items = write_catalogue(tmp_path)
    port = free_port()
    train = ["--interactions", str(log), "--items", str(items), "--encoder", "content", "--dim", "16", "--quiet"]
    command = [sys.executable, str(_FOLDER / "run.py"), "--embedded", "--port", str(port), "--", *train]
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        end = time.monotonic() + 60
        while True:
            assert started.poll() is None
            assert time.monotonic() < end
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health/ready", trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        assert "<!doctype html>" in httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).text
        found = get(httpx.get(f"http://127.0.0.1:{port}/v1/users/3/recommendations", trust_env=False))
        assert len(found["items"]) == 10
    finally:
        started.send_signal(signal.SIGINT)
        _, errors = started.communicate(timeout=120)
    assert started.returncode in (0, 130), errors
    assert "ready after" in errors


def test_what_was_trained_stays_where_a_check_refuses_it(tmp_path: Path) -> None:
    """And the last line says where; nothing stays where nothing was trained."""
    log, items = write_catalogue(tmp_path)
    (tmp_path / "strict.py").write_text("def check(candidate):\n    raise ValueError('not today')\n")
    train = ["--interactions", str(log), "--items", str(items), "--encoder", "content", "--dim", "16", "--quiet"]
    command = [sys.executable, str(_FOLDER / "run.py"), "--embedded", "--port", str(free_port()), "--", *train]
    folders = tmp_path / "folders"
    folders.mkdir()
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "TMPDIR": str(folders), "PYTHONPATH": path}

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        whole = [*command, *more]
        return subprocess.run(
            whole, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120, check=False
        )

    found = run("--check", "strict:check")
    (folder,) = folders.glob("vecrec-quick-deploy-*")
    assert found.returncode == 1, found.stderr
    assert "not today" in found.stderr
    assert f"stays in {folder}, for vecrec publish --trained" in found.stderr
    assert any(folder.rglob("arrays.npz"))
    shutil.rmtree(folder)
    found = run("--users", "nowhere.csv")
    assert found.returncode == 2, found.stderr
    assert not [*folders.glob("vecrec-quick-deploy-*")]


def test_a_port_in_use_is_told_before_the_training(tmp_path: Path) -> None:
    """With what to do; nothing is started, fetched or trained."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, str(_FOLDER / "run.py"), "--port", str(port), "--", "--interactions", "no such file"]
        found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert found.returncode == 2
    assert f"port {port} cannot be listened on" in found.stderr
    assert "--port" in found.stderr
    assert "starting" not in found.stderr
    assert found.stdout == ""
