/* What Cython cannot say about datagram sockets: walking control messages.
 * It must never read past msg_controllen. */

#ifndef FASTSIP_NET_SYS_H
#define FASTSIP_NET_SYS_H

#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/errqueue.h>
#include <netinet/in.h>

/* Room for the one control message that listeners ask for (SO_RXQ_OVFL). */
#define NET_CONTROL_BYTES 32
_Static_assert(CMSG_SPACE(sizeof(uint32_t)) <= NET_CONTROL_BYTES, "the drop counter fits");

/* The socket's drop counter as it was when this datagram was queued; 0 when
 * nothing was dropped yet (the kernel then says nothing). */
static inline uint32_t net_drop_counter(struct msghdr *message)
{
    uint32_t value = 0;
    struct cmsghdr *part;

    for (part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SO_RXQ_OVFL
            && part->cmsg_len >= CMSG_LEN(sizeof(value)))
            memcpy(&value, CMSG_DATA(part), sizeof(value));
    }
    return value;
}

/* The errno of an error-queue entry that came by ICMP or ICMPv6; 0 for any other. */
static inline uint32_t net_icmp_errno(struct msghdr *message)
{
    struct sock_extended_err error;
    struct cmsghdr *part;

    for (part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
        if (!(part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_RECVERR)
            && !(part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_RECVERR))
            continue;
        if (part->cmsg_len < CMSG_LEN(sizeof(error)))
            continue;
        memcpy(&error, CMSG_DATA(part), sizeof(error));
        if (error.ee_origin == SO_EE_ORIGIN_ICMP || error.ee_origin == SO_EE_ORIGIN_ICMP6)
            return error.ee_errno;
    }
    return 0;
}

#endif
