
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Names: which spellings of a model's name are the same for Ollama, whose a
 * model is, and which spellings of a server's address are taken for which
 * server line.
 */


#include "unit.h"

#include "fleet/ngx_http_ollama_name.h"


#define RANDOM_NAMES  200000
#define RANDOM_MAX    64


typedef struct {
    const char     *title;
    ngx_str_t       name;
    ngx_str_t       key;
    ngx_str_t       owner;      /* len 0: this is no name */
} name_case_t;


typedef struct {
    const char     *title;
    ngx_str_t       url;
    ngx_str_t       server;     /* len 0: declined */
    ngx_uint_t      tls;
} server_case_t;


static name_case_t  name_cases[] = {

    { "nothing", ngx_string(""), ngx_string(""), ngx_null_string },

    { "a bare name",
      ngx_string("llama3.2"), ngx_string("llama3.2:latest"),
      ngx_string("library") },

    { "with a tag",
      ngx_string("llama3.2:1b"), ngx_string("llama3.2:1b"),
      ngx_string("library") },

    { "with the default tag",
      ngx_string("llama3.2:latest"), ngx_string("llama3.2:latest"),
      ngx_string("library") },

    { "in upper case",
      ngx_string("LLaMA3.2:Q4_K_M"), ngx_string("llama3.2:q4_k_m"),
      ngx_string("library") },

    { "the default tag in upper case",
      ngx_string("x:LATEST"), ngx_string("x:latest"), ngx_string("library") },

    { "a cloud model is a tag like others",
      ngx_string("gpt-oss:120b-cloud"), ngx_string("gpt-oss:120b-cloud"),
      ngx_string("library") },

    { "the default namespace",
      ngx_string("Library/x"), ngx_string("x:latest"),
      ngx_string("library") },

    { "a namespace",
      ngx_string("Me/X:1"), ngx_string("me/x:1"), ngx_string("Me") },

    { "the default host",
      ngx_string("Registry.Ollama.AI/library/x"), ngx_string("x:latest"),
      ngx_string("library") },

    { "the default host and a namespace",
      ngx_string("registry.ollama.ai/me/x"), ngx_string("me/x:latest"),
      ngx_string("me") },

    { "the default host as a namespace",
      ngx_string("registry.ollama.ai/x"),
      ngx_string("registry.ollama.ai/x:latest"),
      ngx_string("registry.ollama.ai") },

    { "another host",
      ngx_string("HF.co/Me/X-GGUF:Q8_0"), ngx_string("hf.co/me/x-gguf:q8_0"),
      ngx_string("Me") },

    { "another host with the default namespace",
      ngx_string("hf.co/Library/x"), ngx_string("hf.co/library/x:latest"),
      ngx_string("Library") },

    { "a host with a port, no tag",
      ngx_string("gpu1:5000/me/x"), ngx_string("gpu1:5000/me/x:latest"),
      ngx_string("me") },

    { "a host with a port, and a tag",
      ngx_string("gpu1:5000/me/x:1"), ngx_string("gpu1:5000/me/x:1"),
      ngx_string("me") },

    { "a scheme",
      ngx_string("https://registry.ollama.ai/library/x"),
      ngx_string("x:latest"), ngx_string("library") },

    { "another scheme and host",
      ngx_string("http://HF.co/me/x:1"), ngx_string("hf.co/me/x:1"),
      ngx_string("me") },

    { "a scheme without a host",
      ngx_string("https:///me/x"), ngx_string("me/x:latest"),
      ngx_string("me") },

    { "a scheme without host and namespace",
      ngx_string("https://me/x"), ngx_string("https://me/x"),
      ngx_null_string },

    { "two schemes",
      ngx_string("A://b://c/me/x"), ngx_string("a://b://c/me/x"),
      ngx_null_string },

    { "a host with a slash",
      ngx_string("a/b/me/X"), ngx_string("a/b/me/x"), ngx_null_string },

    { "a slash in front",
      ngx_string("/x"), ngx_string("/x"), ngx_null_string },

    { "two slashes in front",
      ngx_string("//x"), ngx_string("//x"), ngx_null_string },

    { "a slash at the end",
      ngx_string("library/"), ngx_string("library/"), ngx_null_string },

    { "an empty namespace",
      ngx_string("hf.co//x"), ngx_string("hf.co//x"), ngx_null_string },

    { "an empty host",
      ngx_string("/library/x"), ngx_string("/library/x"), ngx_null_string },

    { "an empty tag",
      ngx_string("X:"), ngx_string("x:"), ngx_null_string },

    { "only a tag",
      ngx_string(":latest"), ngx_string(":latest"), ngx_null_string },

    { "a namespace and only a tag",
      ngx_string("library/:1"), ngx_string("library/:1"), ngx_null_string },

    { "a digest, which Ollama refuses",
      ngx_string("x@sha256:00"), ngx_string("x@sha256:00"),
      ngx_string("library") },

    { "outside of ASCII only bytes are compared",
      ngx_string("\xc3\x84X"), ngx_string("\xc3\x84x:latest"),
      ngx_string("library") },

    { "the kelvin sign is no k",
      ngx_string("\xe2\x84\xaa"), ngx_string("\xe2\x84\xaa:latest"),
      ngx_string("library") }
};


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
    "registry.ollama.ai", "library", "Library", "x", "Y", "hf.co", "/", "/",
    "/", ":", ":", "latest", "1", "://", "https://", "@", ".", "\xc3\xa9"
};


