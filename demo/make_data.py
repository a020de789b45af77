"""Makes the demo's tables: penguins that never lived, measured in two seasons.

    python demo/make_data.py [FOLDER]

The same seed gives the same bytes. Means and spreads per species and sex are like those published for real penguins.
Some cells are missing, as they are when a bird gets away, and some birds were never weighed: the pipeline predicts
them.
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path

SEED = 20
BIRDS = 420  # of each species
SEASONS = (2024, 2025)
HEADER = [
    "bird",
    "species",
    "island",
    "sex",
    "bill_length_mm",
    "bill_depth_mm",
    "flipper_length_mm",
    "year",
    "body_mass_g",
]
# species: islands, then for each sex the means of bill length, bill depth, flipper length and body mass
SPECIES: dict[str, tuple[list[str], dict[str, tuple[float, float, float, float]]]] = {
    "Adelie": (
        ["Biscoe", "Dream", "Torgersen"],
        {"female": (37.3, 17.6, 187.8, 3369.0), "male": (40.4, 19.1, 192.4, 4043.0)},
    ),
    "Chinstrap": (["Dream"], {"female": (46.6, 17.6, 191.7, 3527.0), "male": (51.1, 19.3, 199.9, 3939.0)}),
    "Gentoo": (["Biscoe"], {"female": (45.6, 14.2, 212.7, 4680.0), "male": (49.5, 15.7, 221.5, 5485.0)}),
}
NOT_WEIGHED = 0.07
MISSING = 0.02


def bird(rng: random.Random, number: int, species: str) -> list[object]:
    islands, means = SPECIES[species]
    sex = rng.choice(["female", "male"])
    length, depth, flipper, mass = means[sex]
    size = rng.gauss(0, 1)  # a big bird is big in every way
    measures: list[object] = [
        round(length + 1.2 * size + rng.gauss(0, 1.9), 1),
        round(depth + 0.4 * size + rng.gauss(0, 0.6), 1),
        round(flipper + 3.2 * size + rng.gauss(0, 4.6)),
    ]
    grams = 25 * round((mass + 150 * size + rng.gauss(0, 268)) / 25)
    cells: list[object] = [species, rng.choice(islands), sex, *measures]
    for place in range(2, len(cells)):
        if rng.random() < MISSING:
            cells[place] = ""
    year = rng.choice(SEASONS)
    return [f"P{number:04}", *cells, year, "" if rng.random() < NOT_WEIGHED else grams]


def main(folder: Path) -> None:
    rng = random.Random(SEED)
    kinds = [species for species in SPECIES for _ in range(BIRDS)]
    rng.shuffle(kinds)
    birds = [bird(rng, number, species) for number, species in enumerate(kinds, 1)]
    for year in SEASONS:
        with (folder / f"penguins-{year}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows(row for row in birds if row[HEADER.index("year")] == year)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
