/* Latencies in buckets that widen with the value: 64 to each doubling, so within 1.6 percent, from 1 ns to a minute. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

enum { SUB_BITS = 6, BUCKETS = (36 - SUB_BITS + 1) << SUB_BITS };

struct histogram {
    uint64_t counts[BUCKETS];
    uint64_t total;
};

static inline int bucket_of(uint64_t ns)
{
    if (ns < 1 << SUB_BITS)
        return ns;

    int exponent = 63 - __builtin_clzll(ns) - SUB_BITS;
    int bucket = ((exponent + 1) << SUB_BITS) + (int)((ns >> exponent) - (1 << SUB_BITS));

    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static inline void histogram_add(struct histogram *histogram, uint64_t ns)
{
    histogram->counts[bucket_of(ns)]++;
    histogram->total++;
}

/* The value below which this share (0..1) of all values lies, in nanoseconds. */
static inline double histogram_at(const struct histogram *histogram, double share)
{
    uint64_t wanted = share * histogram->total, seen = 0;

    for (int i = 0; i < BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen > wanted) {
            int exponent = (i >> SUB_BITS) - 1;

            return exponent < 0 ? i : (double)((i & ((1 << SUB_BITS) - 1)) + (1 << SUB_BITS)) * (1ull << exponent);
        }
    }
    return 0;
}

#endif
