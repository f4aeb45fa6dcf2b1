"""Measures the platform against the floor, the least that anyone could do on the same machine: `make bench`."""
