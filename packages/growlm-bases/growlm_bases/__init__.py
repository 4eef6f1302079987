"""The bases of growlm as data: each folder in this package is a stock transformers model."""
