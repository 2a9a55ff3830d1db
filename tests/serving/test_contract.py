"""The OpenAPI document is what the service does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import positive_data_acceptance

from tests.recommender.tastes import TasteEncoder
from tests.serving.conftest import published
from tests.serving.web import listening
from vecrec import Recommender
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.serving import Settings, create_app
from vecrec.vector_stores import MemoryVectorStore


def _document() -> dict[str, Any]:
    """The description of a service; it does not depend on what is published."""
    return create_app(Recommender(TasteEncoder(), MemoryVectorStore(), MemoryMetadataStore(), name="demo")).openapi()


_DOCUMENT = _document()
# How what does not fit the description may be answered: 413 where it is too large to be read at all.
_REFUSALS = [400, 404, 405, 413, 415, 422]
_SCHEMA = schemathesis.openapi.from_dict(
    _DOCUMENT,
    config=schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": _REFUSALS}}}),
)
_OPERATIONS = [(path, method) for path, methods in _DOCUMENT["paths"].items() for method in methods]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a service whose world may be changed at will."""
    with published(tmp_path_factory.mktemp("artifacts")) as recommender, listening(create_app(recommender)) as client:
        yield str(client.base_url).rstrip("/")


@pytest.mark.parametrize(("path", "method"), _OPERATIONS)
def test_no_request_breaks_the_contract(path: str, method: str, service: str) -> None:
    """Whatever is sent, fitting the description or not: no 5xx, no status, header or body but the described ones."""
    operation = _SCHEMA[path][method.upper()]
    described = _DOCUMENT["paths"][path][method]
    takes_something = "parameters" in described or "requestBody" in described
    modes = list(GenerationMode) if takes_something else [GenerationMode.POSITIVE]

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes)))
    def ask(case: Any) -> None:
        # What fits the description may still be refused: only the live release knows its fields and values.
        case.call_and_validate(base_url=service, excluded_checks=[positive_data_acceptance])

    ask()


def test_every_endpoint_is_described() -> None:
    """Each has a summary, a description and, where it takes a body, an example."""
    for path, method in _OPERATIONS:
        described = _DOCUMENT["paths"][path][method]
        assert described["summary"], path
        assert described["description"], path
        if "requestBody" in described:
            assert "'example" in _resolved(described["requestBody"]), f"{method} {path} has no example"


def test_the_description_follows_the_settings() -> None:
    """Keys and their refusals where there are keys; short operation ids that a generator turns into methods."""
    parts = (TasteEncoder(), MemoryVectorStore(), MemoryMetadataStore())
    guarded = create_app(Recommender(*parts, name="demo"), settings=Settings(api_keys=("k",))).openapi()
    for path, method in _OPERATIONS:
        needs_key = path.startswith(("/v1", "/metrics"))
        described = guarded["paths"][path][method]
        assert ("security" in described) == needs_key
        assert ({"401", "403", "429"} <= {*described["responses"]}) == needs_key
        assert "security" not in _DOCUMENT["paths"][path][method]
        assert not {"401", "403", "429"} & {*_DOCUMENT["paths"][path][method]["responses"]}
        assert ("415" in described["responses"]) == ("requestBody" in described)
    names = [_DOCUMENT["paths"][path][method]["operationId"] for path, method in _OPERATIONS]
    assert len({*names}) == len(names)
    assert {"recommend", "recommend_to_user", "list_items", "like", "record_events"} <= {*names}
    numbers = _numbers(_DOCUMENT["components"]["schemas"])
    assert numbers
    assert all(isinstance(number, int) for number in numbers)


def _numbers(value: Any) -> list[Any]:
    """The limits of a schema and of those within it."""
    if isinstance(value, list):
        return [number for each in value for number in _numbers(each)]
    if not isinstance(value, dict):
        return []
    limits = [value[name] for name in ("minimum", "maximum", "minLength", "maxLength") if name in value]
    return [*limits, *(number for each in value.values() for number in _numbers(each))]


def _resolved(value: Any) -> str:
    """The text of a description with those that it refers to, so many levels deep."""
    text = str(value)
    for _ in range(3):
        for name, model in _DOCUMENT["components"]["schemas"].items():
            text = text.replace(f"'#/components/schemas/{name}'", str(model))
    return text
