"""paper2board: reproduce TinyML papers, from data set to battery life.

The sub-packages are the eight stages of the journey, in order: acquire, train, compress, convert,
firmware, capture, energy, report. Three modules hold them together and depend on none of them:
:mod:`paper2board.study` (typed configuration), :mod:`paper2board.integer_model` (the quantized
network as integers) and :mod:`paper2board.evidence` (where every reported number comes from).
"""
