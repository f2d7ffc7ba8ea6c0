
/*
 * The reader of requests.  fake_request_read() takes what the input has,
 * one step after another, until more is needed or the reply has begun.
 */

#include "request.h"
#include "control.h"
#include "gojson.h"
#include "out.h"
#include "record.h"
#include "route.h"
#include "stream.h"

#include <ctype.h>


static int fake_request_line(fake_conn_t *c);
static int fake_request_first(fake_conn_t *c, char *line);
static int fake_request_uri(fake_req_t *r);
static void fake_request_header(fake_conn_t *c, char *line);
static void fake_request_header_known(fake_conn_t *c, const char *name,
    const char *value);
static void fake_request_header_keep(fake_req_t *r, const char *name,
    const char *value);
static int fake_request_head_done(fake_conn_t *c);
static int fake_request_body(fake_conn_t *c);
static int fake_request_chunk(fake_conn_t *c);
static void fake_request_body_add(fake_req_t *r, const char *data, size_t len);
static void fake_request_received(fake_conn_t *c);
static void fake_request_control(fake_conn_t *c);
static void fake_request_poll(fake_conn_t *c);
static char *fake_utf8(const char *s, size_t len);


void
fake_request_read(fake_conn_t *c)
{
    int               rc;
    struct evbuffer  *in;

    in = bufferevent_get_input(c->bev);

    do {
        switch (c->state) {

        case FAKE_STATE_LINE:
        case FAKE_STATE_HEADERS:
        case FAKE_STATE_TRAILER:
            rc = fake_request_line(c);
            break;

        case FAKE_STATE_BODY:
        case FAKE_STATE_CHUNK_DATA:
            rc = fake_request_body(c);
            break;

        case FAKE_STATE_CHUNK_SIZE:
        case FAKE_STATE_CHUNK_END:
            rc = fake_request_chunk(c);
            break;

        default: /* FAKE_STATE_REPLY */

            /* nobody waits that long with what isn't answered in order */

            if (evbuffer_get_length(in) > FAKE_HEAD_MAX) {
                fake_conn_close(c, FAKE_END_DIED, 0);
            }

            rc = 0;
        }

    } while (rc && !c->dead);
}


/* returns 1 as long as there may be more to do */

static int
fake_request_line(fake_conn_t *c)
{
    int               rc;
    char             *line;
    size_t            len;
    struct evbuffer  *in;

    in = bufferevent_get_input(c->bev);

    line = evbuffer_readln(in, &len, EVBUFFER_EOL_CRLF);

    if (line == NULL) {
        if (c->head + evbuffer_get_length(in) > FAKE_HEAD_MAX) {
            fake_request_bad(c, 431, "");
        }

        return 0;
    }

    c->head += len + 2;
    rc = 1;

    if (c->head > FAKE_HEAD_MAX) {
        fake_request_bad(c, 431, "");
        rc = 0;

    } else if (strlen(line) != len) {
        fake_request_bad(c, 400, "");
        rc = 0;

    } else if (c->state == FAKE_STATE_LINE) {
        rc = (len == 0) ? 1 : fake_request_first(c, line);

    } else if (len == 0) {

        if (c->state == FAKE_STATE_TRAILER) {
            fake_request_received(c);

        } else {
            rc = fake_request_head_done(c);
        }

    } else if (c->state == FAKE_STATE_HEADERS) {
        fake_request_header(c, line);
    }

    free(line);

    return rc;
}


