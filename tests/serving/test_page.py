"""The page in a real Chromium: what people do on it, by mouse and by keys, wide and narrow, light and dark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from tests.serving.browser import ENTER, ESCAPE, RIGHT, TAB, Page, browser
from tests.serving.conftest import published
from tests.serving.web import listening
from vecrec import Event, Item, Recommender
from vecrec.errors import StoreUnavailableError
from vecrec.serving import Settings, create_app

_AXE = resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def chrome() -> Iterator[webdriver.Chrome]:
    """Give a browser for all tests of the page."""
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """Give a world with an item whose title would like to be HTML."""
    with published(tmp_path_factory.mktemp("artifacts")) as made:
        title = "<img src=x onerror=\"document.title='broken into'\"><b>Bold</b>"
        made.upsert_items([Item("hostile/id?#", {"title": title, "tastes": ["war"], "year": 2050})])
        yield made


@pytest.fixture(scope="module")
def address(recommender: Recommender) -> Iterator[str]:
    """Give the address of a service with a page."""
    with listening(create_app(recommender)) as client:
        yield f"{client.base_url}/"


@pytest.fixture
def page(chrome: webdriver.Chrome, address: str) -> Iterator[Page]:
    """Give the page, freshly opened; at the end the console must not have complained."""
    opened = Page(chrome, address)
    opened.open()
    opened.titles()
    yield opened
    assert opened.complaints() == []


def _tastes(page: Page, first: int = 6) -> set[str]:
    """The tastes of the first cards; the world has 15 items of each."""
    page.titles()
    return {facts.rsplit(" · ", 1)[-1] for facts in page.texts("#cards .facts")[:first]}


def _said(page: Page) -> list[str]:
    """Such as ``"like Movie 3"``, by the colour and the text of the chips."""
    script = (
        "return [...document.querySelectorAll('#said .chip')].map((chip) =>"
        " `${chip.classList.contains('up') ? 'like' : 'dislike'} ${chip.firstElementChild.textContent}`)"
    )
    found: list[str] = page.chrome.execute_script(script)
    return found


def _like(page: Page, title: str, *, dislike: bool = False) -> None:
    page.click(f"#browse [aria-label='{'Dislike' if dislike else 'Like'} {title}']")


def _search(page: Page, words: str) -> None:
    box = page.all("#search")[0]
    box.clear()
    box.send_keys(words)


def _says(page: Page, title: str) -> bool:
    return page.text("#detail-title") == title


def _find(page: Page, words: str) -> None:
    _search(page, words)
    page.wait(lambda: all(words in title for title in page.texts("#browse .title")))


def test_likes_and_dislikes_change_the_list_at_once(page: Page) -> None:
    """A like brings its kind, each with the liked one that it is near to; taken back, popular ones come again."""
    assert page.text("#list-title") == "Something of everything"
    _find(page, "Movie 15")
    _like(page, "Movie 15")
    page.wait(lambda: page.text("#list-title") == "Recommended")
    page.wait(lambda: _tastes(page) == {"war"})
    assert set(page.texts("#cards .because")) == {"Because you liked Movie 15"}
    assert page.text("#status").startswith("You like Movie 15: ")
    assert page.texts("#cards .moved")
    assert "Movie 15" not in page.titles()
    assert page.all("#browse .up")[0].get_attribute("aria-pressed") == "true"

    first = page.titles()[0]
    page.click("#cards .card .down")
    page.wait(lambda: first not in page.titles())
    assert len(_said(page)) == 2

    page.click("#said .chip.up")
    page.click("#said .chip")
    page.wait(lambda: page.text("#list-title") == "Something of everything")


def test_what_was_said_outlives_the_visit(page: Page) -> None:
    """Reloading keeps taste and filters."""
    _find(page, "Movie 42")
    _like(page, "Movie 42")
    page.click(".choice", at=[*page.texts(".choice")].index("space"))
    page.wait(lambda: _tastes(page) == {"space"})
    page.chrome.refresh()
    page.wait(lambda: _said(page) == ["like Movie 42"])
    assert _tastes(page) == {"space"}
    assert page.all(".choice[aria-pressed='true']")[0].text == "space"


def test_filters_by_value_and_by_range(page: Page) -> None:
    """Every item of the list meets them, and clearing brings the others back."""
    page.click(".choice", at=page.texts(".choice").index("love"))
    page.wait(lambda: _tastes(page, 99) == {"love"})
    low = page.all("#year-low")[0]
    low.send_keys("2020", ENTER)
    page.wait(lambda: page.titles() and all(facts[:4] >= "2020" for facts in page.texts("#cards .facts")))
    assert _tastes(page, 99) == {"love"}
    assert "pass the filter" in page.text("#notice")
    page.click("#clear")
    page.wait(lambda: len(_tastes(page)) > 1)


def test_an_item_with_its_like(page: Page) -> None:
    """A title opens what is known of it and what is similar, from which the next one opens; Escape closes."""
    _find(page, "Movie 43")
    page.click("#browse .title")
    page.wait(lambda: page.text("#detail-title") == "Movie 43")
    similar = page.wait(lambda: page.texts("#detail .rows .title"))
    assert len(similar) == 8
    page.click("#detail .rows .title")
    page.wait(lambda: page.text("#detail-title") == similar[0])
    page.click("#detail .hero .up")
    page.wait(lambda: page.all("#detail .hero .up")[0].get_attribute("aria-pressed") == "true")
    page.press(ESCAPE)
    page.wait(lambda: not page.all("#detail[open]"))
    assert _said(page) == [f"like {similar[0]}"]


def test_somebody_stored_and_somebody_new(page: Page) -> None:
    """An id brings its history's list, an unknown id is said to be one, and a profile brings its own."""
    page.click("#person")
    page.all("#who-id")[0].send_keys("nobody", ENTER)
    page.wait(lambda: "nothing is stored about the user 'nobody'" in page.text("#who-error"))
    page.all("#who-id")[0].clear()
    page.all("#who-id")[0].send_keys("3", ENTER)
    page.wait(lambda: page.text("#person-name") == "3 (12 events)")
    page.wait(lambda: _tastes(page, 3) == {"war"})  # all that they have not seen
    page.click("#person")
    page.all("#feature-taste")[0].send_keys("love")
    page.click("#who-new button")
    page.wait(lambda: page.text("#person-name") == "love")
    page.wait(lambda: _tastes(page) == {"love"})
    assert "by profile" in page.text("#status")
    [complaint] = page.complaints()  # the browser notes the 404 of the unknown one by itself
    assert "404" in complaint


