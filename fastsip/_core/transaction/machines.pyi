"""Types of the four machines' tables, which tests compare with the RFC; meanings stand in machines.pyx."""

Table = dict[int, dict[int, tuple[int, int]]]

INVITE_CLIENT: Table
OTHER_CLIENT: Table
INVITE_SERVER: Table
OTHER_SERVER: Table
