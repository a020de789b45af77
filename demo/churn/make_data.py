"""Makes the table of the churn demo: customers of a fictional telephone company.

    python demo/churn/make_data.py [FOLDER]

The same seed gives the same bytes. Short contracts, high prices and many support calls make customers leave.
Whether some of them leave is not known yet: the pipeline predicts it.
"""

from __future__ import annotations

import csv
import math
import random
import sys
from pathlib import Path

SEED = 14
CUSTOMERS = 900
NOT_KNOWN = 0.1
HEADER = ["customer", "contract", "months", "monthly_price", "support_calls", "data_gb", "left"]
CONTRACTS = {"monthly": 0.9, "yearly": -0.8, "two years": -2.0}  # how much each adds to leaving
TARIFFS = (19.99, 29.99, 44.99, 64.99)


def customer(rng: random.Random, number: int) -> list[object]:
    contract = rng.choices(list(CONTRACTS), [5, 3, 2])[0]
    months, price = rng.randint(1, 72), rng.choice(TARIFFS)
    calls, data = min(int(rng.expovariate(0.7)), 9), round(rng.lognormvariate(2, 0.8), 1)
    leaving = CONTRACTS[contract] + 0.7 * calls + 0.03 * (price - 35) - 0.03 * months - 0.6
    left = "yes" if rng.random() < 1 / (1 + math.exp(-1.6 * leaving)) else "no"
    return [
        f"C{number:04}", contract, months, price, calls, "" if rng.random() < 0.02 else data,
        "" if rng.random() < NOT_KNOWN else left,
    ]  # fmt: skip


def main(folder: Path) -> None:
    rng = random.Random(SEED)
    with (folder / "customers.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(customer(rng, number) for number in range(1, CUSTOMERS + 1))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
