/* What sofia-sip's own parser takes for the message in a file.
 *
 * usage: bench_parse FILE LOOPS
 * Prints nanoseconds per message.  One message is msg_make: a copy of the bytes
 * and every header parsed into its structure, and the release of it; that is
 * what an application of the library pays per datagram.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <sofia-sip/msg.h>
#include <sofia-sip/msg_mclass.h>
#include <sofia-sip/sip.h>
#include <sofia-sip/sip_parser.h>
#include <sofia-sip/sip_protos.h>

static double now_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1e9 + at.tv_nsec;
}

/* The message must really be parsed: these are what a router would read. */
static int is_whole(const sip_t *sip)
{
    return sip && !sip->sip_error && sip->sip_request && sip->sip_via && sip->sip_via->v_next && sip->sip_from
        && sip->sip_to && sip->sip_cseq && sip->sip_call_id && sip->sip_route && sip->sip_record_route;
}

int main(int argc, char **argv)
{
    static char text[65536];
    msg_mclass_t const *sip_class = sip_default_mclass();
    FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
    size_t length;
    long loops, i, good = 0;
    double begin;

    if (!file) {
        fprintf(stderr, "usage: bench_parse FILE LOOPS\n");
        return 2;
    }
    length = fread(text, 1, sizeof text, file);
    fclose(file);
    loops = atol(argv[2]);

    begin = now_ns();
    for (i = 0; i < loops; i++) {
        msg_t *message = msg_make(sip_class, 0, text, (ssize_t)length);
        good += is_whole(sip_object(message));
        msg_destroy(message);
    }
    printf("%.1f\n", (now_ns() - begin) / loops);
    if (good != loops) {
        fprintf(stderr, "sofia-sip read %ld of %ld messages\n", good, loops);
        return 1;
    }
    return 0;
}
