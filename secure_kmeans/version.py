"""The version of this package: roles of different ones do not work together."""

VERSION = "0.1.0"
