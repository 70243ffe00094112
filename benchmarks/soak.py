"""The explorer for a long time: JupyterLab in Chromium, driven by a script as by a restless user.

    python -m benchmarks.soak [MINUTES]

Runs, stops, runs that replace one under way, changes of network, size, class, layer, method and seed, interrupts of the
kernel, a page that is closed, a second page on the same kernel. After each run the pictures on the page have to be
those that the kernel holds, of what was chosen last. Memory and threads of the kernel are told every ten runs.
First each network is looked at once.
"""

import hashlib
import json
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import keras
import nbformat
import numpy as np
from playwright.sync_api import TimeoutError, sync_playwright

import vizlib as viz

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from test_browser import CHROMIUM, FORGET, NO_TOKEN, QUIET, Panel, serve  # noqa: E402

OPTIONS = *NO_TOKEN, "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True", "--expose-app-in-browser"
PORT, PATIENCE = 18890, 300_000  # milliseconds: of a machine that others use too
SETUP = """\
import gc, hashlib, json, re, threading, psutil
import vizlib as viz
explorer = viz.explore("mini", "partworld", "output", 40, steps=3, n=1)
def told():
    gc.collect()
    found, process = explorer.result, psutil.Process()
    facts = {"MB": process.memory_info().rss // 10**6, "threads": process.num_threads()}
    facts |= {"python": threading.active_count(), "status": explorer.status.value}
    shown = [re.search("src='(.*?)'", explorer.panels[name].value) for name in ("saliency", "baseline", "made")]
    facts["shown"] = [x and hashlib.sha256(x[1].encode()).hexdigest() for x in shown]
    if found and found.made:
        made, side = found.made.provenance, found.made.images.shape[1]
        facts["made"] = [found.class_name, found.layer, made["seed"], side, made["identity"]["weights"]]
    print(json.dumps(facts))
"""
CELLS = SETUP, "explorer", "told()"
METHODS = "samples", "samples of one layer", "olah", "maco", "suppress"
LAYERS = "block2_conv2", "block3_conv3", "block1_conv2"


def large(net):
    """A network of the same convolutions for images of 192 px, which have previews."""
    image = keras.Input((192, 192, 3))
    convolutions = keras.Model(net.model.inputs, net.model.get_layer("block3_pool").output)
    model = keras.models.clone_model(convolutions, input_tensors=[image])
    model.set_weights(net.model.get_weights()[:14])
    x = keras.layers.GlobalAveragePooling2D()(model.output)
    return keras.Model(image, keras.layers.Dense(len(net.classes), name="predictions")(x))


