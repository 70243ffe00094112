"""Measure how realistic the images of each method are, and write tables into the documentation, and a figure.

On PartWorld with the embedded network; with --photographs FOLDER on photographs, see `imagenet`. Photographs and images
inverted from them are in no figure. Called again, it goes on from where it was stopped; called twice, the two share the
work, and the last one judges.
"""

import methods
import numpy as np
from kept import Kept
from worlds import DOCS, README, TUNED_ON, figure, judged, options, table, write

COLUMNS = {  # of the table: what is shown of each column, its scale and digits
    "recognised, %": ("accuracy", 100, 0),
    "in the first five, %": ("top5", 100, 0),
    "probability": ("probability", 1, 2),
    "whole to part": ("whole_to_part", 1, 2),
    "spread": ("spread", 1, 2),
    "whole, %": ("whole", 100, 0),
    "stray parts": ("stray_parts", 1, 2),
    "complete objects": ("complete_objects", 1, 2),
    "KID": ("kid", 1, 2),
    "told apart, %": ("told_apart", 100, 0),
    "variety (Vendi)": ("vendi_within", 1, 1),
    "naturalness": ("naturalness", 1, 2),
    "contrast": ("contrast", 1, 3),
    "high frequencies": ("high_frequency", 1, 3),
    "nearest training image": ("nearest", 1, 3),
    "nearest tenth": ("nearest_tenth", 1, 3),
    "early": ("similarity_early", 1, 2),
    "middle": ("similarity_middle", 1, 2),
    "late layers alike": ("similarity_late", 1, 2),
}
SHORT = "accuracy", "top5", "whole_to_part", "spread", "kid", "nearest_tenth"  # of photographs, in the README
HIDDEN = "noise", "inversion of real images", "real images"  # in figures of what is inverted from photographs


def main():
    world, given = options(__doc__, (16, 8))
    name, asked = world.title.format("realism"), methods.methods_of(world)
    kept = Kept(name, (given.n, given.steps), world.net.fingerprint, (methods.__file__,), given.reuse)

    def images_of(class_name):
        """{method: images} of a class, and the shares of its samples."""
        task = methods.Task(world, class_name, given.n, given.steps, kept.folder / f"statistics-{kept.code}")
        makers = asked | {"largest shares": methods.largest_shares}
        return {method: kept.of(class_name, method, lambda make=make: {"made": make(task)})["made"]
                for method, make in makers.items()}

    made = kept.each(world.classes, images_of).values()
    pictures = {method: np.concatenate([found[method] for found in made]) for method in asked}
    share = max(found["largest shares"].max() for found in made)

    hidden = () if world.public else HIDDEN
    rows = {method: images[:: given.n] for method, images in pictures.items() if method not in hidden}
    shown = figure(world, name, rows, "One image of each class and method")
    real = pictures.pop("real images")
    frame = judged(world, pictures, real).rename(index={"real": "real images"})
    print(frame.to_string())
    frame.to_csv(DOCS / f"{name}.csv")
    facts = f"{len(world.classes)} classes × {given.n} images, {given.steps} steps, {' and '.join(world.drawn)}, "
    facts += f"statistics of {world.training} images a class; 95 % intervals of the bootstrap over classes. "
    facts += f"No sample has more than {100 * share:.0f} % of its patches from one image. "
    facts += "* Classes that settings were tried on. " * bool({*TUNED_ON} & {*world.classes})
    facts += f"Written by `make {name}`; more columns in [{name}.csv]"
    write(name, f"{shown}\n\n{table(frame, COLUMNS)}\n\n{facts}({name}.csv).", DOCS / "realism.md")
    if not world.public:
        short = {title: column for title, column in COLUMNS.items() if column[0] in SHORT}
        write(name, f"{table(frame.drop(index='noise'), short)}\n\n{facts}(docs/{name}.csv).", README)


if __name__ == "__main__":
    main()
