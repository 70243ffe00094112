"""Progress: lines where nobody looks at a bar, bars where someone does."""

import sys

import pytest
from jupyter_client.manager import start_new_kernel
from tqdm import tqdm

from vizlib._progress import progress_bar


@pytest.fixture
def clock(monkeypatch):
    """The time of bars, which goes on when it is told to."""
    now = [1000.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    return now


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(clock, capsys):
    for _ in progress_bar(range(40), "optimize"):
        clock[0] += 1
    assert capsys.readouterr().err.splitlines() == [
        "optimize: 15 of 40, 00:15 gone, 00:25 left",
        "optimize: 30 of 40, 00:30 gone, 00:10 left",
        "optimize: 40 of 40, 00:40 gone, 00:00 left",
    ]


def test_the_end_is_told_once(clock, capsys):
    with progress_bar(None, "occlusion", 2, "pass") as bar:
        clock[0] += 20
        bar.update(2)
    assert capsys.readouterr().err.splitlines() == ["occlusion: 2 of 2, 00:20 gone, 00:00 left"]


def test_what_is_done_soon_writes_nothing(clock, capsys):
    with progress_bar(None, "church", 10, "image", delay=1) as bar:
        clock[0] += 14
        bar.update(10)
    for _ in progress_bar(range(40), disable=True):
        clock[0] += 1
    assert capsys.readouterr().err == ""


def test_a_line_has_the_loss_and_no_total_where_none_is_known(clock, capsys):
    with progress_bar(None, "face: images") as bar:
        bar.set_postfix(loss="0.25", refresh=False)
        clock[0] += 20
        bar.update(64)
    assert capsys.readouterr().err.splitlines()[0] == "face: images: 64, 00:20 gone, loss=0.25"


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar(range(3), "optimize") as bar:
        assert type(bar) is tqdm
    assert "optimize:   0%|" in capsys.readouterr().err


def test_a_kernel_knows_whether_a_notebook_is_open():
    """The same kernel is asked as nbclient asks it, and as JupyterLab, VS Code and Colab do."""
    manager, client = start_new_kernel()
    code = "from vizlib._progress import progress_bar\nprint(type(progress_bar(range(3), disable=True)).__name__)"
    kinds = []

    def printed(message):
        if message["msg_type"] == "stream":
            kinds.append(message["content"]["text"].strip())

    try:
        client.execute_interactive(code, output_hook=printed, timeout=60)
        for metadata in ({"cellId": "a1"}, {"colab": {"cell_id": "a1"}}):
            client.session.metadata = metadata
            client.execute_interactive(code, output_hook=printed, timeout=60)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert kinds == ["_Lines", "tqdm_notebook", "tqdm_notebook"]
