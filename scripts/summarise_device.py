"""Instructions, latency, memory and accuracy on the device, as evidence.

Inputs: device logs of every engine with their images, manifests and C, the IntegerModel, its .tflite, test images.
Output: evidence book. Method: instruction counts are the emulator's, exact; latency is instructions × the board's
cycles per instruction ÷ clock, a model with that figure's interval.
"""

from pathlib import Path

from paper2board.acquire.examples import fit_images, load_examples
from paper2board.acquire.pixels import to_int8
from paper2board.capture.board_fit import accuracy_on_device, board_memory_book, engine_memory_book
from paper2board.capture.book import device_book, engine_gain, memory_book, split_gain
from paper2board.capture.boxes_book import boxes_parity
from paper2board.capture.log import check_origin, read_log
from paper2board.convert.manifest import Manifest
from paper2board.convert.tflite_import import read_tflite
from paper2board.energy.board import Cpu, Memory
from paper2board.engines import ENGINES
from paper2board.errors import UserError
from paper2board.evidence import write_book
from paper2board.files import digest
from paper2board.firmware.image import image_digest
from paper2board.scripting import running

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
        book, logs, chains, manifests = {}, {}, {}, {}
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
            cpi = cpu.cpi(mac16=ENGINES[engine].core == "de212")
            book |= device_book(
                logs[engine],
                model,
                cpi=cpi.value,
                cpi_interval=cpi.interval,
                clock_hz=cpu.clock_MHz.value * 1e6,
                chain=chains[engine],
                prefix=f"device.{engine}",
            )
            manifests[engine] = Manifest.read(Path(manifest).parent)
            book |= engine_memory_book(logs[engine], manifests[engine], chains[engine], f"device.{engine}")
        first, *others = logs
        for engine in others:
            book[f"gain.engine.{engine}"] = engine_gain(logs[engine], logs[first], first, chains[engine])
        if {"paper-split", "paper-nosplit"} <= set(logs):
            gain = split_gain(logs["paper-split"], logs["paper-nosplit"], chains["paper-split"])
            book["gain.interior-split"] = gain
        main = snakemake.params.main
        if snakemake.params.task == "classification":
            accuracy = accuracy_on_device(logs[main], examples.labels, chains[main])
            book[f"device.{main}.accuracy"] = accuracy
        if snakemake.params.task == "detection":
            for engine, log in logs.items():
                found = book[f"device.{engine}.boxes-vs-python"] = boxes_parity(log, model, chains[engine])
                if found.value:
                    raise UserError(
                        f"{engine}: the device's boxes differ in {found.value} images; this is a defect of"
                        " paper2board, report it"
                    )
        book |= memory_book(logs[main], model, chains[main])
        book |= board_memory_book(logs[main], manifests[main], memory, chains[main])
        write_book(snakemake.output.book, book)
