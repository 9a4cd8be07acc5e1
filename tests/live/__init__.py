"""The truth from real servers: what each driver really does, and what the steady connections make of it."""
