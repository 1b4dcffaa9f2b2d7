"""Instructions, latency, memory and accuracy on the device, as evidence.

Inputs: device logs of every engine with their images, manifests and C, the IntegerModel, its .tflite, test images.
Output: evidence book. Method: instruction counts are the emulator's, exact; latency is instructions × the board's
cycles per instruction ÷ clock, a model with that figure's interval.
"""

from pathlib import Path

from paper2board.capture.board_fit import accuracy_on_device, board_memory_book, engine_memory_book
from paper2board.capture.book import device_book, engine_gain, memory_book, split_gain
from paper2board.capture.log import check_origin, read_log
from paper2board.convert.manifest import Manifest
from paper2board.convert.tflite_import import read_tflite
from paper2board.energy.board import Cpu, Memory
from paper2board.engines import ENGINES
from paper2board.evidence import write_book
from paper2board.files import digest
from paper2board.firmware.emulator import image_digest
from paper2board.report.logits import load_test
from paper2board.scripting import running
from paper2board.train.data import to_int8

if __name__ == "__main__":
    with running(snakemake):
        cpu = Cpu.model_validate(snakemake.params.cpu)
        memory = Memory.model_validate(snakemake.params.memory)
        model = read_tflite(snakemake.input.model)
        links = {
            "weights": digest(snakemake.input.integers),
            "tflite": digest(snakemake.input.model),
        }
        images, labels = load_test(Path(snakemake.input.data[0]).parent, None)
        book, logs, chains, manifests = {}, {}, {}, {}
        files = snakemake.input
        for engine, path, image, c, manifest in zip(
            snakemake.params.engines, files.logs, files.images, files.c, files.manifests, strict=True
        ):
            logs[engine] = read_log(path, image_digest(image))
            check_origin(logs[engine], path, to_int8(images), links["tflite"])
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
        split, chain = logs["paper-split"], chains["paper-split"]
        book["device.paper-split.accuracy"] = accuracy_on_device(split, labels, chain)
        for engine in set(logs) - {"paper-nosplit"}:
            gain = engine_gain(logs[engine], logs["paper-nosplit"], chains[engine])
            book[f"gain.engine.{engine}"] = gain
        book["gain.interior-split"] = split_gain(split, logs["paper-nosplit"], chain)
        book |= memory_book(split, model, chain)
        book |= board_memory_book(split, manifests["paper-split"], memory, chain)
        write_book(snakemake.output.book, book)
