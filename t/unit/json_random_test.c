
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The reader of JSON against another one, which was written for this test:
 * random texts, right and wrong, cut anywhere, must be taken or refused by
 * both, at the same byte.
 */


#include "unit.h"

#include "util/ngx_http_ollama_json.h"


#define RANDOM_TEXTS   60000
#define RANDOM_MAX     160
#define RANDOM_DEPTH   (RANDOM_MAX + 1)


typedef enum {
    want_value = 0,
    want_first,        /* a value or "]" */
    want_key,
    want_first_key,    /* a key or "}" */
    want_colon,
    want_comma,        /* or what closes */
    want_nothing
} random_want_e;


typedef struct {
    u_char          *p;
    size_t           len;
    u_char           stack[RANDOM_DEPTH];
    ngx_uint_t       depth;
    random_want_e    want;
} random_ref_t;


/* what texts are made of; what is useful more often */

static ngx_str_t  random_words[] = {
    ngx_string("{"), ngx_string("}"), ngx_string("["), ngx_string("]"),
    ngx_string("{"), ngx_string("}"), ngx_string("["), ngx_string("]"),
    ngx_string(","), ngx_string(":"), ngx_string(","), ngx_string(":"),
    ngx_string(" "), ngx_string("\n"), ngx_string("\t"), ngx_string("\r"),
    ngx_string("\""), ngx_string("\\"), ngx_string("\"a\""),
    ngx_string("\"\""), ngx_string("\"abcdefghij\""), ngx_string("\"a\":"),
    ngx_string("\"\\n\\\"\\\\\""), ngx_string("\"\\u00e9\""),
    ngx_string("\"\\ud83d\\ude00\""), ngx_string("\"\\ud800\\\\u0\""),
    ngx_string("\xc3\xa9"), ngx_string("\xe2\x82\xac"),
    ngx_string("\xf0\x9f\x98\x80"), ngx_string("\xed\xa0\x80"),
    ngx_string("\xc0\x80"), ngx_string("\x80"), ngx_string("\xff"),
    ngx_string("null"), ngx_string("true"), ngx_string("false"),
    ngx_string("nul"), ngx_string("tru"), ngx_string("x"), ngx_string("T"),
    ngx_string("0"), ngx_string("1"), ngx_string("-"), ngx_string("12"),
    ngx_string("1.5"), ngx_string("-0"), ngx_string("1e5"), ngx_string("."),
    ngx_string("e"), ngx_string("E+"), ngx_string("+"), ngx_string("/"),
    ngx_string("\0"), ngx_string("\v"), ngx_string("\f"), ngx_string("\x1f"),
    ngx_string("'"), ngx_string("@"), ngx_string("\x7f")
};


