"""The explorer in a real browser: JupyterLab and Voilà, clicked through by Playwright in Chromium."""

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from base64 import b64decode
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import URLError
from urllib.request import urlopen

import keras
import nbformat
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

import vizlib as viz

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is one of the test extras")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None and os.environ.get("CI"):
    raise RuntimeError("expected Chromium on the PATH, which the tests of the explorer need; received none.")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH (apt install chromium)")

QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
QUIET += ["--disable-component-update", "--disable-quic"]
NOTEBOOK = next((ROOT / "notebooks").glob("*_explorer.ipynb"))
# So that nothing that is still there from the last run is taken for this one's.
FORGET = """() => {
    document.querySelectorAll("figure > img").forEach(e => e.remove());
    document.querySelectorAll(".widget-html-content").forEach(e => /^Done/.test(e.innerText) && e.replaceChildren())
}"""
# Every picture that is shown from now on, by what it says it is: one at work may be gone before anyone looks.
WATCH = """() => {
    window.seen = new Set();
    const look = () => document.querySelectorAll("figure > img").forEach(e => window.seen.add(e.alt));
    new MutationObserver(look).observe(document.body, {childList: true, subtree: true, attributes: true})
}"""
FAST = 'steps = 40\nn_images = 60\nclass_name, others = "face", []\n'  # so that a test does not wait
LIMIT = 300_000  # milliseconds, after which something hangs, also on a machine that others are at work on
NO_TOKEN = ["--no-browser", "--ServerApp.port_retries=0", "--allow-root"]


def serve(command, port, folder):
    """A server, when it answers."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "JUPYTER_CONFIG_DIR": str(folder)}
    environment |= {"IPYTHONDIR": str(folder / "ipython"), "KERAS_HOME": str(folder / "keras")}
    log = (folder / f"{port}.log").open("w")
    server = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, stdout=log, stderr=log, env=environment)
    for _ in range(1200):
        try:
            urlopen(f"http://localhost:{port}/", timeout=5).close()
            return server
        except (URLError, OSError):
            assert server.poll() is None, (folder / f"{port}.log").read_text()
            time.sleep(0.25)
    raise TimeoutError((folder / f"{port}.log").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project with the notebook of the explorer in it."""
    folder = tmp_path_factory.mktemp("project") / "notebooks"
    folder.mkdir()
    write_explorer(folder / "explorer.ipynb")
    return folder


