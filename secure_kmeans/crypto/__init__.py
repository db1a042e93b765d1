"""Cryptographic primitives, from well-kept libraries."""
