"""Quantize a float network to int8 without training.

Inputs: weights, calibration images. Output: the IntegerModel. Method: batch norm folded; weights symmetric, per
channel or per tensor, as the scheme says; activation ranges of least squared error on the calibration set.
"""

from paper2board.compress.calibration import calibration_pixels, origin
from paper2board.compress.quantize import Observer, to_integer_model
from paper2board.core.scripting import running, snakemake
from paper2board.model.file import write
from paper2board.model.integer_model import renamed
from paper2board.networks.inference import configure
from paper2board.networks.network import folded, read_weights
from paper2board.study.schemes import SCHEMES

if __name__ == "__main__":
    with running(snakemake) as log:
        configure(snakemake.threads)
        network = folded(read_weights(snakemake.input.weights))
        observer = Observer(network)
        pixels = calibration_pixels(snakemake.input.data, snakemake.input.splits, network.spec)
        observer.observe(pixels.split(100))
        parameters = observer.parameters()
        name = f"{snakemake.wildcards.variant}.{snakemake.wildcards.scheme}"
        per_channel = SCHEMES[snakemake.wildcards.scheme].per_channel
        model = to_integer_model(network, parameters, name, per_channel)
        write(renamed(model, name, **origin(snakemake)), snakemake.output.model)
        log(
            "; ".join(
                f"{key}: scale {p.scale:.6g}, zero point {p.zero_point}" for key, p in parameters.items()
            )
        )
