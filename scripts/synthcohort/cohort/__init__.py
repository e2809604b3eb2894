"""From indexed images to experiments: label policies, patient split, selections."""