def test_all_of_it_by_keys(page: Page) -> None:
    """Search, like, move among the cards, open and close, without a mouse; the focus is always somewhere."""
    page.press("/")
    assert page.chrome.switch_to.active_element.get_attribute("id") == "search"
    page.press("Movie 33")
    page.wait(lambda: page.texts("#browse .title") == ["Movie 33"])
    page.all("#browse .up")[0].send_keys(ENTER)
    page.wait(lambda: _tastes(page) == {"love"})
    page.all("#cards .title")[0].send_keys(RIGHT)
    second = page.titles()[1]
    page.wait(lambda: page.chrome.switch_to.active_element.text == second)
    page.press("l")
    page.wait(lambda: f"like {second}" in _said(page))
    page.wait(lambda: page.chrome.switch_to.active_element.get_attribute("class") == "title")
    page.press("d")
    page.wait(lambda: any(text.startswith("dislike ") for text in _said(page)))
    page.press(ENTER)
    page.wait(lambda: page.texts("#detail .rows .title"))
    page.press(ESCAPE)
    page.wait(lambda: not page.all("dialog[open]"))


def test_titles_are_texts(page: Page) -> None:
    """A title that is HTML shows as it is written, in the list, in the dialog and among what was said."""
    _find(page, "<img")
    page.click("#browse .title")
    page.wait(lambda: page.text("#detail-title").startswith("<img src=x"))
    page.click("#detail .hero .up")
    page.press(ESCAPE)
    page.wait(lambda: _said(page)[0].startswith("like <img src=x"))
    assert not page.all("main img, dialog img")
    assert page.chrome.title == "demo: recommendations"


