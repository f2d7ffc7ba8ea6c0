
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Names of models: which spellings are the same for Ollama, and whose a model
 * is.
 */


#include <ctype.h>

#include "unit.h"

#include "fleet/ngx_http_ollama_model_name.h"


#define RANDOM_NAMES  200000
#define RANDOM_MAX    64


typedef struct {
    const char     *title;
    ngx_str_t       name;
    ngx_str_t       key;
    ngx_str_t       owner;      /* len 0: this is no name */
} name_case_t;


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

    { "a cloud model",
      ngx_string("GLM-4.6:Cloud"), ngx_string("glm-4.6:cloud"),
      ngx_string("library") },

    { "a cloud model with a tag before",
      ngx_string("gpt-oss:20b:Cloud"), ngx_string("gpt-oss:20b-cloud"),
      ngx_string("library") },

    { "a cloud model of a namespace",
      ngx_string("me/x:1:cloud"), ngx_string("me/x:1-cloud"),
      ngx_string("me") },

    { "a cloud model without a name",
      ngx_string("::cloud"), ngx_string("::cloud"), ngx_string("library") },

    { "a cloud model with an empty tag",
      ngx_string("x::cloud"), ngx_string("x::cloud"), ngx_string("library") },

    { "a local model",
      ngx_string("llama3.2:Local"), ngx_string("llama3.2:latest"),
      ngx_string("library") },

    { "a local model with a tag",
      ngx_string("qwen3:8b:local"), ngx_string("qwen3:8b"),
      ngx_string("library") },

    { "a local model of another host",
      ngx_string("hf.co/me/x:local"), ngx_string("hf.co/me/x:latest"),
      ngx_string("me") },

    { "only the suffix",
      ngx_string(":local"), ngx_string(":local"), ngx_null_string },

    { "two suffixes",
      ngx_string("x:cloud:local"), ngx_string("x:cloud:local"),
      ngx_string("library") },

    { "twice the suffix",
      ngx_string("x:local:local"), ngx_string("x:local:local"),
      ngx_string("library") },

    { "two suffixes without a name",
      ngx_string("library/:local:local"), ngx_string(":local:local"),
      ngx_string("library") },

    { "a namespace that is called so",
      ngx_string("local/x"), ngx_string("local/x:latest"),
      ngx_string("local") },

    { "a name that is called so",
      ngx_string("local"), ngx_string("local:latest"),
      ngx_string("library") },

    { "blanks around a name",
      ngx_string(" \t\r\n X:1 \v\f"), ngx_string("x:1"),
      ngx_string("library") },

    { "blanks around a local model",
      ngx_string(" x:local "), ngx_string("x:latest"),
      ngx_string("library") },

    { "blanks before the suffix",
      ngx_string("/x :local"), ngx_string("/x"), ngx_null_string },

    { "only blanks",
      ngx_string(" \n "), ngx_string(""), ngx_null_string },

    { "blanks within a name",
      ngx_string("a b"), ngx_string("a b:latest"), ngx_string("library") },

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

    { "a blank behind a scheme",
      ngx_string("https:// HF.co/me/x"), ngx_string("https:// hf.co/me/x"),
      ngx_null_string },

    { "a blank behind a host that is dropped",
      ngx_string("registry.ollama.ai/ me/x"),
      ngx_string("registry.ollama.ai/ me/x"), ngx_null_string },

    { "a blank behind a namespace that is dropped",
      ngx_string("library/ x"), ngx_string("library/ x"), ngx_null_string },

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


static struct {
    ngx_str_t       name;
    ngx_str_t       plain;
    ngx_uint_t      cloud;
} plain_cases[] = {

    { ngx_string(""), ngx_string(""), 0 },
    { ngx_string("M1"), ngx_string("M1"), 0 },
    { ngx_string(" M1\n"), ngx_string("M1"), 0 },
    { ngx_string("M1:7b:LOCAL"), ngx_string("M1:7b"), 0 },
    { ngx_string("M1:locally"), ngx_string("M1:locally"), 0 },
    { ngx_string("x:cloud"), ngx_string("x:cloud"), 1 },
    { ngx_string(" x:7b-Cloud "), ngx_string("x:7b-Cloud"), 1 },
    { ngx_string("x-cloud"), ngx_string("x-cloud"), 1 },
    { ngx_string("x:7b:cloud"), ngx_string("x:7b:cloud"), 1 },
    { ngx_string("x-cloud:local"), ngx_string("x-cloud:local"), 0 },
    { ngx_string("x:cloud:7b"), ngx_string("x:cloud:7b"), 0 },
    { ngx_string("x-cloud-1"), ngx_string("x-cloud-1"), 0 },
    { ngx_string("cloud"), ngx_string("cloud"), 0 },
    { ngx_string("xcloud"), ngx_string("xcloud"), 0 },
    { ngx_string("-cloud"), ngx_string("-cloud"), 0 },
    { ngx_string(":cloud"), ngx_string(":cloud"), 0 },
    { ngx_string(" \t "), ngx_string(""), 0 }
};


static const char  *random_parts[] = {
    "registry.ollama.ai", "library", "Library", "x", "Y", "hf.co", "/", "/",
    "/", ":", ":", "latest", "1", "://", "https://", "@", ".", "\xc3\xa9",
    ":local", ":Local", ":cloud", "-cloud", " ", "\t"
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
    key->data = malloc(name->len + NGX_HTTP_OLLAMA_MODEL_NAME_MORE);
    assert_non_null(key->data);

    key->len = ngx_http_ollama_model_name_key(key->data, name);

    assert_true(key->len <= name->len + NGX_HTTP_OLLAMA_MODEL_NAME_MORE);
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

    rc = ngx_http_ollama_model_name_namespace(&name, &owner);

    assert_int_equal(rc, c->owner.len ? NGX_OK : NGX_DECLINED);
    name_equal("namespace", owner.data, owner.len,
               c->owner.len ? &c->owner : &library);

    free(name.data);
    free(key.data);
    free(again.data);
}


static void
name_plain_test(void **state)
{
    ngx_str_t   name, given;
    ngx_uint_t  i;

    for (i = 0; i < unit_nelts(plain_cases); i++) {

        name_copy(&plain_cases[i].name, &given);
        name = given;

        assert_int_equal(ngx_http_ollama_model_name_is_cloud(&name),
                         plain_cases[i].cloud);

        ngx_http_ollama_model_name_plain(&name);
        name_equal("plain", name.data, name.len, &plain_cases[i].plain);

        free(given.data);
    }
}


/* Names made of what matters in them: the key of a key is the key. */

static void
name_random_test(void **state)
{
    char        *p, buf[RANDOM_MAX];
    size_t       n;
    ngx_str_t    text, name, key, again, owner;
    ngx_uint_t   i, k;
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

        for (n = 0; n < text.len && isspace(text.data[n]); n++) { /* void */ }

        assert_int_equal(key.len == 0, n == text.len);

        for (n = 0; n < key.len; n++) {
            assert_false(key.data[n] >= 'A' && key.data[n] <= 'Z');
        }

        if (ngx_http_ollama_model_name_namespace(&name, &owner) == NGX_OK) {
            /* a name has a tag now, and no default host */
            assert_non_null(memchr(key.data, ':', key.len));
            assert_false(key.len > 19
                         && memcmp(key.data, "registry.ollama.ai/", 19) == 0
                         && memchr(key.data + 19, '/', key.len - 19));
        }

        assert_true(owner.len > 0);

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
    unit_add(&suite, "plain names", name_plain_test, NULL);
    unit_add(&suite, "random names", name_random_test, NULL);

    return unit_run(&suite, "model_name");
}
