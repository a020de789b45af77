"""What the jobs are measured with: scripts that make their tables, and plain ways of doing the same as a job."""

from __future__ import annotations

MAKE = """
    import sys
    import numpy as np, pyarrow as pa, pyarrow.csv
    rows, path, gap = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    generator = np.random.default_rng(0)
    words = pa.array(["alpha", "beta", "gamma", "delta epsilon", "zeta"])
    with pa.OSFile(path, "wb") as file:
        writer = None
        for start in range(0, rows, 500_000):
            count = min(500_000, rows - start)
            columns = {f"n{i}": np.round(generator.normal(100, 20, count), 2) for i in range(6)}
            columns |= {f"i{i}": generator.integers(0, 5000, count) for i in range(4)}
            columns |= {f"t{i}": words.take(pa.array(generator.integers(0, 5, count))) for i in range(4)}
            y = columns["n0"] * 2 + columns["i0"] / 100 + generator.normal(0, 3, count)
            columns["y"] = pa.array(np.round(y, 2), mask=generator.random(count) < gap)
            table = pa.table(columns)
            writer = writer or pyarrow.csv.CSVWriter(file, table.schema)
            writer.write(table)
        writer.close()
"""

MAKE_PARTITIONS = """
    import sys
    import numpy as np, pyarrow as pa, pyarrow.csv
    rows, partitions, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    generator = np.random.default_rng(0)
    columns = {"store": pa.array(np.char.add("store-", generator.integers(0, partitions, rows).astype(str)))}
    columns |= {f"x{n}": generator.random(rows).round(4) for n in range(10)}
    columns["word"] = pa.array(["alpha", "beta", "gamma", "delta epsilon"]).take(generator.integers(0, 4, rows))
    columns |= {"n": generator.integers(0, 1000, rows)}
    columns["y"] = pa.array(generator.random(rows).round(3), mask=generator.random(rows) < 0.1)
    pyarrow.csv.write_csv(pa.table(columns), path)
"""

PLAIN_PREPARE = """
    import sys
    import pyarrow.csv, pyarrow.parquet
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(sys.argv[1]), sys.argv[2])
"""

PLAIN_CHECK = """
    import sys
    import pyarrow.csv
    pyarrow.csv.read_csv(sys.argv[1])
"""

PLAIN_PREDICT = """
    import sys
    import pandas as pd
    from autogluon.tabular import TabularPredictor
    rows = pd.read_csv(sys.argv[1])
    predictor = TabularPredictor.load(sys.argv[2], verbosity=0)
    rows["prediction"] = predictor.predict(rows)
    rows.to_csv(sys.argv[3], index=False)
"""

PLAIN_POSTPROCESS = """
    import sys
    from pathlib import Path
    import pandas as pd
    rows = pd.read_parquet(sys.argv[1])
    numbers = {f.name: f for f in Path(sys.argv[3]).rglob("*.parquet")}
    answers = pd.concat(
        [pd.read_parquet(numbers[f.name]).join(pd.read_parquet(f)).assign(model="all")
         for f in Path(sys.argv[2]).rglob("*.parquet")]
    )
    rows.merge(answers, how="left", on="stepgluon_row").to_csv(sys.argv[4], index=False)
"""

WITHOUT_REPORT = """
    import runpy, sys
    sys.path.insert(0, sys.argv[1])
    import report
    report.write = lambda *known: None
    runpy.run_path(sys.argv[1] + "/postprocess.py", run_name="__main__")
"""

GROUPS = """
    import sys
    sys.path[:0] = sys.argv[1:3]
    from pathlib import Path
    from group_layout import entries, lay_out_groups
    lay_out_groups(Path(sys.argv[3]), entries(int(sys.argv[4])), int(sys.argv[5]), per_group=50)
"""
