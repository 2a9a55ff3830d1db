"""Makes small mistakes in the source, one at a time, and lists those that no test notices.

    tox run -e mutants -- --sample 60                                 # of all modules in TESTS
    tox run -e mutants -- --sample 20 --only "recommender/s*"
    tox run -e mutants -- --mutant recommender/similar.py:68:17:0:core/NumberReplacer

Cosmic Ray makes the mutants. One process imports the modules and collects their tests; each mutant is a fork of it, in
which the changed function has other code, so that no file is written and a mutant costs what its tests cost. A mutant
is killed by a test that fails, or by ten times the processor time of its tests. The seed and the source decide which
mutants a sample has. Only what stands inside of functions is changed. The status is 0 whatever survives.
"""

from __future__ import annotations

import argparse
import difflib
import fnmatch
import gc
import importlib
import os
import random
import resource
import signal
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

import vecrec

ROOT = Path(__file__).parents[1]
SOURCE = Path(vecrec.__file__).parent

_ARCHIVE = ("releases/test_archive.py", "releases/test_lifecycle.py", "releases/test_mistakes.py")
_RECORDS = ("recommender/test_catalogue.py", "recommender/test_updates.py", "recommender/test_reading_back.py")
_SEARCHES = ("recommender/test_recommend.py", "recommender/test_exactly_k.py", "recommender/test_engines_down.py")
_SQL = ("metadata_stores/test_conformance.py::TestSQLite", "metadata_stores/test_sql.py")
_MILVUS = (
    "vector_stores/test_milvus_filters.py", "vector_stores/test_milvus_expressions.py",
    "vector_stores/test_milvus_lite.py", "vector_stores/test_conformance.py::TestMilvusLite",
)  # fmt: skip

TESTS: Mapping[str, tuple[str, ...]] = {
    "recommender/asynchronous": ("recommender/test_async.py",),
    "recommender/batch*": ("recommender/test_batch.py",),
    "recommender/builder": (*_ARCHIVE, "releases/test_gates.py"),
    "recommender/candidate": ("releases/test_gates.py",),
    "recommender/catalogue": (*_RECORDS, "recommender/test_group_commit.py", "recommender/test_crashes.py"),
    "recommender/coalesce": ("recommender/test_coalesce.py", "recommender/test_group_commit.py"),
    "recommender/dislikes": ("recommender/test_dislikes.py",),
    "recommender/edits": ("recommender/test_newest_wins.py", "recommender/test_events.py", "releases/test_refresh.py"),
    "recommender/explain": ("recommender/test_explain.py",),
    "recommender/group_commit": ("recommender/test_group_commit.py",),
    "recommender/held_out": ("releases/test_gates.py",),
    "recommender/ingest": ("recommender/test_ingest.py",),
    "recommender/live": ("releases/test_switching.py", "recommender/test_loading.py"),
    "recommender/loading": ("recommender/test_loading.py", "releases/test_mistakes.py"),
    "recommender/migrate": ("cli/test_migration.py",),
    "recommender/neighbours": ("recommender/test_similar.py", "recommender/test_explain.py"),
    "recommender/ownership": ("releases/test_mistakes.py",),
    "recommender/pipeline": (*_SEARCHES, "recommender/test_dislikes.py", "recommender/test_reranking.py"),
    "recommender/popularity": (*_SEARCHES, "recommender/test_successors.py"),
    "recommender/publish": (*_ARCHIVE, "releases/test_gates.py", "releases/test_refresh.py"),
    "recommender/recall": ("recommender/test_recall.py",),
    "recommender/recommender": ("recommender/test_facade.py", *_SEARCHES, *_RECORDS, *_ARCHIVE),
    "recommender/release_checks": ("releases/test_gates.py",),
    "recommender/report": ("recommender/test_catalogue.py", *_ARCHIVE),
    "recommender/request": (
        "recommender/test_coalesce.py", "recommender/test_similar.py", "recommender/test_bad_input.py",
        "recommender/test_request_time.py", "recommender/test_recommend.py", "recommender/test_reranking.py",
    ),
    "recommender/search": ("recommender/test_search.py",),
    "recommender/similar": ("recommender/test_similar.py",),
    "recommender/steps": (*_SEARCHES, "recommender/test_dislikes.py", "recommender/test_reranking.py"),
    "recommender/trained": _ARCHIVE,
    "recommender/users": (
        "recommender/test_histories.py", "recommender/test_events.py", "recommender/test_weaknesses.py",
        "recommender/test_request_time.py", "recommender/test_recommend.py",
    ),
    "recommender/words": ("recommender/test_search.py",),
    "releases/archive": _ARCHIVE,
    "releases/artifacts": (*_ARCHIVE, "hostile/test_files.py"),
    "releases/manifest": ("test_shown.py", *_ARCHIVE),
    "metadata_stores/base": _SQL,
    "metadata_stores/memory": (
        "testing/test_references.py::TestMemoryMetadataStore", "recommender/test_histories.py", *_RECORDS,
    ),
    "metadata_stores/opening": ("metadata_stores/test_opening.py",),
    "metadata_stores/redis/*": ("metadata_stores/test_conformance.py::TestRedis", "metadata_stores/test_redis.py"),
    "metadata_stores/sql/*": _SQL,
    "vector_stores/_segment": ("vector_stores/test_conformance.py::TestFile", "vector_stores/test_file.py"),
    "vector_stores/base": ("vector_stores/test_conformance.py::TestMemory", "vector_stores/test_milvus_lite.py"),
    "vector_stores/file": ("vector_stores/test_conformance.py::TestFile", "vector_stores/test_file.py"),
    "vector_stores/memory": ("vector_stores/test_conformance.py::TestMemory",),
    "vector_stores/milvus/*": _MILVUS,
    "vector_stores/opening": ("vector_stores/test_opening.py",),
}  # fmt: skip
"""Which tests are to notice a mistake in which modules; the fastest first."""

