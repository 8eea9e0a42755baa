"""The page: one file per tab; widgets and wording only."""
