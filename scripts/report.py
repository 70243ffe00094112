"""Pages on what a network has learned of each class: report.py NETWORK SOURCE [CLASS ...], see `vizlib.report`.

NETWORK is what `load_network` takes; the class names of a file NAME.keras stand in NAME.txt beside it.
SOURCE is what `load_images` takes. It goes on where it was stopped.
"""

import argparse
from pathlib import Path

import vizlib as viz

FOLDER = Path(__file__).resolve().parent.parent / "output" / "report"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("source")
    parser.add_argument("classes", nargs="*", help="all that network and source share if not given")
    given = parser.parse_args()
    net = viz.load_network(given.network)
    print(f"The report is in {viz.report(net, given.source, FOLDER, given.classes or None)}")


if __name__ == "__main__":
    main()
