"""Settings come from a file, the environment and the caller; what is wrong in them is said without a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vecrec.config.settings import Settings
from vecrec.errors import InvalidDataError

SECRET = "s3cret"


@pytest.mark.parametrize(
    "text",
    [
        f'vector_store_token = ["{SECRET}"]',
        f'vector_store_token = {{ token = "{SECRET}" }}',
        f'api_keys = "{SECRET}"',
        f'api_keys = ["{SECRET}", 3]',
        f'api_keys = ["{SECRET}", ""]',
        f'api_keys = ["{SECRET}", "read:"]',
        f'api_keys = {{ first = "{SECRET}" }}',
        f'vector_store = ["http://user:{SECRET}@host"]',
        f'metadata_store = {{ url = "redis://:{SECRET}@host" }}',
        f'metadata_store = "redis://:{SECRET}@host',
        f"vector_store_token = {SECRET}",
        f'vector_store_token = "a" "{SECRET}"',
        f'[vector_store_token]\n"{SECRET}" = 1',
    ],
)
def test_no_message_shows_a_secret(tmp_path: Path, text: str) -> None:
    """Whatever its type is, and where the file is not TOML at all."""
    path = tmp_path / "vecrec.toml"
    path.write_text(text + "\n")
    with pytest.raises(InvalidDataError) as caught:
        Settings.load(path, {})
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in f"{error}{error!r}"
        error = error.__cause__
    assert caught.value.problem
    assert caught.value.cure


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"port": 65_536}, "port"),
        ({"port": -1}, "port"),
        ({"port": "80"}, "port"),
        ({"page": 1}, "page"),
        ({"max_k": True}, "max_k"),
        ({"max_k": 1.0}, "max_k"),
        ({"body_seconds": float("nan")}, "body_seconds"),
        ({"body_seconds": 0}, "body_seconds"),
        ({"workers": 0}, "workers"),
        ({"max_header_bytes": 10}, "max_header_bytes"),
        ({"wrong_keys_per_minute": -1}, "wrong_keys_per_minute"),
        ({"trusted_proxies": "10.0.0.1"}, "trusted_proxies"),
        ({"allowed_hosts": [""]}, "allowed_hosts"),
        ({"feedback": {"negative": "dislike"}}, "negative"),
        ({"feedback": 3}, "feedback"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(values: dict[str, Any], named: str) -> None:
    """With what to give instead."""
    with pytest.raises(InvalidDataError, match=named) as caught:
        Settings(**values)
    assert caught.value.cure


@pytest.mark.parametrize(
    ("name", "text"),
    [("PORT", "eighty"), ("PAGE", "maybe"), ("REFRESH_SECONDS", "soon"), ("MAX_K", "1e3"), ("FEEDBACK", "{")],
)
def test_a_variable_that_cannot_be_read_is_named(name: str, text: str) -> None:
    """By the name that it has in the environment."""
    with pytest.raises(InvalidDataError, match=f"VECREC_{name}"):
        Settings.load(None, {f"VECREC_{name}": text})


def test_the_caller_overrides_the_environment_and_that_the_file(tmp_path: Path) -> None:
    """Each only where it says something."""
    path = tmp_path / "vecrec.toml"
    path.write_text('name = "file"\nmax_k = 5\nport = 1\n[feedback]\nnegative_rating = 2\n')
    environment = {"VECREC_CONFIG": str(path), "VECREC_NAME": "environment", "VECREC_MAX_K": "6"}
    made = Settings.load(None, environment, name="caller", host=None)
    assert (made.name, made.max_k, made.port, made.host) == ("caller", 6, 1, "127.0.0.1")
    assert made.feedback is not None
    assert made.feedback.negative_rating == 2
    with pytest.raises(InvalidDataError, match="cannot be read"):
        Settings.load(tmp_path / "none.toml", {})


def test_settings_need_no_package_of_the_service() -> None:
    """The command line reads them in a base install."""
    import subprocess
    import sys

    script = (
        "import sys\n"
        "for name in ('fastapi', 'pydantic', 'starlette', 'uvicorn'): sys.modules[name] = None\n"
        "from vecrec.cli import main; from vecrec.config.settings import Settings; Settings.load(None, {})\n"
        "sys.exit(main([]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "commands:" in done.stdout


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    """As containers get them: the value without the line's end, in place of the variable and not beside it."""
    path = tmp_path / "keys"
    path.write_text(f"read:{SECRET},second\n")
    variables = {"VECREC_API_KEYS_FILE": str(path), "VECREC_NAME": "movies"}
    assert Settings.load(None, variables).api_keys == (f"read:{SECRET}", "second")
    with pytest.raises(InvalidDataError, match="both VECREC_API_KEYS and VECREC_API_KEYS_FILE are set"):
        Settings.load(None, {**variables, "VECREC_API_KEYS": "third"})


@pytest.mark.parametrize("content", [None, f"{SECRET}\xff".encode("latin-1")])
def test_a_file_of_a_secret_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    """The variable is named, and nothing of the file is shown."""
    if content is not None:
        (tmp_path / "keys").write_bytes(content)
    with pytest.raises(InvalidDataError, match="VECREC_VECTOR_STORE_TOKEN_FILE") as caught:
        Settings.load(None, {"VECREC_VECTOR_STORE_TOKEN_FILE": str(tmp_path / "keys")})
    assert caught.value.__cause__ is None
    assert SECRET not in str(caught.value)