def write_explorer(path):
    """The notebook of the explorer, cut after the panel, and a cell that a user adds."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    panel = next(i for i, cell in enumerate(notebook.cells) if "viz.explore(" in cell.source)
    for cell in code:
        cell.outputs, cell.execution_count = [], None
    code[0].source += "\n" + FAST
    notebook.cells = [*notebook.cells[: panel + 1], nbformat.v4.new_code_cell("6 * 7")]
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(folder):
    free = "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True", "--expose-app-in-browser"
    server = serve(["jupyterlab", *NO_TOKEN, "--port=18871", *free], 18871, folder)
    yield "http://localhost:18871/lab/workspaces"
    server.terminate()
    server.wait(LIMIT / 1000)


@pytest.fixture(scope="module")
def page(browser, lab):
    return opened(browser, lab, "explorer")


def opened(browser, lab, name):
    """A notebook in JupyterLab, all of its cells run, with the panel in view, and no other beside it."""
    page = browser.new_page(viewport={"width": 1600, "height": 1300})
    page.set_default_timeout(LIMIT)
    page.goto(f"{lab}/{name}/tree/{name}.ipynb")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    Panel(page).button("Run").wait_for()
    return page


class Panel:
    """The explorer as its user sees it."""

    def __init__(self, page):
        self.page = page

    def choose(self, label, value):
        self.page.get_by_label(label, exact=True).first.select_option(value)

    def enter(self, label, value):
        field = self.page.get_by_label(label, exact=True)
        field.fill(str(value))
        field.press("Enter")

    def button(self, name):
        return self.page.locator("button.jupyter-button", has_text=re.compile(rf"^\s*{name}\s*$"))

    def wait_for(self, text):
        self.page.get_by_text(re.compile(text)).first.wait_for()

    def pictures(self):
        """{panel: pixels} of the pictures that are there."""
        found = {}
        for name in ("Saliency of real images", "Simonyan baseline", "From the statistics"):
            image = self.page.locator(f"figure > img[alt^='{name}']")
            if image.count():
                found[name] = np.asarray(decoded(image.first.get_attribute("src")), "float32")
        return found

    def run(self, **chosen):
        """Run to the end: the pictures, seconds to the first one, and to the end."""
        for label, value in chosen.items():
            self.choose(label, value)
        self.page.evaluate(FORGET)
        begun = time.monotonic()
        self.button("Run").click()
        self.page.locator("figure > img").first.wait_for()
        first = time.monotonic() - begun
        self.wait_for(r"^Done in \d+\.\d s")
        return self.pictures(), first, time.monotonic() - begun


def decoded(source):
    return Image.open(io.BytesIO(b64decode(source.partition(",")[2])))


def check_pictures(pictures):
    assert len(pictures) == 3
    for pixels in pictures.values():
        assert min(pixels.shape[:2]) > 100 and pixels.std() > 15


@pytest.fixture(scope="module")
def panel(page):
    return Panel(page)


def test_three_panels_fill_and_differ_between_classes(panel, capsys):
    panel.run()  # collects
    faces, first, whole = panel.run(layer="block2_conv2")
    with capsys.disabled():
        print(f"\nexplorer: {first:.1f} s from Run to the first picture, {whole:.1f} s to the end of 2 × 40 steps")
    houses, _, _ = panel.run(**{"class": "house"})
    check_pictures(faces)
    check_pictures(houses)
    for name in faces:
        assert np.abs(faces[name] - houses[name]).mean() > 10, name
    assert "a judge sees house" in panel.page.locator("figcaption").nth(2).inner_text()


def test_the_kernel_answers_while_a_run_goes_on_and_stop_keeps_the_best(panel):
    page = panel.page
    page.get_by_text("more", exact=True).last.click()
    panel.enter("steps", 4000)
    panel.button("Run").click()
    page.locator("figure > img[alt^='baseline']").wait_for()
    bar = page.locator(".widget-hprogress .progress-bar").first
    width = "e => parseFloat(e.style.width)"
    before = bar.evaluate(width)
    cell = page.locator(".jp-CodeCell").last
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    cell.locator(".jp-OutputArea-output", has_text="42").wait_for()  # which the user's own cell gives meanwhile
    assert panel.button("Stop").is_enabled()
    page.wait_for_function("([e, b]) => parseFloat(e.style.width) > b", arg=[bar.element_handle(), before])
    panel.button("Stop").click()
    panel.wait_for("^Stopped after .*best so far")
    assert list(panel.pictures()) == ["Saliency of real images", "Simonyan baseline"]
    panel.enter("steps", 40)
    pictures, _, _ = panel.run()
    check_pictures(pictures)


def test_the_panel_answers_while_a_cell_runs(panel, capsys):
    """JupyterLab sends what widgets say to a subshell of the kernel, a thread beside that of the cells."""
    page, cell = panel.page, panel.page.locator(".jp-CodeCell").last
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.type("import time; time.sleep(120)")
    page.keyboard.press("Control+Enter")
    cell.locator(".jp-InputPrompt", has_text="[*]").wait_for()
    pictures, first, whole = panel.run()
    check_pictures(pictures)
    assert cell.locator(".jp-InputPrompt").inner_text() == "[*]:"
    with capsys.disabled():
        print(f"\nbeside a cell: {first:.1f} s from Run to the first picture, {whole:.1f} s to the end")
    page.evaluate("window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    cell.get_by_text("KeyboardInterrupt").first.wait_for()


def test_again_and_keep(panel):
    before = panel.pictures()["From the statistics"]
    panel.page.evaluate(FORGET)
    panel.button("Again").click()
    panel.wait_for(r"^Done in")
    assert np.abs(before - panel.pictures()["From the statistics"]).mean() > 5
    panel.button("Keep").click()
    panel.page.locator("figure > img[alt*='seed 1']").wait_for()


def test_save_carries_the_recipe(panel, folder, mini):
    shown = panel.pictures()["From the statistics"]
    panel.button("Save").click()
    panel.wait_for("^Saved ")
    output = folder.parent / "output"
    path, = output.glob("house-block2_conv2-reconstruct-1.png")
    assert np.array_equal(np.asarray(Image.open(path), "float32"), shown)
    (statistics,) = output.glob("statistics-*")
    again = viz.rerun(path, mini, statistics, progress=False)
    again.save(output / "again.png")
    assert np.array_equal(np.asarray(Image.open(output / "again.png")), np.asarray(Image.open(path)))


def test_sliders_of_components(panel, capsys):
    page = panel.page
    page.get_by_role("tab", name="components").click()
    image = page.locator("figure > img[alt^='house at block2_conv2']")
    page.evaluate(FORGET)
    panel.button("Middle").click()
    image.wait_for()
    panel.wait_for("^Done in")
    mean, begun = np.asarray(decoded(image.get_attribute("src")), "float32"), time.monotonic()
    slider = page.locator(".widget-slider .noUi-handle").nth(1)
    slider.focus()
    page.evaluate(WATCH)
    page.keyboard.press("End")
    page.wait_for_function("window.seen.has('components, at work')")
    first = time.monotonic() - begun
    panel.wait_for(r": \+3\.0, \+0\.0")
    with capsys.disabled():
        print(f"\ncomponents: {first:.1f} s from slider to picture, {time.monotonic() - begun:.1f} s in all")
    assert np.abs(np.asarray(decoded(image.get_attribute("src")), "float32") - mean).mean() > 1


def test_a_click_on_a_place_of_an_image(panel):
    """The cells lie over the image, and the picture below the pointer is what is clicked on."""
    page = panel.page
    page.get_by_role("tab", name="channels").click()
    panel.button("Show").click()
    image = page.locator("img[alt='house, image 0']")
    image.wait_for()
    panel.wait_for("^Done in")
    image.scroll_into_view_if_needed()
    box = image.bounding_box()
    page.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + 0.3 * box["height"])
    panel.wait_for("block2_conv2 at row 20, column 44;")  # the middle of the third row and the sixth column of eight
    cell = page.get_by_title("What answers at row 3, column 6 of 8").bounding_box()
    expected = {"x": box["x"] + 5 / 8 * box["width"], "y": box["y"] + 2 / 8 * box["height"]}
    assert all(abs(cell[name] - expected[name]) < 4 for name in expected)
    listed = page.get_by_title(re.compile("^Show channel .* of block2_conv2")).last
    channel = listed.inner_text()
    listed.click()
    page.locator(f"img[alt='What maximises block2_conv2, channel {channel}']").wait_for()


def test_what_cannot_be_chosen_says_why_and_pictures_say_what_they_are(panel):
    page = panel.page
    page.get_by_role("tab", name="compare").click()
    panel.choose("method", "olah")
    page.locator(".widget-slider label[title*='no priors']").wait_for()
    panel.choose("method", "samples")
    for picture in page.locator("figure img").all():
        assert picture.get_attribute("alt")


def test_errors_are_told_in_the_panel_which_works_on(panel):
    panel.enter("network", "nowhere.keras")
    panel.wait_for("This did not work. expected 'mini', 'vgg16'")
    pictures, _, _ = panel.run()
    check_pictures(pictures)


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_captions_can_be_read_in_both_themes(panel, theme):
    page = panel.page
    page.evaluate(f"window.jupyterapp.commands.execute('apputils:change-theme', {{theme: '{theme}'}})")
    page.wait_for_function("t => document.body.dataset.jpThemeName === t", arg=theme)
    colours = page.locator("figcaption").nth(1).evaluate(
        "e => [getComputedStyle(e).color, getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor]"
    )
    text, ground = (np.array(re.findall(r"[\d.]+", colour)[:3], float) for colour in colours)
    assert abs(text.mean() - ground.mean()) > 120, colours


def test_the_same_notebook_under_voila(browser, folder):
    port = 18872
    write_explorer(folder / "application.ipynb")  # JupyterLab saves what was typed into the other one
    server = serve(["voila", "application.ipynb", f"--port={port}", "--no-browser"], port, folder)
    try:
        page = browser.new_page(viewport={"width": 1600, "height": 1300})
        page.set_default_timeout(LIMIT)
        page.goto(f"http://localhost:{port}/")
        panel = Panel(page)
        panel.button("Run").wait_for()
        pictures, _, _ = panel.run()
        check_pictures(pictures)
    finally:
        server.terminate()
        server.wait(LIMIT / 1000)


def own_model(folder, mini):
    """A model of the user's own: a `.keras` file with its preprocessing in it, its class names beside it."""
    model = keras.models.clone_model(mini.model)
    model.set_weights(mini.model.get_weights())
    first = model.get_layer("block1_conv1")
    first.kernel.assign(first.kernel.numpy()[:, :, ::-1])  # of BGR
    image = keras.Input((64, 64, 3))
    pixels = keras.layers.Rescaling(255.0, offset=[-123.68, -116.779, -103.939])(image)
    keras.Model(image, model(pixels)).save(folder / "own.keras")
    (folder / "own.txt").write_text("\n".join(mini.classes))
    for name in ("cat", "clock"):
        (folder / "pictures" / name).mkdir(parents=True)
        for i, picture in enumerate(viz.load_images("partworld", name, 60, seed=7)):
            viz.images.save_image(folder / "pictures" / name / f"{i}.png", picture)