def test_stores_that_are_down(chrome: webdriver.Chrome, page: Page, recommender: Recommender) -> None:
    """Popular ones with a notice; then an error with the reason; and when they are back, one click goes on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recommender.vector_store, "search", _down)
        _find(page, "Movie 15")
        _like(page, "Movie 15")
        page.wait(lambda: "The search is down" in page.text("#notice"))
        page.wait(page.titles)
        patch.setattr(recommender.metadata_store, "get", _down)
        page.click("#cards .card .up")
        page.wait(lambda: "Not available at the moment" in page.text("#alert"))
        assert "A store does not answer" in page.text("#alert")
        assert "10.0.0.1" not in page.text("body")
    page.click("#alert button")
    page.wait(lambda: page.text("#list-title") == "Recommended" and not page.all("#alert:not([hidden])"))
    assert all("503" in each for each in page.complaints())


def test_a_service_that_is_gone(chrome: webdriver.Chrome, recommender: Recommender) -> None:
    """What is to be seen stays, and the page says that nobody answers."""
    with listening(create_app(recommender)) as client:
        page = Page(chrome, f"{client.base_url}/")
        page.open()
        before = page.titles()
    page.click("#cards .up")
    page.wait(lambda: "The service does not answer" in page.text("#alert"))
    assert page.titles() == before


def test_a_key_is_asked_for_once(chrome: webdriver.Chrome, recommender: Recommender) -> None:
    """With keys, the page asks, and asks again after a wrong one."""
    with listening(create_app(recommender, settings=Settings(api_keys=("sesame",)))) as client:
        page = Page(chrome, f"{client.base_url}/")
        page.open()
        for key in ("wrong", "sesame"):
            page.wait(page.asks_for_key)
            page.all("#key-value")[0].send_keys(key)
            page.press(ENTER)
        page.wait(page.titles)


def test_mounted_below_a_path(chrome: webdriver.Chrome, recommender: Recommender) -> None:
    """Everything is relative, so it works below any path."""
    from fastapi import FastAPI

    outer = FastAPI()
    outer.mount("/some/where", create_app(recommender))
    with listening(outer) as client:
        page = Page(chrome, f"{client.base_url}/some/where/")
        page.open()
        page.wait(page.titles)
        assert page.complaints() == []


def test_addresses_and_the_way_back(page: Page, address: str) -> None:
    """An item, a filter and a user have an address, which another browser opens; Back undoes each."""
    page.click(".choice", at=page.texts(".choice").index("love"))
    page.wait(lambda: _tastes(page, 99) == {"love"})
    page.click("#cards .title")
    title = page.wait(lambda: page.texts("#detail .rows .title") and page.text("#detail-title"))
    shared = page.chrome.current_url
    page.chrome.back()
    page.wait(lambda: not page.all("#detail[open]"))
    page.chrome.back()
    page.wait(lambda: page.chrome.current_url == address and len(_tastes(page)) > 1)
    page.chrome.get(shared)
    page.wait(lambda: page.text("#detail-title") == title)
    page.press(ESCAPE)
    page.wait(lambda: _tastes(page, 99) == {"love"})
    page.chrome.get(f"{address}?user=3")
    page.wait(lambda: page.text("#person-name") == "3 (12 events)")


def test_more_comes_without_repeats(page: Page) -> None:
    """Every item of the catalogue once, page after page, and then no more."""
    page.titles()
    assert len(page.texts("#cards .title")) == 24
    while page.all("#further:not([hidden])"):
        page.click("#further")
        page.wait(lambda: not page.all("#further[disabled]"))
    count = len(page.texts("#cards .title"))
    assert len(set(page.texts("#cards .title"))) == count
    assert count > 55


def test_what_a_stored_user_says_is_stored(page: Page, recommender: Recommender) -> None:
    """A like goes to their events and shows in their history; taken back, it is gone."""
    recommender.record([Event("page", 3), Event("page", 7)])
    page.chrome.get(f"{page.address}?user=page")
    page.wait(lambda: page.texts("#history-rows .title") == ["Movie 7", "Movie 3"])
    title = page.titles()[0]
    page.click("#cards .up")
    page.wait(lambda: page.text("#person-name") == "page (3 events)")
    assert [event.kind for event in recommender.history("page")] == [None, None, "like"]
    assert _said(page) == [f"like {title}"]
    page.click("#said .chip")
    page.wait(lambda: page.text("#person-name") == "page (2 events)")
    assert len(recommender.history("page")) == 2
    recommender.forget_user("page")


def test_a_search_forgives(page: Page) -> None:
    """Letters too many, too few or exchanged, and a year beside the title."""
    for words in ("Moive 42", "mvie 42", "Movie 42 2022"):
        _search(page, words)
        page.wait(lambda: page.texts("#browse .title")[:1] == ["Movie 42"])
    _search(page, "zzzzzz")
    page.wait(lambda: "No title is like this" in page.text("#browse"))


def test_posters_differ_and_can_be_read(page: Page) -> None:
    """Hues for the values of the schema, and initials whose contrast with ground and pattern is 4.5 at least."""
    page.titles()
    grounds: list[str] = page.chrome.execute_script(
        "return [...document.querySelectorAll('#cards .poster rect:first-child')].map((at) => at.getAttribute('fill'))"
    )
    assert len({ground.split()[0] for ground in grounds}) > 8
    worst: float = page.chrome.execute_script(_POSTERS)
    assert worst >= 4.5


def test_titles_that_are_long_or_empty_fit(page: Page, recommender: Recommender) -> None:
    recommender.upsert_items(
        [Item("long", {"title": "longword" * 38, "year": 1990}), Item("empty", {"title": " ", "year": 1991})]
    )
    for key, shown in (("long", "longword" * 38), ("empty", "No title (empty)")):
        page.chrome.get(f"{page.address}?item={key}")
        page.wait(partial(_says, page, shown))
        assert page.chrome.execute_script(
            "const box = document.querySelector('#detail');"
            "return document.documentElement.scrollWidth <= innerWidth && box.scrollWidth <= box.clientWidth"
        )
    recommender.delete_items(["long", "empty"])


def test_a_few_tabs_lead_from_the_search_to_the_first_card(page: Page) -> None:
    page.press("/")
    inside = "return document.activeElement.closest('.card') !== null"
    tabs = 0
    while tabs < 9 and not page.chrome.execute_script(inside):
        page.press(TAB)
        tabs += 1
    assert tabs <= 5


def test_the_page_is_small_and_compressed(chrome: webdriver.Chrome, address: str) -> None:
    """All files together under 100 kB, and sent with gzip."""
    import httpx

    files = resources.files("vecrec.serving.page").joinpath("files")
    assert sum(len(each.read_bytes()) for each in files.iterdir()) < 100_000
    for name in ("", "page/app.js", "page/style.css"):
        answer = httpx.get(address + name, headers={"Accept-Encoding": "gzip"}, trust_env=False)
        assert answer.headers["content-encoding"] == "gzip"


_SIZES = {"wide": (1440, 900), "tablet": (768, 1024), "narrow": (390, 844)}


@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_and_can_be_read(chrome: webdriver.Chrome, address: str, size: str, dark: bool) -> None:
    """Nothing hangs over the edge, buttons are large enough for a thumb, and texts stand out from their ground."""
    page = Page(chrome, address)
    width, height = _SIZES[size]
    page.open(width=width, height=height, dark=dark)
    page.titles()
    page.click("#cards .up")
    page.wait(lambda: page.texts("#cards .because"))
    scrolled: Any = chrome.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert scrolled[0] <= scrolled[1]
    assert min(each.size["height"] for each in page.all("#cards .thumb")) >= 32
    for selector in ("body", "#cards .title", "#cards .facts", "#cards .because", "#status", ".choice"):
        assert chrome.execute_script(_CONTRAST, selector) >= 4.5, selector
    if folder := os.environ.get("VECREC_TEST_SCREENSHOTS"):
        page.picture(Path(folder) / f"{size}-{'dark' if dark else 'light'}.png")
    assert _barriers(page) == []
    page.click("#cards .title")
    page.wait(lambda: page.texts("#detail .rows .title"))
    assert _barriers(page) == []
    assert page.complaints() == []


def _barriers(page: Page) -> list[str]:
    """What axe finds that keeps people out."""
    page.chrome.execute_script(_AXE)
    found: Any = page.chrome.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    return [f"{each['id']}: {node['html'][:120]}" for each in found["violations"] for node in each["nodes"]]


# The ratio of WCAG 2 between an element's colour and that of the nearest ground that is not transparent.
_CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgb = (colour) => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const light = (colour) => rgb(colour).slice(0, 3).map((each) => each / 255)
  .map((each) => (each <= .04045 ? each / 12.92 : ((each + .055) / 1.055) ** 2.4))
  .reduce((sum, each, at) => sum + each * [.2126, .7152, .0722][at], 0);
const element = document.querySelector(arguments[0]);
let ground = element;
while (ground.parentElement && rgb(getComputedStyle(ground).backgroundColor)[3] < 255) ground = ground.parentElement;
const [a, b] = [light(getComputedStyle(element).color), light(getComputedStyle(ground).backgroundColor)];
return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
"""


def _down(*_: object, **__: object) -> Any:
    raise StoreUnavailableError("nobody answers at 10.0.0.1")


# The least contrast of white letters with what posters are painted with.
_POSTERS = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const light = (colour) => {
  canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((each) => each / 255)
    .map((each) => (each <= .04045 ? each / 12.92 : ((each + .055) / 1.055) ** 2.4))
    .reduce((sum, each, at) => sum + each * [.2126, .7152, .0722][at], 0);
};
const shapes = [...document.querySelectorAll("#cards .poster :is(rect, circle, path)")];
const paint = (shape) => (shape.getAttribute("stroke") ?? shape.getAttribute("fill"));
return Math.min(...shapes.map((shape) => 1.05 / (light(paint(shape)) + .05)));
"""
