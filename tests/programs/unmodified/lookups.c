// Functions of the C library that Unix has not, or not whole.

#include <arpa/inet.h>
#include <caml/alloc.h>
#include <caml/mlvalues.h>
#include <netdb.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>

static char text[4096];

static void add(const char *word)
{
    if (*text)
        strncat(text, " ", sizeof text - strlen(text) - 1);
    strncat(text, word, sizeof text - strlen(text) - 1);
}

static void add_address(const struct sockaddr *address, socklen_t length)
{
    char numeric[64];
    if (getnameinfo(address, length, numeric, sizeof numeric, NULL, 0, NI_NUMERICHOST) == 0)
        add(numeric);
}

static void all(const char *name, int family, int flags)
{
    struct addrinfo hints = {.ai_family = family, .ai_flags = flags, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int error = getaddrinfo(name, NULL, &hints, &found);
    if (error != 0) {
        add(gai_strerror(error));
        return;
    }
    // musl gives it without the flag, too.
    if (flags & AI_CANONNAME && found->ai_canonname != NULL)
        add(found->ai_canonname);
    for (struct addrinfo *one = found; one != NULL; one = one->ai_next)
        add_address(one->ai_addr, one->ai_addrlen);
    freeaddrinfo(found);
}

static void host(const char *name)
{
    struct hostent *found = gethostbyname(name);
    if (found == NULL) {
        add(hstrerror(h_errno));
        return;
    }
    add(found->h_name);
    for (char **address = found->h_addr_list; *address != NULL; address++) {
        char numeric[64];
        add(inet_ntop(found->h_addrtype, *address, numeric, sizeof numeric));
    }
}

static void reverse(const char *numeric)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    inet_pton(AF_INET, numeric, &address.sin_addr);
    char name[256];
    int error = getnameinfo((struct sockaddr *)&address, sizeof address, name, sizeof name, NULL,
                            0, NI_NAMEREQD);
    add(error == 0 ? name : gai_strerror(error));
}

// The number of answers, and the first one's exchange.
static void mail(const char *name)
{
    unsigned char answer[4096];
    int length = res_query(name, 1, 15, answer, sizeof answer);
    // musl before 1.2.4 returns a response without answers, too.
    if (length < 12 || (answer[6] | answer[7]) == 0) {
        add("none");
        return;
    }
    char exchange[256], line[300];
    int at = 12 + (int)strlen(name) + 2 + 4;
    // A name of two bytes, and type, class, time to live, length and preference.
    if (length < at + 14 || dn_expand(answer, answer + length, answer + at + 14, exchange,
                                      sizeof exchange) < 0)
        strcpy(exchange, "?");
    snprintf(line, sizeof line, "%d %s", answer[6] << 8 | answer[7], exchange);
    add(line);
}

// Whether a response has the identifier of the query, which the C library's resolver checks only
// where it sends the query itself.
static void identifier(const char *name)
{
    unsigned char query[512], answer[4096];
    int asked = res_mkquery(0, name, 1, 15, NULL, 0, NULL, query, sizeof query);
    query[0] = 0x5a, query[1] = 0xa5;
    int length = res_send(query, asked, answer, sizeof answer);
    add(length < 12 ? "none" : memcmp(query, answer, 2) == 0 ? "the query's" : "another");
}

value lookup(value command, value argument)
{
    const char *what = String_val(command), *name = String_val(argument);
    *text = 0;
    if (strcmp(what, "both") == 0)
        all(name, AF_UNSPEC, AI_CANONNAME);
    else if (strcmp(what, "mapped") == 0)
        all(name, AF_INET6, AI_V4MAPPED);
    else if (strcmp(what, "host") == 0)
        host(name);
    else if (strcmp(what, "name") == 0)
        reverse(name);
    else if (strcmp(what, "mail") == 0)
        mail(name);
    else if (strcmp(what, "identifier") == 0)
        identifier(name);
    else
        add("unknown command");
    return caml_copy_string(text);
}