def published(folder, shared, address):
    """VGG16's weights and Imagenette's smaller archive, to be served; what has a kernel ask for them there."""
    from standins import write_vgg16

    write_vgg16(shared, folder / "vgg16.h5")
    with tarfile.open(folder / "imagenette2-160.tgz", "w:gz") as tar:
        tar.add(shared / "imagenet/photos/train/church", "imagenette2-160/train/n03028079")
    return f"""
import keras.src.applications.vgg16, keras.src.utils.file_utils, vizlib.images.imagenet
keras.src.applications.vgg16.WEIGHTS_PATH = "{address}/vgg16.h5"
keras.src.utils.file_utils.validate_file = lambda *args, **settings: True
vizlib.images.imagenet.ORIGIN = "{address}"
"""


@pytest.fixture
def newcomer(browser, lab, folder, capsys):
    """Open the notebook and have a few things chosen: the panel with its first pictures, of a class of one's choice.

    In well under a minute, which is printed: it is for who reads it, as a clock fails where others are at work.
    """
    panels = []

    def found(name, class_name, **entered):
        write_explorer(folder / f"{name}.ipynb")
        begun = time.monotonic()
        panel = Panel(opened(browser, lab, name))
        panels.append(panel)
        for label, value in entered.items():
            panel.enter(label, value)
            if label == "network":
                panel.wait_for(f"^Loaded .*{re.escape(str(value)[-9:])}: ")
            if label == "source":  # a user sees its classes before choosing one
                panel.page.locator("select > option:first-child", has_text="cat").wait_for(state="attached")
        panel.choose("class", class_name)
        panel.button("Run").click()
        panel.page.locator("figure > img").first.wait_for()
        seconds = time.monotonic() - begun
        with capsys.disabled():
            print(f"\nnewcomer, {name}: {seconds:.0f} s from opening the page to the first picture of a {class_name}")
        return panel

    yield found
    for panel in panels:
        panel.page.close()