_LEFT_OUT = ("milvus", "mariadb", "postgres", "redis_cluster", "serial", "slow", "embedded", "two-tower")
"""Marks and parameters of tests that would take too long for each mutant, or measure time."""

_PATIENCE = 10
"""Times the processor time of the tests, after which a mutant counts as killed by it."""

_Codes = dict[tuple[str, int], CodeType]


@dataclass(frozen=True)
class Place:
    """One change that an operator of Cosmic Ray can make."""

    module: str
    line: int
    column: int
    occurrence: int
    operator: str

    def __str__(self) -> str:
        return f"{self.module}.py:{self.line}:{self.column}:{self.occurrence}:{self.operator}"

    def mutated(self) -> str:
        """The source with the change."""
        return str(mutate_code(source(self.module), get_operator(self.operator)(), self.occurrence))

    def diff(self) -> str:
        """The change, to be read."""
        old, new = (text.splitlines(keepends=True) for text in (source(self.module), self.mutated()))
        return "".join(difflib.unified_diff(old, new, f"a/{self.module}.py", f"b/{self.module}.py"))


@cache
def source(module: str) -> str:
    """The text of a module, as it was at first."""
    return (SOURCE / f"{module}.py").read_text("utf-8")


def places(module: str) -> list[Place]:
    """All changes that are possible in a module."""
    nodes = list(ast_nodes(get_ast(source(module))))
    found = []
    for name in operator_names():
        operator = get_operator(name)
        if not operator.arguments():
            spots = [start for node in nodes for start, _ in operator().mutation_positions(node)]
            found += [Place(module, line, column, occurrence, name) for occurrence, (line, column) in enumerate(spots)]
    return found


