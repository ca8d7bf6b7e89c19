/* Latency histograms and the JSON that generator and answerer print at their end.
 *
 * Buckets are exact to 1/32 of the value (3 %), from 1 ns to hours, so that a
 * percentile costs no list of samples.  Used by bench/generator.c, bench/answerer.c.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "wire.h"

enum { FINE_BITS = 5, FINE = 1 << FINE_BITS, BUCKETS = 64 * FINE };

typedef struct {
    uint64_t count, max_ns;
    uint64_t bucket[BUCKETS];
} histogram_t;

static inline void note(histogram_t *h, uint64_t ns)
{
    unsigned shift = 0;
    h->count++;
    if (ns > h->max_ns)
        h->max_ns = ns;
    while (ns >= 2 * FINE) {
        ns >>= 1;
        shift++;
    }
    h->bucket[shift * FINE + ns]++;       /* ns < FINE only when shift is 0 */
}

/* The value below which `share` of the samples lie, in microseconds. */
static inline double percentile_us(const histogram_t *h, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)h->count), passed = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        passed += h->bucket[i];
        if (h->bucket[i] && passed > wanted) {
            unsigned shift = i < 2 * FINE ? 0 : i / FINE - 1;
            return (double)((uint64_t)(i - shift * FINE) << shift) / 1000.0;
        }
    }
    return (double)h->max_ns / 1000.0;
}

static inline void print_histogram(const char *name, const histogram_t *h)
{
    printf(", \"%s\": {\"count\": %llu", name, (unsigned long long)h->count);
    if (h->count)
        printf(", \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f",
               percentile_us(h, 0.5), percentile_us(h, 0.9), percentile_us(h, 0.99), percentile_us(h, 0.999),
               (double)h->max_ns / 1000.0);
    printf("}");
}

static inline void print_names(const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        printf("%s%s", i ? " " : "", names[i]);
    printf("\n");
}

static inline void print_counters(const char *const *names, const uint64_t *values, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        printf("%s\"%s\": %llu", i ? ", " : "", names[i], (unsigned long long)values[i]);
}

#endif
