"""A shop in a hundred lines: train, recommend, change the catalogue, retrain every night behind a gate, go back.

Run it twice: `python examples/shop.py DIRECTORY`. `tests/examples` runs it too.
"""

import sys
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from vecrec import Event, FeedbackPolicy, Item, Recommender, User, field
from vecrec.data import Dataset
from vecrec.encoders import LinearSequenceEncoder
from vecrec.metadata_stores import SQLMetadataStore
from vecrec.recommender import Candidate
from vecrec.recommender.batch import recommend_to_parquet
from vecrec.vector_stores import FileVectorStore

KINDS = ("hiking", "cooking", "reading", "music")
MEANING = FeedbackPolicy(weights={"view": 1, "purchase": 5}, consumed={"purchase"})


def generate(n_products: int = 200, n_customers: int = 300) -> Dataset:
    """Products of four kinds, and customers who like one kind each; stands for the shop's own tables."""
    rng = np.random.default_rng(7)
    products = [
        {
            "item_id": n, "title": f"{KINDS[n % 4]} article {n}", "kind": KINDS[n % 4], "price": 5.0 + n % 40,
            "stock": n % 7, "since": date(2024, 1, 1) + timedelta(days=n), "picture": np.eye(4)[n % 4] + rng.random(4),
        }
        for n in range(n_products)
    ]  # fmt: skip
    start, rows = datetime(2026, 1, 1, tzinfo=timezone.utc), []
    for customer in range(n_customers):
        for step, n in enumerate(rng.choice(n_products // 4, 12, replace=False)):
            kind = "purchase" if step % 3 == 2 else "view"
            when = start + timedelta(hours=customer + step)
            rows.append({"user_id": f"c{customer}", "item_id": int(4 * n + customer % 4), "kind": kind, "time": when})
    customers = [{"user_id": f"c{n}", "likes": KINDS[n % 4]} for n in range(n_customers)]
    return Dataset(rows, products, customers, feedback=MEANING, filter_only=["price", "stock", "since"], name="shop")


def open_shop(home: Path) -> Recommender:
    """The shop's recommender, in any process: files for the vectors, SQLite for records and events."""
    return Recommender(
        LinearSequenceEncoder(dim=32, seed=7),
        FileVectorStore(home / "shop.vec"),
        SQLMetadataStore(f"sqlite:///{home / 'shop.sqlite'}"),
        name="shop",
        artifacts=home / "artifacts",
        feedback=MEANING,
    )


def all_kinds_are_shown(candidate: Candidate) -> bool:
    """A check of the shop's own: the release must not forget a kind of product."""
    lists = candidate.recommend_many([f"c{n}" for n in range(40)], k=5)
    return {product["kind"] for found in lists for product in found} == set(KINDS)


def a_day(shop: Recommender) -> None:
    """What happens while the shop is open."""
    affordable = (field("stock") > 0) & field("price").between(5, 20)
    for product in shop.recommend("c1", k=3, where=affordable, exclude_seen={"purchase"}):
        print("for c1:", product.rank, product["title"], product["price"])
    print("like product 8:", [product["title"] for product in shop.similar_items(8, k=3, where=affordable)])
    print("to a newcomer:", [p["title"] for p in shop.recommend_for(User(None, {"likes": "music"}), k=3)])
    print("since July:", [p["title"] for p in shop.popular(k=3, where=field("since") >= date(2024, 7, 1))])
    best = shop.recommend("c1", k=1, where=affordable)[0].item_id
    shop.update_items({best: {"stock": 0}, 8: {"price": 9.9}})  # sold out; the vectors stay
    assert best not in [product.item_id for product in shop.recommend("c1", k=10, where=affordable)]
    shop.upsert_items(Item("new", {"title": "hiking article, new", "kind": "hiking", "price": 12.0, "stock": 5}))
    shop.delete_items([12])
    ages = {n: len(shop.history(f"c{n}")) for n in range(200)}  # so that each day has other purchases
    shop.record([Event(f"c{n}", 4 * ((7 * age + n) % 50) + n % 4, kind="purchase") for n, age in ages.items()])
    print("c3 is forgotten:", shop.forget_user("c3"))


def a_night(shop: Recommender) -> None:
    """Retrain on what the stores hold; a release that is worse, or that the shop refuses, does not go live."""
    release = shop.fit(shop.dataset(), checks=[all_kinds_are_shown])
    print("live:", release.id, {name: release.checks.get(name) for name in ("held_out", "difference_low", "coverage")})


def main(home: Path) -> None:
    """The first day, the first night, and a change of mind."""
    with open_shop(home) as shop:
        if not shop.releases():
            shop.fit(generate())
        a_day(shop)
        a_night(shop)
        shop.rollback()  # to the release of the day before, with the catalogue of now
        shop.rollback()  # and back again
        print("for every customer:", recommend_to_parquet(shop, home / "lists" / shop.releases()[0].id, k=10))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "shop"))
