/* Membership in multicast groups, which OCaml's Unix has not. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <caml/mlvalues.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* Joins a group on an interface by its number, or leaves it; 0, or -1 for an error. */
value test_member(value fd, value group, value interface, value joins)
{
    int result;
    struct ipv6_mreq v6 = { .ipv6mr_interface = Int_val(interface) };
    if (inet_pton(AF_INET6, String_val(group), &v6.ipv6mr_multiaddr) == 1) {
        int option = Bool_val(joins) ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP;
        result = setsockopt(Int_val(fd), IPPROTO_IPV6, option, &v6, sizeof v6);
    } else {
        struct ip_mreqn v4 = { .imr_ifindex = Int_val(interface) };
        int option = Bool_val(joins) ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP;
        inet_pton(AF_INET, String_val(group), &v4.imr_multiaddr);
        result = setsockopt(Int_val(fd), IPPROTO_IP, option, &v4, sizeof v4);
    }
    return Val_int(result);
}
