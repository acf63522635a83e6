"""The playground in a browser: actions of a user, and the page after them."""

import pickle
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from fastmlp.playground.pictures import PLANE_PIXELS, as_bytes, pixels

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is missing")
pytest.importorskip("tornado", reason="tornado is missing")

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing")

expect = sync_api.expect

# Milliseconds; kernels may have to be compiled first.
PATIENCE = 180_000
expect.set_options(timeout=PATIENCE)

# Counts the messages that the server has not answered; the first comes unasked.
COUNT = """
  window.unanswered = 1;
  window.WebSocket = class extends WebSocket {
    constructor(address) {
      super(address);
      window.socket = this;
      this.addEventListener("message", () => window.unanswered--);
    }
    send(data) {
      window.unanswered++;
      super.send(data);
    }
  };
"""
# An answer may lead to a question in the next frame, and is painted then.
SETTLE = """async () => {
  for (let still = 0; still < 3; still = window.unanswered ? 0 : still + 1) {
    await new Promise(requestAnimationFrame);
  }
}"""
# The plane's colours, and the table of the scale.
PLANE = """() => {
  const canvas = document.querySelector(".picture");
  const { width, height } = canvas;
  return [...canvas.getContext("2d").getImageData(0, 0, width, height).data];
}"""
SCALE = """async () => {
  const { scale } = await import("/page/drawing.js");
  return Array.from({ length: 256 }, (_, byte) => scale(byte));
}"""


