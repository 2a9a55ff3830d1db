"""The catalogue."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from vecrec.errors import ItemNotFoundError
from vecrec.records import record_digest
from vecrec.serving.bulkheads import Guarded
from vecrec.serving.errors import request_id
from vecrec.serving.models import (
    ChangeIn,
    FacetOut,
    IdsIn,
    ItemFeaturesIn,
    ItemOut,
    ItemsIn,
    ItemsOut,
    ListOut,
    RecordIn,
    SchemaOut,
    Vectors,
    Written,
)  # fmt: skip
from vecrec.serving.params import Conditions, Cursor, IdType, ItemPath, K, Ours, cursor_after, path_id, place_of
from vecrec.types import Item

__all__ = ["router"]

router = APIRouter(prefix="/v1", route_class=Guarded, tags=["items"])

_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "The item is as it was."}}


@router.get("/items", summary="List the catalogue")
def list_items(
    service: Ours,
    search: Annotated[str, Query(max_length=200, description="Words of the records.")] = "",
    where: Conditions = [],  # noqa: B006 - FastAPI copies it
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> ItemsOut:
    """The most popular items whose records have all the words, or words near to them, page by page.

    While a release is live no item comes twice, whatever is written between two pages, and none is left out that was
    there from the first page to the last.
    """
    after = None if cursor is None else place_of(cursor, int, (int, str))
    items, last = service.directory.find(search, service.conditions(where), after, limit)
    return ItemsOut(items=[ItemOut.of(item) for item in items], cursor=None if last is None else cursor_after(*last))


@router.post("/items", summary="Add or replace items")
def upsert_items(body: ItemsIn, service: Ours) -> Written:
    """Record and vector; they can be found at once. All are written or, for a value that cannot be used, none."""
    service.check_batch(body.items, "items")
    service.upsert_items([Item(item.id, item.features) for item in body.items])
    return Written(written=len({(type(item.id), item.id) for item in body.items}))


@router.patch("/items", summary="Change fields of several items")
def update_items(body: ItemsIn, service: Ours) -> Written:
    """`features` holds the fields that change; `null` removes a field. All are changed or, after an error, none."""
    service.check_batch(body.items, "items")
    changes = {item.id: item.features for item in body.items}
    service.update_items(changes)
    return Written(written=len(changes))


@router.post("/items/lookup", summary="Read several items")
def read_items(body: IdsIn, service: Ours) -> ItemsOut:
    """In the order of the ids; ids that are not in the catalogue are listed apart."""
    service.check_batch(body.ids, "ids")
    found = service.recommender.get_items(body.ids)
    missing = [key for key in dict.fromkeys(body.ids) if key not in found]
    return ItemsOut(items=[ItemOut.of(item) for item in found.values()], missing=missing)


@router.post("/items/delete", summary="Remove several items")
def delete_items(body: IdsIn, service: Ours) -> Written:
    """Record and vector; ids that are not there are not an error."""
    service.check_batch(body.ids, "ids")
    service.delete_items(body.ids)
    return Written(written=len(dict.fromkeys(body.ids)))


@router.post("/items/vectors", summary="Encode items")
def encode_items(body: ItemFeaturesIn, service: Ours) -> Vectors:
    """The vectors that the live release gives to posted items, stored or not."""
    service.check_batch(body.items, "items")
    items = [Item(item.id, item.features) for item in body.items]
    with service.recommender.live() as live:
        vectors = live.encoder.encode_items(items).tolist()
        return Vectors(release=live.release.id, dim=live.encoder.dim, vectors=vectors)


@router.get("/items/{item_id}", summary="Read an item", response_model=ItemOut, responses=_UNCHANGED)
def get_item(
    item_id: ItemPath,
    service: Ours,
    response: Response,
    id_type: IdType = "auto",
    if_none_match: Annotated[str | None, Header(description="The `ETag` of an earlier answer.")] = None,
) -> ItemOut | Response:
    """Its record, with an `ETag` that changes with it."""
    key = path_id(item_id, id_type, "items", service)
    found = service.recommender.get_items([key]).get(key)
    if found is None:
        raise ItemNotFoundError(f"no item {key!r} in the catalogue")
    # Weak, since the same record is also sent compressed.
    tag = f'W/"{record_digest(dict(found.features))}"'
    if tag in [each.strip() for each in (if_none_match or "").split(",")]:
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return ItemOut.of(found)


@router.put("/items/{item_id}", summary="Add or replace an item")
def put_item(item_id: ItemPath, features: RecordIn, service: Ours, id_type: IdType = "auto") -> Written:
    """The body is the record."""
    service.upsert_items([Item(path_id(item_id, id_type, "items", service), features)])
    return Written(written=1)


@router.patch("/items/{item_id}", summary="Change fields of an item")
def patch_item(item_id: ItemPath, features: ChangeIn, service: Ours, id_type: IdType = "auto") -> Written:
    """The body holds the fields that change; `null` removes a field (RFC 7396, for the fields themselves)."""
    service.update_items({path_id(item_id, id_type, "items", service): features})
    return Written(written=1)


@router.delete("/items/{item_id}", status_code=204, summary="Remove an item")
def delete_item(item_id: ItemPath, service: Ours, id_type: IdType = "auto") -> None:
    """Record and vector; an id that is not there is not an error."""
    service.delete_items([path_id(item_id, id_type, "items", service)])


@router.get("/items/{item_id}/similar", summary="Similar items")
def similar_items(
    *,
    item_id: ItemPath,
    request: Request,
    service: Ours,
    k: K = 10,
    where: Conditions = [],  # noqa: B006 - FastAPI copies it
    exclude: Annotated[list[str], Query(max_length=100, description="More items to leave out.")] = [],  # noqa: B006
    user: Annotated[
        str | None, Query(min_length=1, description="Who looks: without what they saw, ordered by taste too.")
    ] = None,
    id_type: IdType = "auto",
) -> ListOut:
    """The items that the same users choose, then those with the nearest vectors; for a user, by their taste too."""
    key, *out = (path_id(each, id_type, "items", service) for each in (item_id, *exclude))
    found = service.recommender.similar_items(
        key,
        service.check_k(k),
        where=service.conditions(where),
        exclude=out,
        user=None if user is None else path_id(user, id_type, "users", service),
    )
    service.metrics.served([found])
    return ListOut.of(found, request_id(request))


@router.get("/search", summary="Search by text and taste")
def search(
    *,
    text: Annotated[str, Query(min_length=1, max_length=1_000, description="Words of the records.")],
    request: Request,
    service: Ours,
    k: K = 10,
    where: Conditions = [],  # noqa: B006 - FastAPI copies it
    exclude: Annotated[list[str], Query(max_length=100, description="Items to leave out.")] = [],  # noqa: B006
    user: Annotated[str | None, Query(min_length=1, description="By whose taste the items are ordered.")] = None,
    exclude_seen: Annotated[bool, Query(description="Leave out the items of the user's events.")] = False,
    id_type: IdType = "auto",
) -> ListOut:
    """The items whose records have all the words, then those with some, ordered by relevance and a user's taste."""
    found = service.recommender.search(
        text,
        service.check_k(k),
        user=None if user is None else path_id(user, id_type, "users", service),
        where=service.conditions(where),
        exclude=[path_id(each, id_type, "items", service) for each in exclude],
        exclude_seen=exclude_seen,
    )
    service.metrics.served([found])
    return ListOut.of(found, request_id(request))


@router.get("/schema", summary="The live release and its features")
def read_schema(service: Ours) -> SchemaOut:
    """The features of users and items, and the values that items can be filtered by."""
    facets = {
        name: FacetOut(
            type=facet.type,
            values=[value for value, _ in facet.values.most_common()],
            low=facet.low,
            high=facet.high,
        )
        for name, facet in service.directory.facets().items()
    }
    with service.recommender.live() as live:
        features: dict[str, Any] = live.schema.to_json()
    return SchemaOut(
        name=service.recommender.name,
        release=live.release.id,
        created_at=live.release.created_at,
        title_field=service.settings.title_field,
        noun=service.settings.noun,
        nouns=service.settings.nouns,
        image_field=service.settings.image_field,
        price_field=service.settings.price_field,
        counts=dict(live.release.counts),
        items=features["items"],
        users=features["users"],
        facets=facets,
        labels=service.directory.labels(),
    )