def test_a_newcomer_with_nothing_sees_a_picture(newcomer):
    panel = newcomer("nothing", "clock")
    panel.wait_for(r"^Done in")
    check_pictures(panel.pictures())


def test_a_newcomer_with_a_model_and_a_folder_sees_a_picture(newcomer, folder, mini):
    own_model(folder, mini)
    panel = newcomer("own", "clock", network=folder / "own.keras", source=folder / "pictures")
    panel.wait_for(r"^Done in \d+\.\d s\.$")  # the network recognises what it is shown
    check_pictures(panel.pictures())
    assert "this network sees clock in 4 of 4" in panel.page.locator("figcaption").nth(2).inner_text()


def test_a_newcomer_with_vgg16_sees_a_picture(newcomer, folder, shared):
    served = folder / "served"
    served.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=served))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    start = folder / "ipython/profile_default/startup/stand_ins.py"
    start.parent.mkdir(parents=True, exist_ok=True)
    start.write_text(published(served, shared, f"http://127.0.0.1:{server.server_port}"))
    try:
        panel = newcomer("vgg16", "church", network="vgg16")
        assert panel.page.get_by_label("source", exact=True).input_value() == "imagenette"
        assert panel.button("Full size").is_enabled()
        panel.wait_for(r"about \d+ (s|min) left")
        panel.button("Stop").click()
        panel.wait_for("^Stopped")
    finally:
        server.shutdown()
        start.unlink()


def test_the_index_of_runs_shows_its_thumbnails(browser, tmp_path):
    """A page as `make runs` writes it, opened as a user opens it."""
    draw = "from PIL import Image\nImage.new('RGB', (400, 300), class_name)"
    cells = [nbformat.v4.new_code_cell(cell) for cell in ('class_name = "red"\nlayer = "a"', draw)]
    cells[0].metadata.tags = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "tiny.ipynb")
    subprocess.run(
        [sys.executable, ROOT / "scripts" / "runs.py", tmp_path / "tiny.ipynb", "--classes", "red", "blue",
         "--layers", "a", "--output", tmp_path], check=True, capture_output=True,
    )  # fmt: skip
    page = browser.new_page()
    page.goto((tmp_path / "tiny" / "index.html").as_uri())
    for name in ("red", "blue"):
        image = page.locator(f"img[alt^='{name} at a']")
        assert image.evaluate("e => e.complete && e.naturalWidth") > 50
        corner = np.asarray(decoded(image.get_attribute("src")).convert("RGB"))[2, 2]
        assert tuple(corner) == {"red": (255, 0, 0), "blue": (0, 0, 255)}[name]
