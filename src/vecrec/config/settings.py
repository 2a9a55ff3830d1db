"""The settings of the command line and of the service: one frozen object, from the environment and one TOML file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import tomllib
from typing_extensions import Self

from vecrec.errors import InvalidDataError

__all__ = ["PREFIX", "Settings"]

PREFIX = "VECREC_"
"""What the environment's variables begin with: ``VECREC_PORT`` is ``port``."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the parts are, and how the service behaves.

    A variable of the environment counts more than the TOML file, and the file more than the default.

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
    """Begins the names of the metadata store's tables or keys; by default the recommender's name and an underscore."""
    max_history: int = 10_000
    """The most events read for one user."""
    refresh_seconds: float = 1.0
    """How often to look for a release that another process has made live."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 8000
    """The port to listen on; 0 for any that is free."""
    root_path: str = ""
    """The path that a proxy in front strips, such as ``/recommender``."""
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    """Keys, one of which each request must show; none for an open service."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the service from a browser, such as ``https://shop.example``; none by default."""
    max_body_bytes: int = 1_000_000
    """The largest request body."""
    max_k: int = 1_000
    """The most items that one request may ask for."""
    max_batch: int = 1_000
    """The most items, users, events or ids in one request."""
    max_in_flight: int = 256
    """The most requests answered at a time; more are told to come again."""
    rate_per_minute: int = 0
    """The most requests of one client a minute, by key or address, in bursts of a sixth of it; 0 for no limit."""
    shutdown_seconds: float = 20.0
    """How long requests that are under way may take to end when the service stops."""
    page: bool = True
    """Whether to serve the page at ``/``."""
    title_field: str = "title"
    """The field of the items' records that the page shows as their name, and that a search looks into."""
    like_rating: float | None = None
    """The rating of an event made by a like; by default it has none."""
    dislike_rating: float = 0.0
    """The rating of an event made by a dislike. Events rated so or lower count as dislikes."""
    liked_from: float = 3.5
    """A recommendation is explained by items rated at least so, or not rated at all."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for each in fields(self):
            value = _checked(each.name, getattr(self, each.name), hints[each.name])
            object.__setattr__(self, each.name, value)
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise InvalidDataError(f"{name} is {getattr(self, name)!r}", f"give at least {least}")
        if self.port > 65_535:
            raise InvalidDataError(f"port is {self.port!r}", "give 0 to 65535")

    @classmethod
    def load(cls, path: str | Path | None = None, environ: Mapping[str, str] | None = None, **given: Any) -> Self:
        """The settings of a TOML file and the environment.

        Args:
            path: The file; by default the one that ``VECREC_CONFIG`` names, if it names one.
            environ: The environment; by default the process's own.
            given: Values that count more than both, such as a command line's; ``None`` for none.

        Raises:
            InvalidDataError: for a file that cannot be read, an unknown name in it, or a value that cannot be used.
        """
        env = os.environ if environ is None else environ
        file = path if path is not None else env.get(f"{PREFIX}CONFIG") or None
        values = {} if file is None else _read(Path(file))
        hints = get_type_hints(cls)
        for each in fields(cls):
            text = env.get(f"{PREFIX}{each.name.upper()}")
            if text is not None:
                values[each.name] = _parsed(each.name, text, hints[each.name])
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

    @property
    def prefix(self) -> str:
        """What the names of the metadata store's tables or keys begin with."""
        return self.metadata_prefix or f"{self.name}_"


_LEAST = {
    "max_history": 1, "refresh_seconds": 0, "port": 0, "max_body_bytes": 1, "max_k": 1, "max_batch": 1,
    "max_in_flight": 1, "rate_per_minute": 0, "shutdown_seconds": 0,
}  # fmt: skip


def _read(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidDataError(f"the settings in {path} cannot be read: {error}") from error
    known = {each.name for each in fields(Settings)}
    for name in values:
        if name not in known:
            raise InvalidDataError(f"{path} sets {name!r}, which is no setting", f"there are {sorted(known)}")
    return values


def _checked(name: str, value: Any, kind: Any) -> Any:
    kinds = get_args(kind) if get_args(kind) and kind != tuple[str, ...] else (kind,)
    if kind == tuple[str, ...]:
        if isinstance(value, str) or not all(isinstance(item, str) and item for item in value):
            raise InvalidDataError(f"{name} is {value!r}", "give a list of texts")
        return tuple(value)
    if isinstance(value, int) and not isinstance(value, bool) and float in kinds:
        value = float(value)
    if type(value) not in kinds or (isinstance(value, float) and not math.isfinite(value)):
        names = " or ".join(each.__name__ for each in kinds)
        raise InvalidDataError(f"{name} is {value!r} of type {type(value).__name__}", f"give {names}")
    return value


def _parsed(name: str, text: str, kind: Any) -> Any:
    try:
        if kind == tuple[str, ...]:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        if kind is bool:
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
        if kind is int:
            return int(text)
        if float in (kind, *get_args(kind)):
            return float(text) if text else None
    except (ValueError, KeyError) as error:
        raise InvalidDataError(
            f"{PREFIX}{name.upper()} is {text!r}", f"that is no {getattr(kind, '__name__', kind)}"
        ) from error
    return text
