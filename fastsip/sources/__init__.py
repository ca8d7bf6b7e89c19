"""Where destinations come from beside the configuration file: lists and tables of other routers.

    rows      what every source gives: a Row for each destination, a Misfit for each line that is none
    columns   what the tables of all routers have in common, and the bounds of a file
    kamailio  Kamailio's list file, and the columns of its table
    opensips  the columns of OpenSIPS' tables dispatcher and load_balancer
    table_files  such a table in a file, of db_text or as a database prints it
    sql       a table in a database, read whole
    engines   how a database is reached, and for how long at most
    apart     the same read by another process, and what it is called without its password
    added     what operators add to a router that runs
    kept      what was read last, in state_dir: it counts while the source is away

What a row means for a set is for config to say: here is only what stands in the source.
"""
