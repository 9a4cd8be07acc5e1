"""A fault kit: test your own code against lost connections, before the send, after it and in the commit."""

from persistentdb.testing.clock import FakeClock
from persistentdb.testing.cutter import TcpCutter, Trigger
from persistentdb.testing.fake import FakeServer, Fault

__all__ = ["FakeClock", "FakeServer", "Fault", "TcpCutter", "Trigger"]
