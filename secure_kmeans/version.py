"""The version of this package. Roles of different versions refuse each other."""

VERSION = "0.1.0"
