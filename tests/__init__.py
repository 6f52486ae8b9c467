"""A package, not a bare folder: mousipy installs a package `tests` of its own, which would hide such a folder."""