static ngx_uint_t
ref_is_literal(u_char ch)
{
    return ch && strchr("0123456789abcdefghijklmnopqrstuvwxyz"
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ+-.", ch) != NULL;
}


static ngx_uint_t
ref_is_digit(u_char ch)
{
    return ch >= '0' && ch <= '9';
}


/*
 * The length of the number or literal at "p"; 0: none is there, *bad is the
 * number of bytes that could begin one.
 */

static size_t
ref_literal(u_char *p, size_t len, size_t *bad)
{
    size_t       i, n;
    const char  *word;

    word = (p[0] == 't') ? "true" : (p[0] == 'f') ? "false"
           : (p[0] == 'n') ? "null" : NULL;

    if (word) {
        for (i = 0; word[i]; i++) {
            if (i == len || p[i] != (u_char) word[i]) {
                *bad = i;
                return 0;
            }
        }

        return i;
    }

    i = (p[0] == '-');

    if (i == len || !ref_is_digit(p[i])) {
        *bad = i;
        return 0;
    }

    if (p[i] == '0') {
        i++;

    } else {
        while (i < len && ref_is_digit(p[i])) {
            i++;
        }
    }

    if (i < len && p[i] == '.') {
        for (n = ++i; i < len && ref_is_digit(p[i]); i++) { /* void */ }

        if (i == n) {
            *bad = i;
            return 0;
        }
    }

    if (i < len && (p[i] == 'e' || p[i] == 'E')) {
        i++;

        if (i < len && (p[i] == '+' || p[i] == '-')) {
            i++;
        }

        for (n = i; i < len && ref_is_digit(p[i]); i++) { /* void */ }

        if (i == n) {
            *bad = i;
            return 0;
        }
    }

    return i;
}


/*
 * The length of the string at "p", with its quotes; 0: *bad is the number of
 * bytes that could begin one.
 */

static size_t
ref_string(u_char *p, size_t len, size_t *bad)
{
    size_t    i, k, n, bits;
    uint32_t  ch, least, low, high;

    *bad = len;

    for (i = 1; i < len; /* void */ ) {

        *bad = i;

        if (p[i] == '"') {
            return i + 1;
        }

        if (p[i] < 0x20) {
            return 0;
        }

        if (p[i] == '\\') {
            i++;

            if (i == len) {
                break;
            }

            if (p[i] == 'u') {
                for (n = 1; n <= 4; n++) {
                    *bad = i + n;
                    if (i + n == len || !isxdigit(p[i + n])) {
                        return 0;
                    }
                }

                i += 5;
                continue;
            }

            if (p[i] == 0 || strchr("\"\\/bfnrt", p[i]) == NULL) {
                *bad = i;
                return 0;
            }

            i++;
            continue;
        }

        if (p[i] < 0x80) {
            i++;
            continue;
        }

        /* an n-byte character: what can its first k + 1 bytes become? */

        if (p[i] < 0xc0 || p[i] > 0xf7) {
            return 0;
        }

        n = (p[i] < 0xe0) ? 2 : (p[i] < 0xf0) ? 3 : 4;
        least = (n == 2) ? 0x80 : (n == 3) ? 0x800 : 0x10000;

        ch = p[i] & (0x7f >> n);

        for (k = 0; k < n; k++) {

            *bad = i + k;

            if (k) {
                if (*bad == len || (p[*bad] & 0xc0) != 0x80) {
                    return 0;
                }

                ch = ch << 6 | (p[*bad] & 0x3f);
            }

            bits = 6 * (n - 1 - k);
            low = ch << bits;
            high = low + ((uint32_t) 1 << bits) - 1;

            if (high < least || low > 0x10ffff
                || (low >= 0xd800 && high <= 0xdfff))
            {
                return 0;
            }
        }

        i += n;
    }

    *bad = len;

    return 0;
}


static void
ref_value_end(random_ref_t *ref)
{
    ref->want = ref->depth ? want_comma : want_nothing;
}


/* May a value begin here? */

static ngx_uint_t
ref_value(random_ref_t *ref)
{
    return ref->want == want_value || ref->want == want_first;
}


/* One of {}[],: */

static ngx_int_t
ref_punctuation(random_ref_t *ref, u_char ch)
{
    u_char  open;

    switch (ch) {

    case '{':
    case '[':
        if (!ref_value(ref)) {
            return NGX_ERROR;
        }

        ref->stack[ref->depth++] = ch;
        ref->want = (ch == '{') ? want_first_key : want_first;
        return NGX_OK;

    case '}':
    case ']':
        open = (ch == '}') ? '{' : '[';

        if (ref->depth == 0
            || ref->stack[ref->depth - 1] != open
            || (ref->want != want_comma
                && ref->want != (ch == '}' ? want_first_key : want_first)))
        {
            return NGX_ERROR;
        }

        ref->depth--;
        ref_value_end(ref);
        return NGX_OK;

    case ',':
        if (ref->want != want_comma) {
            return NGX_ERROR;
        }

        ref->want = (ref->stack[ref->depth - 1] == '{') ? want_key
                                                        : want_value;
        return NGX_OK;

    default: /* ':' */
        if (ref->want != want_colon) {
            return NGX_ERROR;
        }

        ref->want = want_value;
        return NGX_OK;
    }
}


/*
 * Where the text is wrong, or NGX_OK's -1.  A token that may not be where it
 * is counts from its first byte on, once it is seen to be a token; numbers
 * and literals without a gap between them count as one.
 */

static off_t
ref_read(u_char *p, size_t len)
{
    size_t        i, n, bad, run, end;
    random_ref_t  ref;

    ngx_memzero(&ref, sizeof(random_ref_t));
    bad = 0;

    for (i = 0; i < len; /* void */ ) {

        if (p[i] && strchr(" \t\r\n", p[i])) {
            i++;
            continue;
        }

        if (p[i] && strchr("{}[],:", p[i])) {
            if (ref_punctuation(&ref, p[i]) != NGX_OK) {
                return i;
            }

            i++;
            continue;
        }

        if (p[i] == '"') {
            n = ref_string(p + i, len - i, &bad);
            if (n == 0) {
                return i + bad;
            }

            if (ref.want == want_key || ref.want == want_first_key) {
                ref.want = want_colon;

            } else if (ref_value(&ref)) {
                ref_value_end(&ref);

            } else {
                return i;
            }

            i += n;
            continue;
        }

        if (!ref_is_literal(p[i])) {
            return i;
        }

        run = i;

        for (end = i; end < len && ref_is_literal(p[end]); end++) {
            /* void */
        }

        if (ref.want == want_nothing) {
            return run;
        }

        while (i < end) {
            n = ref_literal(p + i, end - i, &bad);

            if (ref.want == want_nothing) {
                return run;
            }

            if (n == 0) {
                return i + bad;
            }

            if (!ref_value(&ref)) {
                return run;
            }

            ref_value_end(&ref);
            i += n;
        }
    }

    return (ref.want == want_nothing) ? -1 : (off_t) len;
}


/* The end of a text that is being made: at most RANDOM_MAX bytes. */

static size_t
random_add(u_char *p, size_t len, const char *text)
{
    size_t  n;

    n = ngx_min(strlen(text), RANDOM_MAX - len);

    memcpy(p + len, text, n);

    return len + n;
}


/* A value, right if it isn't cut for its length. */

static size_t
random_value(u_char *p, size_t len, ngx_uint_t depth)
{
    ngx_uint_t  i, n;

    static const char  *scalars[] = {
        "null", "true", "false", "0", "-0", "12", "1.5", "-1e5", "10E+2",
        "\"\"", "\"a\"", "\"abcdefghijklm\"", "\"\\u00E9\"", "\"\xc3\xa9\"",
        "\"\xf0\x9f\x98\x80\\n\"", "\"\\ud83d\\ude00abc\\\\\"",
        "\"{[\\\"]}\""
    };

    static const char  *space[] = { "", "", "", "", " ", "\n", "  \t" };

    len = random_add(p, len, space[unit_random(unit_nelts(space))]);

    switch (depth < 8 ? unit_random(3) : 2) {

    case 0:
        len = random_add(p, len, "{");
        n = unit_random(4);

        for (i = 0; i < n; i++) {
            len = random_add(p, len, i ? "," : "");
            len = random_add(p, len, space[unit_random(unit_nelts(space))]);
            len = random_add(p, len, scalars[9 + unit_random(8)]);
            len = random_add(p, len, ":");
            len = random_value(p, len, depth + 1);
        }

        len = random_add(p, len, "}");
        break;

    case 1:
        len = random_add(p, len, "[");
        n = unit_random(4);

        for (i = 0; i < n; i++) {
            len = random_add(p, len, i ? "," : "");
            len = random_value(p, len, depth + 1);
        }

        len = random_add(p, len, "]");
        break;

    default:
        len = random_add(p, len, scalars[unit_random(unit_nelts(scalars))]);
        break;
    }

    return random_add(p, len, space[unit_random(unit_nelts(space))]);
}


/* A text: any words, or something right, or that with a change. */

static size_t
random_text(u_char *p)
{
    size_t      len, at, n;
    ngx_str_t  *word;

    if (unit_random(4) == 0) {

        for (len = 0; unit_random(12) && len < RANDOM_MAX - 16; /* void */ ) {
            word = &random_words[unit_random(unit_nelts(random_words))];
            memcpy(p + len, word->data, word->len);
            len += word->len;
        }

        return len;
    }

    len = random_value(p, 0, 0);

    for (n = unit_random(3); n; n--) {

        at = unit_random(len + 1);

        if (unit_random(3) == 0) {
            /* from here on, some bytes less */

            if (at < len) {
                memmove(p + at, p + at + 1, len - at - 1);
                len--;
            }

            continue;
        }

        word = &random_words[unit_random(unit_nelts(random_words))];

        if (len + word->len > RANDOM_MAX) {
            continue;
        }

        memmove(p + at + word->len, p + at, len - at);
        memcpy(p + at, word->data, word->len);
        len += word->len;
    }

    return len;
}


/* Where the reader refuses the text, or -1. */

static off_t
random_read(u_char *text, size_t len, size_t keep, size_t step,
    char *error)
{
    off_t                    at;
    size_t                   n, done;
    u_char                  *piece;
    ngx_int_t                rc;
    ngx_pool_t              *pool;
    ngx_http_ollama_json_t   json;

    static yajl_callbacks    callbacks;

    pool = ngx_create_pool(4096, NULL);
    assert_non_null(pool);

    ngx_memzero(&json, sizeof(ngx_http_ollama_json_t));

    assert_int_equal(ngx_http_ollama_json_init(&json, pool, &callbacks, NULL,
                                               keep, 0),
                     NGX_OK);
    rc = NGX_OK;

    for (done = 0; done < len && rc == NGX_OK; done += n) {

        n = step ? step : 1 + unit_random(8);
        n = ngx_min(n, len - done);

        piece = malloc(n);
        assert_non_null(piece);
        memcpy(piece, text + done, n);

        rc = ngx_http_ollama_json_feed(&json, piece, n);

        free(piece);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_json_end(&json);
    }

    at = (rc == NGX_OK) ? -1 : json.error_at;

    /* some texts are in the pool */
    (void) snprintf(error, RANDOM_MAX, "%s",
                    (rc == NGX_OK) ? "none" : json.error);

    ngx_destroy_pool(pool);

    return at;
}


static void
random_test(void **state)
{
    char        error[RANDOM_MAX];
    off_t       want, got;
    size_t      i, j, len, keep, step;
    u_char      text[RANDOM_MAX];
    ngx_uint_t  right;

    unit_seed(1);

    right = 0;

    for (i = 0; i < RANDOM_TEXTS; i++) {

        len = random_text(text);
        want = ref_read(text, len);

        right += (want == -1);

        keep = 4 + unit_random(60);

        for (j = 0; j < 4; j++) {

            step = (j == 0) ? RANDOM_MAX : (j == 1) ? 1 : 0;

            got = random_read(text, len, keep, step, error);

            if (got != want) {
                fail_msg("text %d:\n%.*s\nin pieces of %d, %d bytes shown: "
                         "\"%s\" at %d, not %d", (int) i, (int) len, text,
                         (int) step, (int) keep, error, (int) got,
                         (int) want);
            }
        }
    }

    /* the texts are worth it */

    assert_true(right >= RANDOM_TEXTS / 10
                && right <= RANDOM_TEXTS * 9 / 10);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add(&suite, "random texts, as another reader takes them",
             random_test, NULL);

    return unit_run(&suite, "json_random");
}
