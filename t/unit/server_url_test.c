
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Servers' URLs: which spellings are taken for which server line, and which for
 * none.
 */


#include "unit.h"

#include "fleet/ngx_http_ollama_server_url.h"


#define RANDOM_URLS  200000
#define RANDOM_MAX   64


typedef struct {
    const char     *title;
    ngx_str_t       url;
    ngx_str_t       server;     /* len 0: declined */
    ngx_uint_t      tls;
} server_case_t;


static server_case_t  server_cases[] = {

    { "host and port", ngx_string("gpu1:11434"), ngx_string("gpu1:11434"), 2 },

    { "http", ngx_string("http://10.0.0.1:11434"),
      ngx_string("10.0.0.1:11434"), 0 },

    { "https", ngx_string("https://gpu1:11434"), ngx_string("gpu1:11434"),
      1 },

    { "upper case", ngx_string("HTTP://GPU-1.Lan:80"),
      ngx_string("gpu-1.lan:80"), 0 },

    { "no port", ngx_string("gpu_1"), ngx_string("gpu_1:80"), 2 },
    { "no port, http", ngx_string("http://a/"), ngx_string("a:80"), 0 },
    { "no port, https", ngx_string("https://a"), ngx_string("a:443"), 1 },
    { "no port, a path", ngx_string("a/v1"), ngx_string("a:80"), 2 },

    { "/", ngx_string("http://a:1/"), ngx_string("a:1"), 0 },
    { "/v1", ngx_string("http://a:1/v1"), ngx_string("a:1"), 0 },
    { "/v1/", ngx_string("http://a:1/v1/"), ngx_string("a:1"), 0 },
    { "/api", ngx_string("http://a:1/api"), ngx_string("a:1"), 0 },
    { "/api/", ngx_string("a:1/api/"), ngx_string("a:1"), 2 },
    { "/V1", ngx_string("a:1/V1"), ngx_null_string, 0 },
    { "/v1/x", ngx_string("a:1/v1/x"), ngx_null_string, 0 },
    { "/v2", ngx_string("a:1/v2"), ngx_null_string, 0 },
    { "//", ngx_string("a:1//"), ngx_null_string, 0 },
    { "/v1//", ngx_string("a:1/v1//"), ngx_null_string, 0 },
    { "/..", ngx_string("a:1/v1/.."), ngx_null_string, 0 },
    { "/api/chat", ngx_string("a:1/api/chat"), ngx_null_string, 0 },

    { "the highest port", ngx_string("a:65535"), ngx_string("a:65535"), 2 },
    { "a port too high", ngx_string("a:65536"), ngx_null_string, 0 },
    { "a port far too high", ngx_string("a:99999999999999999999"),
      ngx_null_string, 0 },
    { "port 0", ngx_string("a:0"), ngx_null_string, 0 },
    { "a port with a zero in front", ngx_string("a:080"), ngx_null_string,
      0 },
    { "an empty port", ngx_string("a:"), ngx_null_string, 0 },
    { "an empty port and a path", ngx_string("a:/v1"), ngx_null_string, 0 },
    { "a negative port", ngx_string("a:-1"), ngx_null_string, 0 },
    { "a port with a sign", ngx_string("a:+1"), ngx_null_string, 0 },
    { "a port in hex", ngx_string("a:0x1"), ngx_null_string, 0 },
    { "two ports", ngx_string("a:1:2"), ngx_null_string, 0 },

    { "IPv6", ngx_string("http://[::1]:11434/v1"), ngx_string("[::1]:11434"),
      0 },
    { "IPv6, upper case", ngx_string("[FE80::A]:1"),
      ngx_string("[fe80::a]:1"), 2 },
    { "IPv6, no port", ngx_string("https://[::1]"), ngx_string("[::1]:443"),
      1 },
    { "IPv6 is kept as written", ngx_string("[0:0::0:1]:1"),
      ngx_string("[0:0::0:1]:1"), 2 },
    { "IPv4 in IPv6", ngx_string("[::ffff:10.0.0.1]:1"),
      ngx_string("[::ffff:10.0.0.1]:1"), 2 },
    { "IPv6 without brackets", ngx_string("::1"), ngx_null_string, 0 },
    { "IPv6 not closed", ngx_string("[::1"), ngx_null_string, 0 },
    { "IPv6, nothing", ngx_string("[]:1"), ngx_null_string, 0 },
    { "IPv6 with a zone", ngx_string("[fe80::1%eth0]:1"), ngx_null_string,
      0 },
    { "IPv6 with a letter", ngx_string("[::g]:1"), ngx_null_string, 0 },
    { "IPv6 and more", ngx_string("[::1]x:1"), ngx_null_string, 0 },

    { "a socket", ngx_string("unix:/run/O.sock"),
      ngx_string("unix:/run/O.sock"), 2 },
    { "a socket, http", ngx_string("HTTP://UNIX:/run/O.sock"),
      ngx_string("unix:/run/O.sock"), 0 },
    { "a socket, https", ngx_string("https://unix:/o"), ngx_string("unix:/o"),
      1 },
    { "a socket and a colon", ngx_string("http://unix:/o.sock:"),
      ngx_string("unix:/o.sock"), 0 },
    { "a socket and a path", ngx_string("http://unix:/o.sock:/v1"),
      ngx_string("unix:/o.sock"), 0 },
    { "a socket and another path", ngx_string("http://unix:/o.sock:/x"),
      ngx_null_string, 0 },
    { "a socket at a service's", ngx_string("unix:/run/ollama@1.sock"),
      ngx_string("unix:/run/ollama@1.sock"), 2 },
    { "a socket, no path", ngx_string("unix:"), ngx_null_string, 0 },
    { "a socket, root", ngx_string("unix:/"), ngx_null_string, 0 },
    { "a socket, root and a colon", ngx_string("unix:/:"), ngx_null_string,
      0 },
    { "a socket, relative", ngx_string("unix:o.sock"), ngx_null_string, 0 },
    { "a socket with a blank", ngx_string("unix:/o k"), ngx_null_string, 0 },
    { "a socket with a query", ngx_string("unix:/o?k"), ngx_null_string, 0 },
    { "a socket with a fragment", ngx_string("unix:/o#k"), ngx_null_string,
      0 },
    { "a socket with DEL", ngx_string("unix:/o\x7f"), ngx_null_string, 0 },
    { "a socket outside of ASCII", ngx_string("unix:/\xc3\xa9"),
      ngx_null_string, 0 },

    { "nothing", ngx_string(""), ngx_null_string, 0 },
    { "no host", ngx_string("http://"), ngx_null_string, 0 },
    { "no host but a port", ngx_string("http://:1"), ngx_null_string, 0 },
    { "no host but a path", ngx_string("http:///v1"), ngx_null_string, 0 },
    { "no scheme", ngx_string("//a:1"), ngx_null_string, 0 },
    { "another scheme", ngx_string("ftp://a:1"), ngx_null_string, 0 },
    { "a longer scheme", ngx_string("httpx://a:1"), ngx_null_string, 0 },
    { "a scheme twice", ngx_string("http://http://a:1"), ngx_null_string,
      0 },
    { "a scheme with one slash", ngx_string("http:/a:1"), ngx_null_string,
      0 },
    { "user info", ngx_string("http://u:p@a:1"), ngx_null_string, 0 },
    { "a user", ngx_string("u@a:1"), ngx_null_string, 0 },
    { "user info behind the host", ngx_string("a:1@b:1"), ngx_null_string,
      0 },
    { "a query", ngx_string("a:1?x"), ngx_null_string, 0 },
    { "a query behind a path", ngx_string("a:1/?x"), ngx_null_string, 0 },
    { "a fragment", ngx_string("a:1#x"), ngx_null_string, 0 },
    { "a blank in front", ngx_string(" a:1"), ngx_null_string, 0 },
    { "a blank at the end", ngx_string("a:1 "), ngx_null_string, 0 },
    { "a newline", ngx_string("a:1\n"), ngx_null_string, 0 },
    { "a null", ngx_string("a\0:1"), ngx_null_string, 0 },
    { "a backslash", ngx_string("a:1\\"), ngx_null_string, 0 },
    { "a percent", ngx_string("%61:1"), ngx_null_string, 0 },
    { "outside of ASCII", ngx_string("\xc3\xa9:1"), ngx_null_string, 0 },
    { "a list", ngx_string("a:1,b:1"), ngx_null_string, 0 }
};


