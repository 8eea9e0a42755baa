"""Scripts that train, calibrate, export and measure the models. `python -m training.NAME --help`."""
