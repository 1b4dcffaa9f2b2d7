"""Instructions, latency, memory and accuracy on the device, as evidence.

Inputs: device logs of both kernel versions with their images, the
IntegerModel, its .tflite and C, test images.
Output: evidence book. Method: instruction counts are the emulator's, exact; latency is instructions × the board's
cycles per instruction ÷ clock, a model with that figure's interval.
"""

from pathlib import Path

from paper2board.capture.board_fit import accuracy_on_device, board_memory_book
from paper2board.capture.book import device_book, memory_book, split_gain
from paper2board.capture.log import check_origin, read_log
from paper2board.convert.c_code import Manifest
from paper2board.convert.tflite_import import read_tflite
from paper2board.energy.board import Cpu, Memory
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
        manifest = Manifest.read(Path(snakemake.input.manifest).parent)
        model = read_tflite(snakemake.input.model)
        links = {
            "weights": digest(snakemake.input.integers),
            "tflite": digest(snakemake.input.model),
            "c": digest(snakemake.input.c),
        }
        images, labels = load_test(Path(snakemake.input.data[0]).parent, None)
        book, logs, chains = {}, {}, {}
        for kernels, path, image in zip(
            snakemake.params.kernels, snakemake.input.logs, snakemake.input.images, strict=True
        ):
            logs[kernels] = read_log(path, image_digest(image))
            check_origin(logs[kernels], path, to_int8(images), links["tflite"])
            chains[kernels] = links | {
                "image": image_digest(image),
                "device": logs[kernels].header.image,
                "log": digest(path),
            }
            book |= device_book(
                logs[kernels],
                model,
                cpi=cpu.cycles_per_instruction.value,
                cpi_interval=cpu.cycles_per_instruction.interval,
                clock_hz=cpu.clock_MHz.value * 1e6,
                chain=chains[kernels],
                prefix=f"device.{kernels}",
            )
        split, nosplit = (logs[kernels] for kernels in snakemake.params.kernels)
        chain = chains[snakemake.params.kernels[0]]
        book["device.paper-split.accuracy"] = accuracy_on_device(split, labels, chain)
        book["gain.interior-split"] = split_gain(split, nosplit, chain)
        book |= memory_book(split, model, chain)
        book |= board_memory_book(split, manifest, memory, chain)
        write_book(snakemake.output.book, book)
