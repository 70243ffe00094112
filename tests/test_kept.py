"""What long experiments keep, and that two processes share them."""

import numpy as np
import pytest
from filelock import FileLock


@pytest.fixture
def keep(monkeypatch, tmp_path):
    import kept

    monkeypatch.setattr(kept, "KEPT", tmp_path)
    asking = tmp_path / "asking.py"
    asking.touch()
    return lambda reuse=False, steps=100: kept.Kept("test", (8, steps), "fingerprint", (asking,), reuse), asking


def test_made_once_and_anew_by_other_code_or_settings(keep, capsys):
    keep, asking = keep
    made = iter(range(10))

    def make():
        return {"x": np.array([next(made)])}

    def found(**given):
        return keep(**given).of("cat", "Olah 2017", make)["x"].item()

    assert [found(), found(), keep().of("dog", "Olah 2017", make)["x"].item(), found(steps=50)] == [0, 0, 1, 2]
    assert capsys.readouterr().out.splitlines()[:2] == ["cat, Olah 2017: made", "cat, Olah 2017: kept"]
    asking.write_text("asked = 1")
    assert found(reuse=True) == 0 and "kept, of other code" in capsys.readouterr().out
    assert [found(), found(reuse=True)] == [3, 3]


def test_what_fails_leaves_nothing(keep):
    keep, _ = keep
    with pytest.raises(ZeroDivisionError):
        keep().of("cat", "method", lambda: 1 / 0)
    assert not [*keep().folder.rglob("*.npz")]


def test_classes_of_another_process_are_left_to_it(keep):
    keep, _ = keep
    order, ours = [], keep()

    def make(class_name):
        order.append(class_name)
        if class_name == "c":
            theirs.release()  # the other process is done with b while this one is at c
        return {"made": class_name}

    ours.folder.mkdir(parents=True)
    with FileLock(ours.folder / "b.lock") as theirs:
        answer = ours.each(["a", "b", "c"], make)
    assert order == ["a", "c", "b"] and [*answer] == ["a", "b", "c"]
    with FileLock(ours.folder / "b.lock"), pytest.raises(SystemExit, match="still at b, and goes on from here"):
        ours.each(["a", "b"], make)
