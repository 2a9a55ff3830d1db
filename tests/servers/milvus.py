"""Milvus standalone, the real server, out of the wheel that embeds it."""

from __future__ import annotations

import os
import re
import shutil
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import provision
from tests.servers.base import ProcessServer
from tests.servers.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A place in the template of its settings: {{ name }}, {{ name: default }} or {{ name(type): default }}.
_PLACE = re.compile(r"\{\{\s*(\w+)(?:\(\w+\))?\s*(?::\s*([^}]*?))?\s*\}\}")

_ETCD = """\
name: default
data-dir: {directory}/data/etcd
listen-client-urls: http://{host}:{client}
advertise-client-urls: http://{host}:{client}
listen-peer-urls: http://{host}:{peer}
initial-advertise-peer-urls: http://{host}:{peer}
initial-cluster: default=http://{host}:{peer}
log-level: warn
"""


_PARTS = ("rootCoord", "proxy", "queryCoord", "queryNode", "indexNode", "dataCoord", "dataNode")
_SETTINGS: Mapping[str, object] = {
    # Its parts find each other by the machine's first address unless they are told.
    **{f"{part}.ip": LOOPBACK for part in _PARTS},
    "log.level": "warn",
    "log.file.rootPath": '""',
    # After a stop the next start waits for the old sessions to lapse; 30 seconds by default.
    "common.session.ttl": 10,
}

# It notes here which process it was: a path fixed in its program, whatever TMPDIR and its settings say.
_IDENTITIES = Path("/tmp/milvus")


class MilvusServer(ProcessServer):
    """One Milvus standalone server with its own etcd inside.

    It answers as soon as `start` returns, but after a restart its collections count as "not loaded" for some
    seconds more, as they do with any Milvus: clients wait for their own. A pause of more than ten seconds
    costs it its session, and it ends.

    Args:
        settings: Values to set in `milvus.yaml`, by dotted name, such as `{"log.level": "info"}`.
    """

    name = "milvus"
    variable = "VECREC_TEST_MILVUS_URI"
    start_timeout = 120.0

    def __init__(self, settings: Mapping[str, object] | None = None) -> None:
        super().__init__()
        self.port = 0
        self._health_port = 0
        self._settings = {**_SETTINGS, **(settings or {})}

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def kill(self) -> None:
        self._forget_identity()
        super().kill()

    def stop(self) -> None:
        self._forget_identity()
        super().stop()

    def _prepare(self, directory: Path) -> None:
        self._health_port = free_port()
        etcd, peer = free_port(), free_port()
        values = {
            "etcd_port": str(etcd),
            "etcd_log_level": "warn",
            "etcd_data_dir": str(directory / "data" / "etcd"),
            "local_storage_dir": str(directory / "data"),
            "rocksmq_data_dir": str(directory / "data" / "rocksmq"),
        }
        template = (provision.milvus_home() / "config.yaml.template").read_text("utf-8")
        text, values = _fill(template, values)
        self.port = int(values["proxy_port"])
        configs = directory / "configs"
        configs.mkdir()
        shutil.copy(provision.milvus_home() / "glog.conf", configs)
        (configs / "milvus.yaml").write_text(_override(text, self._settings), "utf-8")
        # The port on which etcd meets its peers is 2380 unless a file of etcd's own says otherwise.
        places = {"directory": directory, "host": LOOPBACK, "client": etcd, "peer": peer}
        (configs / "etcd.yaml").write_text(_ETCD.format(**places), "utf-8")

    def _command(self, directory: Path) -> Sequence[str]:
        del directory
        return [str(provision.milvus_home() / "milvus"), "run", "standalone"]

    def _environment(self, directory: Path) -> Mapping[str, str]:
        libraries = [str(provision.milvus_home()), os.environ.get("LD_LIBRARY_PATH", "")]
        return {
            **super()._environment(directory),
            "DEPLOY_MODE": "STANDALONE",
            "ETCD_CONFIG_PATH": str(directory / "configs" / "etcd.yaml"),
            "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
            "METRICS_PORT": str(self._health_port),
            "MILVUS_RUN_DIR": str(directory / "run"),
        }

    def _healthy(self) -> bool:
        address = f"http://{LOOPBACK}:{self._health_port}/healthz"
        # No proxy of the environment stands between this process and its own child.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(address, timeout=5) as answer:
            return bool(answer.read().startswith(b"OK"))

    def _forget_identity(self) -> None:
        if self.running:
            (_IDENTITIES / f"server_id_{self.pid}").unlink(missing_ok=True)


def _fill(template: str, values: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Fill the places of a template from `values`, free ports and defaults; give the text and all values."""
    filled = dict(values)

    def value(place: re.Match[str]) -> str:
        name, default = place.group(1), place.group(2)
        if name not in filled:
            filled[name] = str(free_port()) if name.endswith("_port") else (default or '""')
        return filled[name]

    return _PLACE.sub(value, template), filled


def _override(text: str, settings: Mapping[str, object]) -> str:
    """Set values in block-style YAML by their dotted names, which spares a YAML library.

    Raises:
        KeyError: A name is not in the text.
    """
    missing = set(settings)
    path: list[str] = []
    lines = []
    for line in text.splitlines():
        key = re.match(r"( *)(\w+):", line)
        if key is not None:
            path[len(key.group(1)) // 2 :] = [key.group(2)]
            name = ".".join(path)
            if name in missing:
                missing.discard(name)
                line = f"{key.group(0)} {settings[name]}"  # noqa: PLW2901
        lines.append(line)
    if missing:
        raise KeyError(f"milvus.yaml has no settings {sorted(missing)}")
    return "\n".join([*lines, ""])
