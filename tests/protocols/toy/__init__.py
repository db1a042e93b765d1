"""A protocol that lives in the tests alone: a private mean of three parties' columns, with a helper that only adds.

Each party masks the sum of its column, so that the masks of all parties cancel. The helper adds what it gets and
returns the total. It proves that a protocol can be added without a change to the package: it is found by an entry
point, see :mod:`tests.protocols.toy.installed`.
"""
