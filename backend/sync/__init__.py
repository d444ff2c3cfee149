"""Synchronous processing: read the request, estimate, compute on the cluster, write the file. No Flask in here."""
