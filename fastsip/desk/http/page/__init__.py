"""The operator's page: server HTML that is whole without scripts, and kept fresh by a stream of numbers with them.

    door       who may, what a request has to be, what is sent with each answer
    pages      which paths there are, and what each answers
    entrance   signing in, sessions, and requests that a page of somebody else has a browser make
    watch      numbers of the last ten minutes, by looks at the files of run_dir; failures: what failed last, by what
    overview   destinations as they are now: found, sorted, a page of them; timeline: what they were
    stream     one look a second for all who watch, and server-sent events
    render     templates, and files that stay as they are

What peers and callers have written is text here and never HTML: templates escape all that they are given, and the
Content-Security-Policy lets no script run that is not a file of ours.  vendor/ is other people's (packages/vendor.txt).
"""
