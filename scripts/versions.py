"""The tests with every Python that is here and the oldest and newest Keras for it, as [tox:tox] of setup.cfg says."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "output" / "versions"


def counts(report: Path) -> dict[str, int]:
    """{"passed", "failed" or "skipped": how many tests} of pytest's report in JUnit's format."""
    suite = ElementTree.parse(report).find("testsuite")
    total, skipped, *failed = (int(suite.get(key)) for key in ("tests", "skipped", "failures", "errors"))
    return {"passed": total - skipped - sum(failed), "failed": sum(failed), "skipped": skipped}


def main() -> int:
    for old in FOLDER.glob("*.xml"):
        old.unlink()
    done = subprocess.run([sys.executable, "-m", "tox", "run", "--", *sys.argv[1:]])
    for report in sorted(FOLDER.glob("*.xml")):
        print(f"{report.stem:14}", *(f"{number:6} {kind}" for kind, number in counts(report).items()))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
