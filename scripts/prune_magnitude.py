"""Zero a share of single weights by magnitude, as the detector paper's ``prune_model`` does.

Input: weights. Output: weights of the same size. For comparison with structured pruning.
"""

from paper2board.compress.magnitude_pruning import prune_magnitude, zero_share
from paper2board.core.scripting import running, snakemake
from paper2board.networks.network import read_weights, write_weights

if __name__ == "__main__":
    with running(snakemake) as log:
        pruned = prune_magnitude(read_weights(snakemake.input.parent), int(snakemake.wildcards.percent) / 100)
        write_weights(pruned, snakemake.output.weights)
        log(f"{zero_share(pruned):.2%} of the convolutions' weights are zero")
