"""Faults injected into real runs, at random moments, with a seed that replays their schedule.

Each round gives the platform new data, starts a run in another process, breaks something at a chosen moment, runs again
plainly, and compares the table, its whole history of changes and the ledger with what is right.
"""