static void
name_equal(const char *what, u_char *p, size_t len, ngx_str_t *want)
{
    if (len != want->len || memcmp(p, want->data, len) != 0) {
        fail_msg("%s: \"%.*s\", not \"%.*s\"", what, (int) len, p,
                 (int) want->len, want->data);
    }
}


/* A copy that ends where it ends. */

static u_char *
name_copy(ngx_str_t *from, ngx_str_t *to)
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
name_key(ngx_str_t *key, ngx_str_t *name)
{
    key->data = malloc(name->len + NGX_HTTP_OLLAMA_NAME_MORE);
    assert_non_null(key->data);

    key->len = ngx_http_ollama_name_model(key->data, name);

    assert_true(key->len <= name->len + NGX_HTTP_OLLAMA_NAME_MORE);
}


static void
name_case_test(void **state)
{
    name_case_t *c = *state;

    ngx_str_t   name, key, again, owner, library = ngx_string("library");
    ngx_int_t   rc;

    name_copy(&c->name, &name);

    name_key(&key, &name);
    name_equal("key", key.data, key.len, &c->key);

    /* a key is its own */

    name_key(&again, &key);
    name_equal("key of the key", again.data, again.len, &c->key);

    rc = ngx_http_ollama_name_namespace(&name, &owner);

    assert_int_equal(rc, c->owner.len ? NGX_OK : NGX_DECLINED);
    name_equal("namespace", owner.data, owner.len,
               c->owner.len ? &c->owner : &library);

    free(name.data);
    free(key.data);
    free(again.data);
}


static void
server_case_test(void **state)
{
    server_case_t *c = *state;

    u_char      *dst;
    ngx_str_t    url, server;
    ngx_int_t    rc;
    ngx_uint_t   tls;

    name_copy(&c->url, &url);

    dst = malloc(url.len + sizeof(":443"));
    assert_non_null(dst);

    rc = ngx_http_ollama_name_server(dst, &url, &server, &tls);

    if (c->server.len) {
        assert_int_equal(rc, NGX_OK);
        assert_ptr_equal(server.data, dst);
        name_equal("server", server.data, server.len, &c->server);
        assert_int_equal(tls, c->tls);

    } else {
        assert_int_equal(rc, NGX_DECLINED);
    }

    free(url.data);
    free(dst);
}


/* Names made of what matters in them: the key of a key is the key. */

static void
name_random_test(void **state)
{
    char        *p, buf[RANDOM_MAX];
    size_t       n;
    u_char       dst[RANDOM_MAX + sizeof(":443")];
    ngx_str_t    text, name, key, again, owner, server;
    ngx_uint_t   i, k, tls;
    const char  *part;

    unit_seed(11);

    for (i = 0; i < RANDOM_NAMES; i++) {

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

        name_copy(&text, &name);
        name_key(&key, &name);
        name_key(&again, &key);

        name_equal("key of the key", again.data, again.len, &key);

        assert_int_equal(key.len == 0, name.len == 0);

        for (n = 0; n < key.len; n++) {
            assert_false(key.data[n] >= 'A' && key.data[n] <= 'Z');
        }

        if (ngx_http_ollama_name_namespace(&name, &owner) == NGX_OK) {
            /* a name has a tag now, and no default host */
            assert_non_null(memchr(key.data, ':', key.len));
            assert_false(key.len > 19
                         && memcmp(key.data, "registry.ollama.ai/", 19) == 0
                         && memchr(key.data + 19, '/', key.len - 19));
        }

        assert_true(owner.len > 0);

        if (ngx_http_ollama_name_server(dst, &name, &server, &tls) == NGX_OK) {
            assert_true(server.len <= name.len + sizeof(":443") - 1);
            assert_null(memchr(server.data, '@', server.len));
        }

        free(name.data);
        free(key.data);
        free(again.data);
    }
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, name_case_test, name_cases, sizeof(name_case_t),
                  unit_nelts(name_cases));
    unit_add_rows(&suite, server_case_test, server_cases,
                  sizeof(server_case_t), unit_nelts(server_cases));
    unit_add(&suite, "random names", name_random_test, NULL);

    return unit_run(&suite, "name");
}
