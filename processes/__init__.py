"""openEO: process graph -> lazy cube. May import `udf`; never Flask, never torch."""
