"""One small file per model: only what differs from the defaults of `training.experiment.Experiment`."""
