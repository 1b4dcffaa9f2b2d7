"""Survey published networks: memory, multiply-accumulates, modelled latency, and the boards that they fit.

Inputs: the survey's configuration (``survey``), every board file (``boards``). Outputs: ``metrics`` file, the same
as a ``table`` (CSV). Method: exact counts of the architectures' definitions, traced without computing anything;
peaks by liveness over the execution order (:mod:`paper2board.survey.memory`), instructions by the engine's cost
table (:mod:`paper2board.survey.instructions`); boards' figures as their files state them; the guide's code is
looked up in the installed TensorFlow.
"""

from pathlib import Path

from paper2board.boards.board import load_board, load_platform
from paper2board.core.evidence import write_metrics
from paper2board.core.files import write_text
from paper2board.core.scripting import running, snakemake
from paper2board.survey import guide_code
from paper2board.survey.boards import boards_metrics
from paper2board.survey.survey import graphs, load_survey, metrics, row, table

if __name__ == "__main__":
    with running(snakemake) as log:
        survey = load_survey(snakemake.input.survey)
        paths = {Path(path).stem: path for path in snakemake.input.boards}
        platforms = {name: load_platform(path) for name, path in sorted(paths.items())}
        board = load_board(paths[survey.board])
        rows = [row(network, board, platforms) for network in graphs(survey)]
        log(f"{len(rows)} networks, {len(platforms)} boards")
        write_text(snakemake.output.table, table(rows))
        found = metrics(survey, rows) | boards_metrics(platforms) | guide_code.metrics()
        write_metrics(snakemake.output.metrics, found)
