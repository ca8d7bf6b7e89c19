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
