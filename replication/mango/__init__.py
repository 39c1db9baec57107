"""Mango as values: selectors, collation order, index definitions and the choice of an index. Pure."""