@pytest.fixture(scope="module")
def address():
    process = subprocess.Popen(
        [sys.executable, "-m", "fastmlp", "playground", "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield next(line.strip() for line in process.stdout if line.startswith("http"))
        process.terminate()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        # Chromium's sandbox needs more rights than a container has.
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, address):
    """Open a lesson; afterwards no page has written to the console."""
    contexts, messages = [], []

    def new_page(lesson="", width=1280, height=800):
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        context.add_init_script(COUNT)
        page = context.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(f"{address}#{lesson}")
        expect(page.locator(".count")).to_contain_text("points")
        settle(page)
        return page

    yield new_page
    for context in contexts:
        context.close()
    assert messages == []


def number(page, name):
    text = page.locator(".numbers div", has_text=name).locator("dd").inner_text()
    return float(text.replace("−", "-"))


def wait_for_epoch(page, epoch):
    for _ in range(PATIENCE // 50):
        if number(page, "Epoch") >= epoch:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"no epoch {epoch}")


def train(page, epochs):
    """Train for at least so many epochs more, and stop."""
    epoch = number(page, "Epoch") + epochs
    page.get_by_role("button", name="Play").click()
    wait_for_epoch(page, epoch)
    page.get_by_role("button", name="Pause").click()
    settle(page)


def settle(page):
    """Wait until everything is answered and painted."""
    page.evaluate(SETTLE)


def plane(page):
    settle(page)
    return np.array(page.evaluate(PLANE)).reshape(PLANE_PIXELS**2, 4)[:, :3]


def wait_for(page, selector, text):
    expect(page.locator(selector)).to_contain_text(text)


def test_play_lowers_the_loss(open_page):
    page = open_page()
    loss = number(page, "Training loss")
    train(page, 30)
    assert number(page, "Training loss") < loss / 2
    assert number(page, "Training accuracy") > 0.8
    assert number(page, "Epoch") >= 30
    page.get_by_role("button", name="Reset").click()
    expect(page.locator(".numbers dd").first).to_have_text("0")
    settle(page)
    assert number(page, "Training loss") == loss
    page.get_by_role("button", name="Step").click()
    wait_for_epoch(page, 1)
    settle(page)
    assert number(page, "Epoch") == 1


def test_pixels_have_the_colours_of_the_predictions(open_page):
    page = open_page()
    train(page, 20)
    comp = plane(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="pickle").click()
    model = pickle.loads(download.value.path().read_bytes())
    probability = model.predict_proba(pixels(PLANE_PIXELS))[:, 1]
    scale = np.array(page.evaluate(SCALE))
    ref = scale[as_bytes(probability, 0, 1)]
    np.testing.assert_array_equal(comp, ref)
    assert len(np.unique(ref, axis=0)) > 50


def test_a_discrete_picture_has_two_colours(open_page):
    page = open_page()
    train(page, 20)
    page.get_by_label("discretise").check()
    assert len(np.unique(plane(page), axis=0)) == 2
    page.get_by_label("test points").check()
    assert len(np.unique(plane(page), axis=0)) == 2


def test_a_lost_connection_is_explained(open_page):
    page = open_page()
    page.evaluate("window.socket.close()")
    wait_for(page, ".notice", "connection")
    wait_for(page, ".play", "Play")


def test_onnx_is_a_download(open_page):
    pytest.importorskip("skl2onnx")
    page = open_page()
    with page.expect_download() as download:
        page.get_by_role("link", name="ONNX").click()
    assert download.value.suggested_filename == "model.onnx"


def tab_to(page, selector):
    for _ in range(80):
        if page.evaluate(
            "selector => document.activeElement.matches(selector)", selector
        ):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab did not reach {selector}")


def test_keyboard_alone_suffices(open_page):
    page = open_page()
    tab_to(page, ".play")
    page.keyboard.press("Space")
    wait_for_epoch(page, 5)
    page.keyboard.press("Enter")
    wait_for(page, ".play", "Play")

    tab_to(page, "[name=data]")
    page.keyboard.type("xor")
    expect(page.locator("[name=data]")).to_have_value("xor")
    tab_to(page, ".unit")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    wait_for(page, ".plane-panel h2", "layer 2 unit 1")
    page.keyboard.press("Enter")
    wait_for(page, ".plane-panel h2", "Output")

    tab_to(page, ".plane")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    wait_for(page, ".count", "501 points")
    assert page.locator("[name=data]").input_value() == "own"
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Space")
    wait_for(page, ".plane-panel .spoken", "put down")
    page.keyboard.press("Delete")
    wait_for(page, ".count", "500 points")


def test_all_controls_have_names_and_one_group_one_stop(open_page):
    page = open_page("hidden_layer_sizes=8,8,8,8,8,8")
    expect(page.locator(".unit")).to_have_count(48)
    assert page.evaluate("""() => [...document.querySelectorAll(
        "button, input, select, a, [role=button], [role=img], [role=application]"
      )].filter((element) => !(
        element.getAttribute("aria-label")
        || element.labels?.length
        || element.textContent.trim()
      )).map((element) => element.outerHTML)""") == []  # fmt: skip
    stops = "document.querySelectorAll('{}[tabindex=\"0\"]').length"
    assert page.evaluate(stops.format(".unit")) == 1
    assert page.evaluate(stops.format(".edges [role=button]")) == 1


def test_the_mouse_adds_moves_and_removes_points(open_page):
    page = open_page("data=gauss&noise=0&n_points=10")
    box = page.locator(".plane").bounding_box()
    corner = (box["x"] + 0.1 * box["width"], box["y"] + 0.1 * box["height"])
    there = (box["x"] + 0.3 * box["width"], box["y"] + 0.1 * box["height"])
    page.mouse.click(*corner)
    wait_for(page, ".count", "11 points")
    settle(page)
    page.mouse.move(*corner)
    page.mouse.down()
    page.mouse.move(*there, steps=4)
    page.mouse.up()
    settle(page)
    page.mouse.click(*corner, button="right")  # where it is no more
    settle(page)
    assert page.locator(".count").inner_text() == "11 points"
    page.mouse.click(*there, button="right")
    wait_for(page, ".count", "10 points")


def test_the_address_restores_a_lesson(open_page):
    page = open_page()
    page.locator("[name=data]").select_option("xor")
    page.get_by_label("L2 penalty").fill("0.01")
    page.get_by_label("L2 penalty").press("Enter")
    page.get_by_role("button", name="more hidden layers").click()
    page.get_by_role("button", name="fewer units in layer 1").click()
    page.get_by_label("activation of layer 2").select_option("relu")
    page.get_by_role("button", name="feature xy").click()
    wait_for_lesson(page, "features=x,y,xy")
    lesson = page.url.partition("#")[2]

    page = open_page(lesson)
    wait_for_lesson(page, "features=x,y,xy")
    assert page.url.partition("#")[2] == lesson
    assert page.locator("[name=data]").input_value() == "xor"
    assert page.get_by_label("L2 penalty").input_value() == "0.01"
    assert page.locator(".unit").count() == 3 + 2 + 2
    assert page.get_by_label("activation of layer 2").input_value() == "relu"
    pressed = page.locator(".feature[aria-pressed=true]")
    assert pressed.all_inner_texts() == ["x", "y", "xy"]


def wait_for_lesson(page, part):
    expect(page).to_have_url(re.compile("#.*" + re.escape(part)))


def test_a_lesson_hides_controls_and_follows_its_address(open_page):
    page = open_page("data=moons&hide=alpha,l1")
    wait_for_lesson(page, "random_state")
    assert page.get_by_label("L2 penalty").count() == 0
    assert page.get_by_label("Dropout").count() == 1
    page.evaluate("location.hash = 'data=gauss'")
    expect(page.locator("[name=data]")).to_have_value("gauss")


def test_a_setting_that_is_not_valid_is_explained(open_page):
    page = open_page()
    page.get_by_label("L2 penalty").fill("-1")
    page.get_by_label("L2 penalty").press("Enter")
    wait_for(page, ".notice", "L2 penalty")
    assert page.get_by_label("L2 penalty").input_value() == "0.0001"
    page.get_by_label("L2 penalty").fill("0.1")
    page.get_by_label("L2 penalty").press("Enter")
    expect(page.locator(".notice")).to_be_empty()


def test_an_edited_weight_changes_the_output(open_page):
    page = open_page()
    before = plane(page)
    edge = page.get_by_role("button", name=re.compile("weight x → layer 1 unit 1:"))
    edge.focus()
    page.keyboard.press("Enter")
    page.keyboard.type("3.5")
    page.keyboard.press("Enter")
    wait_for(page, ".plane-panel", "Output")
    settle(page)
    assert not np.array_equal(plane(page), before)
    edge.blur()
    edge.focus()
    assert page.locator(".network-panel .readout").inner_text().endswith("3.500")


def test_divergence_is_named(open_page):
    page = open_page(
        "problem=regression&solver=sgd&learning_rate_init=1000&activation=relu,relu"
    )
    page.get_by_role("button", name="Play").click()
    wait_for(page, ".notice", "diverged")
    wait_for(page, ".play", "Play")


def test_a_table_of_ones_own(open_page):
    kinds = ["low", "mid", "top"]
    rows = [f"{i},{i * i % 17},{kinds[i % 3]}" for i in range(90)]
    page = open_page()
    upload(page, "\n".join(["width,height,kind", *rows]))
    wait_for(page, ".count", "90 points")
    wait_for(page, ".legend", "mid")
    names = page.locator(".node.result").all_inner_texts()
    assert names == [f"class {kind}" for kind in kinds]
    upload(page, "no table")
    expect(page.locator(".notice")).not_to_be_empty()
    assert page.locator(".count").inner_text() == "90 points"


def upload(page, text):
    file = {"name": "a.csv", "mimeType": "text/csv", "buffer": text.encode()}
    page.locator("input[type=file]").set_input_files([file])


def test_the_code_is_shown(open_page):
    page = open_page()
    page.get_by_role("button", name="Code").click()
    wait_for(page, "dialog code", "from fastmlp import MLPClassifier")
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0


def test_histograms_and_the_view_follow_the_layers(open_page):
    page = open_page("hidden_layer_sizes=3,2,1")
    expect(page.locator(".histogram")).to_have_count(6)
    page.get_by_label("layer", exact=True).select_option("layer 2")
    wait_for(page, ".view-choice .caption", "unit 2")
    page.get_by_label("layer", exact=True).select_option("layer 3")
    wait_for(page, ".view-choice .caption", "across and up: unit 1")
    for _ in range(3):
        page.get_by_role("button", name="fewer hidden layers").click()
    expect(page.locator(".histogram")).to_have_count(0)
    assert not page.get_by_label("layer", exact=True).is_visible()


@pytest.mark.parametrize("width", [400, 900, 1280])
def test_the_page_is_as_wide_as_the_window(open_page, width):
    page = open_page("hidden_layer_sizes=8,8,8,8,8,8", width)
    expect(page.locator(".unit")).to_have_count(48)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    bottom = page.locator(".more").bounding_box()
    assert width < 1280 or bottom["y"] + bottom["height"] <= 800
