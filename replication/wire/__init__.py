"""Bytes on the wire to values and back: decoding documents, normalising what JSON stores refuse, encoding
answers.
"""
