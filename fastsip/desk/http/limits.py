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
PAGES = 4                   # and for those who look by the page: a supervisor that is silent keeps no program waiting
ORDERERS = 4                # and for those who order: a reload that takes its time keeps no scrape waiting
EXPLAINERS = 2              # each of them a process
MOST_BATCH = 100            # calls of one JSON-RPC request
MOST_BATCH_ANSWER = 16 << 20    # bytes of their answers, but for those of orders and of what goes wrong
CERTIFICATE_S = 5.0         # between two looks at a certificate that cannot be used

# Of the page.
MOST_REMOTE_VIEWERS = 15    # streams over TCP that are open at once: so the other connections are for questions
MOST_LOCAL_VIEWERS = 5      # and over control.sock, which nobody from outside can fill
STREAM_S = 15 * 60.0        # until a stream ends by itself: browsers come again, who only seems to be there does not
STREAM_BUFFER = 32 << 10    # bytes that the kernel keeps for a viewer; Linux takes twice as many, its own records in it
RETRY_MS = 2000             # after which a browser comes again to a stream that has ended
TICK_S = 1.0                # between two looks at the numbers
IDLE_SHARE = 50             # and at least so many times what the last look took of the CPU: a fiftieth of one at most
MOST_POINTS = 600           # looks whose numbers are kept
MOST_FAILURES = 100         # entries of what failed last
ROWS = 25                   # destinations on a page
VIEW_S = 10.0               # until a viewer has taken what the kernel had no room for
GONE_S = 60.0               # until his machine takes anything of what the kernel has: a network may be away for a while
FAILED_S = 2.0              # after a look at the destinations that failed, until there is another one
MOST_FORM = 200 << 10       # bytes of a form: a SIP request in it has up to 65,535, and three letters may be one byte
MOST_SIGN_IN = 16 << 10     # of that of whoever is not known yet: a token has up to 4,096 letters
SIGN_IN_S = 2.0             # until that is there
MOST_FRAGMENTS = 64         # lists that are kept for others who ask for the same
LOOKING_S = 12 * 3600       # a session, from signing in, of who only looks, as a screen on a wall
ORDERING_S = 3600           # and of who may order: others of his machine may have seen the cookie
PRESS_S = 15.0              # from a press of a button to its order; later it is refused
FORM_S = 600.0              # without scripts: from the making of the form
AHEAD_S = 5.0               # that a browser may be mistaken about our clock
WRONG_AT_ONCE = 5           # wrong tokens of one address (IPv6: its /64)
WRONG_EVERY_S = 12.0        # and one more after so long
MOST_ADDRESSES = 1000       # of which wrong tokens are counted
