
/*
 * JSON as Go's encoding/json takes it, since a gateway that reads a name
 * otherwise than the server behind it can be lied to: only the first value
 * of a body counts, keys match in any case (with U+017F for s and U+212A
 * for k), the last of several wins, null is no value, broken UTF-8 and lone
 * surrogates become U+FFFD.  The error texts are Go's as well.
 *
 * fake_gojson_scan() checks; the rest trusts what it has let through.
 */

#include "gojson.h"


#define FAKE_GOJSON_DEPTH  10000


typedef struct {
    const unsigned char  *p;
    const unsigned char  *last;
    fake_buf_t           *err;      /* NULL: the caller wants no text */
} fake_scan_t;


static int fake_scan_value(fake_scan_t *s);
static int fake_scan_string(fake_scan_t *s);
static int fake_scan_number(fake_scan_t *s);
static int fake_scan_digits(fake_scan_t *s, const char *where);
static int fake_scan_literal(fake_scan_t *s, const char *word);
static int fake_scan_bad(fake_scan_t *s, const char *where);
static int fake_scan_eof(fake_scan_t *s);
static void fake_scan_space(fake_scan_t *s);
static int fake_fold_equal(const char *key, size_t len, const char *name);
static void fake_field_set(fake_field_t *f, const fake_str_t *value,
    const char *type, fake_buf_t *err);


/* '{' or '[' for each level that is open, while a value is scanned */

static unsigned char  stack[FAKE_GOJSON_DEPTH];


static int
fake_scan_eof(fake_scan_t *s)
{
    if (s->err) {
        fake_buf_str(s->err, "unexpected EOF");
    }

    return -1;
}


/* Go's quoteChar(): strconv.Quote with the quotes changed */

static int
fake_scan_bad(fake_scan_t *s, const char *where)
{
    char           text[16];
    unsigned char  ch;

    if (s->p == s->last) {
        return fake_scan_eof(s);
    }

    if (s->err == NULL) {
        return -1;
    }

    ch = *s->p;

    if (ch == '\'') {
        snprintf(text, sizeof(text), "\\'");

    } else if (ch == '\\') {
        snprintf(text, sizeof(text), "\\\\");

    } else if (ch >= 7 && ch <= 13) {
        snprintf(text, sizeof(text), "\\%c", "abtnvfr"[ch - 7]);

    } else if (ch < 0x20 || ch == 0x7f) {
        snprintf(text, sizeof(text), "\\x%02x", ch);

    } else if (ch < 0x80) {
        snprintf(text, sizeof(text), "%c", ch);

    } else if (ch <= 0xa0 || ch == 0xad) {
        snprintf(text, sizeof(text), "\\u%04x", ch);

    } else {
        snprintf(text, sizeof(text), "%c%c", 0xc0 | ch >> 6,
                 0x80 | (ch & 0x3f));
    }

    fake_buf_fmt(s->err, "invalid character '%s' %s", text, where);

    return -1;
}


static void
fake_scan_space(fake_scan_t *s)
{
    while (s->p < s->last
           && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r'
               || *s->p == '\t'))
    {
        s->p++;
    }
}


static int
fake_scan_literal(fake_scan_t *s, const char *word)
{
    char    where[64];
    size_t  i;

    for (i = 1; word[i]; i++) {
        if (++s->p == s->last) {
            return fake_scan_eof(s);
        }

        if (*s->p != (unsigned char) word[i]) {
            snprintf(where, sizeof(where), "in literal %s (expecting '%c')",
                     word, word[i]);
            return fake_scan_bad(s, where);
        }
    }

    s->p++;

    return 0;
}


/* at least one digit */

static int
fake_scan_digits(fake_scan_t *s, const char *where)
{
    if (s->p == s->last || *s->p < '0' || *s->p > '9') {
        return fake_scan_bad(s, where);
    }

    while (s->p < s->last && *s->p >= '0' && *s->p <= '9') {
        s->p++;
    }

    return 0;
}