def shuffled(found: Sequence[Place], seed: int) -> Iterator[Place]:
    """One change of each spot of the source, in an order that the seed decides."""
    chance = random.Random(seed)
    spots: dict[tuple[str, int, int], list[Place]] = defaultdict(list)
    for place in found:
        spots[place.module, place.line, place.column].append(place)
    for spot in chance.sample(sorted(spots), len(spots)):
        yield chance.choice(spots[spot])


def codes(text: str) -> _Codes:
    """The code of each function of a source, by qualified name and first line."""
    found: _Codes = {}
    left = [compile(text, "mutant", "exec")]
    while left:
        inner = [value for value in left.pop().co_consts if isinstance(value, CodeType)]
        # Code at a module's or a class's level has run before the fork, so changing it would change nothing.
        found |= {(code.co_qualname, code.co_firstlineno): code for code in inner if not _at_import(code)}
        left += inner
    return found


def _at_import(code: CodeType) -> bool:
    return not code.co_flags & 0x1  # CO_OPTIMIZED, which functions have


@cache
def functions() -> dict[str, dict[tuple[str, int], list[FunctionType]]]:
    """The functions in this process, by file, and by qualified name and first line."""
    found: dict[str, dict[tuple[str, int], list[FunctionType]]] = defaultdict(dict)
    for function in gc.get_objects():
        if isinstance(function, FunctionType):
            code = function.__code__
            found[code.co_filename].setdefault((code.co_qualname, code.co_firstlineno), []).append(function)
    return found


def changes(place: Place) -> list[tuple[FunctionType, CodeType]]:
    """The functions that a change concerns, with their other code; empty where it changes no function."""
    old, held = codes(source(place.module)), functions()[str(SOURCE / f"{place.module}.py")]
    try:
        new = codes(place.mutated())
    except SyntaxError:
        return []
    return [
        (function, code)
        for key, code in new.items()
        if code != old.get(key)
        for function in held.get(key, ())
        if function.__code__.co_freevars == code.co_freevars
    ]


