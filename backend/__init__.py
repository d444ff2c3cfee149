"""HTTP face of openeo-embed. The only package that may import Flask; it may import all the others."""
