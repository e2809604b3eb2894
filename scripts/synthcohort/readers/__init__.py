"""The reader study: building, serving and reading back what people answered.

Data flows one way: `build` chooses images and seals the answer key; `serve` shows them and stores answers, without the
key; `results` brings answers and key together for the analysis.
"""