static int
fake_request_first(fake_conn_t *c, char *line)
{
    char        *uri, *version;
    fake_req_t  *r;
    fake_rec_t  *rec;

    uri = strchr(line, ' ');
    version = uri ? strchr(uri + 1, ' ') : NULL;

    if (version == NULL || uri == line
        || strncmp(version + 1, "HTTP/1.", 7) != 0
        || (version[8] != '0' && version[8] != '1') || version[9])
    {
        fake_request_bad(c, 400, "");
        return 0;
    }

    *uri++ = '\0';
    *version = '\0';

    r = fake_alloc(sizeof(fake_req_t));

    r->method = fake_strndup(line, strlen(line));
    r->uri = fake_strndup(uri, strlen(uri));
    r->minor = version[8] - '0';
    r->keepalive = r->minor;
    r->head = (strcmp(line, "HEAD") == 0);

    c->req = r;
    c->state = FAKE_STATE_HEADERS;

    if (fake_request_uri(r) != 0) {
        fake_request_bad(c, 400, "");
        return 0;
    }

    if (strncmp(r->path, "/fake/", 6) == 0) {
        fake_request_control(c);
        return 1;
    }

    if (c->control) {
        fake_request_bad(c, 400, ": this is a control connection");
        return 0;
    }

    rec = fake_rec_start(c->id);

    r->rec = rec->n;
    r->hashing = fake_server.record;

    rec->minor = r->minor;
    rec->method = fake_utf8(r->method, strlen(r->method));
    rec->path = fake_utf8(r->path, strlen(r->path));

    if (fake_server.record) {
        rec->uri = fake_utf8(r->uri, strlen(r->uri));
        r->headers = json_object();
        rec->headers = json_incref(r->headers);
    }

    fake_rec_changed();

    return 1;
}


/* splits off the arguments and decodes the path, as Go's url.Parse does */

static int
fake_request_uri(fake_req_t *r)
{
    int    hi, lo;
    char  *p, *q, *path, *args;

    path = r->uri;

    if (strncasecmp(path, "http://", 7) == 0) {
        path += 7;
        p = path + strcspn(path, "/?");
        r->host = fake_strndup(path, p - path);
        path = p;
    }

    args = strchr(path, '?');

    r->query = args ? fake_strndup(args + 1, strlen(args + 1))
                    : fake_strndup("", 0);
    r->path = fake_strndup(path, args ? (size_t) (args - path)
                                      : strlen(path));

    if (r->path[0] != '/' && strcmp(r->path, "*") != 0 && r->host == NULL) {
        return -1;
    }

    for (p = r->path, q = p; *p; p++, q++) {

        *q = *p;

        if (*p != '%') {
            continue;
        }

        hi = fake_hex((unsigned char) p[1]);
        lo = (hi < 0) ? -1 : fake_hex((unsigned char) p[2]);

        if (lo < 0) {
            return -1;
        }

        /* a zero byte would end the string; no path has one */

        if (hi || lo) {
            *q = (char) (hi << 4 | lo);
            p += 2;
        }
    }

    *q = '\0';

    return 0;
}


/* what JSON can carry: bytes that aren't UTF-8 are taken for Latin-1 */

static char *
fake_utf8(const char *s, size_t len)
{
    size_t      i, n;
    fake_buf_t  b;

    for (i = 0; i < len; i += n) {
        n = fake_utf8_len((const unsigned char *) s + i, len - i);

        if (n == 0) {
            break;
        }
    }

    if (i >= len) {
        return fake_strndup(s, len);
    }

    memset(&b, 0, sizeof(fake_buf_t));

    for (i = 0; i < len; i++) {
        if ((unsigned char) s[i] < 0x80) {
            fake_buf_add(&b, &s[i], 1);

        } else {
            fake_buf_add(&b, &(char) { 0xc0 | (unsigned char) s[i] >> 6 }, 1);
            fake_buf_add(&b, &(char) { 0x80 | (s[i] & 0x3f) }, 1);
        }
    }

    return b.data;
}


/* from now on this connection counts nowhere */

static void
fake_request_control(fake_conn_t *c)
{
    if (c->control) {
        return;
    }

    c->control = 1;

    fake_open[c->poll]--;
    fake_rec_conn_forget(c->id);
    c->id = 0;

    fake_rec_changed();
}


/* from now on this connection counts among the polls */

static void
fake_request_poll(fake_conn_t *c)
{
    if (c->control || c->poll) {
        return;
    }

    c->poll = 1;

    fake_open[0]--;
    fake_open[1]++;

    c->id = fake_rec_conn_poll(c->id);
    c->req->rec = fake_rec_poll(c->req->rec, c->id);

    fake_rec_changed();
}


