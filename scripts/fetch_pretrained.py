"""Put published weights into ``data/pretrained``.

Input: the weights' configuration. Output: the weights (safetensors, float32, torchvision's names). Method: the
first source of the configuration whose file has its sha256 wins; see ``paper2board.train.pretrained``.
"""

from paper2board.core.scripting import running, snakemake
from paper2board.train.pretrained import fetch_pretrained
from paper2board.train.pretrained_config import read_pretrained_config

if __name__ == "__main__":
    with running(snakemake) as log:
        fetch_pretrained(read_pretrained_config(snakemake.input.config), snakemake.output.weights, log=log)