static int
fake_scan_number(fake_scan_t *s)
{
    if (*s->p == '-') {
        s->p++;
    }

    if (s->p < s->last && *s->p == '0') {
        s->p++;

    } else if (fake_scan_digits(s, "in numeric literal") != 0) {
        return -1;
    }

    if (s->p < s->last && *s->p == '.') {
        s->p++;

        if (fake_scan_digits(s, "after decimal point in numeric literal")
            != 0)
        {
            return -1;
        }
    }

    if (s->p < s->last && (*s->p | 0x20) == 'e') {
        s->p++;

        if (s->p < s->last && (*s->p == '+' || *s->p == '-')) {
            s->p++;
        }

        return fake_scan_digits(s, "in exponent of numeric literal");
    }

    return 0;
}


static int
fake_scan_string(fake_scan_t *s)
{
    int  i;

    for (s->p++; s->p < s->last; s->p++) {

        if (*s->p == '"') {
            s->p++;
            return 0;
        }

        if (*s->p < 0x20) {
            return fake_scan_bad(s, "in string literal");
        }

        if (*s->p != '\\') {
            continue;
        }

        if (++s->p == s->last) {
            break;
        }

        if (*s->p == 'u') {
            for (i = 0; i < 4; i++) {
                if (++s->p == s->last) {
                    return fake_scan_eof(s);
                }

                if (fake_hex(*s->p) < 0) {
                    return fake_scan_bad(s,
                                    "in \\u hexadecimal character escape");
                }
            }

        } else if (*s->p == '\0' || strchr("bfnrt\\/\"", *s->p) == NULL) {
            return fake_scan_bad(s, "in string escape code");
        }
    }

    return fake_scan_eof(s);
}


/*
 * One value, without recursion.  Longer than other functions here, being
 * the whole grammar.
 */

static int
fake_scan_value(fake_scan_t *s)
{
    int     rc, first;
    size_t  depth;

    depth = 0;
    first = 0;

    for ( ;; ) {

        fake_scan_space(s);

        if (s->p == s->last) {
            return fake_scan_eof(s);
        }

        if (first && *s->p == ']' && stack[depth - 1] == '[') {
            goto closed;
        }

        if (depth && stack[depth - 1] == '{') {

            if (first && *s->p == '}') {
                goto closed;
            }

            if (*s->p != '"') {
                return fake_scan_bad(s,
                               "looking for beginning of object key string");
            }

            if (fake_scan_string(s) != 0) {
                return -1;
            }

            fake_scan_space(s);

            if (s->p == s->last || *s->p != ':') {
                return fake_scan_bad(s, "after object key");
            }

            s->p++;
            fake_scan_space(s);

            if (s->p == s->last) {
                return fake_scan_eof(s);
            }
        }

        first = 0;

        switch (*s->p) {

        case '{':
        case '[':
            if (depth == FAKE_GOJSON_DEPTH) {
                return fake_scan_bad(s, "exceeded max depth");
            }

            stack[depth++] = *s->p++;
            first = 1;
            continue;

        case '"':
            rc = fake_scan_string(s);
            break;

        case 't':
            rc = fake_scan_literal(s, "true");
            break;

        case 'f':
            rc = fake_scan_literal(s, "false");
            break;

        case 'n':
            rc = fake_scan_literal(s, "null");
            break;

        default:
            if (*s->p != '-' && (*s->p < '0' || *s->p > '9')) {
                return fake_scan_bad(s, "looking for beginning of value");
            }

            rc = fake_scan_number(s);
        }

        if (rc != 0) {
            return -1;
        }

        goto next;

    closed:

        s->p++;
        depth--;

    next:

        /* a value has ended: a comma, or the end of what it is in */

        if (depth == 0) {
            return 0;
        }

        fake_scan_space(s);

        if (s->p == s->last) {
            return fake_scan_eof(s);
        }

        first = 0;

        if (*s->p == ',') {
            s->p++;
            continue;
        }

        if (*s->p == (stack[depth - 1] == '{' ? '}' : ']')) {
            goto closed;
        }

        return fake_scan_bad(s, stack[depth - 1] == '{'
                                ? "after object key:value pair"
                                : "after array element");
    }
}


/*
 * Checks the first value.  Returns 0; -1 with Go's text in err; or 1 if
 * there is nothing but space (Go's io.EOF).
 */

