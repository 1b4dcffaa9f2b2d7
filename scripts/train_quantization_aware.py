"""Train a network on with int8 rounding in its forward pass, and store the integers.

Inputs: data set, splits, float weights, the teacher's if the study names one. Outputs: the IntegerModel and the
history. Method: batch norm folded, activation ranges calibrated and fixed, straight-through gradients (Jacob
et al. 2018).
"""

from paper2board.compress.aware_training import AwareNetwork
from paper2board.compress.calibration import calibrated, origin
from paper2board.compress.quantize import to_integer_model
from paper2board.core.scripting import running, snakemake
from paper2board.model.file import write
from paper2board.model.integer_model import renamed
from paper2board.networks.inference import configure
from paper2board.train.stage import trained
from paper2board.train.teacher import job_teacher

if __name__ == "__main__":
    with running(snakemake) as log:
        configure(snakemake.params.threads)
        files = snakemake.input
        network, parameters = calibrated(files.weights, files.data, files.splits)
        aware = AwareNetwork(network, parameters)
        teacher = job_teacher(snakemake, network.spec)
        with trained(snakemake, log, aware, network.spec, snakemake.output.model, teacher):
            name = f"{snakemake.wildcards.variant}.{snakemake.wildcards.scheme}"
            model = to_integer_model(aware.network, aware.parameters_of, name, per_channel=True)
            write(renamed(model, name, **origin(snakemake)), snakemake.output.model)
