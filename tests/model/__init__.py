"""The stateful property test: drivers that keep a server's truth, a plain ledger, and the machine that plays both."""
