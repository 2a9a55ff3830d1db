"""The settings of the command line and of the service: one frozen object, from the environment and one TOML file."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import tomllib
from typing_extensions import Self

from vecrec._internal import validation
from vecrec.errors import InvalidDataError, shown
from vecrec.feedback import FeedbackPolicy

__all__ = ["PREFIX", "SCOPES", "Settings", "scope_of_key"]

PREFIX = "VECREC_"
"""What the environment's variables begin with: ``VECREC_PORT`` is ``port``."""

SCOPES = ("read", "write", "admin")
"""What a key allows, each scope with those before it: to ask, to change users, items and events, to see the inside."""


def scope_of_key(text: str) -> tuple[str, str]:
    """The scope and the key of an entry of ``api_keys``: ``read:KEY``, ``write:KEY``, ``admin:KEY`` or ``KEY``.

    Raises:
        InvalidDataError: for an entry without a key.
    """
    scope, sign, key = text.partition(":")
    if not sign or scope not in SCOPES:
        return SCOPES[-1], text
    if not key:
        raise InvalidDataError(f"api_keys has the scope {scope!r} without a key", f"write it as {scope}:KEY")
    return scope, key


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the parts are, and how the service behaves.

    A variable of the environment overrides the TOML file, and the file the default. A variable whose name ends in
    ``_FILE``, such as ``VECREC_API_KEYS_FILE``, names a file that holds the value, as secrets of containers are given.
    A file of keys must hold one, since without keys the service is open.

    Raises:
        InvalidDataError: for a value of another type, or out of range.
    """

    name: str = "vecrec"
    """The recommender's name."""
    artifacts: str = "artifacts"
    """The directory with its releases."""
    vector_store: str = field(default="", repr=False)
    """A path that ends in ``.db`` for Milvus Lite, or ``http://host:19530`` for a server; by default
    ``{artifacts}/{name}.db``."""
    vector_store_token: str = field(default="", repr=False)
    """``user:password`` or an API key of the Milvus server."""
    metadata_store: str = field(default="", repr=False)
    """The URL of the metadata store, as `vecrec.metadata_stores.from_url` takes it; by default a SQLite file,
    ``{artifacts}/{name}.sqlite``."""
    metadata_prefix: str = ""
    """Begins the names of the metadata store's tables or keys; by default as in Python, ``vecrec``. Recommenders that
    share a database need one each."""
    max_history: int = 10_000
    """The most events read for one user."""
    refresh_seconds: float = 1.0
    """How often to look for a release that another process has made live."""
    request_seconds: float = 0.0
    """How long the stores may take in all for one recommendation; 0 for the sum of their own timeouts."""
    coalesce: bool = True
    """Whether concurrent requests for recommendations with equal options share a search."""

    recall_seconds: float = 300.0
    """How often a sample of the searches is repeated exactly in the background, for the metrics; 0 for never."""
    recall_target: float = 0.9
    """The recall under which searches are widened, as far as that is measured; 0 for never."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 8000
    """The port to listen on; 0 for any that is free."""
    workers: int = 1
    """How many processes `vecrec serve` answers with; several need stores that serve several processes."""
    root_path: str = ""
    """The path that a proxy in front strips, such as ``/recommender``."""
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    """Keys, one of which each request must show; none for an open service. ``read:KEY`` may ask, ``write:KEY`` also
    change users, items and events, ``admin:KEY`` also see the inside; a plain ``KEY`` may do all of it."""
    wrong_keys_per_minute: int = 60
    """The most wrong keys of one address a minute, in bursts of a sixth of it, after which it is refused for a while;
    0 for no limit."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` count; none by default."""
    allowed_hosts: tuple[str, ...] = ()
    """Values of ``Host`` that are answered, such as ``shop.example`` or ``*.shop.example``; none for all."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the service from a browser, such as ``https://shop.example``; none by default."""
    max_body_bytes: int = 1_000_000
    """The largest request body."""
    max_header_bytes: int = 32_768
    """The most bytes of a request's line and headers together."""
    body_seconds: float = 10.0
    """How long a request's body may take to arrive."""
    max_k: int = 1_000
    """The most items that one request may ask for."""
    max_batch: int = 1_000
    """The most items, users, events or ids in one request."""
    max_in_flight: int = 512
    """The most requests answered at a time, counted once their bodies are in; more are refused with 503."""
    rate_per_minute: int = 0
    """The most requests of one client a minute, by key or address, in bursts of a sixth of it; 0 for no limit."""
    shutdown_seconds: float = 20.0
    """How long requests in flight may take to end when the service stops."""
    log_format: str = "text"
    """How `vecrec serve` writes its log: ``text``, or ``json`` for an object a line."""
    page: bool = True
    """Whether to serve the page at ``/``."""
    title_field: str = "title"
    """The field of the items' records that the page shows as their name, and that a search looks into."""
    noun: str = "item"
    """What the page calls an item, such as ``movie``."""
    nouns: str = "items"
    """What it calls several of them."""
    image_field: str = ""
    """The field of the items' records with the address of a picture, ``https://`` or a path; none by default, and the
    page then draws a poster for each item and loads nothing from other hosts."""
    price_field: str = "price"
    """The field with a price, which the page shows; in the currency of the field ``currency``, where that is a code
    such as ``EUR``."""
    feedback: FeedbackPolicy | None = None
    """What users' events mean: a table of the fields of `vecrec.FeedbackPolicy`, in the environment as JSON."""

    def __post_init__(self) -> None:
        hints = _hints()
        for each in fields(self):
            value = _checked(each, getattr(self, each.name), hints[each.name])
            object.__setattr__(self, each.name, value)
        for key in self.api_keys:
            scope_of_key(key)
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise InvalidDataError(f"{name} is {shown(getattr(self, name))}", f"give at least {least}")
        if self.log_format not in ("text", "json"):
            raise InvalidDataError(f"log_format is {shown(self.log_format)}", "give text or json")
        if self.recall_target > 1:
            raise InvalidDataError(f"recall_target is {shown(self.recall_target)}", "give 0 to 1")
        if self.port > 65_535:
            raise InvalidDataError(f"port is {shown(self.port)}", "give 0 to 65535")

    @classmethod
    def load(cls, path: str | Path | None = None, environ: Mapping[str, str] | None = None, **given: Any) -> Self:
        """The settings of a TOML file and the environment.

        Args:
            path: The file; by default the one that ``VECREC_CONFIG`` names, if it names one.
            environ: The environment; by default the process's own.
            given: Values that count more than both, such as a command line's; ``None`` for values that are not given.

        Raises:
            InvalidDataError: for a file that cannot be read, an unknown name in it, or a value that cannot be used. The
                message shows no value of an address, a token or a key.
        """
        env = os.environ if environ is None else validation.mapping(environ, "environ")
        file = path if path is not None else env.get(f"{PREFIX}CONFIG") or None
        values = {} if file is None else _read(validation.path_of(file, "path"))
        hints = _hints()
        for each in fields(cls):
            text = _given(env, f"{PREFIX}{each.name.upper()}")
            if text is not None:
                values[each.name] = _parsed(each.name, text, hints[each.name])
        if f"{PREFIX}API_KEYS_FILE" in env and not values["api_keys"]:
            problem = f"the file that {PREFIX}API_KEYS_FILE names holds no key, and without keys the service is open"
            raise InvalidDataError(problem, "write one into it, such as admin:KEY, or leave the variable out")
        _check_names(given, "the caller")
        values.update({name: value for name, value in given.items() if value is not None})
        return cls(**values)

    @property
    def vector_store_uri(self) -> str:
        """Where the vectors are."""
        return self.vector_store or str(Path(self.artifacts) / f"{self.name}.db")

    @property
    def metadata_store_url(self) -> str:
        """Where the records are."""
        return self.metadata_store or f"sqlite:///{Path(self.artifacts) / self.name}.sqlite"


