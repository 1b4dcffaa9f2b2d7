"""paper2board: reproduce TinyML papers, from data set to battery life.

The sub-packages are the eight stages of the journey, in order: acquire, train, compress, convert,
firmware, capture, energy, report. Three modules hold them together and depend on none of them:
:mod:`paper2board.study.schema` (typed configuration), :mod:`paper2board.model.integer_model` (the quantized
network as integers) and :mod:`paper2board.core.evidence` (where every reported number comes from).
"""
