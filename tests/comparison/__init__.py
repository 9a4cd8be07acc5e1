"""The same faults against the raw driver, DBUtils 3.2.0 and persistentdb, side by side: a verdict for each.

Run it from the root of the repository, with DBUtils installed (`pip install DBUtils==3.2.0`):

    python -m tests.comparison                            # all drivers and servers that are here; a minute
    python -m tests.comparison --drivers psycopg pymysql  # over these only
    python -m tests.comparison --faults autocommit-reply  # these only; --list names them
    python -m tests.comparison --write                    # all, and into docs/comparison.md

It starts private servers and breaks connections to them for good. What happened is read out of the database through an
independent connection. Each fault is played in a process of its own, on a new table, so that nothing is left of the one
before, and a contender that hangs is ended.
"""
