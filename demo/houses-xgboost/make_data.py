"""Makes the table of the XGBoost demo: sales of houses in a fictional city.

    python demo/houses-xgboost/make_data.py [FOLDER]

The same seed gives the same bytes. Prices grow with the area and the year of construction; district and garden
change the price per square metre, so a linear model does not fit. Some houses are not sold yet: the pipeline
predicts their price.
"""

from __future__ import annotations

import csv
import random
import sys
from datetime import date, timedelta
from pathlib import Path

SEED = 15
HOUSES = 1500
NOT_SOLD = 0.08
HEADER = ["house", "district", "area_m2", "rooms", "built", "garden", "offered", "price_eur"]
DISTRICTS = {"Old Town": 5200, "Harbour": 4600, "Hill": 4100, "Mill": 3300, "North End": 2500}  # per square metre


def house(rng: random.Random, number: int) -> list[object]:
    district = rng.choice(list(DISTRICTS))
    area, built, garden = rng.randint(35, 220), rng.randint(1890, 2024), rng.random() < 0.4
    rooms = max(1, round(area / 28 + rng.gauss(0, 0.7)))
    offered = date(2025, 1, 1) + timedelta(days=rng.randrange(365))
    square_metre = DISTRICTS[district] * (1 + 0.25 * garden * (district in ("Hill", "Mill"))) + 9 * (built - 1960)
    price = (area * square_metre + 40 * (offered - date(2025, 1, 1)).days) * rng.lognormvariate(0, 0.06)
    return [
        f"H{number:04}", district, area, rooms, "" if rng.random() < 0.03 else built, "yes" if garden else "no",
        offered, "" if rng.random() < NOT_SOLD else 100 * round(price / 100),
    ]  # fmt: skip


def main(folder: Path) -> None:
    rng = random.Random(SEED)
    with (folder / "houses.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(house(rng, number) for number in range(1, HOUSES + 1))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
