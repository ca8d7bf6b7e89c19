"""Real database servers for tests, on a free port of 127.0.0.1 and with their data in a directory that goes with them.

    server      what all of them can do: start, stop, freeze, and take statements
    postgresql  PostgreSQL, by the binaries of Debian's package
    mariadb     MariaDB, likewise
    relay       a connection in between, which ends or falls silent after so many bytes
    fixtures    one server of each for a whole run

Servers refuse to run as root: then they run as `nobody`.  They end with the process that started them, however it ends.
"""
