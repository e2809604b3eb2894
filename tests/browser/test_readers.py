"""The reader study in a real browser: by mouse, by keyboard alone, on a tablet, and over interruptions."""

import os
import re
import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parent))
from page_checks import CONTRASTS, OVERFLOWING, SMALL_TARGETS, UNNAMED

from synthcohort.readers.answers import ANSWERS, AnswerBook
from synthcohort.readers.tables import answers_table

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {
    "desk": {"viewport": {"width": 1440, "height": 900}},
    "tablet": {"viewport": {"width": 1024, "height": 768}, "has_touch": True, "device_scale_factor": 2},
    "upright": {"viewport": {"width": 768, "height": 1024}, "has_touch": True, "device_scale_factor": 2},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "device_scale_factor": 2},
}
SCREENSHOTS = os.environ.get("SCREENSHOTS")
TRUTH = re.compile(r"(Right|Not right): this image is (real|synthetic)\.")
expect.set_options(timeout=20_000)
IMAGES = 10  # 2 cells of 2 + 2, and 2 again

made_up = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "fabricated_readers.py")))
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is missing: make system-packages"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("readers")
    chosen = made_up.cells(folder / "stores", ("head-phantom",), ("cpd-gan", "r3-gan"))
    changes = {"count": 12, "images": 2, "repeated": 2, "training": 2, "side": 256, "ask_findings": True}
    with made_up.Server(made_up.built(folder, chosen, **changes)) as running:
        yield running


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("changing")
    chosen = made_up.cells(folder / "stores", ("head-phantom",), ("r3-gan",))
    with made_up.Server(made_up.built(folder, chosen, images=2, repeated=0, allow_changes=True)) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser, server: Any) -> Iterator[Callable[..., Page]]:
    """Pages that note what they complain about and whom they ask; checked at the end."""
    pages: list[Page] = []

    def opening(size: str = "desk") -> Page:
        page = browser.new_context(**SIZES[size]).new_page()
        page.set_default_timeout(30_000)
        page.complaints, page.hosts = [], set()
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda made: page.hosts.add(made.url.split("/")[2] if "//" in made.url else "data:"))
        pages.append(page)
        return page

    yield opening
    for page in pages:
        page.context.close()
    for page in pages:
        assert page.complaints == []
        assert all(host.startswith("127.0.0.1:") or host == "data:" for host in page.hosts)


def shoot(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=f"{SCREENSHOTS}/{name}.png")


def begin(page: Page, server: Any, name: str) -> None:
    """Consent and profile, by mouse."""
    page.goto(server.links[name])
    page.get_by_label("I have read this").check()
    page.get_by_label("Profession").select_option("radiologist")
    page.get_by_label("Years of experience").fill("12")
    page.get_by_role("button", name="Begin").click()
    ready(page)


def ready(page: Page) -> None:
    page.wait_for_selector("body[data-ready=yes]")


def skip_practice(page: Page) -> None:
    for number in (1, 2):
        expect(page).to_have_title(f"Practice image {number} of 2 · Real or synthetic?")
        say(page, "Real", 1)
        page.get_by_role("button", name="Next image").click()
        page.wait_for_url("**/")
    expect(page).to_have_title(f"Image 1 of {IMAGES} · Real or synthetic?")
    ready(page)


def say(page: Page, answer: str, confidence: int) -> None:
    ready(page)
    page.get_by_role("radio", name=answer).check(force=True)
    page.locator(f"[name=confidence][value='{confidence}']").check(force=True)
    page.get_by_role("button", name="Save and go on").click()


def stored(server: Any, name: str) -> Any:
    book = AnswerBook(server.folder / ANSWERS)
    table = answers_table(book)
    book.close()
    return table[(table["reader"] == name) & (table["block"] == "reading")].reset_index(drop=True)


def pixels(canvas: Locator) -> list[int]:
    """Grey values along the middle row of the canvas."""
    return canvas.evaluate(
        """canvas => [...canvas.getContext('2d').getImageData(0, canvas.height / 2 | 0, canvas.width, 1).data]
            .filter((_, place) => place % 4 === 0)"""
    )


