"""The chaos run: money on the move on a real server while everything breaks, and the proof that the books balance.

    python -m tests.chaos --server postgres --seconds 60              # a new seed, which is printed
    python -m tests.chaos --server mariadb --seconds 60 --seed 7      # the same plan again

Eight tellers, a thread each, move money in every way that the library knows (`plan.Style`), over every driver that is
installed; a saboteur breaks connections, lines and servers under them (`saboteur.Saboteur`), and some tellers fork.
Each transfer has an id that the teller chose; the ledger has no key on it, so that a transfer that was made twice is
seen twice. What the library tells of each transfer goes into a journal, and in the end the journal is held against
the books.

A seed fixes the plan: which transfers each teller makes in which way, over which driver and with which options, when
it forks, which faults the saboteur commits in which order. It does not fix when the threads get their turns, so two
runs of one seed do not meet the same faults at the same statements: repeat a seed that failed a few times.
"""
