"""The composition of an API process: everything is built here and passed on through constructors."""