_LEAST = {
    "max_history": 1, "refresh_seconds": 0, "request_seconds": 0, "recall_seconds": 0, "recall_target": 0, "port": 0,
    "workers": 1,
    "max_body_bytes": 1, "max_header_bytes": 1024, "max_k": 1, "max_batch": 1, "max_in_flight": 1, "rate_per_minute": 0,
    "wrong_keys_per_minute": 0, "body_seconds": 0.001, "shutdown_seconds": 0,
}  # fmt: skip


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(Settings)


def _read(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidDataError(f"the settings in {path} cannot be read: {error}", "correct the path") from error
    except ValueError as error:
        # The parser's own message may quote the line, and a bad line may be a secret.
        place = re.search(r"\(at [^()]*\)\Z", str(error))
        where = f" {place[0]}" if place else ""
        raise InvalidDataError(f"the settings in {path} are not TOML in UTF-8{where}", "correct the file") from None
    _check_names(values, str(path))
    return values


def _check_names(values: Mapping[str, Any], where: str) -> None:
    known = {each.name for each in fields(Settings)}
    for name in values:
        if name not in known:
            raise InvalidDataError(f"{where} sets {name!r}, which is not a setting", f"there are {sorted(known)}")


def _checked(of: Field[Any], value: Any, kind: Any) -> Any:
    if kind == tuple[str, ...]:
        if isinstance(value, str) or not isinstance(value, Sequence) or not all(map(_is_text, value)):
            raise InvalidDataError(f"{of.name} is {_shown(of, value)}", "give a list of texts that are not empty")
        return tuple(value)
    kinds = get_args(kind) or (kind,)
    if FeedbackPolicy in kinds and isinstance(value, Mapping):
        return FeedbackPolicy.from_json(value)
    if isinstance(value, int) and not isinstance(value, bool) and float in kinds:
        value = validation.number(value, of.name)
    if type(value) not in kinds or (isinstance(value, float) and not math.isfinite(value)):
        names = " or ".join(each.__name__ for each in kinds if each is not type(None))
        raise InvalidDataError(f"{of.name} is {_shown(of, value)} of type {type(value).__name__}", f"give {names}")
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _shown(of: Field[Any], value: Any) -> str:
    """A value for a message; what ``repr`` does not show may be a secret, whatever its type."""
    return shown(value) if of.repr else "a value that is not shown,"


def _given(env: Mapping[str, str], variable: str) -> str | None:
    """The value of a variable, or of the file that another one names."""
    path = env.get(f"{variable}_FILE")
    if path is None:
        return env.get(variable)
    if variable in env:
        raise InvalidDataError(f"both {variable} and {variable}_FILE are set", "set one of them")
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, ValueError):  # whose messages may quote what is in the file
        cure = "name a file of text that this user may read"
        raise InvalidDataError(f"the file that {variable}_FILE names cannot be read", cure) from None


def _parsed(name: str, text: str, kind: Any) -> Any:
    kinds = get_args(kind) or (kind,)
    try:
        if kind == tuple[str, ...]:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        if kind is bool:
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
        if kind is int:
            return int(text)
        if float in kinds:
            return float(text)
        if FeedbackPolicy in kinds:
            return json.loads(text)
    except (ValueError, KeyError) as error:
        wanted = "JSON" if FeedbackPolicy in kinds else kind.__name__
        raise InvalidDataError(f"{PREFIX}{name.upper()} is {text!r}", f"give a value of type {wanted}") from error
    return text
