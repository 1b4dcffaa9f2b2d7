"""Instructions, latency, memory and accuracy on the device, as evidence.

Inputs: device logs of every engine with their images, manifests and C, the IntegerModel, its .tflite, test images.
Output: metrics file. Method: instruction counts are the emulator's, exact; latency is instructions × the board's
cycles per instruction ÷ clock, a model with that figure's interval.
"""

from pathlib import Path

from paper2board.acquire.examples import load_examples
from paper2board.boards.board import Cpu, Memory
from paper2board.capture.board_fit import accuracy_on_device, board_memory_metrics, engine_memory_metrics
from paper2board.capture.boxes_metrics import boxes_parity
from paper2board.capture.log import check_origin, read_log
from paper2board.capture.metrics import device_metrics, engine_gain, memory_metrics, split_gain
from paper2board.convert.manifest import Manifest
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError
from paper2board.core.evidence import write_metrics
from paper2board.core.files import digest
from paper2board.core.scripting import running, snakemake
from paper2board.firmware.image import image_digest
from paper2board.networks.pixels import fit_images, to_int8
from paper2board.study.engines import ENGINES

if __name__ == "__main__":
    with running(snakemake):
        cpu = Cpu.model_validate(snakemake.params.cpu)
        memory = Memory.model_validate(snakemake.params.memory)
        model = read_tflite(snakemake.input.model)
        links = {
            "weights": digest(snakemake.input.integers),
            "tflite": digest(snakemake.input.model),
        }
        examples = load_examples(snakemake.input.data)
        integers = to_int8(fit_images(examples.images, model.image_shape))
        metrics, logs, chains, manifests = {}, {}, {}, {}
        files = snakemake.input
        for engine, path, image, c, manifest in zip(
            snakemake.params.engines, files.logs, files.images, files.c, files.manifests, strict=True
        ):
            logs[engine] = read_log(path, image_digest(image))
            check_origin(logs[engine], path, integers, links["tflite"])
            chains[engine] = links | {
                "c": digest(c),
                "image": image_digest(image),
                "device": logs[engine].header.image,
                "log": digest(path),
            }
            metrics |= device_metrics(
                logs[engine],
                model,
                cpu,
                mac16=ENGINES[engine].needs_mac16,
                chain=chains[engine],
                prefix=f"device.{engine}",
            )
            manifests[engine] = Manifest.read(Path(manifest).parent)
            metrics |= engine_memory_metrics(
                logs[engine], manifests[engine], chains[engine], f"device.{engine}"
            )
        first, *others = logs
        for engine in others:
            metrics[f"gain.engine.{engine}"] = engine_gain(logs[engine], logs[first], first, chains[engine])
        if {"paper-split", "paper-nosplit"} <= set(logs):
            gain = split_gain(logs["paper-split"], logs["paper-nosplit"], chains["paper-split"])
            metrics["gain.interior-split"] = gain
        main = snakemake.params.main
        if snakemake.params.task == "classification":
            accuracy = accuracy_on_device(logs[main], examples.labels, chains[main])
            metrics[f"device.{main}.accuracy"] = accuracy
        if snakemake.params.task == "detection":
            for engine, log in logs.items():
                found = metrics[f"device.{engine}.boxes-vs-python"] = boxes_parity(log, model, chains[engine])
                if found.value:
                    raise UserError(
                        f"{engine}: the device's boxes differ in {found.value} images; this is a defect of"
                        " paper2board, report it"
                    )
        metrics |= memory_metrics(logs[main], model, chains[main])
        metrics |= board_memory_metrics(logs[main], manifests[main], memory, chains[main])
        write_metrics(snakemake.output.metrics, metrics)
