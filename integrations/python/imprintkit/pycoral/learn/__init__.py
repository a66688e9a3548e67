"""Training the last layer of a model."""
