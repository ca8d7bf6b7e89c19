"""HTTP and JSON for operators' programs: on control.sock for whoever may open that, on TCP for whoever has a token.

    server       connections: how many, how long, TLS
    application  one request: who may, how long, how large; problems in words
    access       tokens
    routes       what a path is; table: all of them, the place for another group
    router, dispatcher, orders, explain, metrics, kamailio       the groups of paths
    types        what is asked and answered, for readers and for openapi

Nothing is known here that the command line does not know: both ask api.answers.
"""