static const char  *random_parts[] = {
    "http://", "HTTPS://", "https://", "unix:", "/", "/", ":", ":", "a", "B-1",
    "[", "]", "::1", "fe80", "11434", "0", "/v1", "/api/", "@", ".", "_", "?",
    "registry.ollama.ai", "x", "://", "latest", "\xc3\xa9"
};


/* A copy that ends where it ends. */

static u_char *
server_copy(ngx_str_t *from, ngx_str_t *to)
{
    to->len = from->len;
    to->data = malloc(from->len ? from->len : 1);
    assert_non_null(to->data);

    if (from->len) {
        memcpy(to->data, from->data, from->len);
    }

    return to->data;
}


static void
server_case_test(void **state)
{
    server_case_t *c = *state;

    u_char      *dst;
    ngx_str_t    url, server;
    ngx_int_t    rc;
    ngx_uint_t   tls;

    server_copy(&c->url, &url);

    dst = malloc(url.len + sizeof(":443"));
    assert_non_null(dst);

    rc = ngx_http_ollama_server_url(dst, &url, &server, &tls);

    if (c->server.len) {
        assert_int_equal(rc, NGX_OK);
        assert_ptr_equal(server.data, dst);

        if (server.len != c->server.len
            || memcmp(server.data, c->server.data, server.len) != 0)
        {
            fail_msg("\"%.*s\", not \"%.*s\"", (int) server.len, server.data,
                     (int) c->server.len, c->server.data);
        }

        assert_int_equal(tls, c->tls);

    } else {
        assert_int_equal(rc, NGX_DECLINED);
    }

    free(url.data);
    free(dst);
}


