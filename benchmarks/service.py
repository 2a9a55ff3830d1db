"""What the service adds to a recommendation, and what it bears.

    python -m benchmarks.service                 # a Milvus server and a Redis of its own; wrk from Debian
    python -m benchmarks.service --seconds 30 --rounds 2000

A process of its own serves as many items as MovieLens 1M has, in 256 dimensions, to users with 165 events, without
PaddlePaddle. First the same users are asked for in turns, in this process and over one connection, request by request;
beside the times stands the processor time of both sides, which neighbours on the machine change little. Then wrk asks
on the loopback over 1, 16 and 64 connections, beside as many threads that call the library in this process. The
service, wrk, the stores and the other side share the machine's cores, so throughput is theirs together.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._jobs import in_threads
from benchmarks._report import report
from benchmarks._timing import interleaved
from benchmarks.serving import ITEMS, USERS, K, dataset
from tests.servers import provision
from tests.servers.milvus import MilvusServer
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from vecrec import Recommender, ReleaseChecks
from vecrec.config.compose import open_metadata_store
from vecrec.config.settings import Settings
from vecrec.encoders import ContentEncoder
from vecrec.vector_stores.opening import open_vector_store

BARS = {"overhead_ms": 2.0, "ready_seconds": 3.0, "memory_mb": 250.0}
CONNECTIONS = (1, 16, 64)
NAME = "bench"
_WARMUP = 20

_WRK = """
function request() return wrk.format("GET", "/v1/users/" .. math.random(FIRST, LAST) .. "/recommendations?k=K") end
function done(summary, latency, requests)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  local p50, p99 = latency:percentile(50) / 1000, latency:percentile(99) / 1000
  local form = '\\n{"p50": %f, "p99": %f, "requests": %d, "seconds": %f, "errors": %d}\\n'
  io.write(string.format(form, p50, p99, summary.requests, summary.duration / 1e6, errors))
end
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Publish, serve, ask, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000, help="requests of each side, in turns (%(default)s)")
    parser.add_argument("--seconds", type=int, default=10, help="how long each load lasts (%(default)s)")
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vecrec-bench-")))
        settings = Settings(
            name=NAME,
            artifacts=str(folder),
            vector_store=stack.enter_context(MilvusServer()).url,
            metadata_store=stack.enter_context(RedisServer()).url,
            port=free_port(),
            max_in_flight=1000,
        )
        recommender = stack.enter_context(published(settings))
        figures = measure(recommender, settings, folder, options)
    show(figures)


def published(settings: Settings) -> Recommender:
    """The catalogue in both stores."""
    vectors = open_vector_store(settings.vector_store_uri)
    metadata = open_metadata_store(settings.metadata_store_url, settings.metadata_prefix)
    checks = ReleaseChecks(beat_popularity=False)
    recommender = Recommender(
        ContentEncoder(dim=256), vectors, metadata, name=NAME, artifacts=settings.artifacts, checks=checks
    )
    recommender.fit(dataset())
    return recommender