int
fake_gojson_scan(const char *data, size_t len, size_t *end, fake_buf_t *err)
{
    int          rc;
    fake_scan_t  s;

    s.p = (const unsigned char *) data;
    s.last = s.p + len;
    s.err = err;

    fake_scan_space(&s);

    if (s.p == s.last) {
        return 1;
    }

    rc = fake_scan_value(&s);

    *end = (const char *) s.p - data;

    return rc;
}


/*
 * Takes the next pair off the inside of an object, or, with key NULL, the
 * next element off an array.  Returns 0 when there is none, or when it's
 * cut (bodies beyond FAKE_PARSE_MAX).
 */

int
fake_gojson_next(fake_str_t *obj, fake_buf_t *key, fake_str_t *value)
{
    fake_str_t   raw;
    fake_scan_t  s;

    s.p = (const unsigned char *) obj->data;
    s.last = s.p + obj->len;
    s.err = NULL;

    while (s.p < s.last && strchr(" \t\r\n,{[", *s.p) && *s.p) {
        /* the opening bracket goes with the first element only */

        if (*s.p == '{' || *s.p == '[') {
            if (s.p != (const unsigned char *) obj->data) {
                break;
            }
        }

        s.p++;
    }

    if (s.p == s.last || *s.p == '}' || *s.p == ']') {
        return 0;
    }

    if (key) {
        raw.data = (const char *) s.p;

        if (*s.p != '"' || fake_scan_string(&s) != 0) {
            return 0;
        }

        raw.len = (const char *) s.p - raw.data;

        key->len = 0;
        fake_gojson_string(key, &raw);

        fake_scan_space(&s);

        if (s.p == s.last) {
            return 0;
        }

        s.p++;
        fake_scan_space(&s);
    }

    value->data = (const char *) s.p;

    if (fake_scan_value(&s) != 0) {
        return 0;
    }

    value->len = (const char *) s.p - value->data;

    /* the comma is put in front of what remains, never a bracket */

    fake_scan_space(&s);

    obj->len -= (const char *) s.p - obj->data;
    obj->data = (const char *) s.p;

    return 1;
}


/* a JSON string with its quotes to UTF-8 */

void
fake_gojson_string(fake_buf_t *b, const fake_str_t *raw)
{
    int                   i;
    size_t                n;
    uint32_t              u, lo;
    unsigned char         utf8[4];
    const unsigned char  *p, *last;

    p = (const unsigned char *) raw->data + 1;
    last = p + raw->len - 2;

    fake_buf_add(b, "", 0);

    while (p < last) {

        if (*p != '\\') {
            n = fake_utf8_len(p, last - p);

            if (n == 0) {
                fake_buf_str(b, "\xef\xbf\xbd");
                p++;
                continue;
            }

            fake_buf_add(b, p, n);
            p += n;
            continue;
        }

        p++;

        if (*p != 'u') {
            switch (*p) {
            case 'b': u = '\b'; break;
            case 'f': u = '\f'; break;
            case 'n': u = '\n'; break;
            case 'r': u = '\r'; break;
            case 't': u = '\t'; break;
            default: u = *p;
            }

            fake_buf_add(b, &(char) { u }, 1);
            p++;
            continue;
        }

        for (i = 1, u = 0; i <= 4; i++) {
            u = u << 4 | fake_hex(p[i]);
        }

        p += 5;

        if (u >= 0xd800 && u < 0xe000) {
            lo = 0;

            if (u < 0xdc00 && last - p >= 6 && p[0] == '\\' && p[1] == 'u') {
                for (i = 2; i <= 5; i++) {
                    lo = lo << 4 | fake_hex(p[i]);
                }
            }

            if (lo >= 0xdc00 && lo < 0xe000) {
                u = 0x10000 + ((u - 0xd800) << 10) + (lo - 0xdc00);
                p += 6;

            } else {
                u = 0xfffd;
            }
        }

        if (u < 0x80) {
            utf8[0] = u;
            n = 1;

        } else if (u < 0x800) {
            utf8[0] = 0xc0 | u >> 6;
            utf8[1] = 0x80 | (u & 0x3f);
            n = 2;

        } else if (u < 0x10000) {
            utf8[0] = 0xe0 | u >> 12;
            utf8[1] = 0x80 | (u >> 6 & 0x3f);
            utf8[2] = 0x80 | (u & 0x3f);
            n = 3;

        } else {
            utf8[0] = 0xf0 | u >> 18;
            utf8[1] = 0x80 | (u >> 12 & 0x3f);
            utf8[2] = 0x80 | (u >> 6 & 0x3f);
            utf8[3] = 0x80 | (u & 0x3f);
            n = 4;
        }

        fake_buf_add(b, utf8, n);
    }
}