/*
 * URLs made of what matters in them: what is found fits, and has what a server
 * line can have; it is its own form.
 */

static void
server_random_test(void **state)
{
    char        *p, buf[RANDOM_MAX];
    size_t       n;
    u_char       dst[RANDOM_MAX + sizeof(":443")];
    u_char       own[RANDOM_MAX + 2 * sizeof(":443")];
    ngx_str_t    text, url, server, again;
    ngx_uint_t   i, k, tls, found;
    const char  *part;

    unit_seed(11);

    found = 0;

    for (i = 0; i < RANDOM_URLS; i++) {

        p = buf;

        for (k = unit_random(8); k; k--) {
            part = random_parts[unit_random(unit_nelts(random_parts))];
            n = strlen(part);

            if (p + n <= buf + RANDOM_MAX) {
                memcpy(p, part, n);
                p += n;
            }
        }

        text.data = (u_char *) buf;
        text.len = p - buf;

        server_copy(&text, &url);

        if (ngx_http_ollama_server_url(dst, &url, &server, &tls) == NGX_OK) {
            found++;

            assert_true(server.len <= url.len + sizeof(":443") - 1);
            assert_true(tls <= NGX_HTTP_OLLAMA_SERVER_URL_EITHER);

            if (ngx_strncmp(server.data, "unix:", 5) != 0) {
                assert_null(memchr(server.data, '@', server.len));
                assert_null(memchr(server.data, '/', server.len));
            }

            assert_int_equal(ngx_http_ollama_server_url(own, &server, &again,
                                                        &tls),
                             NGX_OK);
            assert_int_equal(again.len, server.len);
            assert_memory_equal(again.data, server.data, server.len);
            assert_int_equal(tls, NGX_HTTP_OLLAMA_SERVER_URL_EITHER);
        }

        free(url.data);
    }

    assert_true(found > 1000);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, server_case_test, server_cases,
                  sizeof(server_case_t), unit_nelts(server_cases));
    unit_add(&suite, "random URLs", server_random_test, NULL);

    return unit_run(&suite, "server_url");
}
