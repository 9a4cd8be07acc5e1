"""Hand-made faults in the heart of persistentdb, each of which the fast tests must catch.

Run it from the root of the repository, with the `test` extra installed:

    python -m tests.mutations                  # all of them, some minutes
    python -m tests.mutations --only poison    # those whose name or reason has this word

`faults.py` is the list: to add one, copy a piece of the code that is there once, write what a tired programmer might
have written, and say what it would do to a user. A fault that survives means that a test is missing.
"""
