"""Types of what checks an automaton; meanings stand in patterns.pyx."""

from array import array

Automaton = tuple[bytes, array[int], bytes]

def check_automaton(automaton: Automaton) -> Automaton: ...