size_t
fake_gojson_count(const fake_str_t *raw)
{
    size_t      n;
    fake_str_t  rest, value;

    if (raw->data == NULL || raw->data[0] != '[') {
        return 0;
    }

    rest = *raw;

    for (n = 0; fake_gojson_next(&rest, NULL, &value); n++) { /* void */ }

    return n;
}


int
fake_gojson_true(const fake_str_t *raw)
{
    return raw->data && raw->data[0] == 't';
}


/* name is lower-case ASCII */

static int
fake_fold_equal(const char *key, size_t len, const char *name)
{
    char         ch;
    const char  *last;

    last = key + len;

    for ( /* void */ ; *name; name++) {

        if (key == last) {
            return 0;
        }

        if (last - key >= 2 && memcmp(key, "\xc5\xbf", 2) == 0) {
            ch = 's';
            key += 2;

        } else if (last - key >= 3 && memcmp(key, "\xe2\x84\xaa", 3) == 0) {
            ch = 'k';
            key += 3;

        } else {
            ch = *key++;
            ch = (ch >= 'A' && ch <= 'Z') ? ch | 0x20 : ch;
        }

        if (ch != *name) {
            return 0;
        }
    }

    return key == last;
}


const char *
fake_gojson_kind(int ch)
{
    switch (ch) {
    case '{':
        return "object";
    case '[':
        return "array";
    case '"':
        return "string";
    case 't':
    case 'f':
        return "bool";
    default:
        return "number";
    }
}


static void
fake_field_set(fake_field_t *f, const fake_str_t *value, const char *type,
    fake_buf_t *err)
{
    int  kind;

    /* null empties what can be nil in Go, and leaves strings alone */

    if (value->data[0] == 'n') {
        if (f->type != 's' && (f->type != 'b' || f->go_type[0] == '*')) {
            f->value.data = NULL;
            f->value.len = 0;
        }

        return;
    }

    kind = fake_gojson_kind(value->data[0])[0];

    if (f->type != '*' && kind != f->type) {
        if (err->len == 0) {
            fake_buf_fmt(err, "json: cannot unmarshal %s into Go struct "
                              "field %s.%s of type %s",
                         fake_gojson_kind(value->data[0]), type, f->name,
                         f->go_type[0] == '*' ? f->go_type + 1 : f->go_type);
        }

        return;
    }

    f->value = *value;
}


/*
 * Finds the fields (the last has no name) of an object that was scanned.
 * Returns -1 with Go's text if a value can't go into its field; it's the
 * first such that Go names, but the rest is still read.
 */

int
fake_gojson_fields(const char *data, size_t len, const char *type,
    fake_field_t *fields, fake_buf_t *err)
{
    fake_buf_t     key;
    fake_str_t     rest, value;
    fake_field_t  *f;

    rest.data = data;
    rest.len = len;

    while (rest.len && strchr(" \t\r\n", *rest.data) && *rest.data) {
        rest.data++;
        rest.len--;
    }

    if (rest.len == 0 || *rest.data == 'n') {
        return 0;
    }

    if (*rest.data != '{') {
        fake_buf_fmt(err, "json: cannot unmarshal %s into Go value of type "
                          "%s", fake_gojson_kind(*rest.data), type);
        return -1;
    }

    memset(&key, 0, sizeof(fake_buf_t));

    /* messages name the type without its package */

    type = strchr(type, '.') ? strchr(type, '.') + 1 : type;

    while (fake_gojson_next(&rest, &key, &value)) {

        for (f = fields; f->name; f++) {
            if (fake_fold_equal(key.data, key.len, f->name)) {
                fake_field_set(f, &value, type, err);
                break;
            }
        }
    }

    fake_buf_free(&key);

    return err->len ? -1 : 0;
}
