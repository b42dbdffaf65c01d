"""Evaluates a network that ZigZag ships on hardware and mapping that it ships; prints the totals.

python zigzag_network.py NETWORK HARDWARE FOLDER

NETWORK and HARDWARE are names of shipped inputs, such as resnet18 and tpu_like.
"""

import json
import logging
import resource
import sys
from pathlib import Path


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    import zigzag  # type: ignore[import-not-found]  # the environment's own
    from zigzag.api import get_hardware_performance_zigzag  # type: ignore[import-not-found]

    logging.disable(logging.WARNING)
    network, hardware, folder = sys.argv[1:]
    inputs = Path(zigzag.__file__).parent / "inputs"
    began = cpu_seconds()
    energy_pj, latency, answers = get_hardware_performance_zigzag(
        workload=str(inputs / "workload" / f"{network}.onnx"),
        accelerator=str(inputs / "hardware" / f"{hardware}.yaml"),
        mapping=str(inputs / "mapping" / f"{hardware}.yaml"),
        opt="latency",
        dump_folder=folder,
        loma_show_progress_bar=False,
    )
    cpu_s = cpu_seconds() - began
    layers = [[found.layer.name, int(found.latency_total2)] for found, _ in answers[0][1]]
    print(
        json.dumps(
            {"cpu_s": cpu_s, "energy_pj": energy_pj, "latency_cycles": latency, "layers": layers}
        )
    )


main()