static void
fake_request_header(fake_conn_t *c, char *line)
{
    char  *value, *p;

    value = strchr(line, ':');

    if (value == NULL || value == line || line[0] == ' ' || line[0] == '\t'
        || value[-1] == ' ')
    {
        fake_request_bad(c, 400, "");
        return;
    }

    *value++ = '\0';

    for (p = line; *p; p++) {
        *p = tolower((unsigned char) *p);
    }

    value += strspn(value, " \t");

    for (p = value + strlen(value); p > value; p--) {
        if (p[-1] != ' ' && p[-1] != '\t') {
            break;
        }
    }

    *p = '\0';

    fake_request_header_known(c, line, value);

    if (strcmp(line, "user-agent") == 0 && strcmp(value, FAKE_POLLER) == 0) {
        fake_request_poll(c);
    }

    if (!c->dead && c->req->headers) {
        fake_request_header_keep(c->req, line, value);
    }
}


static void
fake_request_header_known(fake_conn_t *c, const char *name, const char *value)
{
    char        *end;
    uint64_t     length;
    fake_req_t  *r;

    r = c->req;

    if (strcmp(name, "host") == 0) {
        r->hosts += (r->hosts < 2);

        if (r->host == NULL) {
            r->host = fake_strndup(value, strlen(value));
        }

    } else if (strcmp(name, "origin") == 0) {
        if (r->origin == NULL) {
            r->origin = fake_strndup(value, strlen(value));
        }

    } else if (strcmp(name, "content-length") == 0) {
        length = strtoull(value, &end, 10);

        if (*end || !isdigit((unsigned char) *value)
            || strlen(value) > 18 || (r->has_length && r->length != length))
        {
            fake_request_bad(c, 400, "");
            return;
        }

        r->has_length = 1;
        r->length = length;

    } else if (strcmp(name, "transfer-encoding") == 0) {

        if (strcasecmp(value, "chunked") != 0) {
            fake_request_bad(c, 501, ": Unsupported transfer encoding");
            return;
        }

        r->chunked = 1;

    } else if (strcmp(name, "connection") == 0) {

        if (strcasestr(value, "close")) {
            r->keepalive = 0;
            r->close = 1;

        } else if (strcasestr(value, "keep-alive")) {
            r->keepalive = !r->close;
        }

    } else if (strcmp(name, "expect") == 0) {
        r->expect = (strcasecmp(value, "100-continue") == 0);
    }
}


static void
fake_request_header_keep(fake_req_t *r, const char *name, const char *value)
{
    char    *name8, *value8;
    json_t  *old, *list;

    name8 = fake_utf8(name, strlen(name));
    value8 = fake_utf8(value, strlen(value));

    old = json_object_get(r->headers, name8);

    if (old == NULL) {
        json_object_set_new(r->headers, name8, json_string(value8));

    } else if (json_is_array(old)) {
        json_array_append_new(old, json_string(value8));

    } else {
        list = json_array();
        json_array_append(list, old);
        json_array_append_new(list, json_string(value8));
        json_object_set_new(r->headers, name8, list);
    }

    free(name8);
    free(value8);
}


static int
fake_request_head_done(fake_conn_t *c)
{
    fake_req_t         *r;

    static const char   go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

    r = c->req;

    if (r->minor && r->hosts == 0) {
        fake_request_bad(c, 400, ": missing required Host header");
        return 0;
    }

    if (r->hosts > 1) {
        fake_request_bad(c, 400, ": too many Host headers");
        return 0;
    }

    if (r->host == NULL) {
        r->host = fake_strndup("", 0);
    }

    if (r->hashing || strncmp(r->path, "/api/blobs/", 11) == 0) {
        r->hashing = 1;
        fake_sha256_init(&r->sha);
    }

    if (!r->chunked && r->length == 0) {
        fake_request_received(c);
        return 1;
    }

    if (r->expect && r->minor) {
        (void) bufferevent_write(c->bev, go_on, sizeof(go_on) - 1);
    }

    r->left = r->length;
    c->state = r->chunked ? FAKE_STATE_CHUNK_SIZE : FAKE_STATE_BODY;

    return 1;
}


static int
fake_request_body(fake_conn_t *c)
{
    size_t            n;
    fake_req_t       *r;
    struct evbuffer  *in;

    r = c->req;
    in = bufferevent_get_input(c->bev);

    n = evbuffer_get_contiguous_space(in);

    if (n == 0) {
        return 0;
    }

    if (n > r->left) {
        n = (size_t) r->left;
    }

    fake_request_body_add(r, (char *) evbuffer_pullup(in, n), n);
    (void) evbuffer_drain(in, n);

    r->left -= n;

    if (r->left == 0) {
        if (r->chunked) {
            c->state = FAKE_STATE_CHUNK_END;

        } else {
            fake_request_received(c);
        }
    }

    return 1;
}