class Mutants:
    """What pytest does in place of running the tests once."""

    def __init__(self, options: argparse.Namespace, modules: Sequence[str]) -> None:
        self._options, self._modules = options, modules
        self.found: list[tuple[Place, str]] = []
        self._limits: dict[tuple[str, ...], int] = {}
        self._out = os.fdopen(os.dup(1), "w")  # pytest takes the other one

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Make mutants and run the tests of each."""
        for module in self._modules:
            source(module)
            importlib.import_module(f"vecrec.{module.replace('/', '.')}")
        every = [place for module in self._modules for place in places(module)]
        for place in shuffled(every, self._options.seed) if not self._options.mutant else every:
            if len(self.found) == self._options.sample:
                break
            changed = changes(place) if str(place) in (self._options.mutant or [str(place)]) else []
            if changed:
                items = self._items(session, place.module)
                outcome = _run(session, items, changed, self._limit(session, place.module, items))[0]
                self.found.append((place, outcome))
                self._say(f"{outcome:9} {place}")
        return True

    def _say(self, line: str) -> None:
        print(line, file=self._out, flush=True)

    def _items(self, session: pytest.Session, module: str) -> list[pytest.Item]:
        prefixes = [f"tests/{test}" for test in tests_of(module)]
        found = [item for prefix in prefixes for item in session.items if item.nodeid.startswith(prefix)]
        return [item for item in found if not any(name in {*item.keywords, *_parameters(item)} for name in _LEFT_OUT)]

    def _limit(self, session: pytest.Session, module: str, items: list[pytest.Item]) -> int:
        """Seconds of processor time for a mutant, after the tests have passed without one."""
        tests = tests_of(module)
        if tests not in self._limits:
            outcome, seconds = _run(session, items, [], 3_600)
            self._say(f"{'as it is':9} {module}.py: {len(items)} tests in {seconds:.1f} s")
            if outcome != "survived" or not items:
                pytest.exit(f"the tests of {module}.py fail without a mutant: pytest {' '.join(tests)}", 1)
            self._limits[tests] = int(_PATIENCE * seconds) + 5
        return self._limits[tests]


def _parameters(item: pytest.Item) -> Iterator[Any]:
    if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
        yield from (value for value in item.callspec.params.values() if isinstance(value, str))


def _run(
    session: pytest.Session, items: Sequence[pytest.Item], changed: list[tuple[FunctionType, CodeType]], limit: int
) -> tuple[str, float]:
    """How tests end in a fork with other code, and the processor time that they took."""
    child = os.fork()
    if not child:
        failed = True
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
            session.config.pluginmanager.unregister(name="terminalreporter")
            for function, code in changed:
                function.__code__ = code
            failed = _fails(session, items)
            session.config.hook.pytest_unconfigure(config=session.config)  # stops the servers that it has started
        finally:
            os._exit(failed)
    _, status, used = os.wait4(child, 0)
    late = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
    return "timeout" if late else "killed" if status else "survived", used.ru_utime + used.ru_stime


def _fails(session: pytest.Session, items: Sequence[pytest.Item]) -> bool:
    """Whether one of the tests fails, the first one that does being the last one that runs."""
    for item, following in zip(items, [*items[1:], None]):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return True
    return False


def tests_of(module: str) -> tuple[str, ...]:
    """The tests that are to notice a mistake in a module."""
    return next(tests for pattern, tests in TESTS.items() if fnmatch.fnmatch(module, pattern))


def modules_of(patterns: Sequence[str]) -> list[str]:
    """The modules that are mutated, of those that match a pattern."""
    every = [path.relative_to(SOURCE).with_suffix("").as_posix() for path in sorted(SOURCE.rglob("*.py"))]
    known = [name for name in every if any(fnmatch.fnmatch(name, pattern) for pattern in TESTS)]
    return [name for name in known if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]


def report(found: Sequence[tuple[Place, str]], survivors: Path) -> None:
    """Print a table and write the survivors."""
    outcomes = ("killed", "timeout", "survived")
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for place, outcome in found:
        rows[place.module][outcome] += 1
        rows["all"][outcome] += 1
    print(f"\n{'module':34}{'mutants':>9}" + "".join(f"{name:>10}" for name in outcomes))
    for module, counts in sorted(rows.items(), key=lambda row: (row[0] == "all", row[0])):
        print(f"{module:34}{counts.total():9}" + "".join(f"{counts[name]:10}" for name in outcomes))
    survivors.parent.mkdir(parents=True, exist_ok=True)
    left = [place for place, outcome in found if outcome == "survived"]
    survivors.write_text("\n".join(f"# {place}\n{place.diff()}" for place in left), "utf-8")
    print(f"\nThe survivors are in {survivors}.")


def main() -> int:
    """Mutate, test and report."""
    parser = argparse.ArgumentParser(prog="tests.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("--sample", type=int, default=100, help="how many mutants (default: 100)")
    parser.add_argument("--seed", type=int, default=1, help="decides which (default: 1)")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help='modules, such as "recommender/s*"')
    parser.add_argument("--mutant", nargs="+", metavar="NAME", help="these mutants, as the list names them")
    parser.add_argument("--survivors", type=Path, default=Path(tempfile.gettempdir()) / "survivors.diff")
    options: Any = parser.parse_args()
    modules = modules_of([name.partition(".py:")[0] for name in options.mutant or ()] or options.only)
    if not modules:
        parser.error("no module of TESTS matches")
    tests = dict.fromkeys(f"tests/{test}" for module in modules for test in tests_of(module))
    mutants = Mutants(options, modules)
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as scratch:
        flags = ["-q", "-p", "no:cacheprovider", f"--basetemp={scratch}/tests"]
        status = pytest.main([*flags, *tests], plugins=[mutants])
    report(mutants.found, options.survivors)
    return 0 if mutants.found else int(status) or 1


if __name__ == "__main__":
    sys.exit(main())