def test_whole_session_by_mouse(open_page: Callable[..., Page], server: Any) -> None:
    page = open_page()
    page.goto(server.links["reader-01"])
    expect(page.get_by_role("heading", name="Real or synthetic?")).to_be_visible()
    assert "#" not in page.url  # the token stays out of the address and the history
    expect(page.get_by_text("simulated patients")).to_be_visible()
    shoot(page, "consent")
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("alert")).to_have_text("Please agree to take part, or close this page.")
    page.get_by_label("I have read this").click()
    page.get_by_label("Profession").select_option("Radiologist")
    page.get_by_label("Years of experience").fill("12")
    page.get_by_role("button", name="Begin").click()
    for number in (1, 2):
        expect(page).to_have_title(f"Practice image {number} of 2 · Real or synthetic?")
        say(page, "Synthetic", 3)
        expect(page.locator("#truth")).to_have_text(TRUTH)
        if number == 1:
            shoot(page, "practice")
        page.get_by_role("button", name="Next image").click()
    for number in range(1, IMAGES + 1):
        expect(page).to_have_title(f"Image {number} of {IMAGES} · Real or synthetic?")
        assert page.locator("#progress").get_attribute("value") == str(number - 1)
        if number == 1:
            ready(page)
            page.get_by_role("button", name="Save and go on").click()
            expect(page.get_by_role("alert")).to_have_text("Please choose real or synthetic first.")
            page.get_by_role("radio", name="Real").check(force=True)
            page.get_by_role("button", name="Save and go on").click()
            expect(page.get_by_role("alert")).to_have_text("Please say how sure you are.")
            page.get_by_text("What do you see?").click()
            page.get_by_label("Subdural").check()
            page.get_by_label("Comment").fill("streaks, r s 5 typed here choose nothing")
            shoot(page, "reading")
        say(page, "Synthetic" if number % 2 else "Real", 1 + number % 5)
    expect(page.get_by_role("heading", name="Done. Thank you!")).to_be_visible()
    shoot(page, "done")
    page.get_by_role("button", name="Leave").click()
    page.wait_for_url("**/enter")
    page.goto(f"{server.address}/")
    expect(page.get_by_label("Personal link or code")).to_be_visible()
    table = stored(server, "reader-01")
    assert table["synthetic"].tolist() == [number % 2 for number in range(1, IMAGES + 1)]
    assert table["confidence"].tolist() == [1 + number % 5 for number in range(1, IMAGES + 1)]
    assert table.at[0, "findings"] == '["subdural"]'
    assert table.at[0, "comment"] == "streaks, r s 5 typed here choose nothing"
    assert (table["seconds"] > 0).all()
    # The browser begins when the image is shown, the server when it sends it: where nobody cheats it is within.
    assert (table["seconds_client"] <= table["seconds"] + 0.1).all()
    assert (table["seconds_client"] > 0).all()


