"""Research access: datasets, who may see what of them, de-identification."""
