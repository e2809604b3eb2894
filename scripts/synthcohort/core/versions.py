"""One integer per stage, raised by hand whenever the stage's results change.

Snakemake reruns a job when a param changes but sees neither the library nor the environment; every rule therefore
carries its stage's integer as a param.
"""

DRAW = 1
INDEX = 1
PREPROCESS = 3
SPLIT = 1
EXPERIMENTS = 1
CLASSIFIER = 3
GENERATOR = 6
SAMPLE = 2
METRICS = 4
AUDIT = 4
PRIVACY = 4
FIGURES = 8
REPORT = 11
PROVENANCE = 2
READERS = 2
RELEASE = 3
