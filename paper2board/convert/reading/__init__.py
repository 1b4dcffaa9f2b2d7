"""How a ``.tflite`` file is read: :mod:`paper2board.convert.tflite_import` is the door.

``file`` has the file's tables with every limit checked, ``blockers`` what is said about what cannot be read,
``borders`` inputs and outputs of other types, ``fold`` and ``states`` what is known without the inputs and what is
kept between inferences, ``islands`` functions in float32, ``layout`` what is tidied at the end. ``forms`` lists the
operators that are read as others, a module for each family.
"""