/* the line before a chunk's data, or the empty one behind it */

static int
fake_request_chunk(fake_conn_t *c)
{
    int               bad;
    char             *line, *end;
    size_t            len;
    uint64_t          size;
    fake_req_t       *r;
    struct evbuffer  *in;

    r = c->req;
    in = bufferevent_get_input(c->bev);

    line = evbuffer_readln(in, &len, EVBUFFER_EOL_CRLF);

    if (line == NULL) {
        if (evbuffer_get_length(in) > 4096) {
            fake_request_bad(c, 400, "");
        }

        return 0;
    }

    bad = 0;

    if (c->state == FAKE_STATE_CHUNK_END) {
        bad = (len != 0);
        c->state = FAKE_STATE_CHUNK_SIZE;

    } else {
        size = strtoull(line, &end, 16);
        len = strspn(line, "0123456789abcdefABCDEF");
        bad = (len == 0 || len > 15
               || (*end && *end != ';' && *end != ' '));

        r->left = size;
        c->state = size ? FAKE_STATE_CHUNK_DATA : FAKE_STATE_TRAILER;
    }

    free(line);

    if (bad) {
        fake_request_bad(c, 400, "");
        return 0;
    }

    return 1;
}


static void
fake_request_body_add(fake_req_t *r, const char *data, size_t len)
{
    size_t       n;
    fake_rec_t  *rec;

    r->body_bytes += len;

    if (r->hashing) {
        fake_sha256_add(&r->sha, data, len);
    }

    n = FAKE_PARSE_MAX - r->body.len;

    if (n < len) {
        r->cut = 1;

    } else {
        n = len;
    }

    fake_buf_add(&r->body, data, n);

    rec = fake_rec_get(r->rec);

    if (rec) {
        rec->body_bytes = r->body_bytes;
    }
}


static void
fake_request_received(fake_conn_t *c)
{
    size_t       n;
    fake_req_t  *r;
    fake_rec_t  *rec;

    r = c->req;
    c->state = FAKE_STATE_REPLY;

    if (r->hashing) {
        fake_sha256_hex(&r->sha, r->sha256);
    }

    if (c->control) {
        fake_control(c);
        return;
    }

    rec = fake_rec_get(r->rec);

    if (rec) {
        rec->received = fake_now_ms();

        if (rec->headers) {
            n = (r->body.len < FAKE_RECORD_BODY) ? r->body.len
                                                 : FAKE_RECORD_BODY;
            rec->body = fake_strndup(r->body.data ? r->body.data : "", n);
            rec->body_len = n;
            memcpy(rec->sha256, r->sha256, sizeof(rec->sha256));
        }
    }

    fake_route(c);
}


/* a request that can't be read: Go's answer, and the end */

void
fake_request_bad(fake_conn_t *c, int status, const char *text)
{
    fake_buf_t   wire;
    fake_rec_t  *rec;
    const char  *reason;

    memset(&wire, 0, sizeof(fake_buf_t));

    reason = fake_status_text(status);

    fake_buf_fmt(&wire, "HTTP/1.1 %d %s\r\n"
                        "Content-Type: text/plain; charset=utf-8\r\n"
                        "Connection: close\r\n\r\n%d %s%s",
                 status, reason, status, reason, text);

    if (c->req == NULL) {
        c->req = fake_alloc(sizeof(fake_req_t));
    }

    rec = c->control ? NULL : fake_rec_get(c->req->rec);

    if (rec) {
        rec->status = status;
        rec->header = fake_now_ms();
    }

    c->state = FAKE_STATE_REPLY;

    fake_out_raw(c, &wire, NULL, 0);
    fake_out_finish(c, &wire, FAKE_DO_FIN, FAKE_END_COMPLETE);
    fake_buf_free(&wire);
}


void
fake_request_free(fake_conn_t *c)
{
    fake_req_t  *r;

    r = c->req;
    c->req = NULL;

    fake_stream_free(r);
    fake_buf_free(&r->body);
    json_decref(r->headers);
    free(r->method);
    free(r->uri);
    free(r->path);
    free(r->query);
    free(r->host);
    free(r->origin);
    free(r->allow);
    free(r);
}
