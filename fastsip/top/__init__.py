"""`fastsip top`: a router that runs, looked at again and again, on a terminal.

    course    looks at the router, and what came of it between two looks
    words     that as lines of text, as wide as they may be
    screen    those lines on a terminal, keys, and what is ordered there

Nobody but `screen` needs textual, which is an extra (`tui`).
"""
