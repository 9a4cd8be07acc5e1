"""What persistentdb costs beside the raw driver and beside DBUtils 3.2.0, and whether it keeps its goals.

Run it from the root of the repository, with DBUtils installed (`pip install DBUtils==3.2.0`):

    python -m tests.benchmarks                 # a minute or two
    python -m tests.benchmarks --servers       # PostgreSQL and MariaDB too, where installed (psycopg, PyMySQL)
    python -m tests.benchmarks --only c g      # these operations: a to h, counts, j (imports)

It is no timed test: nothing fails because a machine is slow. Every figure is a ratio to the raw driver, taken against
blocks of the raw driver right before and after, so that it bears a machine that changes its speed and has other work.
The columns are medians (± half the interquartile range); "tl" is DBUtils with `threadlocal=threading.local`. Behind
them stand the goals with their marks: at most so many times the raw driver, at least so many times faster than DBUtils.
They were set on CPython 3.13 and 3.11; versions before 3.12 are held against those of 3.11. Counts are exact. A goal
missed by less than the spread is worth a run with more `--processes`: some are slow as a whole, by their addresses.
"""
