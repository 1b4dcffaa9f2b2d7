# paper2board: from a paper's data set to its battery life, one rule a step.
#
#   snakemake --cores all report     run what is missing and render the report
#   snakemake -n report              show what would run, and why

from snakemake.utils import min_version

min_version("9.0")


include: "rules/common.smk"
include: "rules/inputs/models.smk"
include: "rules/acquire.smk"
include: "rules/train.smk"
include: "rules/compress.smk"
include: "rules/convert.smk"
include: "rules/firmware.smk"
include: "rules/capture.smk"
include: "rules/evaluate.smk"
include: "rules/energy.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        rules.report.input,
