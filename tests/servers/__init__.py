"""Real database servers for the tests, the ways to lose them, and the drivers that talk to them."""

from .drivers import DRIVERS, Driver, LiveDriver, driver_params, left_out
from .mariadb import MariaDBServer
from .postgres import PostgresServer
from .process import PrivateServer, ServerFailedError, wait_until
from .proxy import TcpProxy, Trigger

__all__ = [
    "DRIVERS",
    "Driver",
    "LiveDriver",
    "MariaDBServer",
    "PostgresServer",
    "PrivateServer",
    "ServerFailedError",
    "TcpProxy",
    "Trigger",
    "driver_params",
    "left_out",
    "wait_until",
]