class User:
    """Does at random what a user may do, and looks at what comes of it."""

    def __init__(self, open_page, networks, seed=0):
        self.open_page, self.networks, self.rng = open_page, networks, np.random.default_rng(seed)
        self.chosen, self.done, self.wrong = {"network": "mini", "size": 64, "seed": 0}, Counter(), []
        self.runs = 0
        self.open(first=0)

    def open(self, first=1):
        """Open a page, and run the cells up to the panel, from one on."""
        self.page = self.open_page()
        self.panel = Panel(self.page)
        for number in range(first, 2):
            self.cell(number)
        self.panel.button("Run").wait_for()
        if not self.page.get_by_label("seed", exact=True).first.is_visible():
            self.page.get_by_text("more", exact=True).last.click()

    def cell(self, number, page=None):
        """Run a cell of the notebook, and return its output."""
        page = page or self.page
        cell = page.locator(".jp-CodeCell").nth(number)
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        cell.locator(".jp-InputPrompt", has_text="[*]").wait_for(state="detached")
        return cell.locator(".jp-OutputArea-output")

    def told(self):
        """What the kernel says of itself."""
        before = self.page.locator(".jp-CodeCell").nth(2).locator(".jp-InputPrompt").inner_text()
        output = self.cell(2)
        self.page.wait_for_function(
            "([old]) => { const x = document.querySelectorAll('.jp-CodeCell')[2].querySelector('.jp-InputPrompt')"
            ".innerText; return x !== old && !x.includes('*') }", arg=[before],
        )  # fmt: skip
        return json.loads(output.last.inner_text())

    def load(self, name):
        """Choose a network."""
        self.panel.enter("network", name)
        self.panel.wait_for(f"^Loaded .*{name[-9:]}: ")
        self.chosen |= {"network": name, "size": 128 if name == "large.keras" else 64}
        self.done["networks"] += 1

    def choose(self):
        """Choose a class, layer, method and seed, and sometimes another network or size."""
        if self.rng.random() < 0.15:
            self.load(str(self.rng.choice([name for name in self.networks if name != self.chosen["network"]])))
        elif self.chosen["network"] == "large.keras" and self.rng.random() < 0.4:
            self.chosen["size"] = int(self.rng.choice([96, 128]))
            self.panel.choose("size", str(self.chosen["size"]))
            self.done["sizes"] += 1
        self.chosen["class"] = str(self.rng.choice(["face", "cat", "house", "clock"]))
        self.chosen["layer"] = str(self.rng.choice(LAYERS))
        for name in ("class", "layer"):
            self.panel.choose(name, self.chosen[name])
        self.panel.choose("method", str(self.rng.choice(METHODS)))
        if self.rng.random() < 0.5:
            self.chosen["seed"] = int(self.rng.integers(100))
            self.panel.enter("seed", self.chosen["seed"])

    def run(self):
        """One run, or one that is stopped, interrupted or replaced; what is wrong with what it shows is noted."""
        kind = str(self.rng.choice(["plain", "stopped", "replaced", "interrupted"], p=[0.7, 0.1, 0.1, 0.1]))
        self.runs += 1
        self.choose()
        self.page.evaluate(FORGET)
        self.panel.button("Run").click()
        if kind == "stopped":
            self.page.wait_for_timeout(float(self.rng.uniform(0, 1500)))
            with suppress(TimeoutError):  # of a run that has ended by itself
                self.panel.button("Stop").click(timeout=1000)
            self.panel.wait_for(r"^(Done in|Stopped)")
            self.done[kind] += 1
            return
        if kind == "replaced":
            self.page.wait_for_timeout(float(self.rng.uniform(0, 1500)))
            self.choose()
            self.page.evaluate(FORGET)
            self.panel.button("Run").click()
        if kind == "interrupted":
            self.page.evaluate("window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
        self.done[kind] += 1
        try:
            self.panel.wait_for(r"^Done in \d+\.\d s")
        except TimeoutError:
            self.wrong.append(f"{kind}: no end of a run of {self.chosen}, but {self.told()}")
        else:
            self.check(kind)

    def check(self, kind):
        """The page shows what the kernel holds, of what was chosen last."""
        facts = self.told()
        made = [self.chosen["class"], self.chosen["layer"], self.chosen["seed"], self.chosen["size"],
                self.networks[self.chosen["network"]]]  # fmt: skip
        if facts.get("made") != made:
            self.wrong.append(f"{kind}: chosen {made}, made {facts.get('made')}")
        shown = [self.picture(title) for title in ("Saliency of real", "Simonyan baseline", "From the statistics")]
        if shown != facts["shown"]:
            self.wrong.append(f"{kind}: on the page {shown}, in the kernel {facts['shown']}")

    def picture(self, title, page=None):
        images = (page or self.page).locator(f"figure > img[alt^='{title}'][alt$=', {self.chosen['class']}']")
        return images.count() and hashlib.sha256(images.first.get_attribute("src").encode()).hexdigest()

    def second_page(self):
        """The same notebook in another page shows the same panel, and what is run there shows here too."""
        other = self.open_page()
        self.cell(1, other)
        (panel := Panel(other)).button("Run").wait_for()
        for page in (self.page, other):
            page.evaluate(FORGET)
        panel.button("Run").click()
        for page in (self.page, other):
            Panel(page).wait_for(r"^Done in \d+\.\d s")
        titles = ("Simonyan baseline", "From the statistics")
        here, there = ([self.picture(title, page) for title in titles] for page in (self.page, other))
        if here != there or not all(here):
            self.wrong.append(f"two pages show {here} and {there}")
        other.close()
        self.runs += 1
        self.done["second pages"] += 1

    def close_page(self):
        """Close the page in the midst of a run, and open another, which sees the run to its end."""
        self.panel.button("Run").click()
        self.page.close()
        self.open()
        self.panel.wait_for(r"^Done in \d+\.\d s")
        self.runs += 1
        self.done["closed pages"] += 1


@contextmanager
def project(networks):
    """A folder with a notebook and networks in files, served by JupyterLab: what opens a page on the notebook."""
    with tempfile.TemporaryDirectory(prefix="vizlib-soak-") as folder, sync_playwright() as p:
        for name, (model, classes) in networks.items():
            model.save(Path(folder, name))
            Path(folder, name).with_suffix(".txt").write_text("\n".join(classes))
        kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, Path(folder, "soak.ipynb"))
        browser, workspaces = p.chromium.launch(executable_path=CHROMIUM, args=QUIET), count()
        server = serve(["jupyterlab", *OPTIONS, f"--port={PORT}"], PORT, Path(folder))

        def open_page():
            page = browser.new_page(viewport={"width": 1600, "height": 1300})
            page.set_default_timeout(PATIENCE)
            page.goto(f"http://localhost:{PORT}/lab/workspaces/soak{next(workspaces)}/tree/soak.ipynb")
            page.wait_for_selector(".jp-Notebook .jp-CodeCell")
            page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
            return page

        try:
            yield open_page
        finally:
            browser.close()
            server.terminate()
            server.wait(30)


def main(minutes="10"):
    if CHROMIUM is None:
        raise SystemExit("expected Chromium on the PATH; received none (apt install chromium).")
    mini, begun, first = viz.load_network("mini"), time.monotonic(), None
    saved = {"small.keras": (mini.model, mini.classes), "large.keras": (large(mini), mini.classes)}
    weights = {name: viz.load_network(model).identity["weights"] for name, (model, _) in saved.items()}
    with project(saved) as open_page:
        user = User(open_page, weights | {"mini": mini.identity["weights"]})
        for name in user.networks:  # so that each has been in memory before it is compared
            user.load(name)
            user.run()
        while (spent := (time.monotonic() - begun) / 60) < float(minutes):
            {3: user.close_page, 13: user.second_page}.get(user.runs % 20, user.run)()
            if user.runs % 10 == 0:
                facts = user.told()
                first = first or facts
                memory = f"{facts['MB']} MB, {facts['MB'] / first['MB'] - 1:+.0%}"
                threads = f"{facts['threads']} threads, {facts['python']} of Python"
                print(f"{spent:.0f} min, {user.runs} runs: {memory}; {threads}; {dict(user.done)}", flush=True)
        print(f"{user.runs} runs, wrong: {len(user.wrong)}", *user.wrong, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
