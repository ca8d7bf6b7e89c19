"""What whoever speaks HTTP may take up of the desk."""

MOST_REMOTE = 100           # connections over TCP at once
MOST_LOCAL = 50             # and over control.sock, which nobody from outside can fill
MOST_BODY = 1 << 20         # bytes of a request's body: those of the longest order
IDLE_S = 10.0               # from the beginning of a connection, or from an answer, to the end of the next head
HANDSHAKE_S = 10.0          # of TLS
BODY_S = 10.0               # from the end of the head to that of the body
SEND_S = 30.0               # until whoever asked has taken his answer
READ_S = 30.0               # to find out what is
ORDER_S = 150.0             # until an order is done: a supervisor may be silent for 120
EXPLAIN_S = 30.0
READERS = 4                 # threads for those who look
ORDERERS = 4                # and for those who order: a reload that takes its time keeps no scrape waiting
EXPLAINERS = 2              # each of them a process
MOST_BATCH = 100            # calls of one JSON-RPC request
MOST_BATCH_ANSWER = 16 << 20    # bytes of their answers, but for those of orders and of what goes wrong
CERTIFICATE_S = 5.0         # between two looks at a certificate that cannot be used

# Of the page.
MOST_VIEWERS = 20           # streams that are open at once, by either way: so the others of a way are for questions
RETRY_MS = 2000             # after which a browser comes again to a stream that has ended
TICK_S = 1.0                # between two looks at the numbers
IDLE_SHARE = 50             # and at least so many times what the last look took of the CPU: a fiftieth of one at most
MOST_POINTS = 600           # looks whose numbers are kept
MOST_FAILURES = 100         # entries of what failed last
ROWS = 25                   # destinations on a page
VIEW_S = 10.0               # until a viewer has taken what he was sent
MOST_FORM = 200 << 10       # bytes of a form: a SIP request in it has up to 65,535, and three letters may be one byte
MOST_FRAGMENTS = 64         # lists that are kept for others who ask for the same
PRESS_S = 15.0              # from a press of a button to its order; later it is refused
FORM_S = 600.0              # without scripts: from the making of the form
AHEAD_S = 5.0               # that a browser may be mistaken about our clock
SESSION_S = 12 * 3600       # a session, from signing in
WRONG_AT_ONCE = 5           # wrong tokens of one address (IPv6: its /64)
WRONG_EVERY_S = 12.0        # and one more after so long
MOST_ADDRESSES = 1000       # of which wrong tokens are counted
