
/*
 * Who may ask: Host and Origin, as Ollama's two gin middlewares decide on a
 * server that listens on loopback.
 */

#include "access.h"
#include "origin.h"
#include "out.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <unistd.h>


static int fake_origin_match(const char *origin);
static void fake_origin_preflight(fake_conn_t *c);
static int fake_host_name_allowed(const char *host);
static int fake_host_address(const char *host);
static int fake_host_own(int family, const void *addr);


static int
fake_origin_match(const char *origin)
{
    size_t              i, len;
    const char         *host;

    static const char  *any[] = {
        "app://", "file://", "tauri://", "vscode-webview://",
        "vscode-file://", NULL
    };

    static const char  *hosts[] = {
        "localhost", "127.0.0.1", "0.0.0.0", NULL
    };

    for (i = 0; any[i]; i++) {
        if (strncmp(origin, any[i], strlen(any[i])) == 0) {
            return 1;
        }
    }

    if (strncmp(origin, "http://", 7) == 0) {
        host = origin + 7;

    } else if (strncmp(origin, "https://", 8) == 0) {
        host = origin + 8;

    } else {
        return 0;
    }

    for (i = 0; hosts[i]; i++) {
        len = strlen(hosts[i]);

        /* the pattern is "localhost:*": anything after the colon */

        if (strncmp(host, hosts[i], len) == 0
            && (host[len] == '\0' || host[len] == ':'))
        {
            return 1;
        }
    }

    return 0;
}


/* 0: has answered */

int
fake_origin_check(fake_conn_t *c)
{
    fake_req_t  *r;

    r = c->req;

    if (fake_origin_same(r)) {
        return 1;
    }

    if (!fake_origin_match(r->origin)) {
        free(r->origin);
        r->origin = NULL;
        fake_out_reply(c, 403, NULL, NULL, 0, NULL);
        return 0;
    }

    if (strcmp(r->method, "OPTIONS") == 0) {
        fake_origin_preflight(c);
        return 0;
    }

    return 1;
}


static void
fake_origin_preflight(fake_conn_t *c)
{
    static const char  headers[] =
        "Access-Control-Allow-Headers: Authorization,Content-Type,"
        "User-Agent,Accept,X-Requested-With,Openai-Beta,X-Stainless-Arch,"
        "X-Stainless-Async,X-Stainless-Custom-Poll-Interval,"
        "X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os,"
        "X-Stainless-Package-Version,X-Stainless-Poll-Helper,"
        "X-Stainless-Retry-Count,X-Stainless-Runtime,"
        "X-Stainless-Runtime-Version,X-Stainless-Timeout\r\n"
        "Access-Control-Allow-Methods: "
        "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS\r\n"
        "Access-Control-Max-Age: 43200\r\n"
        "Vary: Access-Control-Request-Method\r\n"
        "Vary: Access-Control-Request-Headers\r\n";

    fake_out_reply(c, 204, NULL, NULL, 0, headers);
}


/* Go's net.SplitHostPort: host:port or [host]:port, else all is the host */

fake_host_e
fake_host_allowed(const char *header)
{
    fake_host_e  rc;
    char        *host;
    const char  *end;

    if (header[0] == '[') {
        end = strchr(header, ']');

        if (end && end[1] == ':' && strchr(end + 2, ':') == NULL) {
            host = fake_strndup(header + 1, end - header - 1);

        } else {
            host = fake_strndup(header, strlen(header));
        }

    } else {
        end = strchr(header, ':');

        if (end && strchr(end + 1, ':') == NULL) {
            host = fake_strndup(header, end - header);

        } else {
            host = fake_strndup(header, strlen(header));
        }
    }

    rc = fake_host_address(host) ? FAKE_HOST_ADDRESS
         : fake_host_name_allowed(host) ? FAKE_HOST_NAME
                                        : FAKE_HOST_FOREIGN;

    free(host);

    return rc;
}


static int
fake_host_name_allowed(const char *host)
{
    char                name[256];
    size_t              i, len, n;

    static const char  *ends[] = { ".localhost", ".local", ".internal",
                                   NULL };

    if (*host == '\0' || strcasecmp(host, "localhost") == 0) {
        return 1;
    }

    if (gethostname(name, sizeof(name)) == 0
        && strcasecmp(host, name) == 0)
    {
        return 1;
    }

    len = strlen(host);

    for (i = 0; ends[i]; i++) {
        n = strlen(ends[i]);

        if (len >= n && strcasecmp(host + len - n, ends[i]) == 0) {
            return 1;
        }
    }

    return 0;
}


/* loopback, private, unspecified, or one of this machine */

static int
fake_host_address(const char *host)
{
    char             text[INET6_ADDRSTRLEN];
    unsigned char    v4[4], v6[16];

    static const unsigned char  mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                               0xff, 0xff };

    if (inet_pton(AF_INET, host, v4) == 1) {
        return v4[0] == 127 || v4[0] == 10
               || (v4[0] == 172 && (v4[1] & 0xf0) == 16)
               || (v4[0] == 192 && v4[1] == 168)
               || memcmp(v4, "\0\0\0\0", 4) == 0
               || fake_host_own(AF_INET, v4);
    }

    snprintf(text, sizeof(text), "%.*s", (int) strcspn(host, "%"), host);

    if (inet_pton(AF_INET6, text, v6) != 1) {
        return 0;
    }

    if (memcmp(v6, mapped, 12) == 0) {
        memcpy(v4, v6 + 12, 4);

        return v4[0] == 127 || v4[0] == 10
               || (v4[0] == 172 && (v4[1] & 0xf0) == 16)
               || (v4[0] == 192 && v4[1] == 168);
    }

    return memcmp(v6, &in6addr_loopback, 16) == 0
           || memcmp(v6, &in6addr_any, 16) == 0
           || (v6[0] & 0xfe) == 0xfc
           || fake_host_own(AF_INET6, v6);
}


static int
fake_host_own(int family, const void *addr)
{
    int              found;
    const void      *own;
    struct ifaddrs  *list, *p;

    if (getifaddrs(&list) != 0) {
        return 0;
    }

    found = 0;

    for (p = list; p && !found; p = p->ifa_next) {

        if (p->ifa_addr == NULL || p->ifa_addr->sa_family != family) {
            continue;
        }

        own = (family == AF_INET)
              ? (void *) &((struct sockaddr_in *) p->ifa_addr)->sin_addr
              : (void *) &((struct sockaddr_in6 *) p->ifa_addr)->sin6_addr;

        found = (memcmp(own, addr, family == AF_INET ? 4 : 16) == 0);
    }

    freeifaddrs(list);

    return found;
}
