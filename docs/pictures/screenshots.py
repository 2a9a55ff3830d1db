"""Draws the pictures of the page again, in a real Chromium, on a catalogue that is made up.

    python docs/pictures/screenshots.py

Run from the root of the repository.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from tests.serving.browser import Page, browser
from tests.serving.web import listening
from vecrec import Recommender
from vecrec.data import Categorical, Dataset, MultiCategorical, Numeric, Schema, Text
from vecrec.encoders import LinearSequenceEncoder
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.serving import Settings, create_app
from vecrec.vector_stores import MemoryVectorStore

HERE = Path(__file__).resolve().parent
GENRES = {
    "Comedy": (["Borrowed", "Crooked", "Lucky"], ["Uncle", "Wedding", "Umbrella", "Landlord", "Parrot", "Picnic"]),
    "Mystery": (["Silent", "Hidden", "Missing"], ["Key", "Witness", "Staircase", "Letter", "Lodger", "Portrait"]),
    "Western": (["Dusty", "Lonesome", "Iron"], ["Canyon", "Saddle", "Marshal", "Railroad", "Mesa", "Stagecoach"]),
    "Space": (["Outer", "Distant", "Frozen"], ["Orbit", "Signal", "Colony", "Moon", "Airlock", "Horizon"]),
}


def catalogue() -> Dataset:
    """Films that nobody has made, and people who mostly keep to a genre or two."""
    chance = np.random.default_rng(4)
    films = [
        (f"The {adjective} {noun}", genre)
        for genre, (adjectives, nouns) in GENRES.items()
        for adjective, noun in itertools.product(adjectives, nouns)
    ]
    genres = np.array([list(GENRES).index(genre) for _, genre in films])
    events = []
    for person in range(300):
        taste = np.full(4, 0.1)
        taste[chance.choice(4, 2, replace=False)] = 8.0, 1.5
        weight = taste[genres] * chance.gamma(1, size=len(films))
        events += [
            (person, int(film)) for film in chance.choice(len(films), 10, replace=False, p=weight / weight.sum())
        ]
    others = [list(GENRES)[place] for place in chance.integers(4, size=len(films))]
    items = {
        "item_id": list(range(len(films))),
        "title": [title for title, _ in films],
        "genres": [sorted({genre, other}) for (_, genre), other in zip(films, others)],
        "year": chance.integers(1955, 2026, len(films)).tolist(),
    }
    users = {"user_id": list(range(300)), "country": [["de", "fr", "jp"][person % 3] for person in range(300)]}
    schema = Schema(
        items=(MultiCategorical("genres", filterable=True), Numeric("year", filterable=True), Text("title")),
        users=(Categorical("country"),),
    )
    log = {"user_id": [person for person, _ in events], "item_id": [film for _, film in events]}
    return Dataset(log, items=items, users=users, schema=schema)


def main() -> None:
    """One wide and light, one narrow and dark, one of a film."""
    with tempfile.TemporaryDirectory() as folder, browser() as chrome:
        recommender = Recommender(
            LinearSequenceEncoder(dim=32), MemoryVectorStore(), MemoryMetadataStore(), name="films", artifacts=folder
        )
        recommender.fit(catalogue())
        with listening(create_app(recommender, settings=Settings(name="films", noun="film", nouns="films"))) as client:
            page = Page(chrome, f"{client.base_url}/")
            page.open(width=1160, height=820)
            like(page)
            page.picture(HERE / "page.png")
            page.click("#cards .card .title")
            page.wait(lambda: page.all("dialog[open]"))
            page.wait(lambda: page.texts("#detail .rows .title"))
            page.picture(HERE / "page-film.png")
            page.open(width=400, height=820, dark=True)
            like(page)
            page.picture(HERE / "page-phone.png")


def like(page: Page) -> None:
    """Like two, dislike one."""
    page.chrome.execute_script("document.querySelector('#fold').open = true")
    box = page.all("#search")[0]
    for word, title in (("Like", "The Distant Signal"), ("Like", "The Hidden Key"), ("Dislike", "The Lucky Parrot")):
        box.clear()
        box.send_keys(title)
        page.click(f"#browse [aria-label='{word} {title}']")
    page.chrome.execute_script(
        "const box = document.querySelector('#search'); box.value = ''; box.dispatchEvent(new Event('input'));"
        "document.querySelector('#fold').open = innerWidth > 740"
    )
    page.wait(lambda: page.text("#list-title") == "Recommended")
    page.wait(lambda: len(page.texts("#said .chip")) == 3)
    page.titles()


if __name__ == "__main__":
    main()
