"""Take an int8 .tflite file into a study.

Input: the file, wherever it lies. Outputs: a copy, its IntegerModel. Method: the file is read and checked; it
must take images of 1 or 3 channels, to whose size the data set's are brought, and have an output a class. Pixels
0 … 255 go in as −128 … 127; whether the network was trained like that, its file does not say.
"""

import shutil

from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError
from paper2board.core.files import atomic_path
from paper2board.core.scripting import running, snakemake
from paper2board.model.file import write
from paper2board.model.integer_model import classes_text, renamed

if __name__ == "__main__":
    with running(snakemake) as log:
        source, classes = snakemake.params.source, snakemake.params.classes
        model = read_tflite(source, snakemake.wildcards.variant)
        shape = model.tensors[model.input].shape
        if len(shape) != 3 or shape[2] not in (1, 3):
            raise UserError(
                f"{source} takes inputs of shape {shape}, not images of 1 or 3 channels; use another"
            )
        outputs = model.tensors[model.output].size
        if outputs != len(classes):
            raise UserError(
                f"{source} has {outputs} outputs, the data set has {len(classes)} classes; use another"
            )
        metadata = {"classes": classes_text(classes), "fit": snakemake.params.fit}
        write(renamed(model, model.name, **metadata), snakemake.output.model)
        with atomic_path(snakemake.output.tflite) as temporary:
            shutil.copyfile(source, temporary)
        log(f"{len(model.ops)} operators, input {model.tensors[model.input].shape}")
