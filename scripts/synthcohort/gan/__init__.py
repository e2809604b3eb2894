"""Generators: layers, one module per family, objective, trainer, checkpoint, sampler."""
