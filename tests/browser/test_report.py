"""report.html in a real browser, wide and narrow."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from synthcohort.figures.report import build_report

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS = [1280, 390]
OVERFLOWING = """() => [...document.querySelectorAll('body *')]
    .filter(element => !element.parentElement.closest('.scroll, pre') && element.checkVisibility()
        && element.getBoundingClientRect().right > window.innerWidth + 0.5)
    .map(element => element.tagName + '.' + element.className)"""
CONTRASTS = """() => {
    const channel = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const numbers = text => text.match(/[\\d.]+/g).map(Number);
    const background = element => {
        for (; element; element = element.parentElement) {
            const color = numbers(getComputedStyle(element).backgroundColor);
            if (color.length === 3 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll('body *')]
        .filter(element => [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()))
        .map(element => {
            const [a, b] = [numbers(getComputedStyle(element).color), background(element)].map(luminance);
            return [element.tagName + '.' + element.className, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
        });
}"""

made_up = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "fabricated_study.py")))
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is missing: make system-packages"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    path = folder / "report.html"
    path.write_text(build_report(made_up.report_inputs(folder / "study")), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(params=WIDTHS)
def page(browser: Browser, report: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": request.param, "height": 900})
    opened = context.new_page()
    opened.complaints, opened.requests = [], []
    opened.on("console", lambda message: opened.complaints.append(message.text))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("request", lambda made: opened.requests.append(made.url))
    opened.goto(report.as_uri())
    opened.evaluate("document.querySelectorAll('details').forEach(element => element.open = true)")
    yield opened
    context.close()


def test_page_needs_nothing_but_itself(page: Page, report: Path) -> None:
    asked = [url for url in page.requests if not url.startswith("data:")]
    assert asked == [report.as_uri()]
    assert page.complaints == []
    assert page.evaluate("document.scripts.length") == 0


def test_nothing_leaves_the_window_sideways(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    assert page.evaluate(OVERFLOWING) == []
    if page.viewport_size["width"] == 390:  # what is wider scrolls inside its box
        assert page.evaluate("[...document.querySelectorAll('.scroll')].some(box => box.scrollWidth > box.clientWidth)")


def test_every_image_shows_and_is_described(page: Page) -> None:
    page.wait_for_function("[...document.images].every(image => image.complete)")
    images = page.evaluate("[...document.images].map(image => [image.naturalWidth, image.alt])")
    # Axes, the same as in the paper, findings, galleries, cohorts, samples, training.
    assert len(images) == 3 + 3 + 1 + 2 + 2 + 3 + 2
    assert all(width > 0 and len(alt) > 20 for width, alt in images)


def test_answer_comes_first_and_says_what_was_measured(page: Page) -> None:
    text = page.inner_text("main")
    sentences = [
        "What does sharing a synthetic cohort cost?",
        "Training on synthetic images instead of the patients’ own costs",
        "All patients are simulated.",
        "Memorisation alarm. Samples of r3-gan on chest-phantom, samples-00050 (about 25%) copy training images",
        "Does not hold: loses more than 0.05 AUROC",
        "Training images per label combination: nowhere (does not hold at 50 to 800)",
        "Training. It was too short",
        "prog-gan was not trained long enough",
        "95% bootstrap intervals over test patients only",
        "ALARM: 25.0%, since 48 kimg",
        "Images in a column come from the same noise",
        "309 files found, 300 used, 9 not used (2.9%)",
        "view not frontal",
        "train_generator",
        "Study seed 2021, 1 replicate",
        "The memorisation alarm was raised for r3-gan on chest-phantom, samples-00050",
        "do not share them on its strength",
    ]
    places = [text.find(sentence) for sentence in sentences]
    assert -1 not in places, [sentence for sentence, place in zip(sentences, places, strict=True) if place < 0]
    assert page.inner_text(".banner").startswith("Internal.")
    first = "main > section"
    assert page.get_attribute(first, "id") == "answer"


def test_contents_lead_to_every_section(page: Page) -> None:
    targets = page.evaluate("[...document.querySelectorAll('nav a')].map(link => link.hash.slice(1))")
    assert targets == page.evaluate("[...document.querySelectorAll('main > section')].map(section => section.id)")
    position = page.evaluate("getComputedStyle(document.querySelector('nav')).position")
    assert position == ("sticky" if page.viewport_size["width"] > 1000 else "static")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_enough(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 100
    assert [found for found in contrasts if found[1] < 4.5] == []  # WCAG 2.2, 1.4.3, level AA


def test_boxes_that_scroll_can_be_reached_by_keyboard(page: Page) -> None:
    boxes = page.evaluate("[...document.querySelectorAll('.scroll')].map(box => [box.tabIndex, box.ariaLabel])")
    assert boxes
    assert all(index == 0 and label for index, label in boxes)


def test_print_shows_what_is_folded(browser: Browser, report: Path) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    assert not page.get_by_text("minimum_positive_patients").is_visible()
    page.emulate_media(media="print")
    assert page.get_by_text("minimum_positive_patients").is_visible()
    assert not page.locator("nav").is_visible()
    page.close()
