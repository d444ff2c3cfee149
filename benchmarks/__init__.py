"""Comparisons that name the machine they ran on; the product imports nothing from here."""
