"""The Compose file of the cluster, as far as it runs without Docker: its Redis Cluster, and what starts Milvus."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers import provision
from tests.servers.ports import LOOPBACK, free_port
from tests.servers.redis import redis_program
from vecrec.config import Settings
from vecrec.errors import StoreError
from vecrec.metadata_stores import RedisMetadataStore

_FOLDER = Path(__file__).resolve().parents[2] / "examples" / "cluster"
_BUS = 10_000
_SECONDS = 60.0


@pytest.fixture
def services() -> dict[str, Any]:
    """The services of the Compose file."""
    found: dict[str, Any] = yaml.safe_load((_FOLDER / "compose.yaml").read_text())["services"]
    return found


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """What the script beside the Compose file writes."""
    shutil.copy(_FOLDER / "secrets.sh", tmp_path)
    subprocess.run([tmp_path / "secrets.sh"], check=True)
    return tmp_path / "secrets"


def test_the_secrets_are_random_and_what_the_containers_read(secrets: Path) -> None:
    """Each file of the Compose file is written; another call keeps them; only the owner enters their folder."""
    named = yaml.safe_load((_FOLDER / "compose.yaml").read_text())["secrets"].values()
    assert {secret["file"] for secret in named} == {f"./secrets/{file.name}" for file in secrets.iterdir()}
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in secrets.iterdir()} == {0o644}
    texts = {file.name: file.read_text() for file in secrets.iterdir()}
    redis = texts["redis_password"]
    assert re.fullmatch("[0-9a-f]{48}", redis)
    assert texts["redis.conf"] == f"requirepass {redis}\nmasterauth {redis}\n"
    assert re.fullmatch("[0-9a-f]{48}", texts["minio_password"])
    environ = {
        "VECREC_API_KEYS_FILE": str(secrets / "api_keys"),
        "VECREC_METADATA_STORE_FILE": str(secrets / "redis_url"),
    }
    settings = Settings.load(None, environ)
    assert settings.metadata_store == f"redis+cluster://:{redis}@redis-1:6379"
    assert all(re.fullmatch("admin:[0-9a-f]{48}", key) for key in settings.api_keys)
    assert len({redis, texts["minio_password"], *settings.api_keys}) == 3
    again = subprocess.run([secrets.parent / "secrets.sh"], capture_output=True, check=False)
    assert again.returncode
    assert {file.name: file.read_text() for file in secrets.iterdir()} == texts


@pytest.mark.redis_cluster
@pytest.mark.slow
def test_the_redis_cluster_forms_and_survives_a_master(services: dict[str, Any], secrets: Path, tmp_path: Path) -> None:
    """By the commands of the Compose file, twice; then its address is a metadata store, also without one master."""
    with _nodes(services, secrets, tmp_path) as (ports, running):
        form = [_local(word, ports, secrets) for word in services["redis-cluster"]["command"]]
        for _ in range(2):
            subprocess.run(form, check=True, capture_output=True, timeout=_SECONDS)
        url = (secrets / "redis_url").read_text().replace("redis-1:6379", f"{LOOPBACK}:{ports[-1]}")
        with RedisMetadataStore(url) as store:
            store.put("item", {n: {"title": f"Film {n}"} for n in range(500)})
            password = (secrets / "redis_password").read_text()
            _wait(lambda: sum(_is_copied(port, password) for port in ports) == 3)
            running[0].kill()
            running[0].wait()
            _wait(lambda: _count(store) == 500)
            store.put("item", {500: {"title": "Film 500"}})
            assert store.get("item", [0, 500]) == {0: {"title": "Film 0"}, 500: {"title": "Film 500"}}


@pytest.mark.redis_cluster
def test_a_redis_node_without_the_password_answers_nothing(
    services: dict[str, Any], secrets: Path, tmp_path: Path
) -> None:
    """The file with the password is read, and the check of its health uses it."""
    with _nodes(services, secrets, tmp_path, 1) as ((port,), _):
        assert "NOAUTH" in _ask(port, "ping")
        _, check = services["redis-1"]["healthcheck"]["test"]
        check = check.replace("redis-cli", f"redis-cli -p {port}").replace("/run/secrets", str(secrets))
        subprocess.run(["sh", "-c", check.replace("$$", "$")], check=True, capture_output=True)


@pytest.mark.milvus
def test_milvus_knows_the_roles_and_gets_the_key_of_minio(services: dict[str, Any], secrets: Path) -> None:
    """The program of this version lists each role and flag; its start hands over the password of the file."""
    home = provision.milvus_home()
    told = subprocess.run(
        [home / "milvus"], capture_output=True, text=True, check=False, env={**os.environ, "LD_LIBRARY_PATH": str(home)}
    )
    commands = [service["command"] for service in services.values() if "milvusdb" in service["image"]]
    assert len(commands) == 5
    for word in (word for command in commands for word in command):
        assert re.search(rf"^\s+{word}\b", told.stdout + told.stderr, re.MULTILINE), word
    shell, option, script, name = services["proxy"]["entrypoint"]
    shown = (
        script.replace("$$", "$")
        .replace("/run/secrets", str(secrets))
        .replace("exec milvus", 'echo "$MINIO_SECRET_ACCESS_KEY" milvus')
    )
    found = subprocess.run([shell, option, shown, name, "proxy"], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [(secrets / "minio_password").read_text(), "milvus", "run", "proxy"]


@contextmanager
def _nodes(
    services: dict[str, Any], secrets: Path, folder: Path, count: int = 6
) -> Iterator[tuple[list[int], list[subprocess.Popen[bytes]]]]:
    """The Redis nodes of the Compose file as processes of this machine."""
    ports = [free_port(beside=_BUS) for _ in range(count)]
    with ExitStack() as stack:
        running = []
        for number, port in enumerate(ports):
            (folder / f"redis-{number}").mkdir()
            words = [_local(word, ports, secrets) for word in services[f"redis-{number + 1}"]["command"][1:]]
            command = [str(redis_program()), *words, "--port", str(port), "--bind", LOOPBACK]
            started = subprocess.Popen(command, cwd=folder / f"redis-{number}", stdout=subprocess.DEVNULL)
            stack.callback(started.wait)
            stack.callback(started.kill)
            running.append(started)
        _wait(lambda: all("NOAUTH" in _ask(port, "ping") for port in ports))
        yield ports, running


def _wait(done: Callable[[], bool]) -> None:
    end = time.monotonic() + _SECONDS
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


def _ask(port: int, *words: str, password: str = "") -> str:
    """What a node says."""
    command = [str(provision.require("redis-cli", ["redis-tools"])), "-p", str(port), *words]
    environ = {**os.environ, **({"REDISCLI_AUTH": password} if password else {})}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ).stdout


def _is_copied(port: int, password: str) -> bool:
    """Whether a node is a master and its replica has all that it has."""
    told = dict(
        line.split(":", 1) for line in _ask(port, "info", "replication", password=password).split() if ":" in line
    )
    return (
        told["role"] == "master"
        and told.get("slave0", "").split("offset=")[-1].split(",")[0] == told["master_repl_offset"]
    )


def _local(word: str, ports: list[int], secrets: Path) -> str:
    """A word of a command of the Compose file, as it is on this machine."""
    for number, port in enumerate(ports):
        word = word.replace(f"172.31.57.{11 + number}:6379", f"{LOOPBACK}:{port}")
    return word.replace("/run/secrets", str(secrets)).replace("$$", "$")


def _count(store: Any) -> int | None:
    try:
        return int(store.count("item"))
    except StoreError:
        return None