def measure(recommender: Recommender, settings: Settings, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    with service(settings) as (process, ready):
        idle = resident(process.pid)
        one = overhead(recommender, process.pid, settings.port, options.rounds)
        before = resident(process.pid)
        loads = {}
        for connections in CONNECTIONS:
            asked = wrk(settings.port, connections, options.seconds, folder)
            loads[str(connections)] = {"http": asked, "in_process": threads(recommender, connections, options.seconds)}
        requests = sum(each["http"]["requests"] for each in loads.values())
        memory = {"idle_mb": idle, "before_mb": before, "after_mb": resident(process.pid), "requests": requests}
    return {"benchmark": "service", "ready_seconds": ready, "memory": memory, "one_connection": one, "loads": loads}


@contextlib.contextmanager
def service(settings: Settings, python: str = sys.executable) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """The service as a process, and the seconds from its start until it was ready."""
    names = ("name", "artifacts", "vector_store", "metadata_store", "port", "max_in_flight")
    environment = os.environ | {f"VECREC_{name.upper()}": str(getattr(settings, name)) for name in names}
    # As where PaddlePaddle is not installed: an import of it fails.
    script = "import sys; sys.modules['paddle'] = None; from vecrec.cli import main; sys.exit(main(['serve']))"
    began = time.monotonic()
    process = subprocess.Popen([python, "-c", script], env=environment, stderr=subprocess.DEVNULL)
    try:
        while not is_ready(settings.port):
            if process.poll() is not None or time.monotonic() - began > 120:
                raise RuntimeError("the service did not become ready")
            time.sleep(0.02)
        yield process, round(time.monotonic() - began, 2)
    finally:
        process.terminate()
        process.wait(30)


def is_ready(port: int) -> bool:
    """Whether the service can serve."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False


def overhead(recommender: Recommender, process: int, port: int, rounds: int) -> dict[str, float]:
    """The median of a recommendation here and over one connection, and the processors' part of it, in milliseconds."""
    users, spent = itertools.cycle(range(USERS)), [0.0, 0.0]

    def in_process() -> None:
        began = time.process_time()
        recommender.recommend(next(users), K)
        spent[0] += time.process_time() - began

    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:

        def over_http() -> None:
            connection.request("GET", f"/v1/users/{next(users)}/recommendations?k={K}")
            answer = connection.getresponse()
            if len(json.load(answer)["items"]) != K:
                raise RuntimeError(f"the service answered {answer.status}")

        before = processor_seconds(process)
        medians = interleaved({"in process": in_process, "over HTTP": over_http}, rounds, _WARMUP)
        spent[1] = processor_seconds(process) - before
    inside, outside = medians["in process"] / 1000, medians["over HTTP"] / 1000
    cpu = [1000 * each / (rounds + _WARMUP) for each in spent]
    return {
        "in_process_ms": inside,
        "http_ms": outside,
        "overhead_ms": outside - inside,
        "in_process_cpu_ms": cpu[0],
        "service_cpu_ms": cpu[1],
    }


def processor_seconds(process: int) -> float:
    """The processor time that a process has taken so far."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wrk(port: int, connections: int, seconds: int, folder: Path, users: range = range(USERS)) -> dict[str, float]:
    """What wrk measures over so many connections."""
    script = folder / "wrk.lua"
    script.write_text(_WRK.replace("FIRST", str(users[0])).replace("LAST", str(users[-1])).replace("k=K", f"k={K}"))
    program = provision.require("wrk", ["wrk"])
    options = [f"-t{min(connections, 2)}", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script)]
    command = [str(program), *options, f"http://127.0.0.1:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def threads(recommender: Recommender, count: int, seconds: int) -> dict[str, float]:
    """The same calls of the library by so many threads of this process."""
    times: list[list[float]] = [[] for _ in range(count)]
    end = time.monotonic() + seconds

    def ask(number: int) -> None:
        users = np.random.default_rng(number)
        while time.monotonic() < end:
            began = time.perf_counter()
            recommender.recommend(int(users.integers(USERS)), K)
            times[number].append(1000 * (time.perf_counter() - began))

    in_threads(ask, count)
    taken = np.concatenate([np.array(each) for each in times])
    p50, p99 = np.percentile(taken, [50, 99])
    return {"p50": float(p50), "p99": float(p99), "requests": len(taken), "seconds": float(seconds), "errors": 0}


def resident(process: int) -> float:
    """The memory of a process in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def show(figures: dict[str, Any]) -> None:
    """The table, the bars and the line of JSON."""
    one, memory = figures["one_connection"], figures["memory"]
    rows = [
        (f"{count} {what}", f"{found['p50']:.2f}", f"{found['p99']:.2f}", f"{found['requests'] / found['seconds']:.0f}",
         str(found["errors"]))
        for count, load in figures["loads"].items()
        for what, found in (("connections, HTTP", load["http"]), ("threads, in process", load["in_process"]))
    ]  # fmt: skip
    figures["bars"] = {
        "overhead_ms": one["overhead_ms"] <= BARS["overhead_ms"],
        "ready_seconds": figures["ready_seconds"] <= BARS["ready_seconds"],
        "memory_mb": memory["idle_mb"] <= BARS["memory_mb"],
    }
    print(
        f"In turns: {one['in_process_ms']:.2f} ms in process, {one['http_ms']:.2f} ms over HTTP, "
        f"{one['overhead_ms']:.2f} ms overhead (bar {BARS['overhead_ms']:g}); of the processor "
        f"{one['in_process_cpu_ms']:.2f} ms in process, {one['service_cpu_ms']:.2f} ms in the service\n"
        f"Ready after {figures['ready_seconds']:.2f} s (bar {BARS['ready_seconds']:g}); {memory['idle_mb']:.0f} MB "
        f"(bar {BARS['memory_mb']:g}), {memory['after_mb']:.0f} MB after {memory['requests']:,} requests more"
    )
    title = f"{ITEMS:,} items, Milvus server and Redis, load average {os.getloadavg()[0]:.1f}"
    report(title, ("", "p50 ms", "p99 ms", "requests/s", "errors"), rows, figures)


if __name__ == "__main__":
    main()
