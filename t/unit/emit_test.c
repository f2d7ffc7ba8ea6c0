
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Writing JSON: each kind of piece as it comes out, and that what is measured
 * is what is written, to the byte; and the hash that ETags are made of.
 */


#include "unit.h"

#include "util/ngx_http_ollama_emit.h"


#define RANDOM_TEXTS   20000
#define RANDOM_PIECES  12
#define MAX_HASHED     40


typedef enum {
    piece_add = 0,
    piece_raw,
    piece_escape,
    piece_string,
    piece_number,
    piece_ms,
    piece_time
} text_piece_e;


typedef struct {
    const char    *title;
    text_piece_e   piece;
    ngx_str_t      given;
    int64_t        n;
    const char    *want;
} text_case_t;


/* pieces of a walk, one after the other */

typedef struct {
    ngx_uint_t     n;
    text_case_t   *pieces[RANDOM_PIECES];
} text_pieces_t;


#define text_of(piece, s, want)                                              \
    { #piece " " #s, piece_ ## piece, ngx_string(s), 0, want }

#define text_from(piece, n, want)                                            \
    { #piece " " #n, piece_ ## piece, ngx_null_string, n, want }


static text_case_t  text_cases[] = {

    text_of(add, "{\"a\":", "{\"a\":"),
    text_of(add, "", ""),
    text_of(raw, "{\"a\":\"\\n\"}", "{\"a\":\"\\n\"}"),
    { "raw nothing", piece_raw, ngx_null_string, 0, "" },
    { "a string of nothing", piece_string, ngx_null_string, 0, "\"\"" },

    text_of(string, "", "\"\""),
    text_of(string, "llama3.2:latest", "\"llama3.2:latest\""),
    text_of(string, "\"\\/", "\"\\\"\\\\/\""),
    text_of(string, "a\nb\tc\x01", "\"a\\nb\\tc\\u0001\""),
    text_of(string, "\xc3\xa9\xf0\x9f\xa6\x99", "\"\xc3\xa9\xf0\x9f\xa6\x99\""),
    text_of(escape, "a\"b", "a\\\"b"),

    text_from(number, 0, "0"),
    text_from(number, -1, "-1"),
    text_from(number, 2019393189, "2019393189"),
    text_from(number, INT64_MAX, "9223372036854775807"),
    text_from(number, INT64_MIN, "-9223372036854775808"),

    text_from(ms, -1, "null"),
    text_from(ms, INT64_MIN, "null"),
    text_from(ms, 0, "0.0"),
    text_from(ms, 49, "0.0"),
    text_from(ms, 50, "0.1"),
    text_from(ms, 1449, "1.4"),
    text_from(ms, 1450, "1.5"),
    text_from(ms, 99949, "99.9"),
    text_from(ms, 99950, "100.0"),
    text_from(ms, INT64_MAX, "9223372036854775.8"),

    text_from(time, INT64_MIN, "null"),
    text_from(time, -1, "null"),
    text_from(time, 0, "null"),
    text_from(time, 1, "\"1970-01-01T00:00:00.001Z\""),
    text_from(time, 1772409600000, "\"2026-03-02T00:00:00.000Z\""),
    text_from(time, 951827696789, "\"2000-02-29T12:34:56.789Z\""),
    text_from(time, 253402300799999, "\"9999-12-31T23:59:59.999Z\""),
    text_from(time, 253402300800000, "\"9999-12-31T23:59:59.000Z\""),
    text_from(time, INT64_MAX, "\"9999-12-31T23:59:59.807Z\""),
};


static void
text_put(ngx_http_ollama_emit_t *t, text_case_t *c)
{
    switch (c->piece) {

    case piece_add:
        ngx_http_ollama_emit_add(t, (char *) c->given.data);
        break;

    case piece_raw:
        ngx_http_ollama_emit_raw(t, &c->given);
        break;

    case piece_escape:
        ngx_http_ollama_emit_escape(t, &c->given);
        break;

    case piece_string:
        ngx_http_ollama_emit_string(t, &c->given);
        break;

    case piece_number:
        ngx_http_ollama_emit_number(t, c->n);
        break;

    case piece_ms:
        ngx_http_ollama_emit_ms(t, c->n);
        break;

    case piece_time:
        ngx_http_ollama_emit_time(t, c->n);
        break;
    }
}


static void
text_walk(ngx_http_ollama_emit_t *t, void *data)
{
    text_pieces_t  *pieces = data;

    ngx_uint_t  i;

    for (i = 0; i < pieces->n; i++) {
        text_put(t, pieces->pieces[i]);
    }
}


static void
text_check(text_pieces_t *pieces)
{
    char         want[1024], *p;
    ngx_str_t    text;
    ngx_uint_t   i;
    ngx_pool_t  *pool;

    p = want;

    for (i = 0; i < pieces->n; i++) {
        p = stpcpy(p, pieces->pieces[i]->want);
    }

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, NULL);
    assert_non_null(pool);

    assert_int_equal(ngx_http_ollama_emit_make(pool, text_walk, pieces, &text),
                     NGX_OK);

    assert_int_equal(text.len, p - want);
    assert_memory_equal(text.data, want, text.len);

    ngx_destroy_pool(pool);
}


static void
text_test(void **state)
{
    text_pieces_t  pieces;

    pieces.n = 1;
    pieces.pieces[0] = *state;

    text_check(&pieces);
}


static void
text_random_test(void **state)
{
    ngx_uint_t     i, k;
    text_pieces_t  pieces;

    for (i = 0; i < RANDOM_TEXTS; i++) {

        pieces.n = unit_random(RANDOM_PIECES + 1);

        for (k = 0; k < pieces.n; k++) {
            pieces.pieces[k] = &text_cases[unit_random(
                                                  unit_nelts(text_cases))];
        }

        text_check(&pieces);
    }
}


static void
text_no_memory_test(void **state)
{
    ngx_str_t      text;
    ngx_pool_t    *pool;
    text_case_t    c = text_of(string, "123456789", "");
    text_pieces_t  pieces;

    pieces.n = 1;
    pieces.pieces[0] = &c;

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, NULL);
    assert_non_null(pool);

    ngx_stub_fail_size = 11;

    assert_int_equal(ngx_http_ollama_emit_make(pool, text_walk, &pieces,
                                               &text),
                     NGX_ERROR);
    ngx_stub_fail_size = 0;

    ngx_destroy_pool(pool);
}