def test_whole_session_by_keyboard_alone(open_page: Callable[..., Page], server: Any) -> None:
    page = open_page()
    page.goto(server.links["reader-02"])
    page.wait_for_url("**/")
    keyboard = page.keyboard
    page.wait_for_selector("#consent")
    keyboard.press("Tab")
    keyboard.press("Space")
    keyboard.press("Tab")
    keyboard.type("Rad")
    keyboard.press("Tab")
    keyboard.type("7")
    keyboard.press("Enter")
    for _ in range(2):
        ready(page)
        for key in "r1":
            keyboard.press(key)
        keyboard.press("Enter")
        page.wait_for_selector("#feedback:not([hidden])")
        page.evaluate("document.body.dataset.ready = 'answered'")
        keyboard.press("Enter")
        page.wait_for_selector("body:not([data-ready=answered])")
    for number in range(1, IMAGES + 1):
        expect(page).to_have_title(f"Image {number} of {IMAGES} · Real or synthetic?")
        ready(page)
        if number == 1:
            use_keys_of_the_viewer(page)
        if number == 2:  # without a single shortcut: tab to the choices, move by arrows
            tab_to(page, "[name=answer]")
            keyboard.press("Space")
            keyboard.press("ArrowRight")
            keyboard.press("Tab")
            keyboard.press("Space")
            keyboard.press("ArrowRight")
            keyboard.press("Enter")
            continue
        if number == 4:
            pause_and_leave_by_tab(page, server.links["reader-02"])
        keyboard.press("s" if number % 2 else "R")
        keyboard.press("4")
        if number == 3:
            keyboard.press("c")
            keyboard.type("rib 5 ends")
            keyboard.press("Escape")
        keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Done. Thank you!")).to_be_visible()
    table = stored(server, "reader-02")
    assert table["synthetic"].tolist() == [1, 1] + [number % 2 for number in range(3, IMAGES + 1)]
    assert table["confidence"].tolist() == [4, 2] + [4] * (IMAGES - 2)
    assert table.at[2, "comment"] == "rib 5 ends"


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until something has the focus."""
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not lead to {selector}")


def pause_and_leave_by_tab(page: Page, link: str) -> None:
    """Without shortcuts; the link opens the same image again."""
    tab_to(page, "#pause")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Paused")).to_be_visible()
    tab_to(page, "#resume")
    page.keyboard.press("Space")
    expect(page.get_by_role("heading", name="Paused")).not_to_be_visible()
    tab_to(page, "#leave")
    page.keyboard.press("Enter")
    page.wait_for_url("**/enter")
    page.goto(link)
    page.wait_for_url("**/")
    expect(page).to_have_title(f"Image 4 of {IMAGES} · Real or synthetic?")
    ready(page)


def use_keys_of_the_viewer(page: Page) -> None:
    keyboard, zoom = page.keyboard, page.locator("#zoom")
    for _ in range(2):
        keyboard.press("+")
    expect(zoom).to_have_text("156 %")
    keyboard.press("ArrowLeft")
    keyboard.press("Shift+L")
    keyboard.press("w")
    assert page.locator("#level").input_value() == "120"
    assert page.locator("#width").input_value() == "272"
    keyboard.press("0")
    expect(zoom).to_have_text("100 %")
    assert page.locator("#width").input_value() == "256"
    keyboard.press("?")
    expect(page.get_by_text("Use keyboard shortcuts")).to_be_visible()
    shoot(page, "keys")
    keyboard.press("?")
    keyboard.press("p")
    expect(page.get_by_role("heading", name="Paused")).to_be_visible()
    keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Paused")).not_to_be_visible()


def test_session_goes_on_after_reload_and_on_another_device(open_page: Callable[..., Page], server: Any) -> None:
    page = open_page()
    begin(page, server, "reader-03")
    skip_practice(page)
    say(page, "Synthetic", 5)
    expect(page).to_have_title(f"Image 2 of {IMAGES} · Real or synthetic?")
    ready(page)
    page.get_by_role("radio", name="Real").check(force=True)
    page.reload()
    ready(page)
    expect(page).to_have_title(f"Image 2 of {IMAGES} · Real or synthetic?")
    page.go_back()
    assert "Image 1 " not in page.title()  # nothing to go back to
    page.goto(f"{server.address}/")
    ready(page)
    page.get_by_role("button", name="Save and leave").click()
    page.wait_for_url("**/enter")
    tablet = open_page("tablet")
    tablet.goto(f"{server.address}/enter")
    tablet.get_by_label("Personal link or code").fill(server.links["reader-03"])
    tablet.get_by_role("button", name="Continue").click()
    ready(tablet)
    expect(tablet).to_have_title(f"Image 2 of {IMAGES} · Real or synthetic?")
    assert stored(server, "reader-03")["synthetic"].tolist() == [1]


def test_answer_waits_for_a_server_that_is_away(open_page: Callable[..., Page], server: Any) -> None:
    page = open_page()
    begin(page, server, "reader-04")
    skip_practice(page)
    page.get_by_role("radio", name="Real").check(force=True)
    page.locator("[name=confidence][value='2']").check(force=True)
    server.end(signal.SIGKILL)
    page.get_by_role("button", name="Save and go on").click()
    expect(page.get_by_role("alert")).to_contain_text("Not saved yet: the server cannot be reached")
    expect(page.get_by_role("button", name="Save and go on")).to_be_disabled()
    shoot(page, "away")
    server.start()
    expect(page).to_have_title(f"Image 2 of {IMAGES} · Real or synthetic?")
    table = stored(server, "reader-04")
    assert table[["synthetic", "confidence"]].to_numpy().tolist() == [[0, 2]]
    assert table["interrupted"].tolist() == [1]
    page.complaints[:] = [text for text in page.complaints if "net::ERR_" not in text]


def test_second_device_is_told_that_an_image_was_answered(open_page: Callable[..., Page], server: Any) -> None:
    desk, tablet = open_page(), open_page("tablet")
    begin(desk, server, "reader-05")
    skip_practice(desk)
    tablet.goto(server.links["reader-05"])
    ready(tablet)
    say(desk, "Real", 3)
    expect(desk).to_have_title(f"Image 2 of {IMAGES} · Real or synthetic?")
    say(tablet, "Synthetic", 3)
    expect(tablet.get_by_role("alert")).to_contain_text("Not stored: this image was answered already")
    tablet.get_by_role("link", name="Go on").click()
    expect(tablet).to_have_title(f"Image 2 of {IMAGES} · Real or synthetic?")
    assert stored(server, "reader-05")["synthetic"].tolist() == [0]
    tablet.complaints[:] = [text for text in tablet.complaints if "409" not in text]


def test_viewer_shows_zooms_moves_and_windows(open_page: Callable[..., Page], server: Any) -> None:
    page = open_page()
    begin(page, server, "reader-06")
    canvas = page.locator("#canvas")
    box = canvas.bounding_box()
    original = pixels(canvas)
    assert max(original) > 60  # there is an image
    assert len(original) == pytest.approx(box["width"], abs=1)
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.wheel(0, -500)
    expect(page.locator("#zoom")).to_have_text("272 %")
    zoomed = pixels(canvas)
    assert zoomed != original
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] + 30, steps=4)
    page.mouse.up()
    assert pixels(canvas) != zoomed
    page.get_by_role("button", name="Reset view").click()
    assert pixels(canvas) == original
    page.mouse.move(*middle)
    page.mouse.down(button="right")
    page.mouse.move(middle[0] + 50, middle[1] + 40, steps=4)
    page.mouse.up(button="right")
    assert page.locator("#level").input_value() == "108"
    assert page.locator("#width").input_value() == "306"
    assert pixels(canvas) != original
    page.get_by_role("button", name="Reset view").click()
    page.locator("#width").fill("64")
    page.locator("#level").fill("128")
    windowed = pixels(canvas)
    expected = [min(255, max(0, ((value + 0.5 - 128) / 64 + 0.5) * 255)) for value in original]
    page.complaints[:] = [text for text in page.complaints if "willReadFrequently" not in text]  # this test reads
    near = [abs(a - b) for a, b in zip(windowed, expected, strict=True)]
    assert sum(near) / len(near) < 8  # enlarging comes after windowing: not the same at edges


def test_shortcuts_can_be_switched_off(open_page: Callable[..., Page], server: Any) -> None:
    page = open_page()
    begin(page, server, "reader-07")
    page.get_by_text("Keyboard and mouse").click()
    page.get_by_label("Use keyboard shortcuts").uncheck()
    page.locator("h1").first.click()
    page.keyboard.press("s")
    assert page.locator("[name=answer]:checked").count() == 0
    page.reload()
    ready(page)
    page.keyboard.press("s")
    assert page.locator("[name=answer]:checked").count() == 0  # it is remembered


@pytest.mark.parametrize(("size", "name"), [("tablet", "reader-08"), ("upright", "reader-09")])
def test_tablet_by_fingers(open_page: Callable[..., Page], server: Any, size: str, name: str) -> None:
    page = open_page(size)
    page.goto(server.links[name])
    page.get_by_label("I have read this").tap()
    page.get_by_label("Profession").select_option("radiographer")
    page.get_by_label("Years of experience").fill("3")
    page.get_by_role("button", name="Begin").tap()
    ready(page)
    box = page.locator("#canvas").bounding_box()
    assert min(box["width"], box["height"]) > 450
    pinch(page, box)
    assert int(page.locator("#zoom").inner_text().split()[0]) == pytest.approx(200, abs=15)
    page.locator("#reset").tap()
    shoot(page, f"practice-{size}")
    for number in (1, 2):
        expect(page).to_have_title(f"Practice image {number} of 2 · Real or synthetic?")
        ready(page)
        page.locator("label", has_text="Synthetic").tap()
        page.locator(".scale label").nth(3).tap()
        page.locator("#submit").tap()
        page.locator("#next").tap()
    expect(page).to_have_title(f"Image 1 of {IMAGES} · Real or synthetic?")
    ready(page)
    shoot(page, size)
    submit = page.locator("#submit").bounding_box()
    if size == "tablet":  # all that must be used is in sight
        assert submit["y"] + submit["height"] <= 768
    page.locator("label", has_text="Real").first.tap()
    page.locator(".scale label").nth(4).tap()
    page.locator("#submit").tap()
    expect(page).to_have_title(f"Image 2 of {IMAGES} · Real or synthetic?")
    assert stored(server, name)[["synthetic", "confidence"]].to_numpy().tolist() == [[0, 5]]


def pinch(page: Page, box: dict[str, float]) -> None:
    """Two fingers move apart to twice their distance."""
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = page.context.new_cdp_session(page)
    for kind, half in [("touchStart", 60), ("touchMove", 80), ("touchMove", 100), ("touchMove", 120)]:
        points = [{"x": x - half, "y": y, "id": 0}, {"x": x + half, "y": y, "id": 1}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@pytest.mark.parametrize("size", list(SIZES))
def test_pages_fit_and_can_be_read(open_page: Callable[..., Page], server: Any, size: str) -> None:
    page = open_page(size)
    visits = []
    page.goto(f"{server.address}/enter")
    visits.append(check(page))
    page.goto(server.links["reader-10"])
    page.wait_for_selector("#consent, #canvas")
    if page.locator("#consent").count():
        visits.append(check(page))
        begin(page, server, "reader-10")
    ready(page)
    page.evaluate("document.querySelectorAll('details').forEach(element => element.open = true)")
    visits.append(check(page))
    page.get_by_role("button", name="Pause").click()
    visits.append(check(page))
    page.keyboard.press("Escape")
    page.goto(server.links["administrator"])
    page.wait_for_url("**/admin")
    begun = page.locator("tbody tr").count() - page.get_by_text("not begun").count()
    expect(page.get_by_text(f"{begun} of 12 readers have begun")).to_be_visible()
    assert page.get_by_text("Simulated reader").count() == 0
    if size == "desk":
        shoot(page, "admin")
    visits.append(check(page))
    assert sum(visits) > 60  # pieces of text whose contrast was measured


def check(page: Page) -> int:
    """Nothing sticks out, text can be read, everything has a name and can be hit; returns how many texts there were."""
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OVERFLOWING) == []
    contrasts = page.evaluate(CONTRASTS)
    assert [found for found in contrasts if found[1] < 4.5] == []  # WCAG 2.2, 1.4.3, level AA
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(SMALL_TARGETS) == []
    assert page.evaluate("document.querySelectorAll('h1').length") >= 1
    assert page.evaluate("document.documentElement.lang") == "en"
    return len(contrasts)


def test_wrong_link_is_told(open_page: Callable[..., Page], server: Any) -> None:
    page = open_page()
    page.goto(f"{server.address}/enter#wrong")
    expect(page.get_by_role("alert")).to_have_text("This link or code is not valid. Please ask for a new one.")
    page.goto(f"{server.address}/nothing")
    expect(page.get_by_role("heading", name="There is no such page.")).to_be_visible()
    page.complaints[:] = [text for text in page.complaints if "401" not in text and "404" not in text]


def test_answers_can_be_changed_where_configured(open_page: Callable[..., Page], changing: Any) -> None:
    page = open_page()
    begin(page, changing, "reader-01")
    say(page, "Real", 2)
    expect(page).to_have_title("Image 2 of 4 · Real or synthetic?")
    page.get_by_role("link", name="Image 1").click()
    ready(page)
    expect(page.get_by_role("radio", name="Real")).to_be_checked()
    shoot(page, "changing")
    say(page, "Synthetic", 4)
    expect(page).to_have_title("Image 2 of 4 · Real or synthetic?")
    table = stored(changing, "reader-01")
    assert table[["revision", "synthetic", "confidence"]].to_numpy().tolist() == [[0, 0, 2], [1, 1, 4]]
