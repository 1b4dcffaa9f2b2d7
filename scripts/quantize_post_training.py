"""Quantize a float network to int8 without training.

Inputs: weights, calibration images. Output: the IntegerModel. Method: batch norm folded; weights symmetric, per
channel or per tensor, as the scheme says; activation ranges of least squared error on the calibration set.
"""

from paper2board.compress.calibration import calibrated, origin
from paper2board.compress.quantize import to_integer_model
from paper2board.core.scripting import running, snakemake
from paper2board.model.file import write
from paper2board.model.integer_model import renamed
from paper2board.networks.inference import configure
from paper2board.study.schemes import SCHEMES

if __name__ == "__main__":
    with running(snakemake) as log:
        configure(snakemake.threads)
        files = snakemake.input
        network, parameters = calibrated(files.weights, files.data, files.splits)
        name = f"{snakemake.wildcards.variant}.{snakemake.wildcards.scheme}"
        per_channel = SCHEMES[snakemake.wildcards.scheme].per_channel
        model = to_integer_model(network, parameters, name, per_channel)
        write(renamed(model, name, **origin(snakemake)), snakemake.output.model)
        log(
            "; ".join(
                f"{key}: scale {p.scale:.6g}, zero point {p.zero_point}" for key, p in parameters.items()
            )
        )