/* Wherever a text lies; and one changed bit, or byte of length, tells. */

static void
text_hash_test(void **state)
{
    size_t      len, i;
    u_char      buf[MAX_HASHED + sizeof(uint64_t)];
    uint64_t    hash;
    ngx_str_t   text;
    ngx_uint_t  at;

    u_char  bytes[MAX_HASHED + 1];

    for (i = 0; i < sizeof(bytes); i++) {
        bytes[i] = unit_random(256);
    }

    for (len = 0; len <= MAX_HASHED; len++) {

        text.data = bytes;
        text.len = len;

        hash = ngx_http_ollama_emit_hash(&text);

        for (at = 0; at < sizeof(uint64_t); at++) {
            ngx_memcpy(buf + at, bytes, len);
            text.data = buf + at;

            assert_true(ngx_http_ollama_emit_hash(&text) == hash);
        }

        text.data = bytes;

        for (i = 0; i < len * 8; i++) {
            bytes[i / 8] ^= 1 << (i % 8);

            assert_true(ngx_http_ollama_emit_hash(&text) != hash);

            bytes[i / 8] ^= 1 << (i % 8);
        }

        ngx_memcpy(buf, bytes, len);
        buf[len] = '\0';

        text.data = buf;
        text.len = len + 1;

        assert_true(ngx_http_ollama_emit_hash(&text) != hash);
    }

    text.data = NULL;
    text.len = 0;

    assert_true(ngx_http_ollama_emit_hash(&text) != 0);
}


/* Lists in another order are another text. */

static void
text_mix_test(void **state)
{
    uint64_t  one, two;

    one = ngx_http_ollama_emit_mix(ngx_http_ollama_emit_mix(1, 2), 3);
    two = ngx_http_ollama_emit_mix(ngx_http_ollama_emit_mix(1, 3), 2);

    assert_true(one != two);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_seed(6);

    unit_add_rows(&suite, text_test, text_cases, sizeof(text_case_t),
                  unit_nelts(text_cases));

    unit_add(&suite, "random texts", text_random_test, NULL);
    unit_add(&suite, "no memory", text_no_memory_test, NULL);
    unit_add(&suite, "hashes", text_hash_test, NULL);
    unit_add(&suite, "hashes, mixed", text_mix_test, NULL);

    return unit_run(&suite, "text");
}
