"""The steps of the image's Dockerfile, carried out in a fresh Debian without Docker; then it trains and serves.

    tox run -e image                         # as root, with debootstrap installed; takes minutes

In place of the base image stands a Debian of the same release with its Python. RUN and COPY are carried out as they are
written; COPY copies what `.dockerignore` lets through. At the end the OpenMP runtime is removed, to see that the step
which installs it is needed and that the error names it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "examples" / "quick_deploy" / "Dockerfile"
BASE = "python:3.11"
SUITE = "bookworm"
"""The Debian of the base image."""
_PACKAGES = "python3,python3-venv,ca-certificates"
_TRAIN = [
    "vecrec", "train", "--interactions", "/tmp/log.csv", "--items", "/tmp/items.csv", "--encoder", "two_tower",
    "--dim", "16", "--option", 'settings={"epochs": 1}', "--no-beat-popularity", "--index-recall", "0",
]  # fmt: skip

_ENTER = """\
mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" \
    && exec chroot --userspec="$1" "$0" sh -c 'cd "$0" && exec "$@"' "${@:2}"
"""
"""Enters a root ($0) as a user ($1) in a directory ($2) and runs the rest."""


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, each with its arguments on one line."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = (line.partition(" ") for line in joined.splitlines())
    return [(name, rest.strip()) for name, _, rest in pairs]


def allowed(path: str) -> bool:
    """Whether `.dockerignore` lets a path of the repository through; its last rule that matches decides."""
    kept = True
    for rule in (ROOT / ".dockerignore").read_text("utf-8").split("\n"):
        if not rule or rule.startswith("#"):
            continue
        pattern = re.escape(rule.removeprefix("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if re.match(f"{pattern}(/|$)", path):
            kept = rule.startswith("!")
    return kept


class Image:
    """A directory that becomes what the image would be."""

    def __init__(self, root: Path) -> None:
        self.root, self.user, self.place = root, "root", "/"
        self.entrypoint: list[str] = []
        self.command: list[str] = []

    def make_base(self, mirror: str) -> None:
        """Install a Debian, unless there is one, and its Python where the base image has its own."""
        if not self.root.exists():
            say(f"debootstrap {SUITE} from {mirror}")
            command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", SUITE, str(self.root), mirror]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for name in ("/etc/resolv.conf", "/etc/hosts", os.environ.get("SSL_CERT_FILE", "")):
            if name and Path(name).is_file():
                shutil.copy(name, self.root / name.lstrip("/"))
        self.run(["python3", "-m", "venv", "/usr/local"])

    def build(self, text: str) -> None:
        """Carry out a Dockerfile."""
        for name, rest in instructions(text):
            say(f"{name} {rest[:100]}")
            began = time.monotonic()
            if name == "RUN":
                self.run(["sh", "-c", rest])
                say(f"    {time.monotonic() - began:.0f} s")
            elif name == "COPY":
                self._copy(rest.split())
            elif name == "FROM":
                assert rest.startswith(BASE), rest
                assert rest.endswith(SUITE), rest
            elif name in ("USER", "WORKDIR"):
                self.user, self.place = (rest, self.place) if name == "USER" else (self.user, rest)
            elif name in ("ENTRYPOINT", "CMD"):
                self.entrypoint, self.command = (
                    (json.loads(rest), self.command) if name == "ENTRYPOINT" else (self.entrypoint, json.loads(rest))
                )
            else:
                assert name == "EXPOSE", f"this script does not know {name}"

    def _copy(self, names: Sequence[str]) -> None:
        *sources, target = names
        for source in sources:
            files = [ROOT / source] if (ROOT / source).is_file() else sorted((ROOT / source).rglob("*"))
            for file in files:
                inner = file.relative_to(ROOT).as_posix()
                if file.is_file() and allowed(inner):
                    into = self.root / target.lstrip("/")
                    into = into / file.relative_to(ROOT / source) if (ROOT / source).is_dir() else into / file.name
                    into.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, into)

    def run(self, command: Sequence[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as its user and in its working directory."""
        done = subprocess.run(self._inside(command), capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done

    def start(self, arguments: Sequence[str]) -> subprocess.Popen[str]:
        """Start what a container would run, with other arguments than its own."""
        return subprocess.Popen(self._inside([*self.entrypoint, *(arguments or self.command)]), text=True)

    def _inside(self, command: Sequence[str]) -> list[str]:
        passed = {name: value for name, value in os.environ.items() if name in ("SSL_CERT_FILE", "PIP_INDEX_URL")}
        if "SSL_CERT_FILE" in passed:
            passed["PIP_CERT"] = passed["SSL_CERT_FILE"]
        home = "/root" if self.user == "root" else f"/home/{self.user}"
        given = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": home, "VECREC_NAME": "demo", **passed}
        variables = [f"{name}={value}" for name, value in given.items()]
        # The mounts are gone with the process that they were made for.
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        enter = ["bash", "-c", _ENTER, str(self.root), self.user, self.place]
        return [*apart, *enter, "env", "-i", *variables, *command]


def megabytes(root: Path) -> int:
    """What the files below a directory take on the disk, in MB."""
    listed = subprocess.run(["du", "-sx", "--block-size=MB", root], capture_output=True, text=True, check=True)
    return int(listed.stdout.partition("MB")[0])


def write_data(folder: Path) -> None:
    """A catalogue of which even users like even items."""
    pairs = [f"{user},{(user % 2 + 2 * (user + n)) % 40},{1000 + 8 * user + n}" for user in range(60) for n in range(8)]
    (folder / "log.csv").write_text("\n".join(["user_id,item_id,time", *pairs]))
    items = [f"{n},Film {n},{'noir' if n % 2 else 'western'}" for n in range(40)]
    (folder / "items.csv").write_text("\n".join(["item_id,title,genre", *items]))


def answers(address: str, seconds: float = 120) -> dict[str, object]:
    """What an address answers, once it does."""
    end = time.monotonic() + seconds
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with opener.open(address, timeout=10) as answer:
                found: dict[str, object] = json.load(answer)
                return found
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def prove(image: Image, port: int) -> None:
    """Version, training and service, as the image's user; then what is said where the OpenMP runtime is missing."""
    say(image.run(["vecrec", "--version"]).stdout.strip())
    say(image.run(["sh", "-c", "id; pwd; touch here && rm here"]).stdout.strip())
    write_data(image.root / "tmp")
    began = time.monotonic()
    say(image.run([*_TRAIN, "--quiet"]).stdout.strip())
    say(f"    trained in {time.monotonic() - began:.0f} s")
    say(image.run(["vecrec", "recommend", "3", "-k", "3"]).stdout.strip())
    service = image.start(["serve", "--port", str(port)])
    try:
        say(f"ready: {answers(f'http://127.0.0.1:{port}/health/ready')}")
        found = answers(f"http://127.0.0.1:{port}/v1/users/3/recommendations?k=3")
        say(f"recommended: {found['items']}")
    finally:
        for child in _children(service.pid):
            os.kill(child, 15)
        say(f"the service ended with {service.wait(300)}")
    user, image.user = image.user, "root"
    image.run(["dpkg", "--purge", "--force-depends", "libgomp1"])
    image.user = user
    lacking = image.run(_TRAIN, check=False)
    say(f"without libgomp1: status {lacking.returncode}: {' '.join(lacking.stderr.split())}")
    assert lacking.returncode, "the runtime is not needed any more"
    assert "does not load" in lacking.stderr
    assert "libgomp" in lacking.stderr


def _children(pid: int) -> Iterator[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return map(int, listed.stdout.split())


def say(text: str) -> None:
    """Tell people what is going on."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Build the image's content and use it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mirror", default="http://deb.debian.org/debian", help="of Debian (%(default)s)")
    parser.add_argument("--port", type=int, default=8093, help="for the service (%(default)s)")
    parser.add_argument("--base", type=Path, help="a directory that debootstrap has filled, which is changed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vecrec-image-") as folder:
        image = Image(options.base or Path(folder) / "root")
        Path(folder).chmod(0o755)
        began = time.monotonic()
        image.make_base(options.mirror)
        base = megabytes(image.root)
        image.build(DOCKERFILE.read_text("utf-8"))
        say(f"built in {time.monotonic() - began:.0f} s: {megabytes(image.root)} MB, of which {base} are the base")
        prove(image, options.port)


if __name__ == "__main__":
    main()
