"""The page in a real Chromium: what people do on it, by mouse and by keys, wide and narrow, light and dark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from tests.serving.browser import ENTER, ESCAPE, RIGHT, Page, browser
from tests.serving.conftest import published
from tests.serving.web import listening
from vecrec import Item, Recommender
from vecrec.errors import StoreUnavailableError
from vecrec.serving import Settings, create_app

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
    return [text.rstrip(" ×") for text in page.texts("#said .chip")]  # noqa: RUF001 - the sign that takes back


def _like(page: Page, title: str, *, dislike: bool = False) -> None:
    page.click(f"#browse [aria-label='{'Dislike' if dislike else 'Like'} {title}']")


def _find(page: Page, words: str) -> None:
    box = page.all("#search")[0]
    box.clear()
    box.send_keys(words)
    page.wait(lambda: all(words in title for title in page.texts("#browse .title")))


def test_likes_and_dislikes_change_the_list_at_once(page: Page) -> None:
    """A like brings its kind, each with the liked one that it is near to; taken back, popular ones come again."""
    assert page.text("#list-title") == "Popular"
    _find(page, "Movie 15")
    _like(page, "Movie 15")
    page.wait(lambda: page.text("#list-title") == "Recommended")
    page.wait(lambda: _tastes(page) == {"war"})
    assert set(page.texts("#cards .because b")) == {"Movie 15"}
    assert "Movie 15" not in page.titles()
    assert all(float(score) for score in page.texts("#cards .score"))
    assert page.all("#browse .up")[0].get_attribute("aria-pressed") == "true"

    first = page.titles()[0]
    page.click("#cards .card .down")
    page.wait(lambda: first not in page.titles())
    assert len(_said(page)) == 2

    page.click("#said .chip.up")
    page.click("#said .chip")
    page.wait(lambda: page.text("#list-title") == "Popular")


def test_what_was_said_outlives_the_visit(page: Page) -> None:
    """Reloading keeps taste and filters."""
    _find(page, "Movie 42")
    _like(page, "Movie 42")
    page.click(".choice", at=[*page.texts(".choice")].index("space"))
    page.wait(lambda: _tastes(page) == {"space"})
    page.chrome.refresh()
    page.wait(lambda: _said(page) == ["▲ Movie 42"])
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
    assert _said(page) == [f"▲ {similar[0]}"]


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
    page.wait(lambda: f"▲ {second}" in _said(page))
    page.wait(lambda: page.chrome.switch_to.active_element.get_attribute("class") == "title")
    page.press("d")
    page.wait(lambda: any(text.startswith("▼") for text in _said(page)))
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
    page.wait(lambda: _said(page)[0].startswith("▲ <img src=x"))
    assert not page.all("main img, dialog img")
    assert page.chrome.title == "demo: recommendations"


def test_stores_that_are_down(chrome: webdriver.Chrome, page: Page, recommender: Recommender) -> None:
    """Popular ones with a notice; then an error with the reason; and when they are back, one click goes on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recommender.vector_store, "search", _down)
        _find(page, "Movie 15")
        _like(page, "Movie 15")
        page.wait(lambda: "The search is down" in page.text("#notice"))
        assert page.titles()
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
    page.click("#browse .up")
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
        assert page.titles()


def test_mounted_below_a_path(chrome: webdriver.Chrome, recommender: Recommender) -> None:
    """Everything is relative, so it works below any path."""
    from fastapi import FastAPI

    outer = FastAPI()
    outer.mount("/some/where", create_app(recommender))
    with listening(outer) as client:
        page = Page(chrome, f"{client.base_url}/some/where/")
        page.open()
        assert page.titles()
        assert page.complaints() == []


_SIZES = {"wide": (1280, 900), "narrow": (390, 844)}


@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_and_can_be_read(chrome: webdriver.Chrome, address: str, size: str, dark: bool) -> None:
    """Nothing hangs over the edge, buttons are large enough for a thumb, and texts stand out from their ground."""
    page = Page(chrome, address)
    width, height = _SIZES[size]
    page.open(width=width, height=height, dark=dark)
    page.titles()
    page.click("#browse .up")
    page.wait(lambda: page.texts("#cards .because"))
    scrolled: Any = chrome.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert scrolled[0] <= scrolled[1]
    assert min(each.size["height"] for each in page.all("#cards .thumb")) >= 32
    for selector in ("body", "#cards .title", "#cards .facts", "#cards .because", "#status", ".choice", "#said .chip"):
        assert chrome.execute_script(_CONTRAST, selector) >= 4.5, selector
    if folder := os.environ.get("VECREC_TEST_SCREENSHOTS"):
        page.picture(Path(folder) / f"{size}-{'dark' if dark else 'light'}.png")
    assert page.complaints() == []


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
