"""Runs SCALE-Sim on one topology and prints its compute report with the CPU seconds it took.

python scalesim_layers.py CONFIG TOPOLOGY LAYOUT FOLDER
"""

import contextlib
import csv
import io
import json
import resource
import sys
from pathlib import Path


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    from scalesim.scale_sim import scalesim  # type: ignore[import-not-found]

    config, topology, layout, folder = sys.argv[1:]
    with contextlib.redirect_stdout(io.StringIO()):
        simulator = scalesim(
            save_disk_space=True,  # no traces on disk: their writing is not what is compared
            verbose=False,
            config=config,
            topology=topology,
            layout=layout,
        )
        began = cpu_seconds()
        simulator.run_scale(top_path=folder)
        cpu_s = cpu_seconds() - began
    (report,) = Path(folder).rglob("COMPUTE_REPORT.csv")
    with report.open(newline="", encoding="utf-8") as file:
        rows = [
            {key.strip(): cell.strip() for key, cell in row.items() if key}
            for row in csv.DictReader(file)
        ]
    print(json.dumps({"cpu_s": cpu_s, "layers": rows}))


main()
