"""Remove the weakest channels of a network, a ratio per layer.

Input: the parent's weights. Output: the smaller network's. Method: structured pruning by L1 norm, slide "Model
Compression: Structured Pruning"; the dependency graph is torch-pruning's.
"""

from paper2board.compress.channel_pruning import prune_channels
from paper2board.core.scripting import running, snakemake
from paper2board.networks.network import read_weights, write_weights

if __name__ == "__main__":
    with running(snakemake) as log:
        network = read_weights(snakemake.input.parent)
        pruned = prune_channels(network, snakemake.params.ratios)
        write_weights(pruned, snakemake.output.weights)
        log(f"widths {network.spec.widths()} → {pruned.spec.widths()}")
