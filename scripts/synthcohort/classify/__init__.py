"""The predictive model that measures utility."""
