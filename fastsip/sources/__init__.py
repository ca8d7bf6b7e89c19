"""Where destinations come from beside the configuration file: lists and tables of other routers.

    rows      what every source gives: a Row for each destination, a Misfit for each line that is none
    kamailio  Kamailio's list file, and the columns of its table
    sql       a table in a database, read whole
    engines   how a database is reached, and for how long at most
    kept      what was read last, in state_dir: it counts while the source is away

What a row means for a set is for config to say: here is only what stands in the source.
"""
